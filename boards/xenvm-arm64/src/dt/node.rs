//! One node's properties, and the address spaces that `reg` is in.

use super::blob::{MAX_DEPTH, Token, Tokens, number, strings};
use fata_boot::info::{IntId, Region};

/// The properties that anything here looks at.
#[derive(Clone, Copy)]
pub(super) enum Key {
    Compatible,
    DeviceType,
    Status,
    Model,
    Method,
    Bootargs,
    InitrdStart,
    InitrdEnd,
    RngSeed,
    FataNet,
    Reg,
    Interrupts,
    InterruptsExtended,
    RegShift,
    AddressCells,
    SizeCells,
    Ranges,
}

/// Their names, in the order of [`Key`].
const NAMES: [&str; 17] = [
    "compatible",
    "device_type",
    "status",
    "model",
    "method",
    "bootargs",
    "linux,initrd-start",
    "linux,initrd-end",
    "rng-seed",
    "fata,net",
    "reg",
    "interrupts",
    "interrupts-extended",
    "reg-shift",
    "#address-cells",
    "#size-cells",
    "ranges",
];

/// A node's properties, gathered in one pass.
pub(super) struct Node<'a> {
    pub(super) name: &'a [u8],
    values: [Option<&'a [u8]>; NAMES.len()],
}

impl<'a> Node<'a> {
    /// Takes the properties of a node off `tokens`, which has its name behind it.
    pub(super) fn read(name: &'a [u8], tokens: &mut Tokens<'a>) -> Self {
        let mut values = [None; NAMES.len()];
        let mut ahead = *tokens;
        while let Ok(Token::Prop(property)) = ahead.read() {
            *tokens = ahead;
            let name = property.name();
            if let Some(key) = NAMES.iter().position(|known| known.as_bytes() == name) {
                values[key] = Some(property.value);
            }
        }
        Self { name, values }
    }

    /// The value of a property; none and an empty one are alike but for `ranges`.
    pub(super) fn value(&self, key: Key) -> &'a [u8] {
        self.values[key as usize].unwrap_or_default()
    }

    /// The first string of a property; empty if it has none.
    pub(super) fn string(&self, key: Key) -> &'a [u8] {
        first_string(self.value(key))
    }

    /// The number that a property is, if it is one.
    pub(super) fn number(&self, key: Key) -> Option<u64> {
        self.values[key as usize].and_then(number)
    }

    /// A count of cells; more than fit into a byte are as absurd as 255.
    fn cells(&self, key: Key, default: u8) -> u8 {
        self.number(key).map_or(default, |n| n.min(255) as u8)
    }

    /// Its name without the unit address.
    pub(super) fn base_name(&self) -> &'a [u8] {
        self.name.split(|byte| *byte == b'@').next().unwrap_or(self.name)
    }

    /// Whether firmware means it to be used.
    pub(super) fn is_enabled(&self) -> bool {
        matches!(self.string(Key::Status), b"" | b"okay" | b"ok")
    }

    /// The `index`th interrupt.
    pub(super) fn interrupt(&self, index: usize) -> Option<IntId> {
        self.interrupts().nth(index).flatten()
    }

    /// Its interrupts, as a GIC numbers them: three cells, type, number, flags. `None` is one that makes no sense.
    pub(super) fn interrupts(&self) -> impl Iterator<Item = Option<IntId>> + use<'a> {
        // The extended form has the controller's phandle before each.
        let (cells, skip, stride) = match self.value(Key::InterruptsExtended) {
            [] => (self.value(Key::Interrupts), 0, 12),
            extended => (extended, 4, 16),
        };
        cells.chunks(stride).map(move |entry| {
            let (kind, rest) = entry.get(skip..)?.split_first_chunk::<4>()?;
            let (id, flags) = rest.split_first_chunk::<4>()?;
            match (u32::from_be_bytes(*kind), u32::from_be_bytes(*id), flags.len()) {
                (0, spi, 4) if spi < 988 => Some(IntId(32 + spi)),
                (1, ppi, 4) if ppi < 16 => Some(IntId(16 + ppi)),
                _ => None,
            }
        })
    }
}

