//! Who may do what with a node.

use crate::error::Error;
use crate::wire::{Decimal, number};
use alloc::vec::Vec;
use xen_hyp::DomId;

/// What a domain may do with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    None,
    /// Read it.
    Read,
    /// Write it.
    Write,
    /// Both.
    ReadWrite,
}

impl Access {
    const LETTERS: [(Self, u8); 4] =
        [(Self::None, b'n'), (Self::Read, b'r'), (Self::Write, b'w'), (Self::ReadWrite, b'b')];

    fn letter(self) -> u8 {
        match self {
            Self::None => b'n',
            Self::Read => b'r',
            Self::Write => b'w',
            Self::ReadWrite => b'b',
        }
    }
}

/// The permissions of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Perms {
    /// Whose node it is; the owner may do everything.
    pub owner: DomId,
    /// What those may do who are not listed.
    pub others: Access,
    /// Exceptions.
    pub listed: Vec<(DomId, Access)>,
}

impl Perms {
    /// The owner's alone.
    pub const fn private(owner: DomId) -> Self {
        Self { owner, others: Access::None, listed: Vec::new() }
    }

    /// The owner's, and one more domain may do this.
    pub fn shared(owner: DomId, with: DomId, access: Access) -> Self {
        Self { owner, others: Access::None, listed: alloc::vec![(with, access)] }
    }

    /// As the protocol writes it: each entry with a NUL after it, the owner's first.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (dom, access) in core::iter::once((self.owner, self.others)).chain(self.listed.iter().copied()) {
            bytes.push(access.letter());
            bytes.extend_from_slice(Decimal::new(dom.0.into()).bytes());
            bytes.push(0);
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let entry = |text: &[u8]| {
            let (letter, dom) = text.split_first()?;
            let (access, _) = Access::LETTERS.into_iter().find(|(_, known)| known == letter)?;
            Some((DomId(u16::try_from(number(dom)?).ok()?), access))
        };
        let all: Option<Vec<_>> =
            bytes.split_inclusive(|&b| b == 0).map(|t| entry(t.strip_suffix(b"\0")?)).collect();
        let mut all = all.filter(|all| !all.is_empty()).ok_or(Error::Corrupt)?.into_iter();
        let (owner, others) = all.next().ok_or(Error::Corrupt)?;
        Ok(Self { owner, others, listed: all.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_written_and_read() {
        let mut perms = Perms::shared(DomId(3), DomId(0), Access::Read);
        assert_eq!(perms.encode(), b"n3\0r0\0");
        perms.listed.extend([(DomId(65535), Access::Write), (DomId(7), Access::None)]);
        perms.others = Access::ReadWrite;
        assert_eq!(perms.encode(), b"b3\0r0\0w65535\0n7\0");
        assert_eq!(Perms::decode(&perms.encode()), Ok(perms));
        assert_eq!(Perms::decode(b"n0\0"), Ok(Perms::private(DomId(0))));
        for bytes in ["", "\0", "n", "n0", "x0\0", "n65536\0", "n\0", "n-1\0", "n0\0\0", "n0\0r1"] {
            assert_eq!(Perms::decode(bytes.as_bytes()), Err(Error::Corrupt), "{bytes:?}");
        }
    }
}
