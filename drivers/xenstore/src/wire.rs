//! Messages, and the page they travel through (`xen/include/public/io/xs_wire.h`, `docs/misc/xenstore-ring.txt`).

use alloc::vec::Vec;
use fata_ring::{ByteRing, Consumer, Corrupt};
use xen_hyp::SharedMem;

/// `req` of `struct xenstore_domain_interface`: requests.
pub(crate) const REQ: ByteRing = ByteRing { buffer: 0, size: RING as u32, prod: 2052, cons: 2048 };
/// `rsp` of it: replies and watch events.
pub(crate) const RSP: ByteRing = ByteRing { buffer: 1024, size: RING as u32, prod: 2060, cons: 2056 };
/// `XENSTORE_RING_SIZE`.
pub(crate) const RING: usize = 1024;
/// `server_features` of it.
pub(crate) const SERVER_FEATURES: usize = 2064;
/// `connection` of it.
pub(crate) const CONNECTION: usize = 2068;
/// `error` of it.
pub(crate) const ERROR: usize = 2072;

/// `XENSTORE_CONNECTED`.
pub(crate) const CONNECTED: u32 = 0;
/// `XENSTORE_RECONNECT`: the server has yet to start, or to start again, with this page.
pub(crate) const RECONNECT: u32 = 1;

/// `XENSTORE_PAYLOAD_MAX`: a server hangs up on who sends more.
pub(crate) const PAYLOAD_MAX: usize = 4096;

/// `XS_WATCH_EVENT`.
pub(crate) const WATCH_EVENT: u32 = 15;
/// `XS_ERROR`.
pub(crate) const ERROR_REPLY: u32 = 16;

/// What is asked for (`enum xsd_sockmsg_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Op {
    Directory = 1,
    Read = 2,
    GetPerms = 3,
    Watch = 4,
    Unwatch = 5,
    TransactionStart = 6,
    TransactionEnd = 7,
    Introduce = 8,
    Release = 9,
    GetDomainPath = 10,
    Write = 11,
    Mkdir = 12,
    Rm = 13,
    SetPerms = 14,
    IsDomainIntroduced = 17,
    Resume = 18,
    SetTarget = 19,
    ResetWatches = 21,
    DirectoryPart = 22,
    GetFeature = 23,
    SetFeature = 24,
    GetQuota = 25,
    SetQuota = 26,
}

/// `struct xsd_sockmsg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: u32,
    pub(crate) id: u32,
    pub(crate) tx: u32,
    pub(crate) len: u32,
}

impl Header {
    pub(crate) const SIZE: usize = 16;

    pub(crate) fn encode(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let words = [self.kind, self.id, self.tx, self.len];
        for (to, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *to = word.to_le_bytes();
        }
        bytes
    }

    pub(crate) fn decode(bytes: [u8; Self::SIZE]) -> Self {
        let word = |i: usize| {
            u32::from_le_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]])
        };
        Self { kind: word(0), id: word(1), tx: word(2), len: word(3) }
    }
}

/// Puts messages together as their bytes arrive.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    header: [u8; Header::SIZE],
    payload: Vec<u8>,
    /// How much of header and payload is there.
    have: usize,
}

/// What one look at the ring brought.
#[derive(Debug)]
pub(crate) enum Taken {
    /// There was nothing.
    Nothing,
    /// A part of a message.
    Part,
    /// The rest of one.
    Message(Header, Vec<u8>),
}

impl Incoming {
    /// Takes bytes from the ring, up to the end of header or payload. Gives also whether the server must be
    /// notified.
    pub(crate) fn take<M: SharedMem>(&mut self, ring: &Consumer<M>) -> Result<(Taken, bool), Corrupt> {
        let Some(got) = self.have.checked_sub(Header::SIZE) else {
            let (read, notify) = ring.read(&mut self.header[self.have..])?;
            self.have += read;
            if self.have < Header::SIZE {
                return Ok((if read > 0 { Taken::Part } else { Taken::Nothing }, notify));
            }
            let len = Header::decode(self.header).len as usize;
            if len > PAYLOAD_MAX {
                return Err(Corrupt);
            }
            self.payload = alloc::vec![0; len];
            return Ok((if len > 0 { Taken::Part } else { self.finish() }, notify));
        };
        let (read, notify) = ring.read(&mut self.payload[got..])?;
        self.have += read;
        let taken = match read {
            0 => Taken::Nothing,
            _ if got + read < self.payload.len() => Taken::Part,
            _ => self.finish(),
        };
        Ok((taken, notify))
    }

    fn finish(&mut self) -> Taken {
        self.have = 0;
        Taken::Message(Header::decode(self.header), core::mem::take(&mut self.payload))
    }
}

/// A number as the protocol writes it.
pub(crate) struct Decimal {
    digits: [u8; 10],
    start: usize,
}

impl Decimal {
    pub(crate) fn new(mut number: u32) -> Self {
        let (mut digits, mut start) = ([0; 10], 10);
        loop {
            start -= 1;
            digits[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return Self { digits, start };
            }
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}

/// The number that a whole string is; no sign, no space.
pub(crate) fn number(text: &[u8]) -> Option<u32> {
    if !text.first()?.is_ascii_digit() {
        return None;
    }
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// What comes before the NUL that ends it, if it does.
pub(crate) fn until_nul(payload: &[u8]) -> &[u8] {
    payload.strip_suffix(b"\0").unwrap_or(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_and_read() {
        for n in [0, 7, 10, 4095, 65535, u32::MAX] {
            assert_eq!(Decimal::new(n).bytes(), n.to_string().as_bytes());
            assert_eq!(number(Decimal::new(n).bytes()), Some(n));
        }
        for text in ["", "+1", "-1", " 1", "1 ", "1x", "4294967296", "\u{661}"] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn headers_are_little_endian_words_in_the_order_of_the_header_file() {
        let header = Header { kind: 1, id: 0x0203_0405, tx: 6, len: 4096 };
        let bytes = header.encode();
        assert_eq!(bytes, [1, 0, 0, 0, 5, 4, 3, 2, 6, 0, 0, 0, 0, 16, 0, 0]);
        assert_eq!(Header::decode(bytes), header);
    }
}
