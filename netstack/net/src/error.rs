//! What can go wrong with a socket.

use core::fmt;
use embedded_io_async::ErrorKind;

/// Why a socket does not do what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Another socket has that port, or it is zero.
    PortTaken,
    /// All ports for connections to there are in use.
    NoPort,
    /// The interface has no address of that family.
    NoAddress,
    /// The address that the socket was bound to is not ours any more.
    AddressGone,
    /// Nothing can be sent there: it is no address, or no port.
    Unaddressable,
    /// More groups are listened to than there is room for.
    TooManyGroups,
    /// There is not enough memory for the buffers.
    NoMemory,
    /// The peer does not want the connection, or did not answer in time.
    Refused,
    /// The connection is over, and not in order: the peer reset it, or it took too long; or it was written to after it
    /// had been shut down.
    Reset,
    /// A datagram is larger than the socket's buffer, or than any datagram.
    TooLarge,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PortTaken => "the port is taken",
            Self::NoPort => "all ports are in use",
            Self::NoAddress => "the interface has no address for this",
            Self::AddressGone => "the address that it was sent from is gone",
            Self::Unaddressable => "nothing can be sent there",
            Self::TooManyGroups => "there is no room for another group",
            Self::NoMemory => "there is not enough memory for the socket",
            Self::Refused => "the connection was refused",
            Self::Reset => "the connection was reset",
            Self::TooLarge => "the datagram is too large",
        })
    }
}

impl core::error::Error for Error {}

impl embedded_io_async::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::PortTaken | Self::NoPort => ErrorKind::AddrInUse,
            Self::NoAddress | Self::AddressGone | Self::Unaddressable => ErrorKind::AddrNotAvailable,
            Self::NoMemory | Self::TooManyGroups => ErrorKind::OutOfMemory,
            Self::Refused => ErrorKind::ConnectionRefused,
            Self::Reset => ErrorKind::ConnectionReset,
            Self::TooLarge => ErrorKind::InvalidInput,
        }
    }
}
