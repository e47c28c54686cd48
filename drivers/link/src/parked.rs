//! Frames that a stack could not answer yet.
//!
//! smoltcp answers a frame while it handles it: an echo request with a reply, a SYN to a closed port with a reset, a
//! datagram to a closed port with "port unreachable". If it does not know then where the answer goes, it asks for the
//! neighbour's address and forgets the answer (smoltcp-rs/smoltcp#597); and for the second after that it asks for no
//! other neighbour's. So the first ping is lost, and of many first pings most are.
//!
//! [`Parked`] sees both directions, and needs to know nothing of routes:
//!
//! 1. While the stack handles a received frame F, it sends a request for the address of T. F cannot have been such a
//!    request itself, which is answered and not asked back. So an answer to F was lost: a copy of F is kept for T.
//! 2. While less than a second has gone by since the stack asked for any neighbour, it handles a frame that deserves an
//!    answer, an echo request or a SYN, for an address that the stack has shown to be its own, and sends nothing. Then
//!    it may have been silenced: a copy is kept, and unless another frame from the same Ethernet address is kept
//!    already, we ask in the stack's name for the frame's IP source. Only such frames, because what a socket has
//!    taken in silence must not come twice.
//! 3. A neighbour is heard of: it answers for T, or it asks us. The stack gets that frame first and then, in order, the
//!    frames that were kept for T and those that came from the same Ethernet address, which is how what came through a
//!    gateway finds it. None is kept a second time.
//!
//! If T does not answer, we ask again, twice, a second apart. Frames are kept for three seconds, and no more of them and
//! of their bytes than [`Limits`] says; no Ethernet address gets more than a quarter of the places. When there is no
//! room, the new frame is not kept: then it is lost, as it would be without us. When the link goes down, all are.
//!
//! What is kept is a frame: of a datagram in fragments the last one only, which is of no use.

use crate::neighbor::{self, Message};
use crate::{Link, Status};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::num::NonZeroUsize;
use core::task::Waker;
use smoltcp::phy::{self, Device, DeviceCapabilities, PacketMeta};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, IpAddress};

/// For so long after it asked for one neighbour smoltcp asks for no other; also the time between our own requests.
const SILENCE: Duration = Duration::from_secs(1);
/// How often we ask for a neighbour that the stack asked for before, or that it could not.
const ASKS: u8 = 2;
/// For how long a frame is kept.
const AGE: Duration = Duration::from_secs(3);

/// How much is kept at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Frames.
    pub frames: usize,
    /// Their bytes.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { frames: 64, bytes: 128 << 10 }
    }
}

/// Counts of a [`Parked`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parking {
    /// Frames that were kept.
    pub kept: u64,
    /// Of these, given to the stack again.
    pub delivered: u64,
    /// Of these, thrown away, because nobody answered or the link went down.
    pub lost: u64,
    /// Frames that were not kept, for lack of room.
    pub refused: u64,
    /// Requests that we sent.
    pub asked: u64,
}

struct Kept {
    bytes: Vec<u8>,
    meta: PacketMeta,
    since: Instant,
    /// Who is to answer, and in whose name we ask.
    target: IpAddress,
    from: IpAddress,
    /// Requests that are left to send, and when the next of them is due. Those that hope for another frame's have none.
    asks: u8,
    ask_at: Instant,
}

impl Kept {
    fn source(&self) -> &[u8] {
        &self.bytes[6..12]
    }
}

struct State {
    limits: Limits,
    waiting: Vec<Kept>,
    ready: VecDeque<Kept>,
    bytes: usize,
    /// Addresses that the stack has shown to be its own, the last ones.
    own: VecDeque<IpAddress>,
    /// Until then the stack may be silent because it asked for a neighbour.
    silent_until: Instant,
    /// What the stack did while it handled a frame.
    did: Did,
    mac: EthernetAddress,
    epoch: u32,
    /// The last time the stack told us.
    now: Instant,
}

