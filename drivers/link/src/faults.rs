//! A link as bad as one asks for.

use crate::{Link, Status};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::num::NonZeroUsize;
use core::task::Waker;
use smoltcp::phy::{self, Device, DeviceCapabilities, PacketMeta};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::EthernetAddress;

/// What happens to frames in one direction. Chances are in thousandths.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan {
    /// The frame is lost.
    pub loss: u16,
    /// It comes twice.
    pub duplicate: u16,
    /// One bit of it is turned. Who relies on the link for checksums will not notice.
    pub corrupt: u16,
    /// It is late by [`late`](Self::late), so that later ones overtake it.
    pub reorder: u16,
    /// How late that is.
    pub late: Duration,
    /// How long every frame takes.
    pub delay: Duration,
    /// How much longer it takes at most, at random. Then frames overtake each other as well.
    pub jitter: Duration,
}

/// Frames held back, in each direction. What comes when so many are is left in the link, or not taken from the stack.
const HELD: usize = 1024;

struct Frame {
    due: Instant,
    bytes: Vec<u8>,
    meta: PacketMeta,
}

struct Queue {
    plan: Plan,
    frames: VecDeque<Frame>,
}

impl Queue {
    /// Frames that are due at the same time stay in order.
    fn insert(&mut self, frame: Frame) {
        let at = self.frames.partition_point(|other| other.due <= frame.due);
        self.frames.insert(at, frame);
    }

    fn add(&mut self, mut bytes: Vec<u8>, meta: PacketMeta, now: Instant, random: &mut Random) {
        let plan = self.plan;
        if random.chance(plan.loss) {
            return;
        }
        let copies = if random.chance(plan.duplicate) { 2 } else { 1 };
        if random.chance(plan.corrupt) && !bytes.is_empty() {
            let bit = random.below(bytes.len() as u64 * 8);
            bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
        for copy in 0..copies {
            let mut due = now + plan.delay;
            due += Duration::from_micros(random.below(plan.jitter.total_micros() + 1));
            if random.chance(plan.reorder) {
                due += plan.late;
            }
            let bytes = if copy + 1 == copies { core::mem::take(&mut bytes) } else { bytes.clone() };
            self.insert(Frame { due, bytes, meta });
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.frames.front().is_some_and(|frame| frame.due <= now)
    }

    fn due(&self) -> Option<Instant> {
        self.frames.front().map(|frame| frame.due)
    }
}

/// xorshift64*, as in tests/sim: what matters is that it can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % bound
    }

    fn chance(&mut self, thousandths: u16) -> bool {
        thousandths > 0 && self.below(1000) < thousandths.into()
    }
}

/// Loses, doubles, spoils, mixes up and delays frames, the same ones for the same seed and the same frames.
///
/// Every frame is copied. One that the link is to cut into segments counts as one.
pub struct Faults<L> {
    link: L,
    received: Queue,
    sent: Queue,
    random: Random,
    /// The last time the stack told us.
    now: Instant,
}

impl<L: Link> Faults<L> {
    /// With a plan for each direction.
    pub fn new(link: L, seed: u64, received: Plan, sent: Plan) -> Self {
        let queue = |plan| Queue { plan, frames: VecDeque::new() };
        let random = Random(seed.max(1));
        Self { link, received: queue(received), sent: queue(sent), random, now: Instant::ZERO }
    }

    /// Changes the plans, for frames that are yet to come.
    pub fn plan(&mut self, received: Plan, sent: Plan) {
        (self.received.plan, self.sent.plan) = (received, sent);
    }

    /// The link within.
    pub fn link(&mut self) -> &mut L {
        &mut self.link
    }

    fn take_in(&mut self) {
        while self.received.frames.len() < HELD {
            let Some((rx, _)) = self.link.receive(self.now) else { break };
            let meta = phy::RxToken::meta(&rx);
            let bytes = phy::RxToken::consume(rx, |frame| frame.to_vec());
            self.received.add(bytes, meta, self.now, &mut self.random);
        }
    }

    fn send_due(&mut self) {
        while self.sent.is_due(self.now) {
            let Some(mut token) = self.link.transmit(self.now) else { return };
            let Some(frame) = self.sent.frames.pop_front() else { return };
            phy::TxToken::set_meta(&mut token, frame.meta);
            phy::TxToken::consume(token, frame.bytes.len(), |room| room.copy_from_slice(&frame.bytes));
        }
    }
}

impl<L: Link> Device for Faults<L> {
    type RxToken<'a>
        = RxToken
    where
        L: 'a;
    type TxToken<'a>
        = TxToken<'a>
    where
        L: 'a;

    fn receive(&mut self, now: Instant) -> Option<(RxToken, TxToken<'_>)> {
        self.now = now;
        self.send_due();
        self.take_in();
        if !self.received.is_due(now) || self.sent.frames.len() >= HELD {
            return None;
        }
        let frame = self.received.frames.pop_front()?;
        let token =
            TxToken { queue: &mut self.sent, random: &mut self.random, now, meta: PacketMeta::default() };
        Some((RxToken(frame), token))
    }

    fn transmit(&mut self, now: Instant) -> Option<TxToken<'_>> {
        self.now = now;
        self.send_due();
        if self.sent.frames.len() >= HELD || !self.link.status().up {
            return None;
        }
        Some(TxToken { queue: &mut self.sent, random: &mut self.random, now, meta: PacketMeta::default() })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.link.capabilities()
    }
}

impl<L: Link> Link for Faults<L> {
    fn status(&self) -> Status {
        self.link.status()
    }

    fn flush(&mut self) {
        self.send_due();
        self.link.flush();
    }

    fn listen(&mut self, group: EthernetAddress, wanted: bool) {
        self.link.listen(group, wanted);
    }

