//! Whether an image is compiled to be small, fast, or something of both (docs/src/adr/0003-built-for-size.md).

use std::fmt;
use std::str::FromStr;

use crate::wish::Wish;

/// What an image is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimise {
    /// Few bytes.
    Size,
    /// Few instructions, as long as they take few bytes.
    Balance,
    /// Few instructions.
    Speed,
}

impl Optimise {
    /// Cargo's profile, in the workspace's `Cargo.toml`.
    pub(crate) fn profile(self) -> &'static str {
        match self {
            Self::Size => "image",
            Self::Balance => "image-balance",
            Self::Speed => "image-speed",
        }
    }
}

impl fmt::Display for Optimise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "size",
            Self::Balance => "balance",
            Self::Speed => "speed",
        })
    }
}

impl FromStr for Optimise {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "size" => Ok(Self::Size),
            "balance" => Ok(Self::Balance),
            "speed" => Ok(Self::Speed),
            _ => Err(format!("{text:?} is none of size, balance and speed")),
        }
    }
}

impl Wish for Optimise {
    const KEY: &str = "optimise";
    const DEFAULT: Self = Self::Size;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_both_ways() {
        for optimise in [Optimise::Size, Optimise::Balance, Optimise::Speed] {
            assert_eq!(optimise.to_string().parse(), Ok(optimise));
        }
    }
}
