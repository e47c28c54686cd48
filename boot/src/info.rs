//! What the machine said about itself, in one structure whatever said it (device tree, start_info, PVH).

mod device;

use core::fmt;
pub use device::Device;

/// Bytes in a page, the granule of everything below (Xen's `XEN_PAGE_SIZE`).
pub const PAGE_SIZE: u64 = 4096;

/// A range of guest physical addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// First byte.
    pub base: u64,
    /// Length in bytes; `base + size` does not overflow.
    pub size: u64,
}

impl Region {
    /// The bytes from `base` up to, not including, `end`; empty if there are none.
    pub const fn between(base: u64, end: u64) -> Self {
        Self { base, size: end.saturating_sub(base) }
    }

    /// One past the last byte.
    pub const fn end(&self) -> u64 {
        self.base.saturating_add(self.size)
    }

    /// Whether there is nothing in it.
    pub const fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// The whole pages inside.
    pub const fn pages_inside(&self) -> Self {
        match self.base.checked_next_multiple_of(PAGE_SIZE) {
            Some(base) => Self::between(base, self.end() / PAGE_SIZE * PAGE_SIZE),
            None => Self { base: 0, size: 0 },
        }
    }

    /// The pages it touches.
    pub const fn pages_touched(&self) -> Self {
        let last_page = u64::MAX / PAGE_SIZE * PAGE_SIZE;
        let end = match self.end().checked_next_multiple_of(PAGE_SIZE) {
            Some(end) => end,
            None => last_page,
        };
        Self::between(self.base / PAGE_SIZE * PAGE_SIZE, end)
    }
}

/// A list of at most `N` things, for code that runs before there is a heap.
#[derive(Clone, Copy)]
pub struct List<T, const N: usize> {
    items: [T; N],
    len: usize,
}

impl<T: Copy + Default, const N: usize> List<T, N> {
    /// Appends `item`, or gives it back when the list is full.
    pub fn push(&mut self, item: T) -> Result<(), T> {
        match self.items.get_mut(self.len) {
            Some(slot) => {
                *slot = item;
                self.len += 1;
                Ok(())
            }
            None => Err(item),
        }
    }
}

impl<const N: usize> List<Region, N> {
    /// Adds `new` to a list that is sorted and whose regions do not touch, and keeps it so; gives it back
    /// when the list is full.
    pub fn merge(&mut self, new: Region) -> Result<(), Region> {
        let touches = |old: &&Region| old.base <= new.end() && new.base <= old.end();
        let joined = self
            .iter()
            .filter(touches)
            .fold(new, |joined, old| Region::between(joined.base.min(old.base), joined.end().max(old.end())));
        let mut merged = Self::default();
        let before = self.iter().filter(|old| old.end() < new.base);
        let after = self.iter().filter(|old| new.end() < old.base);
        for &region in before.chain([&joined]).chain(after) {
            merged.push(region).map_err(|_| new)?;
        }
        *self = merged;
        Ok(())
    }
}

impl<T: Copy + Default, const N: usize> Default for List<T, N> {
    fn default() -> Self {
        Self { items: [T::default(); N], len: 0 }
    }
}

impl<T, const N: usize> core::ops::Deref for List<T, N> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.items[..self.len]
    }
}

impl<T: fmt::Debug, const N: usize> fmt::Debug for List<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// An interrupt as the GIC numbers it (0–15 SGI, 16–31 PPI, 32 and up SPI).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntId(pub u32);

/// The first interrupt that is no CPU's own.
pub const FIRST_SPI: u32 = 32;

/// The interrupt controller.
#[derive(Clone, Copy, Debug)]
pub enum Gic {
    /// GICv2: distributor and CPU interface.
    V2 {
        /// Distributor registers.
        dist: Region,
        /// CPU interface registers.
        cpu: Region,
    },
    /// GICv3: distributor and the first redistributor region; the CPU interface is in system registers.
    V3 {
        /// Distributor registers.
        dist: Region,
        /// Redistributor registers.
        redist: Region,
    },
}

impl Gic {
    /// What is read and written through memory.
    pub const fn regions(&self) -> [Region; 2] {
        match *self {
            Self::V2 { dist, cpu: second } | Self::V3 { dist, redist: second } => [dist, second],
        }
    }
}

/// How the machine is told to stop (`method` of `/psci`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// `hvc #0`.
    Hvc,
    /// `smc #0`.
    Smc,
}

