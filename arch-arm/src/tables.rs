//! Stage 1 page tables: an identity map of 39 bits in 4 KiB granules (DDI 0487, D8.3).
//!
//! Tables live in a fixed pool, so building them needs no allocator and no `unsafe`: a descriptor that
//! points to a table is turned back into an index of the pool.

use fata_boot::info::Region;

/// Bits of address space that the tables span.
pub const ADDRESS_BITS: u32 = 39;
const PAGE: u64 = 4096;
const ENTRIES: usize = 512;

const VALID: u64 = 1;
/// At levels 1 and 2 a table, at level 3 a page; without it a block.
const TABLE: u64 = 1 << 1;
const ATTR_NORMAL: u64 = 1 << 2;
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 3 << 8;
const ACCESSED: u64 = 1 << 10;
const PXN: u64 = 1 << 53;
const UXN: u64 = 1 << 54;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// What may be done with a mapped range. Nothing is both writable and executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Instructions and constants among them.
    Execute,
    /// Constants.
    Read,
    /// Ordinary memory, and memory shared with Xen or a peer: Normal write-back, inner shareable.
    ReadWrite,
    /// Registers: Device-nGnRnE.
    Device,
}

impl Rights {
    const fn bits(self) -> u64 {
        let normal = ATTR_NORMAL | INNER_SHAREABLE;
        VALID
            | ACCESSED
            | UXN
            | match self {
                Self::Execute => normal | READ_ONLY,
                Self::Read => normal | READ_ONLY | PXN,
                Self::ReadWrite => normal | PXN,
                Self::Device => PXN,
            }
    }
}

/// Why a range could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// Not page-aligned, empty, or beyond [`ADDRESS_BITS`].
    Range,
    /// The pool has no table left.
    NoTable,
    /// Something is mapped there already.
    Mapped,
}

/// One table of any level.
#[derive(Clone)]
#[repr(C, align(4096))]
pub struct Table([u64; ENTRIES]);

impl Table {
    /// A table that maps nothing.
    pub const EMPTY: Self = Self([0; ENTRIES]);
}

/// A tree of tables. `pool[0]` is the root, at level 1.
pub struct Tables {
    pool: &'static mut [Table],
    used: usize,
    live: bool,
}

impl Tables {
    /// An empty address space. Of the pool, only the tables that are used are written to.
    pub fn new(pool: &'static mut [Table]) -> Self {
        pool[0] = Table::EMPTY;
        Self { pool, used: 1, live: false }
    }

    /// Where the root table is.
    pub fn root(&self) -> u64 {
        &raw const self.pool[0] as u64
    }

    /// Tables in use and in the pool.
    pub fn usage(&self) -> (usize, usize) {
        (self.used, self.pool.len())
    }

    /// From now on the MMU walks these tables: what is mapped stays as it is, since changing it would take
    /// break-before-make (DDI 0487, D8.16.1).
    pub fn set_live(&mut self) {
        self.live = true;
    }

    /// Maps `region` to itself. Before the tables are live a later mapping overrides an earlier one; on a
    /// live tree that is [`MapError::Mapped`].
    pub fn map(&mut self, region: Region, rights: Rights) -> Result<(), MapError> {
        let end = region.base.checked_add(region.size).ok_or(MapError::Range)?;
        if region.size == 0 || !(region.base | end).is_multiple_of(PAGE) || end > 1 << ADDRESS_BITS {
            return Err(MapError::Range);
        }
        let mut at = region.base;
        while at < end {
            at += self.map_run(at, end, rights)?;
        }
        Ok(())
    }

    /// Takes one page out of the address space. The caller invalidates the TLB.
    pub fn unmap_page(&mut self, at: u64) {
        if let Some((table, index, 3)) = self.find(at) {
            self.pool[table].0[index] = 0;
        }
    }

    /// The rights `at` is mapped with.
    pub fn lookup(&self, at: u64) -> Option<Rights> {
        let (table, index, _) = self.find(at)?;
        let entry = self.pool[table].0[index] & !(ADDRESS | TABLE);
        [Rights::Execute, Rights::Read, Rights::ReadWrite, Rights::Device]
            .into_iter()
            .find(|r| r.bits() == entry)
    }

