//! What an exception was, in words (DDI 0487, D24.2.37 ESR_EL1).

use core::fmt;

/// The contents of ESR_EL1.
#[derive(Clone, Copy, Debug)]
pub struct Syndrome(pub u64);

impl Syndrome {
    /// Exception class, bits 31:26.
    pub const fn class(self) -> u8 {
        (self.0 >> 26) as u8 & 0x3f
    }

    /// Whether FAR_EL1 says where.
    pub const fn has_address(self) -> bool {
        matches!(self.class(), 0x20 | 0x21 | 0x22 | 0x24 | 0x25 | 0x34 | 0x35)
    }

    /// Whether memory was accessed that is not mapped, or not mapped for this.
    pub const fn is_abort(self) -> bool {
        matches!(self.class(), 0x20 | 0x21 | 0x24 | 0x25)
    }
}

impl fmt::Display for Syndrome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.class() {
            0x00 => "undefined instruction",
            0x07 => "FP/SIMD access trapped",
            0x0e => "illegal execution state",
            0x15 => "svc",
            0x16 => "hvc",
            0x17 => "smc",
            0x18 => "system register access trapped",
            0x20 | 0x21 => "instruction abort",
            0x22 => "misaligned program counter",
            0x24 | 0x25 => "data abort",
            0x26 => "misaligned stack pointer",
            0x2f => "SError",
            0x30 | 0x31 => "hardware breakpoint",
            0x3c => "brk",
            _ => "exception",
        })?;
        if !self.is_abort() {
            return Ok(());
        }
        let level = self.0 & 3;
        match self.0 & 0x3f {
            0x00..=0x03 => write!(f, ", address size fault, level {level}")?,
            0x04..=0x07 => write!(f, ", not mapped, level {level}")?,
            0x08..=0x0b => write!(f, ", access flag fault, level {level}")?,
            0x0c..=0x0f => write!(f, ", not permitted, level {level}")?,
            0x10 => f.write_str(", external abort")?,
            0x21 => f.write_str(", misaligned")?,
            code => write!(f, ", fault status {code:#x}")?,
        }
        // WnR, which instruction aborts do not have.
        f.write_str(match (self.class(), self.0 >> 6 & 1) {
            (0x24 | 0x25, 1) => ", on a write",
            (0x24 | 0x25, _) => ", on a read",
            _ => "",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_happened() {
        for (esr, words) in [
            (0x9600_0047, "data abort, not mapped, level 3, on a write"),
            (0x9600_0006, "data abort, not mapped, level 2, on a read"),
            (0x9600_004f, "data abort, not permitted, level 3, on a write"),
            (0x8600_000f, "instruction abort, not permitted, level 3"),
            (0x0200_0000, "undefined instruction"),
            (0xf200_0001, "brk"),
            (0xffff_ffff, "exception"),
        ] {
            assert_eq!(Syndrome(esr).to_string(), words, "{esr:#x}");
        }
    }
}