/// `/hypervisor`, compatible `xen,xen`.
#[derive(Clone, Copy, Debug)]
pub struct Hypervisor<'a> {
    /// Version as in `xen,xen-<version>`; empty if the node does not say.
    pub version: &'a str,
    /// Where grant-table frames are to be mapped (`reg[0]`).
    pub grants: Region,
    /// Unused address space for foreign mappings (`reg[1..]`).
    pub extended: List<Region, 8>,
    /// The event-channel upcall (`interrupts`).
    pub event: IntId,
}

/// What a serial port is compatible with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UartKind {
    /// `arm,sbsa-uart`, as Xen's vpl011: no baud or FIFO programming.
    Sbsa,
    /// `arm,pl011`.
    Pl011,
    /// `ns16550a`, `snps,dw-apb-uart` and the like, with this register stride in bytes.
    Ns16550 {
        /// `1 << reg-shift`.
        stride: u8,
    },
}

/// A serial port.
#[derive(Clone, Copy, Debug)]
pub struct Uart {
    /// How to drive it.
    pub kind: UartKind,
    /// Its registers.
    pub registers: Region,
    /// Its interrupt, if it has one.
    pub interrupt: Option<IntId>,
}

/// The machine, as far as it described itself.
#[derive(Clone, Debug)]
pub struct BootInfo<'a> {
    /// `/model`; empty if absent.
    pub model: &'a str,
    /// First string of `/compatible`; empty if absent.
    pub compatible: &'a str,
    /// RAM banks, sorted, not overlapping, page-aligned inwards, none empty.
    pub memory: List<Region, 16>,
    /// `/memreserve/` and `/reserved-memory`: never to be used as RAM.
    pub reserved: List<Region, 32>,
    /// `/chosen/bootargs`.
    pub cmdline: &'a str,
    /// `/chosen/fata,net`: words about addresses, as on the command line; empty if absent.
    pub net: &'a str,
    /// `linux,initrd-start` and `-end`.
    pub initrd: Option<Region>,
    /// `/chosen/rng-seed`: random bytes from the toolstack (libxl gives 128), for one use; empty if absent.
    pub rng_seed: &'a [u8],
    /// How many `/cpus/cpu@*` there are.
    pub cpus: u32,
    /// Interrupt controller; absent only on machines we cannot wait on.
    pub gic: Option<Gic>,
    /// The virtual timer's interrupt (third of `/timer`'s `interrupts`).
    pub timer: Option<IntId>,
    /// `/psci`.
    pub psci: Option<Conduit>,
    /// Xen, if it told us where its things are.
    pub hypervisor: Option<Hypervisor<'a>>,
    /// `stdout-path`, else the first serial port we know how to drive.
    pub uart: Option<Uart>,
    /// Devices passed through to this guest, in the order of the tree.
    pub devices: List<Device<'a>, 16>,
    /// The device tree itself, checked.
    pub dtb: &'a [u8],
    /// What was put behind the image (`boot/payload`); empty if nothing was.
    pub payload: &'a [u8],
    /// What was absent, ignored or cut short, in words for the boot log.
    pub remarks: List<&'static str, 16>,
}

impl BootInfo<'_> {
    /// Where the payload lies, if there is one.
    pub fn payload_region(&self) -> Option<Region> {
        let region = Region { base: self.payload.as_ptr().addr() as u64, size: self.payload.len() as u64 };
        (!region.is_empty()).then_some(region)
    }

    /// The RAM that nobody uses yet: the banks without what is reserved, the initrd, the device tree, the payload,
    /// `taken` (the image) and page 0, so that a null pointer never points at anything. Whole pages, sorted.
    pub fn usable(&self, taken: &[Region]) -> List<Region, 64> {
        let page_0 = Region { base: 0, size: PAGE_SIZE };
        let dtb = Region { base: self.dtb.as_ptr().addr() as u64, size: self.dtb.len() as u64 };
        let payload = self.payload_region();
        let holes = || {
            let named = self.reserved.iter().chain(taken).chain(&self.initrd).chain(&payload);
            let named = named.chain([&page_0, &dtb]);
            named.filter(|hole| !hole.is_empty()).map(Region::pages_touched)
        };
        let mut usable = List::default();
        for bank in self.memory.iter() {
            let (mut free, end) = (bank.base, bank.end());
            while free < end {
                let next = holes().filter(|hole| hole.end() > free).min_by_key(|hole| hole.base);
                let until = next.map_or(end, |hole| hole.base.clamp(free, end));
                // Each hole ends at most one region, so banks and holes together never fill the list.
                if until > free && usable.push(Region::between(free, until)).is_err() {
                    return usable;
                }
                free = next.map_or(end, |hole| hole.end());
            }
        }
        usable
    }
}
