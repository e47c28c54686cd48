//! What can go wrong.

use crate::layout::Orders;
use core::fmt;
use embedded_io_async::ErrorKind;
use xen_hyp::{GrantError, XenError};

/// Why a vchan cannot be opened or used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The other end has closed.
    Closed,
    /// The other end is no more, without having closed.
    Gone,
    /// The other end broke the protocol.
    Corrupt,
    /// A message that no ring of this size can ever hold.
    TooLong,
    /// The two ends were told different sizes of the rings: ours first, then theirs.
    Disagree(Orders, Orders),
    /// Rings of these sizes cannot be.
    Orders(Orders),
    /// There is no memory for the rings.
    NoMemory,
    /// The memory cannot be lent or mapped.
    Grant(GrantError),
    /// Xen refused the event channel.
    Xen(XenError),
    /// Xenstore refused.
    Store(fata_xenstore::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the other end has closed"),
            Self::Gone => f.write_str("the other end is gone"),
            Self::Corrupt => f.write_str("the other end broke the protocol"),
            Self::TooLong => f.write_str("the message is longer than the ring"),
            Self::Disagree(ours, theirs) => {
                write!(f, "we were told rings of orders {ours}, the other end has {theirs}")
            }
            Self::Orders(orders) => write!(f, "there are no rings of orders {orders}"),
            Self::NoMemory => f.write_str("no memory for the rings"),
            Self::Grant(error) => write!(f, "{error}"),
            Self::Xen(error) => write!(f, "Xen refused the event channel: {error}"),
            Self::Store(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for Error {}

impl embedded_io_async::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Closed => ErrorKind::BrokenPipe,
            Self::Gone => ErrorKind::ConnectionReset,
            Self::Corrupt | Self::Disagree(..) => ErrorKind::InvalidData,
            Self::TooLong | Self::Orders(_) => ErrorKind::InvalidInput,
            Self::NoMemory => ErrorKind::OutOfMemory,
            Self::Grant(_) | Self::Xen(_) | Self::Store(_) => ErrorKind::Other,
        }
    }
}

impl From<fata_ring::Corrupt> for Error {
    fn from(_: fata_ring::Corrupt) -> Self {
        Self::Corrupt
    }
}

impl From<GrantError> for Error {
    fn from(error: GrantError) -> Self {
        Self::Grant(error)
    }
}

impl From<XenError> for Error {
    fn from(error: XenError) -> Self {
        Self::Xen(error)
    }
}

impl From<fata_xenstore::Error> for Error {
    fn from(error: fata_xenstore::Error) -> Self {
        Self::Store(error)
    }
}
