//! Frames as they come and go, in a line each.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt::Write;
use core::net::{Ipv4Addr, Ipv6Addr};
use fata_link::Sink;
use smoltcp::wire::EthernetAddress;
use xen_hyp::Signal;

/// Bytes of a pcap file's header, and of a record's (`draft-ietf-opsawg-pcap`).
const FILE: usize = 24;
const RECORD: usize = 16;
/// Bytes of a frame that are looked at.
const KEPT: usize = 96;
/// Frames that may wait to be shown; those beyond are counted.
const MOST: usize = 256;

/// A pcap file in the making, of which only what is new is kept, and only while somebody looks.
#[derive(Default)]
pub(super) struct Capture {
    /// Bytes that are no whole record yet.
    begun: Vec<u8>,
    /// Bytes to come that are not kept.
    skip: usize,
    has_header: bool,
    shows: bool,
    frames: VecDeque<Frame>,
    lost: u64,
    /// Fires when a frame is there.
    pub(super) news: Rc<Signal>,
}

struct Frame {
    seconds: u32,
    us: u32,
    len: u32,
    bytes: Vec<u8>,
}

impl Sink for Capture {
    fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (skipped, rest) = bytes.split_at(self.skip.min(bytes.len()));
            self.skip -= skipped.len();
            let wanted = self.wanted();
            let (more, rest) = rest.split_at(wanted.saturating_sub(self.begun.len()).min(rest.len()));
            self.begun.extend_from_slice(more);
            bytes = rest;
            if self.skip == 0 && self.begun.len() == self.wanted() {
                self.end_piece();
            }
        }
    }
}

impl Capture {
    fn word(&self, at: usize) -> u32 {
        self.begun.get(at..at + 4).map_or(0, |word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
    }

    /// Bytes of the piece under way: the file's header, or a record's and what is kept of its frame.
    fn wanted(&self) -> usize {
        match self.has_header {
            false => FILE,
            true if self.begun.len() < RECORD => RECORD,
            true => RECORD + KEPT.min(self.word(8) as usize),
        }
    }

    fn end_piece(&mut self) {
        if !self.has_header {
            self.has_header = true;
            self.begun.clear();
            return;
        }
        self.skip = (self.word(8) as usize).saturating_sub(KEPT);
        if self.shows && self.frames.len() < MOST {
            let (seconds, us, len) = (self.word(0), self.word(4), self.word(12));
            self.frames.push_back(Frame { seconds, us, len, bytes: self.begun[RECORD..].to_vec() });
            self.news.fire();
        } else if self.shows {
            self.lost += 1;
        }
        self.begun.clear();
    }

    /// The next line to show. `ours` is the interface's address.
    pub(super) fn take(&mut self, ours: EthernetAddress) -> Option<String> {
        let frame = self.frames.pop_front()?;
        let mut line = describe(&frame, ours);
        if self.frames.is_empty() && self.lost > 0 {
            let _ = write!(line, " ({} more not shown)", core::mem::take(&mut self.lost));
        }
        Some(line)
    }
}

/// Has frames kept for as long as it lives.
pub(super) struct Shown(Rc<RefCell<Capture>>);

impl Shown {
    pub(super) fn of(capture: &Rc<RefCell<Capture>>) -> Self {
        capture.borrow_mut().shows = true;
        Self(capture.clone())
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let mut capture = self.0.borrow_mut();
        capture.shows = false;
        capture.frames.clear();
        capture.lost = 0;
    }
}

fn describe(frame: &Frame, ours: EthernetAddress) -> String {
    let Frame { seconds, us, len, bytes } = frame;
    let (Some(to), Some(from)) = (bytes.first_chunk::<6>(), bytes.get(6..12)) else {
        return format!("{seconds}.{us:06} {len} bytes");
    };
    let way = if from == ours.0 { "out" } else { "in " };
    let mut line = format!("{seconds}.{us:06} {way} {len:5} ");
    let _ = match (bytes.get(12..14), bytes.get(14..)) {
        (Some([0x08, 0x00]), Some(packet)) => v4(&mut line, packet),
        (Some([0x86, 0xdd]), Some(packet)) => v6(&mut line, packet),
        (Some([0x08, 0x06]), Some(packet)) => arp(&mut line, packet),
        (Some(kind), _) => write!(line, "{} kind {:02x}{:02x}", EthernetAddress(*to), kind[0], kind[1]).ok(),
        _ => None,
    };
    line
}

/// Who has, and who is.
fn arp(line: &mut String, packet: &[u8]) -> Option<()> {
    let address =
        |at: usize| packet.get(at..at + 4).and_then(|a| a.first_chunk::<4>()).map(|&a| Ipv4Addr::from(a));
    let (from, about) = (address(14)?, address(24)?);
    match packet.get(6..8)? {
        [0, 1] => write!(line, "ARP who has {about}? tell {from}"),
        [0, 2] => write!(line, "ARP {from} is at {}", EthernetAddress(*packet.get(8..14)?.first_chunk()?)),
        _ => write!(line, "ARP"),
    }
    .ok()
}

fn v4(line: &mut String, packet: &[u8]) -> Option<()> {
    let address =
        |at: usize| packet.get(at..at + 4).and_then(|a| a.first_chunk::<4>()).map(|&a| Ipv4Addr::from(a));
    let (from, to) = (address(12)?, address(16)?);
    let header = usize::from(packet[0] & 15) * 4;
    // Of a later fragment the beginning is elsewhere.
    let is_first = packet[6] & 0x1f == 0 && packet[7] == 0;
    let rest = packet.get(header..).filter(|_| is_first).unwrap_or_default();
    transport(line, &from.text(), &to.text(), packet[9], rest)?;
    if packet[6] & 0x20 != 0 || !is_first { line.write_str(", fragment").ok() } else { Some(()) }
}

fn v6(line: &mut String, packet: &[u8]) -> Option<()> {
    let address =
        |at: usize| packet.get(at..at + 16).and_then(|a| a.first_chunk::<16>()).map(|&a| Ipv6Addr::from(a));
    let (from, to) = (address(8)?, address(24)?);
    transport(line, &from.text(), &to.text(), packet[6], packet.get(40..)?)
}

fn transport(line: &mut String, from: &str, to: &str, protocol: u8, rest: &[u8]) -> Option<()> {
    let port = |at: usize| rest.get(at..at + 2).map(|p| u16::from_be_bytes([p[0], p[1]]));
    match (protocol, port(0), port(2)) {
        (6, Some(source), Some(target)) => {
            write!(line, "TCP {from}.{source} > {to}.{target}").ok()?;
            let flags = *rest.get(13)?;
            let names = [(2, " SYN"), (1, " FIN"), (4, " RST"), (8, " PSH"), (16, " ACK")];
            names.iter().filter(|(bit, _)| flags & bit != 0).for_each(|(_, name)| line.push_str(name));
            Some(())
        }
        (17, Some(source), Some(target)) => write!(line, "UDP {from}.{source} > {to}.{target}").ok(),
        (1, Some(kind), _) => icmp(line, "ICMP", from, to, [(8, "echo request"), (0, "echo reply")], kind),
        (58, Some(kind), _) => {
            icmp(line, "ICMPv6", from, to, [(128, "echo request"), (129, "echo reply")], kind)
        }
        _ => write!(line, "IP {from} > {to} protocol {protocol}").ok(),
    }
}

fn icmp(
    line: &mut String,
    name: &str,
    from: &str,
    to: &str,
    known: [(u16, &str); 2],
    kind: u16,
) -> Option<()> {
    write!(line, "{name} {from} > {to} ").ok()?;
    match known.iter().find(|(number, _)| *number == kind >> 8) {
        Some((_, text)) => line.write_str(text).ok(),
        None => write!(line, "type {}", kind >> 8).ok(),
    }
}

/// An address as text.
trait ToText {
    fn text(&self) -> String;
}

impl<T: core::fmt::Display> ToText for T {
    fn text(&self) -> String {
        format!("{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(capture: &mut Capture, frame: &[u8]) {
        let mut bytes = Vec::new();
        for word in [12u32, 34, frame.len() as u32, frame.len() as u32] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend_from_slice(frame);
        // In pieces that mean nothing.
        bytes.chunks(7).for_each(|piece| capture.write(piece));
    }

    const OURS: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);

