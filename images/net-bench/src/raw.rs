//! Answers without a stack: ARP, ping, and the ports for UDP, each frame being turned around in place.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::Poll;
use fata_link::{Link, Status};
use fata_rt::Rt;
use smoltcp::phy::{RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, Ipv4Address};

/// Headers of Ethernet, IPv4 without options, and UDP.
const ETHERNET: usize = 14;
const IP: usize = 20;
const UDP: usize = 8;
const HEADERS: usize = ETHERNET + IP + UDP;
/// The ports (see the crate's description).
const ECHO: u16 = 5001;
const SINK: u16 = 5002;
const SOURCE: u16 = 5003;
const COUNT: u16 = 5004;

/// What is counted since the last answer.
#[derive(Default)]
struct Counted {
    datagrams: u64,
    first_ns: u64,
    last_ns: u64,
}

/// What is left to be sent.
struct Burst {
    left: u64,
    frame: Vec<u8>,
}

struct Server<'a> {
    rt: &'a Rt,
    address: [u8; 4],
    counted: Counted,
    burst: Option<Burst>,
    /// Which connection of the link it is, and the most bytes in its datagrams.
    epoch: u32,
    largest: usize,
}

/// Serves for ever.
pub(crate) async fn serve<T>(rt: &Rt, mut link: impl Link, address: Ipv4Address) -> T {
    let (address, counted, burst) = (address.octets(), Counted::default(), None);
    let mut server = Server { rt, address, counted, burst, epoch: 0, largest: 0 };
    poll_fn(|cx| {
        link.register(cx.waker());
        server.poll(&mut link);
        Poll::Pending
    })
    .await
}

impl Server<'_> {
    /// Does what can be done, and has it sent.
    fn poll(&mut self, link: &mut impl Link) {
        // Nothing here depends on the time.
        let now = Instant::ZERO;
        let Status { mac: EthernetAddress(mac), epoch, .. } = link.status();
        if epoch != self.epoch {
            (self.epoch, self.largest) = (epoch, link.capabilities().ip_mtu() - IP - UDP);
        }
        while let Some((rx, tx)) = link.receive(now) {
            rx.consume(|frame| {
                if let Some(answer) = self.answer(frame, mac) {
                    tx.consume(answer.len(), |place| answer.write(place, mac));
                }
            });
        }
        while let Some(burst) = &mut self.burst {
            let Some(tx) = link.transmit(now) else { break };
            tx.consume(burst.frame.len(), |place| place.copy_from_slice(&burst.frame));
            burst.left -= 1;
            if burst.left == 0 {
                self.burst = None;
            }
        }
        link.flush();
    }
}

/// What is sent for a frame.
enum Answer<'a> {
    /// That this address is ours.
    Arp(&'a [u8]),
    /// A ping's.
    Pong(&'a [u8]),
    /// A datagram back to its sender, with its own text or another.
    Udp(&'a [u8], Option<Vec<u8>>),
}

impl Answer<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Arp(_) => ETHERNET + 28,
            Self::Pong(frame) | Self::Udp(frame, None) => frame.len(),
            Self::Udp(_, Some(text)) => HEADERS + text.len(),
        }
    }

    fn write(&self, place: &mut [u8], mac: [u8; 6]) {
        match self {
            Self::Arp(frame) => {
                place.copy_from_slice(&frame[..ETHERNET + 28]);
                // A reply, to whom it was asked by.
                place[21] = 2;
                place.copy_within(22..32, 32);
                place[22..28].copy_from_slice(&mac);
                place[28..32].copy_from_slice(&frame[38..42]);
            }
            Self::Pong(frame) => {
                place.copy_from_slice(frame);
                turn(place);
                // The type, and what the sum over it changes by (RFC 1624).
                place[34] = 0;
                let sum = u16::from_be_bytes([place[36], place[37]]);
                let (sum, carry) = sum.overflowing_add(0x0800);
                place[36..38].copy_from_slice(&(sum + u16::from(carry)).to_be_bytes());
            }
            Self::Udp(frame, None) => {
                place.copy_from_slice(frame);
                turn(place);
                turn_ports(place);
            }
            Self::Udp(frame, Some(text)) => {
                place[..HEADERS].copy_from_slice(&frame[..HEADERS]);
                place[HEADERS..].copy_from_slice(text);
                turn(place);
                turn_ports(place);
                set_lengths(place);
            }
        }
        place.copy_within(6..12, 0);
        place[6..12].copy_from_slice(&mac);
    }
}

