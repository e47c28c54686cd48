//! How connections open: the numbers they begin with, and openings that nothing is kept of.
//!
//! *Numbers* are RFC 6528's: a clock and a keyed hash of both ends, so that nobody can foresee another's. smoltcp 0.14 draws
//! them from a generator of 64 bits that tells its state to who sees a few of them. An interface draws its first number
//! as its seed says, so one whose seed gives the number that is wanted is made for each opening, and forgotten.
//!
//! *Openings that nothing is kept of* (SYN cookies, RFC 4987 section 3.6): when a listener has as many half-open connections
//! as it may have, what it would have to remember is put into the number of its SYN-ACK, and comes back with the
//! acknowledgement. So a flood of SYNs keeps nobody out. Only then, since such a number has but 24 bits that are to be
//! guessed, and a SYN-ACK that is lost is not sent again.

use crate::engine::{Engine, Full};
use crate::gate::{Gate, LARGEST_PACKET, Model, Once, Out};
use crate::headers::{self, ACK, FIN, Flow, RST, SYN};
use crate::numbers::Numbers;
use crate::reply::{self, Nowhere};
use alloc::vec::Vec;
use core::hash::Hasher;
use fata_link::{Link, Status};
use siphasher::sip::SipHasher24;
use smoltcp::iface::{Config, Interface};
use smoltcp::phy::{ChecksumCapabilities, DeviceCapabilities, Medium, PacketMeta, TxToken};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    EthernetAddress, HardwareAddress, IpAddress, IpCidr, IpProtocol, IpRepr, TcpControl, TcpPacket, TcpRepr,
    TcpSeqNumber,
};

/// The largest segments that a number can say.
const SEGMENTS: [u16; 4] = [536, 1220, 1440, 8900];
/// A window scale that a number can say; with this there is none.
const NO_SCALE: u8 = 15;
/// How long an acknowledgement is waited for, in two of these.
const TICK_SECONDS: u64 = 64;

/// What makes numbers unforeseeable.
pub(crate) struct Key(u64, u64);

/// What a SYN said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said {
    number: u32,
    /// An index into [`SEGMENTS`].
    segment: u8,
    scale: u8,
}

impl Key {
    pub(crate) fn new(one: u64, other: u64) -> Self {
        Self(one, other)
    }

    fn hash(&self, flow: &Flow, more: [u32; 2]) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.0, self.1);
        let words = flow.remote.iter().chain(&flow.local).chain(&more);
        words.for_each(|word| hasher.write_u32(*word));
        hasher.write_u32(u32::from(flow.remote_port) << 16 | u32::from(flow.local_port));
        hasher.finish()
    }

    /// The number that a connection begins with (RFC 6528 section 3).
    fn first(&self, flow: &Flow, now: Instant) -> u32 {
        let clock = now.total_micros() as u64 / 4;
        (clock as u32).wrapping_add(self.hash(flow, [0; 2]) as u32)
    }

    /// The number that says what is to be remembered.
    fn cookie(&self, flow: &Flow, said: Said, tick: u64) -> u32 {
        let kept = (tick as u32 & 3) << 30 | u32::from(said.segment) << 28 | u32::from(said.scale) << 24;
        // Marked, so that no number of the other kind is one of these.
        let mark = 1 << 31 | (tick as u32 & 0x7f_ffff) << 8 | kept >> 24;
        kept | self.hash(flow, [said.number, mark]) as u32 & 0xff_ffff
    }

    /// What was to be remembered, if `cookie` is such a number, and not too old.
    fn remember(&self, flow: &Flow, number: u32, cookie: u32, tick: u64) -> Option<Said> {
        let age = (tick as u32).wrapping_sub(cookie >> 30) & 3;
        let said = Said { number, segment: (cookie >> 28 & 3) as u8, scale: (cookie >> 24 & 15) as u8 };
        let is_ours = age <= 1 && self.cookie(flow, said, tick.checked_sub(age.into())?) == cookie;
        is_ours.then_some(said)
    }
}

