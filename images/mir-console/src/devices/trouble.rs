//! Why a command could not be done.

use alloc::string::String;
use core::fmt;
use fata_block::Name;

/// Why a command could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It was not understood; its help says what it takes.
    Usage,
    /// There is no store.
    NoStore,
    /// The store failed or refused.
    Store(fata_xenstore::Error),
    /// There is no such disk.
    NoDisk(Name),
    /// A disk failed.
    Disk(Name, fata_disk::Error),
    /// There is no network interface.
    #[cfg(feature = "net")]
    NoNet,
    /// A network interface cannot be used.
    #[cfg(feature = "net")]
    Net(u32, fata_net::Error),
    /// Something else, in words.
    Words(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage => f.write_str("not understood"),
            Self::NoStore => f.write_str("this domain has no Xenstore"),
            Self::Store(error) => error.fmt(f),
            Self::NoDisk(name) => write!(f, "there is no disk {name}"),
            Self::Disk(name, error) => write!(f, "{name}: {error}"),
            #[cfg(feature = "net")]
            Self::NoNet => f.write_str("there is no network interface"),
            #[cfg(feature = "net")]
            Self::Net(id, error) => write!(f, "interface {id}: {error}"),
            Self::Words(words) => f.write_str(words),
        }
    }
}

impl From<fata_xenstore::Error> for Trouble {
    fn from(error: fata_xenstore::Error) -> Self {
        Self::Store(error)
    }
}