/// Exchanges IPv4's addresses, which leaves its checksum right.
fn turn(frame: &mut [u8]) {
    let (from, to) = frame[26..34].split_at_mut(4);
    from.swap_with_slice(to);
}

/// Exchanges UDP's ports. Its checksum is the link's to make.
fn turn_ports(frame: &mut [u8]) {
    let (from, to) = frame[34..38].split_at_mut(2);
    from.swap_with_slice(to);
}

/// Sets lengths to that of the frame, and IPv4's checksum to match.
fn set_lengths(frame: &mut [u8]) {
    let ip = (frame.len() - ETHERNET) as u16;
    frame[16..18].copy_from_slice(&ip.to_be_bytes());
    frame[38..40].copy_from_slice(&(ip - IP as u16).to_be_bytes());
    frame[24..26].fill(0);
    let sum: u32 = frame[14..34].as_chunks::<2>().0.iter().map(|w| u32::from(u16::from_be_bytes(*w))).sum();
    let sum = (sum >> 16) + (sum & 0xffff);
    frame[24..26].copy_from_slice(&(!(sum as u16 + (sum >> 16) as u16)).to_be_bytes());
}

impl Server<'_> {
    /// What to answer to a frame.
    fn answer<'f>(&mut self, frame: &'f [u8], mac: [u8; 6]) -> Option<Answer<'f>> {
        match frame.get(12..14)? {
            [0x08, 0x06] => {
                let asks = frame.get(20..22)? == [0, 1] && frame.get(38..42)? == self.address;
                asks.then_some(Answer::Arp(frame))
            }
            [0x08, 0x00] => {
                let len = ETHERNET + usize::from(u16::from_be_bytes([*frame.get(16)?, frame[17]]));
                let frame = frame.get(..len)?;
                // Without options, whole, and to us.
                if *frame.get(14)? != 0x45 || frame[20] & 0x3f != 0 || frame.get(30..34)? != self.address {
                    return None;
                }
                match frame[23] {
                    1 if *frame.get(34)? == 8 && len >= HEADERS => Some(Answer::Pong(frame)),
                    17 if len >= HEADERS => self.datagram(frame, mac),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn datagram<'f>(&mut self, frame: &'f [u8], mac: [u8; 6]) -> Option<Answer<'f>> {
        match u16::from_be_bytes([frame[36], frame[37]]) {
            ECHO => Some(Answer::Udp(frame, None)),
            SINK => {
                let counted = &mut self.counted;
                counted.last_ns = self.rt.now_ns();
                if counted.datagrams == 0 {
                    counted.first_ns = counted.last_ns;
                }
                counted.datagrams += 1;
                None
            }
            SOURCE => {
                let text = core::str::from_utf8(&frame[HEADERS..]).ok()?;
                let (count, size) = text.trim_ascii().split_once(' ')?;
                let size = size.parse().ok().filter(|&size| size <= self.largest)?;
                let mut burst = vec![0; HEADERS + size];
                Answer::Udp(frame, Some(vec![0; size])).write(&mut burst, mac);
                self.burst =
                    Some(Burst { left: count.parse().ok().filter(|&count| count > 0)?, frame: burst });
                None
            }
            COUNT => {
                let Counted { datagrams, first_ns, last_ns } = core::mem::take(&mut self.counted);
                Some(Answer::Udp(frame, Some(format!("{datagrams} {}", last_ns - first_ns).into_bytes())))
            }
            _ => None,
        }
    }
}
