//! Why a device tree cannot be used.

use core::fmt;

/// Why a device tree cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtError {
    /// There are no bytes at all.
    Absent,
    /// The bytes end before the tree does.
    Truncated {
        /// Bytes there should be.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },
    /// The first cell is not `0xd00dfeed`, but this.
    Magic(u32),
    /// A format other than version 17.
    Version {
        /// As the header has it.
        version: u32,
        /// The oldest version it is compatible with.
        last_compatible: u32,
    },
    /// A field of the header makes no sense.
    Header {
        /// Its name in the specification.
        field: &'static str,
        /// Its value.
        value: u32,
    },
    /// The tokens do not make a tree.
    Structure {
        /// Bytes from the beginning of the blob.
        offset: usize,
        /// What should be there.
        expected: &'static str,
    },
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
            Self::Truncated { expected, found } => write!(f, "{found} bytes where {expected} should be"),
            Self::Magic(found) => write!(f, "begins with {found:#010x} where 0xd00dfeed should be"),
            Self::Version { version, last_compatible } => {
                write!(f, "version {version}, compatible with {last_compatible}, where 17 should be")
            }
            Self::Header { field, value } => write!(f, "header: {field} is {value:#x}"),
            Self::Structure { offset, expected } => write!(f, "byte {offset:#x}: {expected} should be here"),
            Self::Missing { node } => write!(f, "{node} is missing"),
            Self::Absurd { node, why } => write!(f, "{node}: {why}"),
        }
    }
}

impl core::error::Error for DtError {}
