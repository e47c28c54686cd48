//! Datagrams larger than the link: cut into fragments and put together again, for both IPs.
//!
//! smoltcp would do so for IPv4 alone, in a buffer of 64 KiB within the interface, a fragment a poll; and a second
//! datagram that is begun meanwhile spoils the first. So it is told of a link for the largest packets there are, and
//! here they become fragments.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{IpAddress, TcpPacket, UdpPacket};

/// Datagrams that are put together at the same time. When another comes, the oldest is given up.
const OPEN: usize = 8;
/// For how long parts wait for the others (RFC 791 and RFC 1122 leave it to us; Linux waits twice as long).
const AGE: Duration = Duration::from_secs(15);
/// Pieces of one datagram that do not touch each other. No sane order of fragments needs more.
const PIECES: usize = 32;
/// What a datagram can have at most behind its IP header.
const LARGEST: usize = 65_535;

/// Cuts an Ethernet frame with an IP packet into frames with fragments of at most `mtu` bytes, and adds these to
/// `parts`. Checksums that the device was to fill in are made here, since it cannot see the whole. False if it cannot
/// be done.
pub(crate) fn cut(
    frame: &mut [u8],
    mtu: usize,
    id: u32,
    sums: &ChecksumCapabilities,
    parts: &mut VecDeque<Vec<u8>>,
) -> bool {
    let v4 = frame[12] == 0x08;
    let header = if v4 { 34 } else { 54 };
    if frame.len() < header {
        return false;
    }
    fill_checksum(frame, sums);
    let (head, payload) = frame.split_at(header);
    let extra = if v4 { 0 } else { 8 };
    let most = mtu.saturating_sub(header - 14 + extra) & !7;
    if most == 0 || payload.len() > LARGEST {
        return false;
    }
    let mut offset = 0;
    for piece in payload.chunks(most) {
        let more = offset + piece.len() < payload.len();
        let mut part = Vec::with_capacity(header + extra + piece.len());
        part.extend_from_slice(head);
        let ip = &mut part[14..];
        if v4 {
            ip[2..4].copy_from_slice(&((20 + piece.len()) as u16).to_be_bytes());
            ip[4..6].copy_from_slice(&(id as u16).to_be_bytes());
            ip[6..8].copy_from_slice(&((offset / 8) as u16 | u16::from(more) << 13).to_be_bytes());
            ip[10..12].fill(0);
            let sum = header_sum(ip);
            ip[10..12].copy_from_slice(&sum.to_be_bytes());
        } else {
            ip[4..6].copy_from_slice(&((8 + piece.len()) as u16).to_be_bytes());
            let next = core::mem::replace(&mut ip[6], 44);
            part.extend_from_slice(&[next, 0]);
            part.extend_from_slice(&(offset as u16 | u16::from(more)).to_be_bytes());
            part.extend_from_slice(&id.to_be_bytes());
        }
        part.extend_from_slice(piece);
        parts.push_back(part);
        offset += piece.len();
    }
    true
}

/// The checksum of an IPv4 header.
fn header_sum(header: &[u8]) -> u16 {
    let words = header.as_chunks::<2>().0.iter().map(|word| u32::from(u16::from_be_bytes(*word)));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

fn addresses(frame: &[u8]) -> Option<(IpAddress, IpAddress, u8, usize)> {
    if frame[12] == 0x08 {
        let octets =
            |at: usize| frame[at..].first_chunk::<4>().map(|octets| IpAddress::Ipv4((*octets).into()));
        Some((octets(26)?, octets(30)?, *frame.get(23)?, 34))
    } else {
        let octets =
            |at: usize| frame[at..].first_chunk::<16>().map(|octets| IpAddress::Ipv6((*octets).into()));
        Some((octets(22)?, octets(38)?, *frame.get(20)?, 54))
    }
}

fn fill_checksum(frame: &mut [u8], sums: &ChecksumCapabilities) {
    let Some((source, destination, protocol, at)) = addresses(frame) else { return };
    let payload = &mut frame[at..];
    if protocol == 17 && !sums.udp.tx() && payload.len() >= 8 {
        UdpPacket::new_unchecked(payload).fill_checksum(&source, &destination);
    } else if protocol == 6 && !sums.tcp.tx() && payload.len() >= 20 {
        TcpPacket::new_unchecked(payload).fill_checksum(&source, &destination);
    }
}

/// Whether the whole has the right checksum, where smoltcp will not look because the device does: it cannot have.
fn is_sound(frame: &[u8], sums: &ChecksumCapabilities) -> bool {
    let Some((source, destination, protocol, at)) = addresses(frame) else { return false };
    let payload = &frame[at..];
    match protocol {
        17 if !sums.udp.rx() => {
            UdpPacket::new_checked(payload).is_ok_and(|packet| packet.verify_checksum(&source, &destination))
        }
        6 if !sums.tcp.rx() => {
            TcpPacket::new_checked(payload).is_ok_and(|packet| packet.verify_checksum(&source, &destination))
        }
        _ => true,
    }
}

/// Which datagram a fragment belongs to: addresses, protocol and number.
type Key = [u8; 38];

/// A fragment.
struct Part<'a> {
    key: Key,
    /// Up to the payload, as it would be without fragments.
    head: Vec<u8>,
    offset: usize,
    more: bool,
    payload: &'a [u8],
}

