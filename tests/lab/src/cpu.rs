//! Which instructions an image may count on (docs/src/adr/0008-cpu-instructions.md).

use std::fmt;
use std::str::FromStr;

use crate::wish::Wish;

/// What CPU an image is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpu {
    /// Any of the architecture, a Raspberry Pi 4 among them.
    Portable,
    /// One with instructions for AES and SHA-256. On others the image says so and stops.
    Crypto,
}

impl Cpu {
    /// The features of the target that are added.
    pub(crate) fn features(self) -> &'static str {
        match self {
            Self::Portable => "",
            Self::Crypto => ",+aes,+sha2",
        }
    }

    /// What the crates of ciphers are told besides. They would carry code for instructions that they look for when they run,
    /// which they cannot do without an operating system.
    pub(crate) fn cfgs(self) -> &'static [&'static str] {
        match self {
            Self::Portable => &[
                "--cfg=aes_backend=\"soft\"",
                "--cfg=polyval_backend=\"soft\"",
                "--cfg=sha2_backend=\"soft\"",
            ],
            Self::Crypto => &[],
        }
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Portable { "portable" } else { "crypto" })
    }
}

impl FromStr for Cpu {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "portable" => Ok(Self::Portable),
            "crypto" => Ok(Self::Crypto),
            _ => Err(format!("{text:?} is neither portable nor crypto")),
        }
    }
}

impl Wish for Cpu {
    const KEY: &str = "cpu";
    const DEFAULT: Self = Self::Portable;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_both_ways() {
        for cpu in [Cpu::Portable, Cpu::Crypto] {
            assert_eq!(cpu.to_string().parse(), Ok(cpu));
        }
    }
}
