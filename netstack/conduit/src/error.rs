//! What can go wrong between us and a peer.

use core::convert::Infallible;
use core::fmt;
use embedded_io_async::ErrorKind;
use fata_netstack::Error as NetError;
use fata_resolve::ConnectError;

/// Why a stream cannot be opened or used. `E` is what [`Outside`](crate::Outside) says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error<E = Infallible> {
    /// This program was not given such a transport.
    NotHere(&'static str),
    /// TCP to a name or an address.
    Connect(ConnectError),
    /// TCP that is open, or is to be listened for.
    Net(NetError),
    /// To listen at, there must be an address of ours; this is a name.
    NotOurs,
    /// Nobody of this program listens there, or as many wait as may.
    Refused,
    /// Somebody of this program listens there already.
    Taken,
    /// The other end does not read any more.
    Gone,
    /// Nothing came for too long.
    Idle,
    /// TLS did not come about in time.
    Late,
    /// TLS.
    #[cfg(feature = "tls")]
    Tls(fata_tls::Failure),
    /// What comes from outside.
    Outside(E),
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHere(what) => write!(f, "this program has no {what}"),
            Self::Connect(error) => write!(f, "{error}"),
            Self::Net(error) => write!(f, "{error}"),
            Self::NotOurs => f.write_str("what is listened at must be an address or *"),
            Self::Refused => f.write_str("nobody listens there, or too many wait"),
            Self::Taken => f.write_str("somebody listens there already"),
            Self::Gone => f.write_str("the other end does not read any more"),
            Self::Late => f.write_str("TLS took too long to come about"),
            #[cfg(feature = "tls")]
            Self::Tls(failure) => write!(f, "{failure}"),
            Self::Idle => f.write_str("nothing came for too long"),
            Self::Outside(error) => write!(f, "{error}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for Error<E> {}

impl<E: embedded_io_async::Error + fmt::Display> embedded_io_async::Error for Error<E> {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotHere(_) => ErrorKind::Unsupported,
            Self::Connect(_) | Self::Refused => ErrorKind::ConnectionRefused,
            Self::Net(error) => error.kind(),
            Self::NotOurs => ErrorKind::AddrNotAvailable,
            Self::Taken => ErrorKind::AddrInUse,
            Self::Gone => ErrorKind::BrokenPipe,
            Self::Idle | Self::Late => ErrorKind::TimedOut,
            #[cfg(feature = "tls")]
            Self::Tls(failure) => fata_tls::Error::<NetError>::Tls(*failure).kind(),
            Self::Outside(error) => error.kind(),
        }
    }
}

impl<E> From<NetError> for Error<E> {
    fn from(error: NetError) -> Self {
        Self::Net(error)
    }
}

impl<E> From<ConnectError> for Error<E> {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

#[cfg(feature = "tls")]
impl<E> From<fata_tls::Error<NetError>> for Error<E> {
    fn from(error: fata_tls::Error<NetError>) -> Self {
        match error {
            fata_tls::Error::Transport(error) => Self::Net(error),
            fata_tls::Error::Tls(failure) => Self::Tls(failure),
        }
    }
}

impl Error {
    /// The same where more can go wrong.
    pub(crate) fn widen<E>(self) -> Error<E> {
        match self {
            Self::NotHere(what) => Error::NotHere(what),
            Self::Connect(error) => Error::Connect(error),
            Self::Net(error) => Error::Net(error),
            Self::NotOurs => Error::NotOurs,
            Self::Refused => Error::Refused,
            Self::Taken => Error::Taken,
            Self::Gone => Error::Gone,
            Self::Idle => Error::Idle,
            Self::Late => Error::Late,
            #[cfg(feature = "tls")]
            Self::Tls(failure) => Error::Tls(failure),
        }
    }
}