fn read(frame: &[u8]) -> Option<Part<'_>> {
    let mut key = [0; 38];
    if frame[12] == 0x08 {
        let ip = frame.get(14..34)?;
        let header = usize::from(ip[0] & 15) * 4;
        let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
        if ip[0] >> 4 != 4 || header < 20 || header_sum(frame.get(14..14 + header)?) != 0 {
            return None;
        }
        let payload = frame.get(14 + header..14 + total)?;
        let flags = u16::from_be_bytes([ip[6], ip[7]]);
        key[..8].copy_from_slice(&ip[12..20]);
        key[32..34].copy_from_slice(&ip[4..6]);
        key[36] = ip[9];
        // Options of the first fragment are not needed for anything.
        let mut head = frame[..34].to_vec();
        head[14] = 0x45;
        let offset = usize::from(flags & 0x1fff) * 8;
        Some(Part { key, head, offset, more: flags & 0x2000 != 0, payload })
    } else {
        // Right behind the header: smoltcp sends nothing before it, nor does anybody else.
        let ip = frame.get(14..54)?;
        if ip[6] != 44 {
            return None;
        }
        let total = usize::from(u16::from_be_bytes([ip[4], ip[5]]));
        let (fragment, payload) = frame.get(54..54 + total)?.split_first_chunk::<8>()?;
        let flags = u16::from_be_bytes([fragment[2], fragment[3]]);
        key[..32].copy_from_slice(&ip[8..40]);
        key[32..36].copy_from_slice(&fragment[4..8]);
        key[37] = 6;
        let mut head = frame[..54].to_vec();
        head[20] = fragment[0];
        Some(Part { key, head, offset: usize::from(flags & !7), more: flags & 1 != 0, payload })
    }
}

/// A datagram of which something is there.
struct Open {
    key: Key,
    since: Instant,
    /// Header and payload, with holes.
    frame: Vec<u8>,
    header: usize,
    /// What of the payload is there, in order.
    pieces: Vec<(usize, usize)>,
    /// The length of the payload, once the last fragment has come.
    total: Option<usize>,
}

/// What came of a fragment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// There is more to come.
    Waits,
    /// The datagram is whole: a frame as if it had never been cut.
    Whole(Vec<u8>),
    /// It was nonsense, or made nonsense of what was there.
    Refused,
}

/// Puts datagrams together.
#[derive(Default)]
pub(crate) struct Joiner {
    open: Vec<Open>,
}

impl Joiner {
    /// Takes in a fragment.
    pub(crate) fn add(&mut self, frame: &[u8], now: Instant, sums: &ChecksumCapabilities) -> Joined {
        let Some(part) = read(frame) else { return Joined::Refused };
        let end = part.offset + part.payload.len();
        if end > LARGEST || part.payload.is_empty() || (part.more && !part.payload.len().is_multiple_of(8)) {
            return Joined::Refused;
        }
        self.open.retain(|open| open.since + AGE > now);
        let index = match self.open.iter().position(|open| open.key == part.key) {
            Some(index) => index,
            None => {
                if self.open.len() == OPEN {
                    self.open.remove(0);
                }
                self.open.push(Open {
                    key: part.key,
                    since: now,
                    header: part.head.len(),
                    frame: part.head.clone(),
                    pieces: Vec::new(),
                    total: None,
                });
                self.open.len() - 1
            }
        };
        match self.open[index].add(&part, end) {
            Some(false) => Joined::Waits,
            Some(true) => {
                let frame = self.open.remove(index).finish();
                if is_sound(&frame, sums) { Joined::Whole(frame) } else { Joined::Refused }
            }
            None => {
                // RFC 5722: overlaps are an attack, and what they are part of is thrown away.
                self.open.remove(index);
                Joined::Refused
            }
        }
    }
}

