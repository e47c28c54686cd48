//! Ethernet frames on their way between guests, and what offloads leave to be done to them.
//!
//! A frame may be larger than any wire carries, to be cut into segments, and may lack its checksum. Whatever cannot take
//! it so gets it as a network card would put it on the wire.

use std::fmt;

/// Bytes of an Ethernet header.
pub const ETHERNET: usize = 14;

pub(crate) const TCP: u8 = 6;
const UDP: u8 = 17;

/// How it stands with the checksum of TCP or UDP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Csum {
    /// It is in the frame, if anything needs one, and nobody has checked it.
    #[default]
    Full,
    /// It is in the frame and right, says whoever sent it.
    Validated,
    /// In its place is the sum of the pseudo-header, and whoever puts the frame on a wire does the rest.
    Blank,
}

/// A frame.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// From the Ethernet header to the end of the data.
    pub bytes: Vec<u8>,
    /// To be cut into TCP segments with at most so many bytes of data.
    pub gso: Option<u16>,
    /// Of TCP or UDP.
    pub csum: Csum,
}

/// Where things are in an IP packet with TCP or UDP in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// That of IP.
    pub version: u8,
    /// `IPPROTO_*`.
    pub protocol: u8,
    /// Where the header of TCP or UDP begins.
    pub transport: usize,
    /// Where its checksum is.
    pub csum: usize,
    /// Where its data begins.
    pub data: usize,
    /// Where the IP packet ends; padding may follow.
    pub end: usize,
}

