//! One interface and its sockets: what a poll does. smoltcp is known here, in [`gate`](crate::gate) and in the sockets.

use crate::acks::Ack;
use crate::addresses::Addresses;
use crate::closing::Orphans;
use crate::config::Config;
use crate::deadlines::{Deadlines, sooner};
use crate::ended::Ended;
use crate::fragments::{Joined, Joiner};
use crate::gate::{Gate, Once, Out, Stream};
use crate::groups::Groups;
use crate::headers::{ACK, FIN, Flow, RST, SYN, Seen, look, lower_max_segment, max_segment};
use crate::listen::Listener;
use crate::opening::Key;
use crate::table::{Kind, Owner, Table};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::task::Waker;
use fata_link::{Link, Status};
use fata_random::Random;
use smoltcp::iface::{Interface, PollResult, SocketSet};
use smoltcp::phy::{PacketMeta, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::EthernetAddress;

/// Frames taken in before the applications get their turn.
const FRAMES: usize = 64;
/// Packets of one socket before the next has its turn, and of all before the applications have theirs.
const PACKETS: usize = 16;
const ALL_PACKETS: usize = 256;
/// A socket that wants to send and does not is looked at again after so long.
const PATIENCE: Duration = Duration::from_millis(10);
/// Datagrams of several fragments that wait for a neighbour, and for how long.
const UNANSWERED: usize = 4;
const UNANSWERED_AGE: Duration = Duration::from_secs(3);

/// What happened to datagrams that no socket saw. All of it is counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames that were looked at.
    pub frames: u64,
    /// Connections that were refused in silence, since their listener has as many open ones as it is to have.
    pub backlog_full: u64,
    /// Openings of which nothing was kept, since there were too many (SYN cookies),
    pub cookies_sent: u64,
    /// and those of them that became connections.
    pub cookies_taken: u64,
    /// Connections that were reset, since too many were ending.
    pub orphans_reset: u64,
    /// Datagrams put together from fragments.
    pub joined: u64,
    /// Fragments that were nonsense.
    pub fragments_refused: u64,
    /// Large answers that were not sent, since fragments of others waited for room already.
    pub answers_dropped: u64,
    /// Times that the link came up.
    pub ups: u64,
    /// Leases that a DHCP server gave, renewals not counted.
    pub leases: u64,
    /// Leases that made no sense.
    pub leases_refused: u64,
    /// Advertisements of routers that changed anything.
    pub adverts: u64,
    /// Addresses that were given up, since somebody else has them.
    pub conflicts: u64,
    /// Claims of others to addresses that stayed ours.
    pub claims: u64,
}

/// What [`Engine::poll`] leaves to be done.
#[derive(Default)]
pub(crate) struct Next {
    /// There is more to take in at once, after the applications had their turn.
    pub(crate) more: bool,
    /// There is more to send, in the same way.
    pub(crate) again: bool,
    /// When sockets want to be looked at although nobody wakes.
    pub(crate) due: Option<Instant>,
    /// The same for the link.
    pub(crate) link_due: Option<Instant>,
}

pub(crate) struct Engine {
    pub(crate) table: Table,
    pub(crate) listeners: Vec<Option<Listener>>,
    /// None before the link was first up.
    pub(crate) interface: Option<Interface>,
    pub(crate) addresses: Addresses,
    /// The largest packet that the link takes.
    pub(crate) link_mtu: usize,
    pub(crate) random: Random,
    pub(crate) counts: Counts,
    pub(crate) status: Status,
    pub(crate) now: Instant,
    /// Those who wait for the interface to change.
    pub(crate) watchers: Vec<Waker>,
    /// The task that polls.
    pub(crate) waker: Option<Waker>,
    pub(crate) out: Out,
    /// For what no socket wants.
    pub(crate) nobody: SocketSet<'static>,
    pub(crate) groups: Groups,
    pub(crate) ready: VecDeque<u32>,
    pub(crate) stalled: Vec<u32>,
    pub(crate) deadlines: Deadlines,
    joiner: Joiner,
    /// Datagrams from fragments whose answers were lost while a neighbour was asked for, and since when.
    unanswered: Vec<(Vec<u8>, Instant)>,
    /// One was heard of since.
    heard: bool,
    pub(crate) orphans: Orphans,
    pub(crate) ended: Ended,
    /// For the numbers that connections begin with.
    pub(crate) key: Key,
}

