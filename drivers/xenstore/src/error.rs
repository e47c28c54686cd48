//! What can go wrong.

use core::fmt;
use fata_ring::Corrupt;
use xen_hyp::XenError;

macro_rules! errno {
    ($($name:ident = $meaning:literal;)*) => {
        /// What the server says when it refuses (`xsd_errors`, `xen/include/public/io/xs_wire.h`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Errno {
            $(#[doc = $meaning] $name,)*
        }

        impl Errno {
            const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name in the protocol.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

errno! {
    EINVAL = "Invalid argument";
    EACCES = "Permission denied";
    EEXIST = "Exists already";
    EISDIR = "Is a directory";
    ENOENT = "There is no such node, or no such transaction";
    ENOMEM = "The server, or this domain's share of it, is out of memory";
    ENOSPC = "A quota is exhausted";
    EIO = "I/O error";
    ENOTEMPTY = "Directory not empty";
    ENOSYS = "The server does not know this request";
    EROFS = "Read-only";
    EBUSY = "Busy";
    EAGAIN = "Somebody else changed what the transaction saw, or the connection was lost meanwhile; try again";
    EISCONN = "Connected already";
    E2BIG = "The answer is too long for a message; of older servers, also that there are too many watches";
    EPERM = "Not permitted";
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name of an error that is not in the protocol, cut at 15 bytes and with `?` for what is not printable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UnknownErrno {
    bytes: [u8; 15],
    len: u8,
}

impl UnknownErrno {
    fn new(name: &[u8]) -> Self {
        let mut bytes = [0; 15];
        for (to, &byte) in bytes.iter_mut().zip(name) {
            *to = if byte.is_ascii_graphic() { byte } else { b'?' };
        }
        Self { bytes, len: name.len().min(15) as u8 }
    }

    /// It, as far as it is kept.
    pub fn name(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len.into()]).unwrap_or_default()
    }
}

impl fmt::Debug for UnknownErrno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why something did not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The server refused.
    Store(Errno),
    /// The server refused, for a reason this protocol does not have.
    UnknownErrno(UnknownErrno),
    /// A path that is empty, ends with a slash, or has a double one or a character that is not allowed.
    BadPath,
    /// A path longer than 3072 bytes, or 2048 if it is relative.
    PathTooLong,
    /// A request of more than 4096 bytes.
    PayloadTooLong,
    /// A value that is not what the caller asked for, such as no number.
    BadValue,
    /// An answer longer than anybody wants to keep.
    AnswerTooLong,
    /// The server broke the protocol. The connection is dead, unless the server offers to start over.
    Corrupt,
    /// The server closed the connection and does not offer to start over.
    Gone,
    /// The frame that the toolstack names as the store's cannot be mapped.
    BadFrame,
    /// Xen refused.
    Xen(XenError),
}

impl Error {
    /// That there is no such node.
    pub const ENOENT: Self = Self::Store(Errno::ENOENT);
    /// That a transaction has to be tried again.
    pub const EAGAIN: Self = Self::Store(Errno::EAGAIN);

    /// What an error reply says.
    pub(crate) fn from_reply(name: &[u8]) -> Self {
        match Errno::ALL.iter().find(|errno| errno.name().as_bytes() == name) {
            Some(&errno) => Self::Store(errno),
            None => Self::UnknownErrno(UnknownErrno::new(name)),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Store(errno) => return write!(f, "Xenstore refused: {errno}"),
            Self::UnknownErrno(errno) => return write!(f, "Xenstore refused: {}", errno.name()),
            Self::Xen(error) => return write!(f, "Xen refused: {error}"),
            Self::BadPath => "no valid Xenstore path",
            Self::PathTooLong => "the Xenstore path is too long",
            Self::PayloadTooLong => "the Xenstore request is too long",
            Self::BadValue => "the Xenstore value is not of the kind expected",
            Self::AnswerTooLong => "the Xenstore answer is too long",
            Self::Corrupt => "Xenstore broke its protocol",
            Self::Gone => "Xenstore closed the connection",
            Self::BadFrame => "Xenstore's frame cannot be mapped",
        };
        f.write_str(text)
    }
}

impl core::error::Error for Error {}

impl From<Corrupt> for Error {
    fn from(_: Corrupt) -> Self {
        Self::Corrupt
    }
}

impl From<XenError> for Error {
    fn from(error: XenError) -> Self {
        Self::Xen(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_understood_and_others_are_kept() {
        assert_eq!(Errno::ALL.len(), 16);
        for &errno in Errno::ALL {
            assert_eq!(Error::from_reply(errno.name().as_bytes()), Error::Store(errno));
        }
        assert_eq!(Error::from_reply(b"EDOM").to_string(), "Xenstore refused: EDOM");
        assert_eq!(Error::from_reply(b"").to_string(), "Xenstore refused: ");
        let long = Error::from_reply(b"E\x1b[2J\xff234567890");
        assert_eq!(long.to_string(), "Xenstore refused: E?[2J?234567890");
        assert_eq!(Error::from_reply(&[b'E'; 4096]).to_string(), "Xenstore refused: EEEEEEEEEEEEEEE");
    }
}