fn tick(now: Instant) -> u64 {
    now.total_micros() as u64 / (TICK_SECONDS * 1_000_000)
}

/// An interface for one opening: the first number that it draws is this one.
fn opener(now: Instant, local: IpAddress, first: u32, checksum: ChecksumCapabilities) -> Interface {
    let mut capabilities = DeviceCapabilities::default();
    capabilities.medium = Medium::Ip;
    capabilities.max_transmission_unit = LARGEST_PACKET;
    capabilities.checksum = checksum;
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = seed_for(first);
    let mut interface = Interface::new(config, &mut Model(capabilities), now);
    let whole = if matches!(local, IpAddress::Ipv4(_)) { 32 } else { 128 };
    interface.update_ip_addrs(|list| list.extend([IpCidr::new(local, whole)]));
    interface
}

/// smoltcp's generator (sPCG32).
const MULTIPLIER: u64 = 0xbb2e_fcec_3c39_611d;
const INCREMENT: u64 = 0x7590_ef39;
/// The multiplier's inverse, by Newton: each step doubles the bits that are right, of which there are three.
const INVERSE: u64 = {
    let (mut inverse, mut step) = (MULTIPLIER, 0);
    while step < 5 {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(MULTIPLIER.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
};

/// What it gives in this state.
fn drawn(state: u64) -> u32 {
    (state >> (29 - (state >> 61))) as u32
}

/// The seed of an interface that gives `number` to the first socket that asks. Before that it draws a number for itself, and
/// another if the halves of that are the same.
fn seed_for(number: u32) -> u64 {
    let before = |state: u64| state.wrapping_sub(INCREMENT).wrapping_mul(INVERSE);
    let is_single = |drawn: u32| drawn >> 16 != drawn & 0xffff;
    // The three highest bits say which of the others come out: those from bit 22 on. What is below is ours to choose.
    let states = (0..1 << 22).map(|low| before(7 << 61 | u64::from(number) << 22 | low));
    states.into_iter().find(|state| is_single(drawn(*state))).map(before).unwrap_or_default()
}

impl Engine {
    /// An interface with which a connection is to open, so that its number is RFC 6528's.
    pub(crate) fn opener(&self, flow: &Flow) -> Interface {
        let first = self.key.first(flow, self.now);
        opener(self.now, headers::ip_address(flow.local), first, self.out.sums.clone())
    }

    /// Gives the SYN that opens a connection to the socket for it.
    pub(crate) fn feed_syn(&mut self, id: u32, flow: &Flow, frame: &[u8], meta: PacketMeta) {
        if !self.is_ours(flow, frame) {
            return;
        }
        let mut opener = self.opener(flow);
        let Some(slot) = self.table.slot(id) else { return };
        let mut out = Out::default();
        let packet = frame.get(14..).unwrap_or_default();
        let mut device = Once { frame: Some((packet, meta)), token: Some(Nowhere), out: &mut out };
        opener.poll_ingress_single(self.now, &mut device, &mut slot.set);
    }

    /// Whether a frame is for us. An opener has no card, and takes what is for others, and there are addresses that no
    /// interface can have.
    fn is_ours(&self, flow: &Flow, frame: &[u8]) -> bool {
        let local = headers::ip_address(flow.local);
        frame.get(..6) == Some(self.status.mac.as_bytes())
            && self.interface.as_ref().is_some_and(|interface| interface.has_ip_addr(local))
    }

    /// Answers a SYN without keeping anything of it.
    pub(crate) fn answer_syn(&mut self, flow: &Flow, frame: &[u8], at: usize, token: impl TxToken) {
        let Some(syn) = reply::parse(frame, at) else { return };
        if !self.is_ours(flow, frame) {
            return;
        }
        let until = self.now + Duration::from_secs(2 * TICK_SECONDS);
        let Some(listener) = self.listening(flow) else { return };
        listener.cookies_until = until;
        let (window, scale) = (listener.window(), listener.scale());
        let most = syn.max_seg_size.unwrap_or(536);
        let said = Said {
            number: syn.seq_number.0 as u32,
            segment: SEGMENTS.iter().rposition(|size| *size <= most).unwrap_or(0) as u8,
            scale: syn.window_scale.map_or(NO_SCALE, |scale| scale.min(14)),
        };
        let answer = TcpRepr {
            control: TcpControl::Syn,
            seq_number: TcpSeqNumber(self.key.cookie(flow, said, tick(self.now)) as i32),
            ack_number: Some(syn.seq_number + 1),
            window_len: window,
            window_scale: syn.window_scale.map(|_| scale),
            max_seg_size: Some(self.out.max_segment(at == 54)),
            ..reply::to(flow)
        };
        self.counts.cookies_sent += 1;
        reply::send(frame, flow, &answer, &self.out.sums, token);
    }

    /// A socket for a connection whose SYN was answered so, if this acknowledges that.
    pub(crate) fn remember(
        &mut self,
        flow: &Flow,
        frame: &[u8],
        flags: u8,
        at: usize,
    ) -> Result<Option<u32>, Full> {
        let Some((said, cookie)) = self.said(flow, frame, flags, at) else { return Ok(None) };
        let Some(id) = self.open_remembered(flow)? else { return Ok(None) };
        self.replay(id, flow, said, cookie);
        self.counts.cookies_taken += 1;
        Ok(Some(id))
    }

    fn said(&mut self, flow: &Flow, frame: &[u8], flags: u8, at: usize) -> Option<(Said, u32)> {
        let now = self.now;
        if flags & (ACK | SYN | RST | FIN) != ACK || self.listening(flow)?.cookies_until <= now {
            return None;
        }
        let ack = reply::parse(frame, at)?;
        let cookie = (ack.ack_number?.0 as u32).wrapping_sub(1);
        let number = (ack.seq_number.0 as u32).wrapping_sub(1);
        Some((self.key.remember(flow, number, cookie, tick(now))?, cookie))
    }

    /// Has a socket go through what it would have gone through before the acknowledgement came.
    fn replay(&mut self, id: u32, flow: &Flow, said: Said, cookie: u32) {
        let (from, to) = (headers::ip_address(flow.remote), headers::ip_address(flow.local));
        let most = SEGMENTS[usize::from(said.segment & 3)];
        let syn = TcpRepr {
            src_port: flow.remote_port,
            dst_port: flow.local_port,
            control: TcpControl::Syn,
            seq_number: TcpSeqNumber(said.number as i32),
            ack_number: None,
            window_scale: (said.scale != NO_SCALE).then_some(said.scale),
            max_seg_size: Some(most),
            ..reply::to(flow)
        };
        let ip = IpRepr::new(from, to, IpProtocol::Tcp, syn.buffer_len(), 64);
        let sums = ChecksumCapabilities::default();
        let mut packet: Vec<u8> = alloc::vec![0; ip.buffer_len()];
        ip.emit(&mut packet[..], &sums);
        let payload = &mut packet[ip.header_len()..];
        syn.emit(&mut TcpPacket::new_unchecked(payload), &from, &to, &sums);
        let mut opener = opener(self.now, to, cookie, sums);
        let most = most.min(self.out.max_segment(matches!(to, IpAddress::Ipv6(_))));
        let Some(slot) = self.table.slot(id) else { return };
        slot.max_segment = most;
        slot.numbers = Numbers::opened(said.number.wrapping_add(1), cookie.wrapping_add(1));
        let mut out = Out::default();
        let frame = Some((&packet[..], PacketMeta::default()));
        let mut device = Once { frame, token: Some(Nowhere), out: &mut out };
        opener.poll_ingress_single(self.now, &mut device, &mut slot.set);
        // It has sent its answer.
        let mut nowhere = NoLink;
        let mut gate = Gate { link: &mut nowhere, out: &mut out };
        opener.poll_egress(self.now, &mut gate, &mut slot.set);
    }
}

/// A link whose frames go nowhere.
struct NoLink;

impl smoltcp::phy::Device for NoLink {
    type RxToken<'a> = crate::gate::Bytes<'a>;
    type TxToken<'a> = Nowhere;

    fn receive(&mut self, _now: Instant) -> Option<(Self::RxToken<'_>, Nowhere)> {
        None
    }
    fn transmit(&mut self, _now: Instant) -> Option<Nowhere> {
        Some(Nowhere)
    }
    fn capabilities(&self) -> DeviceCapabilities {
        DeviceCapabilities::default()
    }
}

impl Link for NoLink {
    fn status(&self) -> Status {
        Status { up: true, mac: EthernetAddress([0; 6]), epoch: 0 }
    }
    fn flush(&mut self) {}
    fn register(&mut self, _waker: &core::task::Waker) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use fata_sim::Rng;
    use smoltcp::iface::SocketSet;
    use smoltcp::socket::tcp;

    fn flow(random: &mut Rng) -> Flow {
        Flow {
            remote: [0, 0, 0xffff, random.number() as u32],
            local: [0, 0, 0xffff, 0x0a00_0001],
            remote_port: random.number() as u16,
            local_port: 80,
        }
    }

    /// Should smoltcp draw in another way one day.
    #[test]
    fn a_connection_begins_with_the_number_it_is_to_have() {
        let mut random = Rng::new();
        for _ in 0..1000 {
            let (local, number) = (IpAddress::v4(10, 0, 0, 1), random.number() as u32);
            let mut opener = opener(Instant::ZERO, local, number, ChecksumCapabilities::default());
            let buffer = || tcp::SocketBuffer::new(vec![0; 100]);
            let mut socket = tcp::Socket::new(buffer(), buffer());
            let remote = (IpAddress::v4(10, 0, 0, 2), 80);
            socket.connect(opener.context(), remote, (local, 5000)).unwrap();
            let mut set = SocketSet::new(vec![]);
            set.add(socket);
            let (mut near, mut far, _) = fata_link::wire::pair(fata_link::wire::Options::default());
            opener.poll_egress(Instant::ZERO, &mut near, &mut set);
            near.flush();
            let (rx, _) = smoltcp::phy::Device::receive(&mut far, Instant::ZERO).unwrap();
            smoltcp::phy::RxToken::consume(rx, |packet| assert_eq!(packet[24..28], number.to_be_bytes()));
        }
    }

    #[test]
    fn what_a_number_says_is_remembered_for_a_while_and_for_one_flow() {
        let mut random = Rng::new();
        for _ in 0..1000 {
            let key = Key::new(random.number(), random.number());
            let (flow, other) = (flow(&mut random), flow(&mut random));
            let said = Said {
                number: random.number() as u32,
                segment: random.within(0..4) as u8,
                scale: random.within(0..16) as u8,
            };
            let tick = random.number() >> 40;
            let cookie = key.cookie(&flow, said, tick);
            for later in 0..2 {
                assert_eq!(key.remember(&flow, said.number, cookie, tick + later), Some(said));
            }
            assert_eq!(key.remember(&flow, said.number, cookie, tick + 2), None);
            let wrong = [
                key.remember(&other, said.number, cookie, tick),
                key.remember(&flow, said.number ^ 1, cookie, tick),
                key.remember(&flow, said.number, cookie ^ 1 << random.within(0..32), tick),
                key.remember(&flow, said.number, cookie, tick + 4),
            ];
            assert_eq!(wrong, [None; 4]);
        }
    }

    #[test]
    fn first_numbers_go_on_with_time_and_differ_between_flows() {
        let mut random = Rng::new();
        let key = Key::new(random.number(), random.number());
        let (one, other) = (flow(&mut random), flow(&mut random));
        let at = |flow, ms| key.first(flow, Instant::from_millis(ms));
        assert_eq!(at(&one, 5000).wrapping_sub(at(&one, 1000)), 1_000_000);
        assert_ne!(at(&one, 0), at(&other, 0));
    }
}