    fn register(&mut self, waker: &Waker) {
        self.link.register(waker);
    }

    /// What is overdue waits for room, of which the link's waker tells.
    fn cuts_v6(&self) -> Option<NonZeroUsize> {
        self.link.cuts_v6()
    }

    fn due(&self) -> Option<Instant> {
        let due = [self.link.due(), self.received.due(), self.sent.due()];
        due.into_iter().flatten().filter(|due| *due > self.now).min()
    }
}

/// A frame whose time has come.
pub struct RxToken(Frame);

impl phy::RxToken for RxToken {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0.bytes)
    }

    fn meta(&self) -> PacketMeta {
        self.0.meta
    }
}

/// Room for a frame that may not get far.
pub struct TxToken<'a> {
    queue: &'a mut Queue,
    random: &'a mut Random,
    now: Instant,
    meta: PacketMeta,
}

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut bytes = alloc::vec![0; len];
        let result = f(&mut bytes);
        self.queue.add(bytes, self.meta, self.now, self.random);
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.meta = meta;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{self, Wire};
    use phy::{RxToken as _, TxToken as _};

    fn at(us: i64) -> Instant {
        Instant::from_micros(us)
    }

    fn send(link: &mut impl Link, number: u8, now: Instant) {
        link.transmit(now).unwrap().consume(20, |frame| frame.fill(number));
        link.flush();
    }

    fn numbers(link: &mut impl Link, now: Instant) -> Vec<u8> {
        let mut numbers = Vec::new();
        while let Some((rx, _)) = link.receive(now) {
            numbers.push(rx.consume(|frame| frame[0]));
        }
        numbers
    }

    fn ends(received: Plan, sent: Plan) -> (Wire, Faults<Wire>) {
        let (a, b, _) = wire::pair(wire::Options { room: 10_000, ..wire::Options::default() });
        (a, Faults::new(b, 1, received, sent))
    }

    #[test]
    fn without_a_plan_nothing_happens() {
        let (mut a, mut b) = ends(Plan::default(), Plan::default());
        (0..100).for_each(|number| send(&mut a, number, at(0)));
        assert_eq!(numbers(&mut b, at(0)), (0..100).collect::<Vec<_>>());
        (0..100).for_each(|number| send(&mut b, number, at(0)));
        assert_eq!(numbers(&mut a, at(0)), (0..100).collect::<Vec<_>>());
        assert_eq!(b.due(), None);
    }

    #[test]
    fn frames_are_late_by_the_delay_and_it_is_said_until_when() {
        let delay = Duration::from_micros(500);
        let (mut a, mut b) = ends(Plan { delay, ..Plan::default() }, Plan { delay, ..Plan::default() });
        send(&mut a, 1, at(0));
        assert_eq!(numbers(&mut b, at(10)), []);
        assert_eq!(b.due(), Some(at(510)));
        assert_eq!(numbers(&mut b, at(509)), []);
        assert_eq!(numbers(&mut b, at(510)), [1]);
        send(&mut b, 2, at(600));
        assert_eq!((numbers(&mut a, at(600)), b.due()), (Vec::new(), Some(at(1100))));
        assert!(b.receive(at(1100)).is_none());
        b.flush();
        assert_eq!((numbers(&mut a, at(1100)), b.due()), (vec![2], None));
    }

    #[test]
    fn the_faults_are_about_as_many_as_asked_for() {
        for way in [false, true] {
            let late = Duration::from_micros(100);
            let bad = Plan { loss: 100, duplicate: 50, corrupt: 20, reorder: 50, late, ..Plan::default() };
            let plans = if way { (bad, Plan::default()) } else { (Plan::default(), bad) };
            let (mut a, mut b) = ends(plans.0, plans.1);
            let (mut got, mut clean, mut overtaken, mut last) = (0, 0, 0, -1);
            for number in 0..10_000 {
                let now = at(number * 10);
                let write = |frame: &mut [u8]| {
                    frame.fill(0);
                    frame[..8].copy_from_slice(&number.to_le_bytes());
                };
                let mut check = |frame: &[u8]| {
                    let number = i64::from_le_bytes(frame[..8].try_into().unwrap());
                    let whole = frame[8..] == [0; 12] && (0..10_000).contains(&number);
                    got += 1;
                    clean += i32::from(whole);
                    overtaken += i32::from(whole && number < last);
                    last = if whole { number } else { last };
                };
                if way {
                    a.transmit(now).unwrap().consume(20, write);
                    a.flush();
                } else {
                    b.transmit(now).unwrap().consume(20, write);
                    b.flush();
                }
                while let Some((rx, _)) = b.receive(now) {
                    rx.consume(&mut check);
                }
                b.flush();
                while let Some((rx, _)) = a.receive(now) {
                    rx.consume(&mut check);
                }
            }
            assert!((9_200..9_700).contains(&got), "{got} frames came");
            assert!((100..350).contains(&(got - clean)), "{} were spoilt", got - clean);
            assert!((300..600).contains(&overtaken), "{overtaken} were overtaken");
        }
    }

    #[test]
    fn what_is_held_back_is_bounded() {
        let delay = Duration::from_secs(1);
        let (mut a, mut b) = ends(Plan { delay, ..Plan::default() }, Plan { delay, ..Plan::default() });
        (0..2000).for_each(|_| send(&mut a, 1, at(0)));
        assert!(b.receive(at(0)).is_none());
        assert_eq!(b.received.frames.len(), HELD);
        for _ in 0..HELD {
            send(&mut b, 1, at(0));
        }
        assert!(b.transmit(at(0)).is_none());
        assert_eq!(numbers(&mut b, at(1_000_000)).len(), HELD);
    }
}