#[derive(Clone, Copy, PartialEq)]
enum Did {
    Nothing,
    Sent,
    Asked { from: IpAddress, target: IpAddress },
}

/// Own addresses that are remembered.
const OWN: usize = 16;

impl State {
    /// The stack has sent this.
    fn sent(&mut self, frame: &[u8], now: Instant) {
        self.did = Did::Sent;
        // Only ARP, and IPv6 with ICMP, can be of interest.
        let interesting = frame.get(12..14) == Some(&[0x08, 0x06])
            || (frame.get(12..14) == Some(&[0x86, 0xdd]) && frame.get(20) == Some(&58));
        if !interesting {
            return;
        }
        match neighbor::parse(frame) {
            Some(Message::Ask { from, target }) => {
                self.learn(from);
                // Who asks for itself does so of its own accord, and is not silent after that.
                if from != target && !from.is_unspecified() {
                    self.silent_until = now + SILENCE;
                    self.did = Did::Asked { from, target };
                }
            }
            Some(Message::Tell { who, .. }) => self.learn(who),
            None => {}
        }
    }

    fn learn(&mut self, address: IpAddress) {
        if !address.is_unspecified() && !self.own.contains(&address) {
            self.own.truncate(OWN - 1);
            self.own.push_front(address);
        }
    }

    /// The stack has handled this, which came just now. Gives what is to be told of.
    fn handled(&mut self, frame: &[u8], meta: PacketMeta, now: Instant, parking: &Cell<Parking>) {
        let (target, from, asks) = match self.did {
            Did::Asked { from, target } => (target, from, ASKS),
            Did::Nothing if now < self.silent_until => {
                let Some((source, destination)) = deserves_an_answer(frame, self.mac) else { return };
                if !self.own.contains(&destination) {
                    return;
                }
                let asked = self.waiting.iter().any(|kept| kept.source() == &frame[6..12] && kept.asks > 0);
                (source, destination, if asked { 0 } else { ASKS + 1 })
            }
            Did::Nothing | Did::Sent => return,
        };
        let source = frame.get(6..12).unwrap_or_default();
        let of_source = self.waiting.iter().filter(|kept| kept.source() == source).count();
        let count = self.waiting.len() + self.ready.len();
        let mut counts = parking.get();
        if count >= self.limits.frames
            || of_source >= (self.limits.frames / 4).max(1)
            || self.bytes + frame.len() > self.limits.bytes
        {
            counts.refused += 1;
        } else {
            counts.kept += 1;
            self.bytes += frame.len();
            let ask_at = if asks > ASKS { now } else { now + SILENCE };
            let bytes = frame.to_vec();
            self.waiting.push(Kept { bytes, meta, since: now, target, from, asks, ask_at });
        }
        parking.set(counts);
    }

    /// A neighbour is heard of: what waited for it is ready.
    fn hear(&mut self, frame: &[u8]) {
        if self.waiting.is_empty() {
            return;
        }
        let (who, mac) = match neighbor::parse(frame) {
            Some(Message::Tell { who, mac }) => (who, mac),
            Some(Message::Ask { from, target }) if self.own.contains(&target) => {
                (from, EthernetAddress::from_bytes(&frame[6..12]))
            }
            _ => return,
        };
        let heard = |kept: &mut Kept| kept.target == who || kept.source() == mac.as_bytes();
        self.ready.extend(self.waiting.extract_if(.., heard));
    }

    fn expire(&mut self, now: Instant, parking: &Cell<Parking>) {
        let old = |kept: &mut Kept| kept.since + AGE <= now;
        let lost: usize =
            self.waiting.extract_if(.., old).map(|kept| kept.bytes.len()).fold(0, |sum, len| {
                let mut counts = parking.get();
                counts.lost += 1;
                parking.set(counts);
                sum + len
            });
        self.bytes -= lost;
    }