impl Engine {
    pub(crate) fn new(config: Config, random: Random) -> Self {
        let status = Status { up: false, mac: EthernetAddress([0; 6]), epoch: 0 };
        let mut engine = Self {
            table: Table::new(random.number() as u32),
            listeners: Vec::new(),
            interface: None,
            addresses: Addresses::new(config),
            link_mtu: 0,
            counts: Counts::default(),
            status,
            now: Instant::ZERO,
            watchers: Vec::new(),
            waker: None,
            out: Out::new(random.number() as u32),
            nobody: SocketSet::new(Vec::new()),
            groups: Groups::default(),
            ready: VecDeque::new(),
            stalled: Vec::new(),
            deadlines: Deadlines::default(),
            joiner: Joiner::default(),
            unanswered: Vec::new(),
            heard: false,
            orphans: Orphans::default(),
            ended: Ended::default(),
            key: Key::new(random.number(), random.number()),
            random,
        };
        engine.begin_dhcp();
        engine
    }

    /// Whether packets can be sent and received.
    pub(crate) fn is_up(&self) -> bool {
        self.status.up && self.interface.is_some()
    }

    /// Has a socket looked at in the next poll.
    pub(crate) fn queue(&mut self, id: u32) {
        if let Some(slot) = self.table.slot(id)
            && !slot.queued
        {
            slot.queued = true;
            self.ready.push_back(id);
        }
    }

