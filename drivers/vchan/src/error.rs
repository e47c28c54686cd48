//! What can go wrong.

use crate::layout::Orders;
use core::fmt;
use embedded_io_async::ErrorKind;
use xen_hyp::{DomId, GrantError, XenError};

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
    /// The memory that both ends were to find is not there.
    NoPlace,
    /// The memory cannot be lent or mapped.
    Grant(GrantError),
    /// Xen's policy does not let us share anything with this domain.
    Forbidden(DomId),
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
            Self::NoPlace => f.write_str("the vchan's memory is not passed through to this domain"),
            Self::Grant(error) => write!(f, "{error}"),
            Self::Forbidden(peer) => write!(
                f,
                "Xen's policy forbids us to share with {peer}: without xsm=dummy or a policy of FLASK that allows it, \
                 a domain may do so with dom0 alone"
            ),
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
            Self::Forbidden(_) => ErrorKind::PermissionDenied,
            Self::NoPlace => ErrorKind::NotFound,
            Self::Grant(_) | Self::Xen(_) | Self::Store(_) => ErrorKind::Other,
        }
    }
}

impl Error {
    /// Why Xen does not let us map what `peer` lends.
    pub(crate) fn of_map(error: GrantError, peer: DomId) -> Self {
        match error {
            GrantError::Status(GrantError::PERMISSION_DENIED) => Self::Forbidden(peer),
            error => Self::Grant(error),
        }
    }

    /// Why there is no event channel between us and `peer`.
    pub(crate) fn of_event(error: XenError, peer: DomId) -> Self {
        match error {
            XenError::EPERM | XenError::EACCES => Self::Forbidden(peer),
            error => Self::Xen(error),
        }
    }
}

impl From<GrantError> for Error {
    fn from(error: GrantError) -> Self {
        Self::Grant(error)
    }
}

impl From<fata_xenstore::Error> for Error {
    fn from(error: fata_xenstore::Error) -> Self {
        Self::Store(error)
    }
}