impl Frame {
    /// One with nothing left to be done.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), gso: None, csum: Csum::Full }
    }

    /// The same with the sum of the pseudo-header where its checksum belongs.
    ///
    /// # Panics
    ///
    /// If it has neither TCP nor UDP in it.
    pub fn with_blank(mut self) -> Self {
        let headers = self.headers().expect("TCP or UDP");
        let sum = fold(self.pseudo_sum(&headers));
        self.put(headers.csum, sum);
        Self { csum: Csum::Blank, ..self }
    }

    /// Whom it is for.
    pub fn destination(&self) -> Option<[u8; 6]> {
        self.bytes.first_chunk().copied()
    }

    /// Who sent it.
    pub fn source(&self) -> Option<[u8; 6]> {
        self.bytes.get(6..12)?.first_chunk().copied()
    }

    /// Whether it is for more than one.
    pub fn is_multicast(&self) -> bool {
        self.bytes.first().is_some_and(|byte| byte & 1 != 0)
    }

    /// Understands it, if it is TCP or UDP in an IP packet that is not a fragment.
    pub fn headers(&self) -> Option<Headers> {
        let bytes = &self.bytes[..];
        let ip = ETHERNET;
        let (version, protocol, transport, end) = match self.u16_at(12)? {
            0x0800 if bytes.get(ip)? >> 4 == 4 => {
                let fragment = self.u16_at(ip + 6)? & 0x3fff;
                let header = usize::from(bytes[ip] & 15) * 4;
                let end = ip + usize::from(self.u16_at(ip + 2)?);
                if fragment != 0 || header < 20 {
                    return None;
                }
                (4, *bytes.get(ip + 9)?, ip + header, end)
            }
            0x86dd if bytes.get(ip)? >> 4 == 6 => {
                let end = ip + 40 + usize::from(self.u16_at(ip + 4)?);
                let (mut next, mut at) = (*bytes.get(ip + 6)?, ip + 40);
                // Hop-by-hop options, routing, and options of the destination.
                while matches!(next, 0 | 43 | 60) {
                    let length = 8 + usize::from(*bytes.get(at + 1)?) * 8;
                    (next, at) = (bytes[at], at + length);
                }
                (6, next, at, end)
            }
            _ => return None,
        };
        let (csum, header) = match protocol {
            TCP => (transport + 16, usize::from(bytes.get(transport + 12)? >> 4) * 4),
            UDP => (transport + 6, 8),
            _ => return None,
        };
        let data = transport + header;
        let whole = end <= bytes.len() && data <= end && csum + 2 <= data;
        whole.then_some(Headers { version, protocol, transport, csum, data, end })
    }

    /// Whether a checksum that is blank has the sum of its pseudo-header in its place, as it must.
    pub fn is_sum_of_pseudo_header(&self) -> bool {
        let Some(headers) = self.headers() else { return false };
        let is = |sum: u16| self.u16_at(headers.csum) == Some(sum);
        let sum = fold(self.pseudo_sum(&headers));
        // There are two zeroes.
        is(sum) || sum == 0 && is(0xffff) || sum == 0xffff && is(0)
    }

    /// Puts the sum of the pseudo-header in its place (`skb_checksum_setup` with `recalculate`).
    pub(crate) fn set_blank(&mut self) -> Option<()> {
        let headers = self.headers()?;
        let sum = fold(self.pseudo_sum(&headers));
        self.put(headers.csum, sum);
        self.csum = Csum::Blank;
        Some(())
    }

    /// As it goes onto a wire: in segments, each with its checksum, computed from what is in its place as a network card
    /// does. `None` if it cannot be, because it is not what was said of it.
    pub fn on_the_wire(&self) -> Option<Vec<Self>> {
        let mut frames = self.segments()?;
        frames.iter_mut().try_for_each(Self::complete)?;
        Some(frames)
    }

    /// Puts in a checksum that is blank (`skb_checksum_help`).
    pub(crate) fn complete(&mut self) -> Option<()> {
        if self.csum != Csum::Blank {
            return Some(());
        }
        let headers = self.headers()?;
        let sum = !fold(sum(&self.bytes[headers.transport..]));
        // In UDP zero says that there is none.
        let sum = if sum == 0 && headers.protocol == UDP { 0xffff } else { sum };
        self.put(headers.csum, sum);
        self.csum = Csum::Full;
        Some(())
    }

    /// Cut into segments as it asks for (`tcp_gso_segment`); their checksums are as blank as it was.
    pub(crate) fn segments(&self) -> Option<Vec<Self>> {
        let Some(mss) = self.gso else { return Some(vec![self.clone()]) };
        let headers = self.headers().filter(|headers| headers.protocol == TCP && mss > 0)?;
        let data = &self.bytes[headers.data..headers.end];
        let count = data.len().div_ceil(mss.into()).max(1);
        let segment = |n: usize| {
            let at = n * usize::from(mss);
            let part = &data[at..data.len().min(at + usize::from(mss))];
            let mut segment = Self { gso: None, ..self.clone() };
            segment.bytes.truncate(headers.data);
            segment.bytes.extend(part);
            segment.set_lengths(&headers, n as u16);
            segment.add32(headers.transport + 4, at as u32);
            let flags = &mut segment.bytes[headers.transport + 13];
            // FIN and PSH come last, CWR first.
            *flags &= if n + 1 < count { !0x09 } else { !0 } & if n > 0 { !0x80 } else { !0 };
            if segment.csum == Csum::Blank {
                let length = |end: usize| (end - headers.transport) as u16;
                let fields =
                    [segment.u16_at(headers.csum)?, !length(headers.end), length(segment.bytes.len())];
                segment.put(headers.csum, fold(fields.iter().map(|&field| u64::from(field)).sum()));
            } else {
                segment.set_blank()?;
                segment.complete()?;
            }
            Some(segment)
        };
        (0..count).map(segment).collect()
    }

    /// Whether the checksums that are there are right.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.u16_at(12) == Some(0x0800) {
            let header = self.bytes.get(ETHERNET).map_or(0, |byte| usize::from(byte & 15) * 4);
            let header = self.bytes.get(ETHERNET..ETHERNET + header).ok_or("a cut IP header")?;
            if fold(sum(header)) != 0xffff {
                return Err("a wrong checksum of an IP header");
            }
        }
        let Some(headers) = self.headers() else { return Ok(()) };
        if self.csum == Csum::Blank {
            let right = self.is_sum_of_pseudo_header();
            return if right { Ok(()) } else { Err("not the sum of the pseudo-header") };
        }
        let absent = headers.protocol == UDP && self.u16_at(headers.csum) == Some(0);
        let sum = self.pseudo_sum(&headers) + sum(&self.bytes[headers.transport..headers.end]);
        if fold(sum) == 0xffff || absent && headers.version == 4 { Ok(()) } else { Err("a wrong checksum") }
    }

    /// A number that is the same for all frames of a connection.
    pub(crate) fn flow(&self) -> u32 {
        let Some(headers) = self.headers() else { return 0 };
        let (at, len) = if headers.version == 4 { (ETHERNET + 12, 8) } else { (ETHERNET + 8, 32) };
        let ends =
            self.bytes[at..at + len].iter().chain(&self.bytes[headers.transport..headers.transport + 4]);
        ends.fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    }

    /// Makes the headers fit the length, and counts the identification on.
    fn set_lengths(&mut self, headers: &Headers, nth: u16) {
        let (ip, end) = (ETHERNET, self.bytes.len());
        if headers.version == 6 {
            self.put(ip + 4, (end - ip - 40) as u16);
            return;
        }
        self.put(ip + 2, (end - ip) as u16);
        let id = self.u16_at(ip + 4).unwrap_or(0);
        self.put(ip + 4, id.wrapping_add(nth));
        self.put(ip + 10, 0);
        let header = usize::from(self.bytes[ip] & 15) * 4;
        let sum = !fold(sum(&self.bytes[ip..ip + header]));
        self.put(ip + 10, sum);
    }

    fn pseudo_sum(&self, headers: &Headers) -> u64 {
        let addresses =
            if headers.version == 4 { ETHERNET + 12..ETHERNET + 20 } else { ETHERNET + 8..ETHERNET + 40 };
        sum(&self.bytes[addresses]) + u64::from(headers.protocol) + (headers.end - headers.transport) as u64
    }

    fn u16_at(&self, at: usize) -> Option<u16> {
        Some(u16::from_be_bytes(*self.bytes.get(at..)?.first_chunk()?))
    }

    fn put(&mut self, at: usize, value: u16) {
        self.bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
    }

    fn add32(&mut self, at: usize, more: u32) {
        let field = self.bytes[at..].first_chunk_mut().expect("in a header");
        *field = u32::from_be_bytes(*field).wrapping_add(more).to_be_bytes();
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = &self.bytes[..self.bytes.len().min(54)];
        write!(f, "Frame {{ {} bytes: {head:02x?}, gso: {:?}, {:?} }}", self.bytes.len(), self.gso, self.csum)
    }
}

/// The sum of 16-bit words (RFC 1071), not folded. Two at a time, whose halves add up in the same columns.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    words.iter().chain([&last]).map(|word| u64::from(u32::from_be_bytes(*word))).sum()
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