    /// Has a socket looked at, soon.
    pub(crate) fn kick(&mut self, id: u32) {
        self.queue(id);
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    pub(crate) fn queue_all(&mut self) {
        self.table.ids().for_each(|id| self.queue(id));
    }

    /// Tells those who wait that the interface is another.
    pub(crate) fn tell(&mut self) {
        self.watchers.drain(..).for_each(Waker::wake);
    }

    /// Takes in what has come, if the link is to be looked at, sends what there is to send, and hands it to the link at
    /// once.
    pub(crate) fn poll<L: Link>(&mut self, link: &mut L, now: Instant, look: bool) -> Next {
        self.now = now;
        if look {
            self.follow(link);
        }
        if !self.is_up() {
            return Next::default();
        }
        self.tend();
        self.announce(link);
        let more = look && self.take_in(link);
        self.announce(link);
        self.tend_groups(link);
        while self.deadlines.first().is_some_and(|due| due <= now)
            && let Some(id) = self.deadlines.expired(now)
        {
            self.queue(id);
        }
        let again = self.send(link);
        link.flush();
        self.counts.answers_dropped = self.out.dropped;
        let due = sooner(sooner(self.deadlines.first(), self.addresses.due()), self.groups.due());
        Next { more, again, due, link_due: link.due() }
    }

    /// Gives whether there may be more.
    fn take_in<L: Link>(&mut self, link: &mut L) -> bool {
        for _ in 0..FRAMES {
            // Also without room: two ends that wait for it would wait for each other.
            self.out.send_rest(link, self.now);
            let Some((rx, tx)) = link.receive(self.now) else { return false };
            let meta = smoltcp::phy::RxToken::meta(&rx);
            smoltcp::phy::RxToken::consume(rx, |frame| self.frame(frame, meta, tx, false));
            if self.heard {
                self.answer_late(link);
            }
        }
        true
    }

    /// A neighbour was heard of: looks again at datagrams that could not be answered.
    #[inline(never)]
    fn answer_late<L: Link>(&mut self, link: &mut L) {
        self.heard = false;
        for (whole, since) in core::mem::take(&mut self.unanswered) {
            if since + UNANSWERED_AGE > self.now
                && let Some(token) = link.transmit(self.now)
            {
                self.frame(&whole, PacketMeta::default(), token, true);
            }
        }
    }

    fn frame(&mut self, frame: &[u8], meta: PacketMeta, token: impl TxToken, was_cut: bool) {
        self.counts.frames += u64::from(!was_cut);
        match look(frame) {
            Seen::Tcp { flow, flags, at } => self.segment(frame, meta, token, flow, flags, at),
            Seen::Udp(flow) => {
                if let Some(id) = self.table.udp(&flow) {
                    self.feed(Some(id), frame, meta, token);
                } else {
                    let id = self.table.only(Kind::Dhcp, flow.local_port);
                    self.feed(id, frame, meta, token);
                    if let Some(id) = id {
                        self.follow_dhcp(id, Some(frame));
                        self.queue(id);
                    }
                }
            }
            Seen::Echo(ident) => self.feed(self.table.only(Kind::Ping, ident), frame, meta, token),
            Seen::Neighbor => {
                self.hear_neighbor(frame);
                self.feed(None, frame, meta, token);
                self.heard = !self.unanswered.is_empty();
                for id in core::mem::take(&mut self.stalled) {
                    if let Some(slot) = self.table.slot(id) {
                        slot.listed = false;
                    }
                    self.queue(id);
                }
            }
            // Once is enough for everybody who means well.
            Seen::Fragment if was_cut => self.counts.fragments_refused += 1,
            Seen::Fragment => match self.joiner.add(frame, self.now, &self.out.sums) {
                Joined::Whole(whole) => {
                    self.counts.joined += 1;
                    self.rejoined(whole, meta, token);
                }
                Joined::Waits => {}
                Joined::Refused => self.counts.fragments_refused += 1,
            },
            Seen::Router => {
                self.hear_router(frame);
                self.feed(None, frame, meta, token);
            }
            Seen::Query => {
                self.hear_query();
                self.feed(None, frame, meta, token);
            }
            Seen::Other => self.feed(None, frame, meta, token),
        }
    }

    /// Out of line, since fragments are rare.
    #[inline(never)]
    fn rejoined(&mut self, frame: Vec<u8>, meta: PacketMeta, token: impl TxToken) {
        self.out.asked = false;
        self.frame(&frame, meta, token, true);
        // What `Parked` does with frames, for what was never one.
        if self.out.asked && self.unanswered.len() < UNANSWERED {
            self.unanswered.push((frame, self.now));
        }
    }

    fn segment(
        &mut self,
        frame: &[u8],
        meta: PacketMeta,
        token: impl TxToken,
        flow: Flow,
        flags: u8,
        at: usize,
    ) {
        let opens = flags & (SYN | ACK | RST | FIN) == SYN;
        let mut id = self.table.tcp(&flow);
        let mut token = token;
        let mut is_new = false;
        if id.is_none() {
            let Some(unused) = self.answer_ended(&flow, frame, flags, at, token) else { return };
            token = unused;
            if opens {
                id = match self.open(&flow) {
                    Ok(id) => id,
                    Err(Full::HalfOpen) => return self.answer_syn(&flow, frame, at, token),
                    Err(Full::Open) => {
                        // In silence: the peer tries again, and there may be room by then.
                        self.counts.backlog_full += 1;
                        return;
                    }
                };
                is_new = true;
            } else if flags & (SYN | ACK | RST) == 0 && self.listening(&flow).is_some() {
                // No answer is due (RFC 9293 section 3.10.7.2).
                return;
            } else {
                id = match self.remember(&flow, frame, flags, at) {
                    Ok(id) => id,
                    Err(_) => {
                        self.counts.backlog_full += 1;
                        return;
                    }
                };
            }
        }
        if flags & SYN == 0 {
            match self.ack(id, frame, flags, at) {
                Ack::Usual => self.feed(id, frame, meta, token),
                Ack::Late(late) => {
                    self.feed(id, frame, meta, token);
                    self.show_again(id, frame, meta, at, &late);
                }
                Ack::Repeated => {}
            }
        } else {
            // smoltcp thinks of the link as larger than it is, so it must not hear of larger segments.
            let most = self.out.max_segment(at == 54);
            let said = max_segment(frame, at).map_or(536, |(_, said)| said);
            if let Some(slot) = id.and_then(|id| self.table.slot(id)) {
                slot.max_segment = said.clamp(48, most.max(48));
            }
            let mut lowered = Vec::new();
            if said > most {
                lowered = frame.to_vec();
                lower_max_segment(&mut lowered, at, most, true);
            }
            let frame = if lowered.is_empty() { frame } else { &lowered };
            match id {
                Some(id) if is_new => self.feed_syn(id, &flow, frame, meta),
                _ => self.feed(id, frame, meta, token),
            }
        }
        if let Some(id) = id {
            self.settle(id);
            self.queue(id);
        }
    }

    /// Gives a frame to a socket, or to the interface alone.
    pub(crate) fn feed(&mut self, id: Option<u32>, frame: &[u8], meta: PacketMeta, token: impl TxToken) {
        let Some(interface) = &mut self.interface else { return };
        let (set, numbers) = match id.and_then(|id| self.table.slot(id)) {
            Some(slot) => (&mut slot.set, (slot.kind == Kind::Tcp).then_some(slot.numbers)),
            None => (&mut self.nobody, None),
        };
        self.out.begin(false, None, numbers);
        let mut device = Once { frame: Some((frame, meta)), token: Some(token), out: &mut self.out };
        interface.poll_ingress_single(self.now, &mut device, set);
        if let Some(numbers) = self.out.numbers
            && self.out.used
            && let Some(slot) = id.and_then(|id| self.table.slot(id))
        {
            slot.numbers = numbers;
        }
    }

    /// Gives whether there is more to send for which there is room.
    fn send<L: Link>(&mut self, link: &mut L) -> bool {
        let mut budget = ALL_PACKETS;
        while self.out.send_rest(link, self.now) {
            let Some(id) = self.ready.pop_front() else { return false };
            if budget == 0 {
                self.ready.push_front(id);
                return true;
            }
            if !self.serve(id, link, &mut budget) {
                // No room: the link wakes us when there is some.
                if self.table.slot(id).is_some() {
                    self.ready.push_front(id);
                }
                return false;
            }
        }
        false
    }

    /// Sends what a socket has to send. False if there was no room for it.
    fn serve<L: Link>(&mut self, id: u32, link: &mut L, budget: &mut usize) -> bool {
        let Some(slot) = self.table.slot(id) else { return true };
        let Some(interface) = &mut self.interface else { return true };
        if let Owner::Orphan { until } = slot.owner
            && until <= self.now
        {
            slot.tcp().abort();
        }
        let mut turns = PACKETS;
        let (mut due, mut stalled, mut silenced);
        loop {
            let (mut shakes_hands, mut stream, mut numbers) = (false, None, None);
            if slot.kind == Kind::Tcp {
                numbers = Some(slot.numbers);
                let state = slot.tcp().state();
                shakes_hands = matches!(state, tcp::State::SynSent | tcp::State::SynReceived);
                let v6 = slot.is_v6();
                if self.out.is_cut[usize::from(v6)] {
                    stream = Some(Stream { v6, max_segment: slot.max_segment });
                }
            }
            self.out.begin(shakes_hands, stream, numbers);
            let mut gate = Gate { link: &mut *link, out: &mut self.out };
            let result = interface.poll_egress(self.now, &mut gate, &mut slot.set);
            if self.out.refused {
                return false;
            }
            if let Some(numbers) = self.out.numbers {
                slot.numbers = numbers;
            }
            due = interface.poll_at(self.now, &slot.set);
            stalled = self.out.opened && !self.out.used;
            // smoltcp asks for one neighbour a second; for the others we do.
            silenced = stalled && !self.out.asked;
            let waits = due.is_none_or(|due| due > self.now);
            if result == PollResult::None || waits {
                // What was stalled and may not even ask yet is still stalled.
                stalled |= slot.stalled && !self.out.opened && due.is_some();
                break;
            }
            (turns, *budget) = (turns - 1, budget.saturating_sub(1));
            if turns == 0 || *budget == 0 || !self.out.send_rest(link, self.now) {
                slot.stalled = false;
                self.ready.push_back(id);
                return true;
            }
        }
        (slot.queued, slot.stalled) = (false, stalled);
        if stalled && !slot.listed {
            slot.listed = true;
            self.stalled.push(id);
        }
        if let Owner::Orphan { until } = slot.owner {
            due = Some(due.map_or(until, |due| due.min(until)));
        }
        // It wants to send at once, and did not.
        due = due.map(|due| if due <= self.now { self.now + PATIENCE } else { due });
        let (kind, remote) = (slot.kind, slot.flow.remote);
        self.deadlines.set(id, due);
        if silenced {
            self.ask_for(remote, link);
        }
        match kind {
            Kind::Tcp => {
                self.settle(id);
                self.bury(id, due);
            }
            Kind::Dhcp => self.follow_dhcp(id, None),
            Kind::Udp | Kind::Ping => {}
        }
        true
    }

    /// Another link, or the same one anew: what was begun on the old one is over.
    pub(crate) fn begin_anew(&mut self) {
        self.out.clear();
        self.joiner = Joiner::default();
        self.unanswered.clear();
        self.queue_all();
    }
}

/// A listener has as many connections as it is to have.
pub(crate) enum Full {
    /// Those that are open and not accepted yet.
    Open,
    /// Those that are half-open among them.
    HalfOpen,
}