impl Open {
    /// Whether all is there now. `None` if this contradicts what was there.
    fn add(&mut self, part: &Part<'_>, end: usize) -> Option<bool> {
        let start = part.offset;
        let known = self.pieces.last().map_or(0, |(_, end)| *end);
        if !part.more {
            if self.total.is_some_and(|total| total != end) || known > end {
                return None;
            }
            self.total = Some(end);
        } else if self.total.is_some_and(|total| end >= total) {
            return None;
        }
        let at = self.pieces.partition_point(|(_, piece_end)| *piece_end <= start);
        match self.pieces.get(at).copied() {
            // The network may say things twice.
            Some((piece_start, piece_end)) if piece_start <= start && end <= piece_end => {
                return Some(self.is_whole());
            }
            Some((piece_start, _)) if piece_start < end => return None,
            _ => {}
        }
        if self.frame.len() < self.header + end {
            self.frame.resize(self.header + end, 0);
        }
        self.frame[self.header + start..self.header + end].copy_from_slice(part.payload);
        if start == 0 {
            self.frame[..self.header].copy_from_slice(&part.head);
        }
        let before = at > 0 && self.pieces[at - 1].1 == start;
        let after = self.pieces.get(at).is_some_and(|(piece_start, _)| *piece_start == end);
        match (before, after) {
            (true, true) => {
                self.pieces[at - 1].1 = self.pieces[at].1;
                self.pieces.remove(at);
            }
            (true, false) => self.pieces[at - 1].1 = end,
            (false, true) => self.pieces[at].0 = start,
            (false, false) if self.pieces.len() == PIECES => return None,
            (false, false) => self.pieces.insert(at, (start, end)),
        }
        Some(self.is_whole())
    }

    fn is_whole(&self) -> bool {
        matches!(self.pieces[..], [(0, end)] if self.total == Some(end))
    }