    fn clear(&mut self, status: Status, parking: &Cell<Parking>) {
        let mut counts = parking.get();
        counts.lost += (self.waiting.len() + self.ready.len()) as u64;
        parking.set(counts);
        self.waiting.clear();
        self.ready.clear();
        self.own.clear();
        self.bytes = 0;
        self.silent_until = Instant::ZERO;
        (self.epoch, self.mac) = (status.epoch, status.mac);
    }

    fn due(&self) -> Option<Instant> {
        if self.waiting.is_empty() {
            return None;
        }
        let next = |kept: &Kept| {
            let age = kept.since + AGE;
            if kept.asks > 0 { kept.ask_at.min(age) } else { age }
        };
        // What is overdue waits for room, of which the link's waker tells.
        self.waiting.iter().map(next).filter(|due| *due > self.now).min()
    }
}

/// The IP source and destination of an echo request or a SYN that was sent to us alone.
fn deserves_an_answer(frame: &[u8], mac: EthernetAddress) -> Option<(IpAddress, IpAddress)> {
    let v4 = match frame.get(12..14)? {
        [0x08, 0x00] => true,
        [0x86, 0xdd] => false,
        _ => return None,
    };
    // What is most frequent is looked at first.
    let protocol = *frame.get(if v4 { 23 } else { 20 })?;
    if !matches!(protocol, 1 | 6 | 58) || frame[..6] != mac.0 {
        return None;
    }
    let ip = frame.get(14..)?;
    let (payload, addresses) = if v4 {
        // In one piece.
        if ip.len() < 20 || (ip[6] & 0x3f, ip[7]) != (0, 0) {
            return None;
        }
        let address = |at: usize| IpAddress::v4(ip[at], ip[at + 1], ip[at + 2], ip[at + 3]);
        (ip.get(usize::from(ip[0] & 15) * 4..)?, (address(12), address(16)))
    } else {
        let address = |at: usize| {
            let octets = ip[at..].first_chunk::<16>().copied().unwrap_or_default();
            IpAddress::Ipv6(octets.into())
        };
        (ip.get(40..)?, (address(8), address(24)))
    };
    let wanted = match protocol {
        1 => payload.first() == Some(&8),
        58 => payload.first() == Some(&128),
        // SYN without ACK, RST or FIN.
        _ => payload.get(13).is_some_and(|flags| flags & 0b1_0111 == 0b10),
    };
    let (source, _) = addresses;
    (wanted && source.is_unicast()).then_some(addresses)
}

/// Gives a stack the frames again that it could not answer before it knew the neighbour.
pub struct Parked<L> {
    link: L,
    state: RefCell<State>,
    parking: Rc<Cell<Parking>>,
}

impl<L: Link> Parked<L> {
    /// With the usual limits.
    pub fn new(link: L) -> Self {
        Self::with(link, Limits::default())
    }

    /// With other limits.
    pub fn with(link: L, limits: Limits) -> Self {
        let Status { mac, epoch, .. } = link.status();
        let state = State {
            limits,
            waiting: Vec::new(),
            ready: VecDeque::new(),
            bytes: 0,
            own: VecDeque::new(),
            silent_until: Instant::ZERO,
            did: Did::Nothing,
            mac,
            epoch,
            now: Instant::ZERO,
        };
        Self { link, state: RefCell::new(state), parking: Rc::default() }
    }

    /// The counts, for others to look at.
    pub fn parking(&self) -> Rc<Cell<Parking>> {
        self.parking.clone()
    }

    /// The link within.
    pub fn link(&mut self) -> &mut L {
        &mut self.link
    }

    fn maintain(&mut self, now: Instant) {
        let state = self.state.get_mut();
        state.now = now;
        if state.waiting.is_empty() {
            return;
        }
        state.expire(now, &self.parking);
        let mac = state.mac;
        for kept in &mut state.waiting {
            if kept.asks == 0 || kept.ask_at > now {
                continue;
            }
            let Some(frame) = neighbor::ask(mac, kept.from, kept.target) else { continue };
            let Some(token) = self.link.transmit(now) else { return };
            let bytes = frame.bytes();
            phy::TxToken::consume(token, bytes.len(), |room| room.copy_from_slice(bytes));
            kept.asks -= 1;
            kept.ask_at = now + SILENCE;
            let mut counts = self.parking.get();
            counts.asked += 1;
            self.parking.set(counts);
        }
    }
}

