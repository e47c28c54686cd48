//! Checksums of TCP and UDP (RFC 1071), which either end may leave to the other.
//!
//! Frames are what a stack or the network made of them: whatever makes no sense here is simply nothing whose checksum
//! could be found.

use xen_hyp::mem::sum_of_words as sum;

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Extension headers of IPv6 that are skipped to find the transport; more are not looked at.
const EXTENSIONS_MAX: usize = 8;

/// Where a frame's TCP segment or UDP datagram is, and what its checksum has to cover besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transport {
    start: usize,
    end: usize,
    /// Where its checksum is.
    field: usize,
    /// Sum of the pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1), not folded.
    pseudo: u64,
    /// UDP, of which a checksum of zero says that there is none.
    pub(crate) is_udp: bool,
    /// In IPv6.
    pub(crate) is_v6: bool,
}

impl Transport {
    /// Finds it. `None` if there is no whole one: other protocols, fragments, headers that make no sense.
    pub(crate) fn of(frame: &[u8]) -> Option<Self> {
        let packet = frame.get(ETHERNET..)?;
        match (frame[12], frame[13]) {
            (0x08, 0x00) => Self::of_v4(packet),
            (0x86, 0xdd) => Self::of_v6(packet),
            _ => None,
        }
    }

    fn of_v4(packet: &[u8]) -> Option<Self> {
        let header = packet.get(..20)?;
        let header_bytes = usize::from(header[0] & 15) * 4;
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        // "More fragments", and the fragment's offset.
        let is_fragment = header[6] & 0x3f != 0 || header[7] != 0;
        if header[0] >> 4 != 4 || header_bytes < 20 || is_fragment || total > packet.len() {
            return None;
        }
        Self::found(packet, header_bytes..total, header[9], sum(&header[12..20]), false)
    }

    fn of_v6(packet: &[u8]) -> Option<Self> {
        let header = packet.get(..40)?;
        let end = 40 + usize::from(u16::from_be_bytes([header[4], header[5]]));
        if header[0] >> 4 != 6 || end > packet.len() {
            return None;
        }
        let (mut next, mut at) = (header[6], 40);
        for _ in 0..EXTENSIONS_MAX {
            if next == TCP || next == UDP {
                return Self::found(packet, at..end, next, sum(&header[8..40]), true);
            }
            // Hop-by-hop options, routing, destination options.
            if !matches!(next, 0 | 43 | 60) {
                return None;
            }
            let extension = packet.get(at..at + 2)?;
            (next, at) = (extension[0], at + 8 * (1 + usize::from(extension[1])));
        }
        None
    }

    fn found(
        packet: &[u8],
        bytes: core::ops::Range<usize>,
        protocol: u8,
        addresses: u64,
        is_v6: bool,
    ) -> Option<Self> {
        let (least, field) = match protocol {
            TCP => (20, 16),
            UDP => (8, 6),
            _ => return None,
        };
        let segment = packet.get(bytes.clone())?;
        if segment.len() < least {
            return None;
        }
        let length = sum(&(segment.len() as u16).to_be_bytes());
        Some(Self {
            start: ETHERNET + bytes.start,
            end: ETHERNET + bytes.end,
            field: ETHERNET + bytes.start + field,
            pseudo: addresses + sum(&[0, protocol]) + length,
            is_udp: protocol == UDP,
            is_v6,
        })
    }

    /// Puts the pseudo header's sum in the place of the checksum, for others to complete.
    pub(crate) fn blank(&self, frame: &mut [u8]) {
        frame[self.field..self.field + 2].copy_from_slice(&fold(self.pseudo).to_ne_bytes());
    }

    /// Completes the checksum.
    pub(crate) fn fill(&self, frame: &mut [u8]) {
        frame[self.field..self.field + 2].fill(0);
        let checksum = match !fold(self.pseudo + sum(&frame[self.start..self.end])) {
            0 if self.is_udp => u16::MAX,
            checksum => checksum,
        };
        frame[self.field..self.field + 2].copy_from_slice(&checksum.to_ne_bytes());
    }

    /// Whether the checksum is right, or there is none.
    pub(crate) fn holds(&self, frame: &[u8]) -> bool {
        let is_none = self.is_udp && !self.is_v6 && frame[self.field..self.field + 2] == [0, 0];
        is_none || fold(self.pseudo + sum(&frame[self.start..self.end])) == u16::MAX
    }
}

/// The sum as 16 bits, with carries added in.
fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    ((sum >> 16) + (sum & 0xffff)) as u16
}

#[cfg(test)]
#[path = "checksum_tests.rs"]
mod tests;
