//! The interrupt controller Xen emulates, GICv2 (ARM IHI 0048) or GICv3 (ARM IHI 0069), polled.
//!
//! Interrupts stay masked in PSTATE; a pending one still ends `wfi`. So all this needs is: let the few
//! interrupts we use through, and take what is there.

use super::mmio::Mmio;
use core::arch::asm;
use fata_boot::info::{self, FIRST_SPI, IntId};

// Distributor, and with the same offsets the redistributor's SGI frame.
const GICD_CTLR: usize = 0x000;
const GICD_IGROUPR: usize = 0x080;
const GICD_ISENABLER: usize = 0x100;
const GICD_ICENABLER: usize = 0x180;
const GICD_IPRIORITYR: usize = 0x400;
const GICD_ITARGETSR: usize = 0x800;
const GICD_IROUTER: usize = 0x6000;
// GICv2 CPU interface.
const GICC_CTLR: usize = 0x00;
const GICC_PMR: usize = 0x04;
const GICC_IAR: usize = 0x0c;
const GICC_EOIR: usize = 0x10;
/// GICv3: the second 64 KiB frame of a redistributor, for SGIs and PPIs.
const GICR_SGI: usize = 0x1_0000;
/// GICv3: `ARE_NS` and `EnableGrp1`; on GICv2 the latter's bit is reserved and the former's too.
const CTLR_V3: u32 = 1 << 4 | 1 << 1;
const CTLR_V2: u32 = 1;
/// Between the extremes, so that the mask (all priorities allowed) lets it through.
const PRIORITY: u8 = 0x80;
/// IAR answers 1020 and up when nothing is pending.
const FIRST_SPECIAL: u32 = 1020;

pub(crate) enum Gic {
    V2 { dist: Mmio, cpu: Mmio },
    V3 { dist: Mmio, sgi: Mmio },
}

impl Gic {
    /// Turns the controller on, with no interrupt enabled.
    ///
    /// # Safety
    ///
    /// The regions are the GIC's, and mapped as for [`Mmio::new`].
    pub(crate) unsafe fn new(gic: info::Gic) -> Self {
        match gic {
            info::Gic::V2 { dist, cpu } => {
                // SAFETY: the caller's promise.
                let dist = unsafe { Mmio::new(dist) };
                // SAFETY: the caller's promise.
                let cpu = unsafe { Mmio::new(cpu) };
                dist.write(GICD_CTLR, CTLR_V2);
                cpu.write(GICC_PMR, 0xff);
                cpu.write(GICC_CTLR, 1);
                Self::V2 { dist, cpu }
            }
            info::Gic::V3 { dist, redist } => {
                // SAFETY: the caller's promise.
                let dist = unsafe { Mmio::new(dist) };
                let sgi = info::Region { base: redist.base + GICR_SGI as u64, size: GICR_SGI as u64 };
                // SAFETY: the caller's promise; the first redistributor is the boot CPU's.
                let sgi = unsafe { Mmio::new(sgi) };
                dist.write(GICD_CTLR, CTLR_V3);
                // SAFETY: ICC_SRE_EL1.SRE, ICC_PMR_EL1, ICC_IGRPEN1_EL1: nothing but interrupts depends on them.
                unsafe {
                    asm!(
                        "msr S3_0_C12_C12_5, {one}",
                        "isb",
                        "msr S3_0_C4_C6_0, {mask}",
                        "msr S3_0_C12_C12_7, {one}",
                        "isb",
                        one = in(reg) 1u64,
                        mask = in(reg) 0xffu64,
                        options(nostack),
                    );
                }
                Self::V3 { dist, sgi }
            }
        }
    }

    /// Lets `id` through to this CPU.
    pub(crate) fn enable(&self, IntId(id): IntId) {
        let (word, bit, byte) = ((id / 32 * 4) as usize, 1 << (id % 32), id as usize);
        match self {
            Self::V2 { dist, .. } => {
                dist.write8(GICD_IPRIORITYR + byte, PRIORITY);
                if id >= FIRST_SPI {
                    dist.write8(GICD_ITARGETSR + byte, 1);
                }
                dist.write(GICD_ISENABLER + word, bit);
            }
            Self::V3 { dist, sgi } => {
                let private = id < FIRST_SPI;
                let registers = if private { sgi } else { dist };
                let group = registers.read(GICD_IGROUPR + word);
                registers.write(GICD_IGROUPR + word, group | bit);
                registers.write8(GICD_IPRIORITYR + byte, PRIORITY);
                if !private {
                    dist.write64(GICD_IROUTER + 8 * byte, 0);
                }
                registers.write(GICD_ISENABLER + word, bit);
            }
        }
    }

    /// Keeps the SPI `id` away until [`unmask`](Self::unmask).
    pub(crate) fn mask(&self, id: IntId) {
        self.switch(GICD_ICENABLER, id);
    }

    /// Lets the SPI `id`, which was enabled before, through again.
    pub(crate) fn unmask(&self, id: IntId) {
        self.switch(GICD_ISENABLER, id);
    }

    fn switch(&self, registers: usize, IntId(id): IntId) {
        let (Self::V2 { dist, .. } | Self::V3 { dist, .. }) = self;
        dist.write(registers + (id / 32 * 4) as usize, 1 << (id % 32));
    }

    /// Acknowledges the next pending interrupt, if any.
    pub(crate) fn take(&self) -> Option<IntId> {
        let id = match self {
            Self::V2 { cpu, .. } => cpu.read(GICC_IAR) & 0x3ff,
            Self::V3 { .. } => {
                let id: u64;
                // SAFETY: ICC_IAR1_EL1; acknowledging changes the state of the interrupt only.
                unsafe { asm!("mrs {}, S3_0_C12_C12_0", "dsb sy", out(reg) id, options(nostack)) };
                id as u32 & 0xff_ffff
            }
        };
        (id < FIRST_SPECIAL).then_some(IntId(id))
    }

    /// Says that `id` has been dealt with.
    pub(crate) fn done(&self, IntId(id): IntId) {
        match self {
            Self::V2 { cpu, .. } => cpu.write(GICC_EOIR, id),
            // SAFETY: ICC_EOIR1_EL1; as in `take`.
            Self::V3 { .. } => unsafe {
                asm!("msr S3_0_C12_C12_1, {}", "isb", in(reg) u64::from(id), options(nostack));
            },
        }
    }
}
