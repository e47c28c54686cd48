//! The CPU's generator of random numbers (FEAT_RNG; DDI 0487, K12.1 and C5.2).

use aarch64_cpu::registers::{ID_AA64ISAR0_EL1, Readable as _};
use core::arch::asm;

/// How often it is asked: it gives nothing while it has to be seeded anew, which takes it some microseconds.
const TRIES: u32 = 20;

/// Reads a register that is written here as numbers, since the assembler knows its name with a later architecture only.
macro_rules! read {
    ($register:literal) => {{
        let (value, failed): (u64, u64);
        // SAFETY: who has a `Generator` has looked whether there is this register. Reading it changes flags and nothing else.
        unsafe {
            asm!(
                concat!("mrs {}, ", $register),
                "cset {}, eq",
                out(reg) value,
                out(reg) failed,
                options(nomem, nostack),
            );
        }
        (failed == 0).then_some(value)
    }};
}

/// The generator, which is there.
pub(super) struct Generator(());

impl Generator {
    /// `None` if there is none. Xen lets a guest see of the register what it lets it use.
    pub(super) fn find() -> Option<Self> {
        (ID_AA64ISAR0_EL1.read(ID_AA64ISAR0_EL1::RNDR) != 0).then_some(Self(()))
    }

    /// A number, made after it was seeded anew if it can be (`RNDRRS`), else one of those that follow (`RNDR`). `None`
    /// if it gives none.
    pub(super) fn draw(&self) -> Option<u64> {
        (0..TRIES).find_map(|_| self.fresh()).or_else(|| (0..TRIES).find_map(|_| self.next()))
    }

    fn fresh(&self) -> Option<u64> {
        read!("S3_3_C2_C4_1")
    }

    fn next(&self) -> Option<u64> {
        read!("S3_3_C2_C4_0")
    }
}
