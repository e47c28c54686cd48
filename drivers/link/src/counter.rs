//! Counting frames by kind.

use crate::{Link, Status};
use alloc::rc::Rc;
use core::cell::Cell;
use core::num::NonZeroUsize;
use core::task::Waker;
use smoltcp::phy::{self, Device, DeviceCapabilities, PacketMeta};
use smoltcp::time::Instant;
use smoltcp::wire::EthernetAddress;

/// Frames that went one way. A frame counts once as [`arp`](Self::arp), IPv4, IPv6 or other, and if IP, once by its
/// protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// All of them. One to be segmented by the device is one.
    pub frames: u64,
    /// Their bytes, with Ethernet headers.
    pub bytes: u64,
    /// Address resolution.
    pub arp: u64,
    /// IPv4.
    pub ipv4: u64,
    /// IPv6.
    pub ipv6: u64,
    /// What is neither ARP nor IP.
    pub other: u64,
    /// TCP over either IP.
    pub tcp: u64,
    /// UDP over either IP.
    pub udp: u64,
    /// ICMP over either IP, neighbour discovery among it.
    pub icmp: u64,
    /// Frames to groups.
    pub multicast: u64,
    /// Frames to everybody.
    pub broadcast: u64,
}

impl Traffic {
    fn add(&mut self, frame: &[u8]) {
        self.frames += 1;
        self.bytes += frame.len() as u64;
        let Some((head, rest)) = frame.split_first_chunk::<14>() else {
            self.other += 1;
            return;
        };
        if head[..6] == [0xff; 6] {
            self.broadcast += 1;
        } else if head[0] & 1 != 0 {
            self.multicast += 1;
        }
        let protocol = match [head[12], head[13]] {
            [0x08, 0x00] => {
                self.ipv4 += 1;
                rest.get(9)
            }
            [0x86, 0xdd] => {
                self.ipv6 += 1;
                rest.get(6)
            }
            [0x08, 0x06] => {
                self.arp += 1;
                return;
            }
            _ => {
                self.other += 1;
                return;
            }
        };
        match protocol {
            Some(6) => self.tcp += 1,
            Some(17) => self.udp += 1,
            Some(1 | 58) => self.icmp += 1,
            _ => {}
        }
    }
}

/// What a [`Counter`] has counted, for others to look at.
#[derive(Clone, Debug, Default)]
pub struct Counts(Rc<[Cell<Traffic>; 2]>);

impl Counts {
    /// What came in.
    pub fn received(&self) -> Traffic {
        self.0[0].get()
    }

    /// What went out.
    pub fn sent(&self) -> Traffic {
        self.0[1].get()
    }
}

fn count(cell: &Cell<Traffic>, frame: &[u8]) {
    let mut traffic = cell.get();
    traffic.add(frame);
    cell.set(traffic);
}

/// Counts what goes over a link.
pub struct Counter<L> {
    link: L,
    counts: Counts,
}

impl<L: Link> Counter<L> {
    /// Counts from zero.
    pub fn new(link: L) -> Self {
        Self { link, counts: Counts::default() }
    }

    /// The counts, which go on counting.
    pub fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// The link within.
    pub fn link(&mut self) -> &mut L {
        &mut self.link
    }
}

impl<L: Link> Device for Counter<L> {
    type RxToken<'a>
        = Token<'a, L::RxToken<'a>>
    where
        L: 'a;
    type TxToken<'a>
        = Token<'a, L::TxToken<'a>>
    where
        L: 'a;

    fn receive(&mut self, now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let [received, sent] = &*self.counts.0;
        let (rx, tx) = self.link.receive(now)?;
        Some((Token { token: rx, traffic: received }, Token { token: tx, traffic: sent }))
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        let token = self.link.transmit(now)?;
        Some(Token { token, traffic: &self.counts.0[1] })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.link.capabilities()
    }
}

impl<L: Link> Link for Counter<L> {
    fn status(&self) -> Status {
        self.link.status()
    }
    fn flush(&mut self) {
        self.link.flush();
    }
    fn listen(&mut self, group: EthernetAddress, wanted: bool) {
        self.link.listen(group, wanted);
    }
    fn register(&mut self, waker: &Waker) {
        self.link.register(waker);
    }
    fn cuts_v6(&self) -> Option<NonZeroUsize> {
        self.link.cuts_v6()
    }

    fn due(&self) -> Option<Instant> {
        self.link.due()
    }
}

/// A frame that counts when it is used.
pub struct Token<'a, T> {
    token: T,
    traffic: &'a Cell<Traffic>,
}

impl<T: phy::RxToken> phy::RxToken for Token<'_, T> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        self.token.consume(|frame| {
            count(self.traffic, frame);
            f(frame)
        })
    }

    fn meta(&self) -> PacketMeta {
        self.token.meta()
    }
}

impl<T: phy::TxToken> phy::TxToken for Token<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        self.token.consume(len, |frame| {
            let result = f(frame);
            count(self.traffic, frame);
            result
        })
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.token.set_meta(meta);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;
    use phy::{RxToken, TxToken};

    #[test]
    fn frames_count_by_kind_each_way() {
        let (mut here, there, _) = wire::pair(wire::Options::default());
        let mut there = Counter::new(there);
        let counts = there.counts();
        let mut send = |to: u8, ethertype: [u8; 2], protocol_at: usize, protocol: u8| {
            here.transmit(Instant::ZERO).unwrap().consume(60, |frame| {
                frame.fill(0);
                frame[..6].fill(to);
                frame[12..14].copy_from_slice(&ethertype);
                frame[14 + protocol_at] = protocol;
            });
        };
        send(0xff, [8, 6], 0, 0);
        send(0x02, [8, 0], 9, 6);
        send(0x02, [8, 0], 9, 17);
        send(0x33, [0x86, 0xdd], 6, 58);
        send(0x02, [0x88, 0x47], 0, 0);
        here.transmit(Instant::ZERO).unwrap().consume(9, |frame| frame.fill(1));
        here.flush();
        while let Some((rx, _)) = there.receive(Instant::ZERO) {
            rx.consume(|_| ());
        }
        there.transmit(Instant::ZERO).unwrap().consume(42, |frame| frame.fill(0xff));
        let expected = Traffic {
            frames: 6,
            bytes: 309,
            arp: 1,
            ipv4: 2,
            ipv6: 1,
            other: 2,
            tcp: 1,
            udp: 1,
            icmp: 1,
            multicast: 1,
            broadcast: 1,
        };
        assert_eq!(counts.received(), expected);
        let sent = Traffic { frames: 1, bytes: 42, other: 1, broadcast: 1, ..Traffic::default() };
        assert_eq!(counts.sent(), sent);
    }
}