    /// The valid leaf entry for `at`: table, index, level.
    fn find(&self, at: u64) -> Option<(usize, usize, u32)> {
        if at >> ADDRESS_BITS != 0 {
            return None;
        }
        let mut table = 0;
        for level in 1..4 {
            let index = index_of(at, level);
            let entry = self.pool[table].0[index];
            if entry & VALID == 0 {
                return None;
            }
            if level == 3 || entry & TABLE == 0 {
                return Some((table, index, level));
            }
            table = self.child(entry);
        }
        None
    }

    /// Writes the largest entry that fits at `at`, and those like it that follow in the same table, which saves
    /// walking down for each; returns how much they map.
    fn map_run(&mut self, at: u64, end: u64, rights: Rights) -> Result<u64, MapError> {
        let mut table = 0;
        for level in 1..4 {
            let index = index_of(at, level);
            let entry = self.pool[table].0[index];
            let is_table = |entry: u64| level < 3 && entry & (VALID | TABLE) == VALID | TABLE;
            let size = 1u64 << shift(level);
            let fitting = (end - at) / size;
            if !is_table(entry) && at.is_multiple_of(size) && fitting > 0 {
                if self.live && entry & VALID != 0 {
                    return Err(MapError::Mapped);
                }
                let bits = rights.bits() | if level == 3 { TABLE } else { 0 };
                let live = self.live;
                let mut next = at;
                for entry in self.pool[table].0[index..].iter_mut().take(fitting as usize) {
                    if *entry & VALID != 0 && (live || is_table(*entry)) {
                        break;
                    }
                    *entry = next | bits;
                    next += size;
                }
                return Ok(next - at);
            }
            table = if is_table(entry) { self.child(entry) } else { self.descend(table, index, level)? };
        }
        unreachable!("level 3 maps whole pages, and regions are whole pages")
    }

    /// Puts a table where there was nothing, or a block, which it then maps in smaller pieces.
    fn descend(&mut self, table: usize, index: usize, level: u32) -> Result<usize, MapError> {
        let block = self.pool[table].0[index];
        if self.live && block & VALID != 0 {
            return Err(MapError::Mapped);
        }
        let new = self.used;
        *self.pool.get_mut(new).ok_or(MapError::NoTable)? = Table::EMPTY;
        self.used += 1;
        if block & VALID != 0 {
            let kind = if level + 1 == 3 { TABLE } else { 0 };
            for (i, entry) in self.pool[new].0.iter_mut().enumerate() {
                *entry = (block + ((i as u64) << shift(level + 1))) | kind;
            }
        }
        self.pool[table].0[index] = &raw const self.pool[new] as u64 | TABLE | VALID;
        Ok(new)
    }

    fn child(&self, entry: u64) -> usize {
        ((entry & ADDRESS) - self.root()) as usize / size_of::<Table>()
    }
}

const fn shift(level: u32) -> u32 {
    ADDRESS_BITS - 9 * level
}

