//! What the machine said about itself, in one structure whatever said it (device tree, start_info, PVH).

/// A range of guest physical addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// First byte.
    pub base: u64,
    /// Length in bytes; `base + size` does not overflow.
    pub size: u64,
}

impl Region {
    /// One past the last byte.
    pub const fn end(&self) -> u64 {
        self.base + self.size
    }
}

/// A list of at most `N` things, for code that runs before there is a heap.
#[derive(Clone, Copy, Debug)]
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

/// An interrupt as the GIC numbers it (0–15 SGI, 16–31 PPI, 32 and up SPI).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntId(pub u32);

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
    /// `linux,initrd-start` and `-end`.
    pub initrd: Option<Region>,
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
    /// The device tree itself, checked.
    pub dtb: &'a [u8],
    /// What was absent, ignored or cut short, in words for the boot log.
    pub remarks: List<&'a str, 16>,
}
