//! Why a device tree cannot be used.

use core::fmt;

/// Why a device tree cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtError {
    /// No blob was passed, or something else was.
    Absent,
    /// Its structure is broken.
    Damaged,
    /// Nodes within nodes beyond any use.
    TooDeep,
    /// A node is missing that a guest cannot do without.
    Missing {
        /// Which.
        node: &'static str,
    },
    /// A node makes no sense.
    Absurd {
        /// Which.
        node: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl fmt::Display for DtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("x0 did not point to one at entry"),
            Self::Damaged => f.write_str("its structure is broken"),
            Self::TooDeep => f.write_str("nodes are nested too deeply"),
            Self::Missing { node } => write!(f, "{node} is missing"),
            Self::Absurd { node, why } => write!(f, "{node}: {why}"),
        }
    }
}

impl core::error::Error for DtError {}