impl<L: Link> Device for Parked<L> {
    type RxToken<'a>
        = RxToken<'a, L::RxToken<'a>>
    where
        L: 'a;
    type TxToken<'a>
        = TxToken<'a, L::TxToken<'a>>
    where
        L: 'a;

    fn receive(&mut self, now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.maintain(now);
        let nothing_is_ready = self.state.get_mut().ready.is_empty();
        let (state, parking) = (&self.state, &*self.parking);
        if nothing_is_ready {
            let (rx, tx) = self.link.receive(now)?;
            return Some((
                RxToken { frame: Frame::New(rx), state, parking, now },
                TxToken { token: tx, state, now },
            ));
        }
        let tx = self.link.transmit(now)?;
        let kept = {
            let mut state = state.borrow_mut();
            let kept = state.ready.pop_front()?;
            state.bytes -= kept.bytes.len();
            kept
        };
        let frame = Frame::Kept(kept.bytes, kept.meta);
        Some((RxToken { frame, state, parking, now }, TxToken { token: tx, state, now }))
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        let token = self.link.transmit(now)?;
        Some(TxToken { token, state: &self.state, now })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.link.capabilities()
    }
}

impl<L: Link> Link for Parked<L> {
    fn status(&self) -> Status {
        self.link.status()
    }
    fn flush(&mut self) {
        self.link.flush();
    }
    fn listen(&mut self, group: EthernetAddress, wanted: bool) {
        self.link.listen(group, wanted);
    }
    /// The waker has told of another status, or may have.
    fn register(&mut self, waker: &Waker) {
        self.link.register(waker);
        let (state, status) = (self.state.get_mut(), self.link.status());
        if (status.epoch, status.mac) != (state.epoch, state.mac) {
            state.clear(status, &self.parking);
        }
    }
    fn cuts_v6(&self) -> Option<NonZeroUsize> {
        self.link.cuts_v6()
    }

    fn due(&self) -> Option<Instant> {
        match (self.link.due(), self.state.borrow().due()) {
            (Some(link), Some(ours)) => Some(link.min(ours)),
            (link, ours) => link.or(ours),
        }
    }
}

enum Frame<T> {
    New(T),
    Kept(Vec<u8>, PacketMeta),
}

/// A frame that has come, now or before.
pub struct RxToken<'a, T> {
    frame: Frame<T>,
    state: &'a RefCell<State>,
    parking: &'a Cell<Parking>,
    now: Instant,
}

impl<T: phy::RxToken> phy::RxToken for RxToken<'_, T> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let Self { frame, state, parking, now } = self;
        match frame {
            Frame::New(token) => {
                let meta = token.meta();
                token.consume(|frame| {
                    state.borrow_mut().did = Did::Nothing;
                    let result = f(frame);
                    let mut state = state.borrow_mut();
                    state.handled(frame, meta, now, parking);
                    state.hear(frame);
                    result
                })
            }
            Frame::Kept(bytes, _) => {
                let mut counts = parking.get();
                counts.delivered += 1;
                parking.set(counts);
                f(&bytes)
            }
        }
    }

    fn meta(&self) -> PacketMeta {
        match &self.frame {
            Frame::New(token) => token.meta(),
            Frame::Kept(_, meta) => *meta,
        }
    }
}

/// Room for a frame that we look at.
pub struct TxToken<'a, T> {
    token: T,
    state: &'a RefCell<State>,
    now: Instant,
}

impl<T: phy::TxToken> phy::TxToken for TxToken<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        self.token.consume(len, |frame| {
            let result = f(frame);
            self.state.borrow_mut().sent(frame, self.now);
            result
        })
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.token.set_meta(meta);
    }
}