/// The address space of a node's children. Defaults: Devicetree Specification 0.4, 2.3.5.
#[derive(Clone, Copy)]
struct Bus<'a> {
    address_cells: u8,
    size_cells: u8,
    /// How addresses here translate to the parent's: `None`, not at all; empty, unchanged.
    ranges: Option<&'a [u8]>,
}

/// The address spaces from the root's down to that of a node's siblings.
pub(super) struct Buses<'a> {
    /// The first is what the root node itself would be on.
    levels: [Bus<'a>; MAX_DEPTH + 1],
    depth: usize,
}

impl<'a> Buses<'a> {
    pub(super) fn new() -> Self {
        let root = Bus { address_cells: 2, size_cells: 1, ranges: Some(&[]) };
        Self { levels: [root; MAX_DEPTH + 1], depth: 0 }
    }

    /// How many nodes are above.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// Goes down to the children of `node`. Where addresses mean RAM, as in `/` and in `/reserved-memory`, they
    /// are the CPU's whether or not `ranges` says so.
    pub(super) fn enter(&mut self, node: &Node<'a>, is_ram: bool) {
        let bus = Bus {
            address_cells: node.cells(Key::AddressCells, 2),
            size_cells: node.cells(Key::SizeCells, 1),
            ranges: node.values[Key::Ranges as usize].or_else(|| is_ram.then_some(&[])),
        };
        if let Some(level) = self.levels.get_mut(self.depth + 1) {
            *level = bus;
            self.depth += 1;
        }
    }

    /// Comes back up.
    pub(super) fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// The entries of a `reg` as the CPU sees them; `None` is one that makes no sense.
    pub(super) fn regions(&self, reg: &'a [u8]) -> impl Iterator<Item = Option<Region>> {
        let bus = self.levels.get(self.depth);
        let (address, size) = bus.map_or((0, 0), |bus| (bus.address_cells, bus.size_cells));
        let entry_size = 4 * (usize::from(address) + usize::from(size));
        reg.chunks(entry_size.max(4)).map(move |entry| {
            let (base, size) = entry.split_at_checked(4 * usize::from(address))?;
            if entry.len() != entry_size {
                return None;
            }
            let (base, size) = (number(base)?, number(size)?);
            let base = self.translate(base, size)?;
            base.checked_add(size).map(|end| Region::between(base, end))
        })
    }

    fn translate(&self, mut base: u64, size: u64) -> Option<u64> {
        let levels = self.levels.get(..=self.depth)?;
        for pair in levels.windows(2).rev() {
            let [parent, bus] = pair else { return None };
            base = bus.up(parent.address_cells, base, size)?;
        }
        Some(base)
    }
}

impl Bus<'_> {
    /// Where `size` bytes at `base` are in the parent's address space.
    fn up(&self, parent_cells: u8, base: u64, size: u64) -> Option<u64> {
        let ranges = self.ranges?;
        if ranges.is_empty() {
            return Some(base);
        }
        let [child, parent, length] =
            [self.address_cells, parent_cells, self.size_cells].map(|cells| 4 * usize::from(cells));
        ranges.chunks_exact((child + parent + length).max(1)).find_map(|entry| {
            let (from, rest) = entry.split_at_checked(child)?;
            let (to, length) = rest.split_at_checked(parent)?;
            let offset = base.checked_sub(number(from)?)?;
            let inside = offset.checked_add(size)? <= number(length)?;
            inside.then(|| number(to)?.checked_add(offset)).flatten()
        })
    }
}

/// The bytes before the first NUL.
pub(super) fn first_string(value: &[u8]) -> &[u8] {
    strings(value).next().unwrap_or_default()
}