    fn finish(mut self) -> Vec<u8> {
        let len = self.frame.len() - self.header;
        let ip = &mut self.frame[14..];
        if self.header == 34 {
            // No longer than what IPv4 can say, or smoltcp will refuse it.
            let total = u16::try_from(20 + len).unwrap_or_default();
            ip[2..4].copy_from_slice(&total.to_be_bytes());
            ip[6..8].fill(0);
            ip[10..12].fill(0);
            let sum = header_sum(&ip[..20]);
            ip[10..12].copy_from_slice(&sum.to_be_bytes());
        } else {
            ip[4..6].copy_from_slice(&(len as u16).to_be_bytes());
        }
        self.frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::{Seen, look};
    use fata_sim::Rng;
    use smoltcp::phy::Checksum;
    use smoltcp::wire::{IpAddress, IpProtocol, IpRepr, UdpRepr};

    fn datagram(from: &str, to: &str, len: usize, sums: &ChecksumCapabilities) -> Vec<u8> {
        let (from, to): (IpAddress, IpAddress) = (from.parse().unwrap(), to.parse().unwrap());
        let ip = IpRepr::new(from, to, IpProtocol::Udp, 8 + len, 64);
        let mut frame = vec![2; 14 + ip.header_len() + 8 + len];
        let ethertype: [u8; 2] = if ip.header_len() == 20 { [8, 0] } else { [0x86, 0xdd] };
        frame[12..14].copy_from_slice(&ethertype);
        ip.emit(&mut frame[14..], sums);
        let udp = UdpRepr { src_port: 5, dst_port: 6 };
        let packet = &mut UdpPacket::new_unchecked(&mut frame[14 + ip.header_len()..]);
        let fill =
            |payload: &mut [u8]| payload.iter_mut().zip(0..).for_each(|(byte, i): (_, u32)| *byte = i as u8);
        udp.emit(packet, &from, &to, len, fill, sums);
        frame
    }

    const PAIRS: [(&str, &str); 2] = [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")];

    fn sums(offload: bool) -> ChecksumCapabilities {
        let mut sums = ChecksumCapabilities::default();
        sums.udp = if offload { Checksum::None } else { Checksum::Both };
        sums
    }

    fn parts(frame: &[u8], mtu: usize, sums: &ChecksumCapabilities) -> Vec<Vec<u8>> {
        let mut parts = VecDeque::new();
        assert!(cut(&mut frame.to_vec(), mtu, 77, sums, &mut parts));
        parts.into()
    }

    /// In order, backwards, shuffled, with repetitions, and among those of another datagram.
    #[test]
    fn what_is_cut_is_put_together_in_any_order() {
        let mut random = Rng::new();
        for (from, to) in PAIRS {
            for (len, mtu) in [(1500, 1280), (9000, 1500), (65_000, 1500), (65_000, 9000), (4000, 1400)] {
                for (offload, order) in [(false, 0), (true, 1), (false, 2)] {
                    let sums = sums(offload);
                    let frame = datagram(from, to, len, &sums);
                    let mut parts = parts(&frame, mtu, &sums);
                    assert!(parts.iter().all(|part| part.len() <= mtu + 14 && look(part) == Seen::Fragment));
                    match order {
                        1 => parts.reverse(),
                        2 => {
                            for at in 0..parts.len().min(40) {
                                let other = random.within(0..parts.len().min(40));
                                parts.swap(at, other);
                            }
                            let again = parts[0].clone();
                            let near_the_end = parts.len() - 1;
                            parts.insert(near_the_end, again);
                        }
                        _ => {}
                    }
                    let (mut joiner, count) = (Joiner::default(), parts.len());
                    for (index, part) in parts.iter().enumerate() {
                        match joiner.add(part, Instant::ZERO, &sums) {
                            Joined::Whole(whole) => {
                                assert_eq!(index + 1, count);
                                let at = whole.len() - 8 - len;
                                assert_eq!(whole[at + 8..], frame[at + 8..], "{from} {len} {mtu}");
                                assert!(matches!(look(&whole), Seen::Udp(flow) if flow.local_port == 6));
                            }
                            Joined::Waits => assert!(index + 1 < count),
                            Joined::Refused => panic!("part {index} of {count} was refused"),
                        }
                    }
                    assert!(joiner.open.is_empty());
                }
            }
        }
    }

    #[test]
    fn a_wrong_byte_is_found_although_the_device_would_have_looked() {
        for (from, to) in PAIRS {
            let sums = sums(true);
            let mut parts = parts(&datagram(from, to, 4000, &sums), 1500, &sums);
            *parts[1].last_mut().unwrap() ^= 1;
            let mut joiner = Joiner::default();
            let last = parts.iter().map(|part| joiner.add(part, Instant::ZERO, &sums)).last();
            assert_eq!(last, Some(Joined::Refused));
        }
    }

    #[test]
    fn overlaps_end_the_datagram_and_old_parts_are_forgotten() {
        let sums = sums(false);
        for (from, to) in PAIRS {
            let parts = parts(&datagram(from, to, 4000, &sums), 1500, &sums);
            let mut overlap = parts[1].clone();
            let at = if overlap[12] == 8 { 21 } else { 57 };
            overlap[at] = overlap[at].wrapping_sub(8);
            if overlap[12] == 8 {
                overlap[24..26].fill(0);
                let sum = header_sum(&overlap[14..34]);
                overlap[24..26].copy_from_slice(&sum.to_be_bytes());
            }
            let mut joiner = Joiner::default();
            assert_eq!(joiner.add(&parts[1], Instant::ZERO, &sums), Joined::Waits);
            assert_eq!(joiner.add(&overlap, Instant::ZERO, &sums), Joined::Refused);
            assert!(joiner.open.is_empty());
            assert_eq!(joiner.add(&parts[0], Instant::ZERO, &sums), Joined::Waits);
            let late = Instant::ZERO + AGE;
            for part in &parts[1..] {
                assert_eq!(joiner.add(part, late, &sums), Joined::Waits, "the first part is gone");
            }
        }
    }

    #[test]
    fn any_bytes_can_be_added_and_memory_is_bounded() {
        let (mut random, mut joiner) = (Rng::new(), Joiner::default());
        let sums = sums(true);
        let good: Vec<_> = PAIRS
            .iter()
            .flat_map(|(from, to)| parts(&datagram(from, to, 9000, &sums), 1500, &sums))
            .collect();
        for round in 0..50_000 {
            let mut part = good[random.within(0..good.len())].clone();
            for _ in 0..random.within(0..4) {
                let at = random.within(14..80);
                part[at] = random.number() as u8;
            }
            if part[12] == 8 {
                part[24..26].fill(0);
                let len = (usize::from(part[14] & 15) * 4).max(20);
                let sum = header_sum(&part[14..14 + len]);
                part[24..26].copy_from_slice(&sum.to_be_bytes());
            }
            part.truncate(random.within(14..part.len() + 1));
            joiner.add(&part, Instant::from_millis(round), &sums);
            assert!(joiner.open.len() <= OPEN);
        }
    }
}