const fn index_of(at: u64, level: u32) -> usize {
    (at >> shift(level)) as usize % ENTRIES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(n: usize) -> Tables {
        Tables::new(Vec::leak(vec![Table::EMPTY; n]))
    }

    fn region(base: u64, size: u64) -> Region {
        Region { base, size }
    }

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    #[test]
    fn maps_exactly_what_was_asked_for() {
        let mut t = tables(16);
        t.map(region(0x4000_0000 + 0x3000, 5 * MIB), Rights::ReadWrite).unwrap();
        assert_eq!(t.lookup(0x4000_2fff), None);
        assert_eq!(t.lookup(0x4000_3000), Some(Rights::ReadWrite));
        assert_eq!(t.lookup(0x4000_2fff + 5 * MIB), Some(Rights::ReadWrite));
        assert_eq!(t.lookup(0x4000_3000 + 5 * MIB), None);
        assert_eq!(t.lookup(0), None);
    }

    #[test]
    fn each_page_is_mapped_to_itself() {
        let mut t = tables(16);
        // A table that the second mapping meets on its way.
        t.map(region(GIB + 4 * MIB + 0x1000, 0x1000), Rights::Read).unwrap();
        let all = region(GIB - 0x2000, 9 * MIB);
        t.map(all, Rights::ReadWrite).unwrap();
        for at in (all.base..all.end()).step_by(0x1000) {
            let (table, index, level) = t.find(at).unwrap();
            let start = t.pool[table].0[index] & ADDRESS;
            assert_eq!(start + at % (1 << shift(level)), at);
            assert_eq!(t.lookup(at), Some(Rights::ReadWrite));
        }
        assert_eq!((t.lookup(all.base - 1), t.lookup(all.end())), (None, None));
    }

    #[test]
    fn memory_size_does_not_cost_tables() {
        let mut t = tables(4);
        t.map(region(GIB, 3 * GIB), Rights::ReadWrite).unwrap();
        t.map(region(8 * GIB, 64 * GIB), Rights::ReadWrite).unwrap();
        assert_eq!(t.usage().0, 1);
        assert_eq!(t.lookup(72 * GIB - 1), Some(Rights::ReadWrite));
        assert_eq!(t.lookup(72 * GIB), None);
    }

    #[test]
    fn later_rights_override_and_split_blocks() {
        let mut t = tables(8);
        t.map(region(GIB, GIB), Rights::ReadWrite).unwrap();
        t.map(region(GIB + 2 * MIB, 0x4000), Rights::Execute).unwrap();
        t.map(region(GIB + 2 * MIB + 0x4000, 0x1000), Rights::Read).unwrap();
        t.unmap_page(GIB + 2 * MIB + 0x6000);
        assert_eq!(t.lookup(GIB + 2 * MIB - 1), Some(Rights::ReadWrite));
        assert_eq!(t.lookup(GIB + 2 * MIB), Some(Rights::Execute));
        assert_eq!(t.lookup(GIB + 2 * MIB + 0x4fff), Some(Rights::Read));
        assert_eq!(t.lookup(GIB + 2 * MIB + 0x5000), Some(Rights::ReadWrite));
        assert_eq!(t.lookup(GIB + 2 * MIB + 0x6000), None);
        assert_eq!(t.lookup(GIB + 2 * MIB + 0x7000), Some(Rights::ReadWrite));
        assert_eq!(t.lookup(2 * GIB - 1), Some(Rights::ReadWrite));
    }

    #[test]
    fn a_live_tree_only_grows() {
        let mut t = tables(8);
        t.map(region(GIB, GIB), Rights::ReadWrite).unwrap();
        t.set_live();
        assert_eq!(t.map(region(GIB, 0x1000), Rights::Read), Err(MapError::Mapped));
        assert_eq!(t.lookup(GIB), Some(Rights::ReadWrite));
        t.map(region(0x3900_0000, 0x1000), Rights::ReadWrite).unwrap();
        assert_eq!(t.map(region(0x3900_0000, 0x1000), Rights::ReadWrite), Err(MapError::Mapped));
    }

    #[test]
    fn refuses_what_it_cannot_map() {
        let mut t = tables(2);
        for bad in [region(1, 0x1000), region(0x1000, 1), region(0x1000, 0), region(u64::MAX - 4095, 4096)] {
            assert_eq!(t.map(bad, Rights::Read), Err(MapError::Range), "{bad:x?}");
        }
        assert_eq!(t.map(region(1 << 39, 0x1000), Rights::Read), Err(MapError::Range));
        assert_eq!(t.map(region(0x1000, 0x1000), Rights::Read), Err(MapError::NoTable));
    }

    #[test]
    fn nothing_is_writable_and_executable() {
        for r in [Rights::Execute, Rights::Read, Rights::ReadWrite, Rights::Device] {
            assert!(r.bits() & READ_ONLY != 0 || r.bits() & PXN != 0);
        }
    }
}
