//! Captures, as the lab's program for Linux writes them (tests/peer/src/capture.rs): what went over a network.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};

/// draft-ietf-opsawg-pcap: nanoseconds, little-endian.
const MAGIC: u32 = 0xa1b2_3c4d;
/// What comes before the first frame.
pub(crate) const HEADER: usize = 24;
const RECORD: usize = 16;

/// A frame that went by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// When, in Unix time.
    pub(crate) ns: u64,
    /// From the Ethernet header on.
    pub(crate) bytes: Vec<u8>,
}

/// What a frame is, as far as tests ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// ARP asks who has an address; it may be the asker's own.
    ArpRequest { from: Ipv4Addr, of: Ipv4Addr },
    /// ARP's answer.
    ArpReply { from: Ipv4Addr },
    /// ICMP asks for an echo.
    EchoRequest { from: Ipv4Addr, to: Ipv4Addr, id: u16, number: u16 },
    /// The echo.
    EchoReply { from: Ipv4Addr, to: Ipv4Addr, id: u16, number: u16 },
    /// Anything else.
    Other,
}

/// What a segment says (RFC 9293 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) from: (Ipv4Addr, u16),
    pub(crate) to: (Ipv4Addr, u16),
    /// Of its first byte.
    pub(crate) number: u32,
    pub(crate) flags: u8,
}

/// SYN and ACK.
pub(crate) const OPENED: u8 = 0x12;

/// All frames of a capture; one that was not written down as a whole, at its end, is left out.
pub(crate) fn parse(capture: &[u8]) -> Result<Vec<Frame>> {
    let word = |at: usize| Some(u32::from_le_bytes(*capture.get(at..)?.first_chunk()?));
    ensure!(word(0) == Some(MAGIC), "this is no capture of ours: {:02x?}", capture.get(..4));
    let (mut at, mut frames) = (HEADER, Vec::new());
    while let (Some(seconds), Some(ns), Some(length)) = (word(at), word(at + 4), word(at + 8)) {
        let start = at + RECORD;
        let end = start.checked_add(length as usize).context("a frame without an end")?;
        let Some(bytes) = capture.get(start..end) else { break };
        let ns = u64::from(seconds) * 1_000_000_000 + u64::from(ns);
        frames.push(Frame { ns, bytes: bytes.to_vec() });
        at = end;
    }
    Ok(frames)
}

impl Frame {
    /// The hardware address it comes from.
    pub(crate) fn source(&self) -> Option<[u8; 6]> {
        self.bytes.get(6..)?.first_chunk().copied()
    }

    /// What it is.
    pub(crate) fn kind(&self) -> Kind {
        self.arp().or_else(|| self.echo()).unwrap_or(Kind::Other)
    }

    fn arp(&self) -> Option<Kind> {
        if self.half(12)? != 0x0806 {
            return None;
        }
        match self.half(20)? {
            1 => Some(Kind::ArpRequest { from: self.address(28)?, of: self.address(38)? }),
            2 => Some(Kind::ArpReply { from: self.address(28)? }),
            _ => None,
        }
    }

    fn echo(&self) -> Option<Kind> {
        const IP: usize = 14;
        let header = usize::from(self.bytes.get(IP)? & 15) * 4;
        // A later fragment has no header of ICMP's.
        if self.half(12)? != 0x0800 || *self.bytes.get(IP + 9)? != 1 || self.half(IP + 6)? & 0x1fff != 0 {
            return None;
        }
        let icmp = IP + header;
        let (from, to) = (self.address(IP + 12)?, self.address(IP + 16)?);
        let (id, number) = (self.half(icmp + 4)?, self.half(icmp + 6)?);
        match self.bytes.get(icmp)? {
            8 => Some(Kind::EchoRequest { from, to, id, number }),
            0 => Some(Kind::EchoReply { from, to, id, number }),
            _ => None,
        }
    }

    /// What it says of a TCP connection, if it is a segment of one, by IPv4.
    pub(crate) fn segment(&self) -> Option<Segment> {
        const IP: usize = 14;
        let header = usize::from(self.bytes.get(IP)? & 15) * 4;
        if self.half(12)? != 0x0800 || *self.bytes.get(IP + 9)? != 6 || self.half(IP + 6)? & 0x1fff != 0 {
            return None;
        }
        let tcp = IP + header;
        let number = u32::from_be_bytes(*self.bytes.get(tcp + 4..)?.first_chunk()?);
        Some(Segment {
            from: (self.address(IP + 12)?, self.half(tcp)?),
            to: (self.address(IP + 16)?, self.half(tcp + 2)?),
            number,
            flags: *self.bytes.get(tcp + 13)?,
        })
    }

    fn half(&self, at: usize) -> Option<u16> {
        Some(u16::from_be_bytes(*self.bytes.get(at..)?.first_chunk()?))
    }

    fn address(&self, at: usize) -> Option<Ipv4Addr> {
        Some(Ipv4Addr::from(*self.bytes.get(at..)?.first_chunk::<4>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(frames: &[&[u8]]) -> Vec<u8> {
        let mut bytes = MAGIC.to_le_bytes().to_vec();
        bytes.resize(HEADER, 0);
        for (n, frame) in (1u32..).zip(frames) {
            let length = frame.len() as u32;
            for word in [n, 5, length, length] {
                bytes.extend(word.to_le_bytes());
            }
            bytes.extend_from_slice(frame);
        }
        bytes
    }

    fn echo(kind: u8, flags: u8) -> Vec<u8> {
        let mut frame = vec![0xff; 12];
        frame.extend([8, 0, 0x45, 0, 0, 28, 0, 0, flags, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([kind, 0, 0, 0, 0, 7, 1, 2]);
        frame
    }

    #[test]
    fn frames_are_found_and_named() {
        let mut arp = vec![1; 12];
        arp.extend([
            8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 2, 2, 2, 2, 2, 10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1,
        ]);
        let file = capture(&[&arp, &echo(8, 0), &echo(0, 0x20), &echo(8, 1), &[1, 2, 3]]);
        let frames = parse(&file).unwrap();
        assert_eq!((frames[0].ns, frames[0].source()), (1_000_000_005, Some([1; 6])));
        let (one, two) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let kinds: Vec<_> = frames.iter().map(Frame::kind).collect();
        assert_eq!(
            kinds,
            [
                Kind::ArpRequest { from: two, of: one },
                Kind::EchoRequest { from: one, to: two, id: 7, number: 0x102 },
                Kind::EchoReply { from: one, to: two, id: 7, number: 0x102 },
                Kind::Other,
                Kind::Other,
            ]
        );
    }

    #[test]
    fn segments_are_taken_apart() {
        let mut bytes = vec![0xff; 12];
        bytes.extend([8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1]);
        bytes.extend([0, 7, 0x9c, 0x40, 1, 2, 3, 4, 0, 0, 0, 0, 0x50, OPENED]);
        let (one, two) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let segment = Segment { from: (two, 7), to: (one, 40_000), number: 0x0102_0304, flags: OPENED };
        assert_eq!(Frame { ns: 0, bytes: bytes.clone() }.segment(), Some(segment));
        bytes.pop();
        assert_eq!(Frame { ns: 0, bytes }.segment(), None);
        assert_eq!(Frame { ns: 0, bytes: echo(8, 0) }.segment(), None);
    }

    #[test]
    fn half_a_frame_is_left_out_and_nonsense_is_an_error() {
        let file = capture(&[&[1, 2, 3], &[4; 100]]);
        assert_eq!(parse(&file[..file.len() - 1]).unwrap().len(), 1);
        assert!(parse(b"").is_err() && parse(&[0; 64]).is_err());
    }
}
