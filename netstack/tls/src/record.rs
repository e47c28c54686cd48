//! Records: how they are sealed and opened (RFC 8446, 5; RFC 5246, 6; RFC 5288; RFC 7905).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;
use fata_ciphers::{Aead, Broken, Cipher, NONCE, TAG};
use zeroize::Zeroize;

/// Type, version and length.
pub(crate) const HEADER: usize = 5;
/// The most that a record may say.
pub(crate) const PLAIN_MAX: usize = 1 << 14;
/// The most that sealing adds of what we seal: a nonce or a type, and the tag.
pub(crate) const OVERHEAD_MAX: usize = 8 + TAG;
/// Numbers that a record of TLS 1.2 with AES shows of its nonce.
const EXPLICIT: usize = 8;

pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const DATA: u8 = 23;

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// RFC 5246, with extended master secrets (RFC 7627) and authenticated encryption only.
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl Version {
    /// How long what is sealed may be.
    pub(crate) fn sealed_max(self) -> usize {
        PLAIN_MAX + if self == Self::Tls13 { 256 } else { 2048 }
    }
}

/// What is wrong with a record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not as it was sealed.
    Broken,
    /// It says more than it may.
    TooLong,
    /// Of TLS 1.3, and nothing but padding.
    NoType,
}

/// What seals or opens the records of one direction until keys change.
pub(crate) struct Keys {
    aead: Box<dyn Aead>,
    iv: [u8; NONCE],
    version: Version,
    explicit: bool,
}

impl Keys {
    pub(crate) fn new(cipher: Cipher, version: Version, key: &[u8], iv: &[u8]) -> Self {
        let mut whole = [0; NONCE];
        let len = iv.len().min(NONCE);
        whole[..len].copy_from_slice(&iv[..len]);
        let explicit = version == Version::Tls12 && cipher != Cipher::ChaCha20;
        Self { aead: cipher.keyed(key), iv: whole, version, explicit }
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    fn nonce(&self, seq: u64) -> [u8; NONCE] {
        let mut nonce = self.iv;
        for (byte, other) in nonce[4..].iter_mut().zip(seq.to_be_bytes()) {
            *byte ^= other;
        }
        nonce
    }

    /// How long a record's part after the header is that says `len` bytes.
    pub(crate) fn sealed_len(&self, len: usize) -> usize {
        let more = match (self.version, self.explicit) {
            (Version::Tls13, _) => 1,
            (Version::Tls12, true) => EXPLICIT,
            (Version::Tls12, false) => 0,
        };
        len + more + TAG
    }

    /// Appends the record of this number that says `plain`, which is of a type `kind` and not too long.
    pub(crate) fn seal(&self, seq: u64, kind: u8, plain: &[u8], out: &mut Vec<u8>) {
        let nonce = self.nonce(seq);
        let len = self.sealed_len(plain.len());
        out.reserve(HEADER + len);
        let outer = if self.version == Version::Tls13 { DATA } else { kind };
        let [high, low] = (len as u16).to_be_bytes();
        out.extend_from_slice(&[outer, 3, 3, high, low]);
        if self.explicit {
            out.extend_from_slice(&nonce[4..]);
        }
        let start = out.len();
        out.extend_from_slice(plain);
        let tag = match self.version {
            Version::Tls13 => {
                out.push(kind);
                self.aead.seal(&nonce, &[DATA, 3, 3, high, low], &mut out[start..])
            }
            Version::Tls12 => self.aead.seal(&nonce, &also(seq, kind, plain.len()), &mut out[start..]),
        };
        out.extend_from_slice(&tag);
    }

    /// Opens a record of this number and type in place: its type proper, and where what it says is.
    pub(crate) fn open(&self, seq: u64, kind: u8, sealed: &mut [u8]) -> Result<(u8, Range<usize>), Fault> {
        let mut nonce = self.nonce(seq);
        let shown = if self.explicit { EXPLICIT } else { 0 };
        let end = sealed.len().checked_sub(TAG).filter(|end| *end >= shown).ok_or(Fault::Broken)?;
        let [high, low] = u16::try_from(sealed.len()).map_err(|_| Fault::TooLong)?.to_be_bytes();
        let (data, tag) = sealed.split_at_mut(end);
        let mut whole = [0; TAG];
        whole.copy_from_slice(tag);
        let (explicit, data) = data.split_at_mut(shown);
        nonce[NONCE - shown..].copy_from_slice(explicit);
        let opened = match self.version {
            Version::Tls13 if kind != DATA => Err(Broken),
            Version::Tls13 => self.aead.open(&nonce, &[DATA, 3, 3, high, low], data, &whole),
            Version::Tls12 => self.aead.open(&nonce, &also(seq, kind, data.len()), data, &whole),
        };
        opened.map_err(|Broken| Fault::Broken)?;
        let (kind, len) = match self.version {
            Version::Tls12 => (kind, data.len()),
            // Its type is last, before as many zeros as the other likes.
            Version::Tls13 if data.len() > PLAIN_MAX + 1 => return Err(Fault::TooLong),
            Version::Tls13 => {
                let len = data.iter().rposition(|byte| *byte != 0).ok_or(Fault::NoType)?;
                (data[len], len)
            }
        };
        if len > PLAIN_MAX { Err(Fault::TooLong) } else { Ok((kind, shown..shown + len)) }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.iv.zeroize();
    }
}

/// What a record of TLS 1.2 proves beside what it says.
fn also(seq: u64, kind: u8, len: usize) -> [u8; 13] {
    let mut also = [0; 13];
    also[..8].copy_from_slice(&seq.to_be_bytes());
    also[8..11].copy_from_slice(&[kind, 3, 3]);
    also[11..].copy_from_slice(&(len as u16).to_be_bytes());
    also
}