    fn ping() -> Vec<u8> {
        let mut frame = vec![0; 14 + 20 + 8 + 300];
        frame[6..12].copy_from_slice(&OURS.0);
        frame[12] = 8;
        frame[14] = 0x45;
        frame[23] = 1;
        frame[26..34].copy_from_slice(&[10, 0, 0, 2, 10, 0, 0, 1]);
        frame[34] = 8;
        frame
    }

    #[test]
    fn frames_become_lines_while_somebody_looks() {
        let capture = Rc::new(RefCell::new(Capture::default()));
        capture.borrow_mut().write(&[0; FILE]);
        record(&mut capture.borrow_mut(), &ping());
        assert_eq!(capture.borrow_mut().take(OURS), None, "nobody looks");
        let shown = Shown::of(&capture);
        record(&mut capture.borrow_mut(), &ping());
        let line = capture.borrow_mut().take(OURS).unwrap();
        assert_eq!(line, "12.000034 out   342 ICMP 10.0.0.2 > 10.0.0.1 echo request");
        for _ in 0..MOST + 5 {
            record(&mut capture.borrow_mut(), &ping()[..20]);
        }
        let lines: Vec<_> = std::iter::from_fn(|| capture.borrow_mut().take(OURS)).collect();
        assert_eq!(lines.len(), MOST);
        assert!(lines.last().unwrap().ends_with("(5 more not shown)"));
        drop(shown);
        record(&mut capture.borrow_mut(), &ping());
        assert_eq!(capture.borrow_mut().take(OURS), None);
    }

    #[test]
    fn any_bytes_are_described() {
        let whole = ping();
        for kind in [[8, 0], [8, 6], [0x86, 0xdd], [1, 2]] {
            for protocol in [1, 6, 17, 58, 99] {
                for len in 0..whole.len().min(120) {
                    let mut bytes = whole.clone();
                    (bytes[12], bytes[13]) = (kind[0], kind[1]);
                    (bytes[20], bytes[21], bytes[23]) = (protocol, 2, protocol);
                    bytes.truncate(len);
                    let frame = Frame { seconds: 1, us: 2, len: len as u32, bytes };
                    assert!(describe(&frame, OURS).starts_with("1.000002 "));
                }
            }
        }
    }
}
