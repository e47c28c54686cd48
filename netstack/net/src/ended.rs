//! Connections that have ended, and whose last segments may come again (RFC 9293: TIME-WAIT).
//!
//! smoltcp 0.14 keeps the socket, with its buffers, for ten seconds. That is too much memory for many connections, and too
//! short for a peer that has had to wait for eight seconds already and whose last segment was lost once more: it would be
//! reset, though all has arrived. So once the application has let go, what is needed for an answer is kept here, a minute.

use crate::engine::Engine;
use crate::headers::{FIN, Flow, RST, SYN, payload};
use crate::reply;
use crate::table::Owner;
use alloc::collections::{BTreeMap, VecDeque};
use smoltcp::phy::TxToken;
use smoltcp::socket::tcp::State;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::TcpSeqNumber;

/// How long.
const KEPT: Duration = Duration::from_secs(60);
/// How many; when there are more, the oldest is forgotten.
const MOST: usize = 4096;
/// The next thing that a socket does is to forget the connection, if it does nothing before this.
const SOON: Duration = Duration::from_secs(1);

/// What an answer says.
#[derive(Clone, Copy)]
struct Last {
    seq: u32,
    ack: u32,
    until: Instant,
}

/// Connections that have ended. None is looked at but when a segment comes that is for no socket.
#[derive(Default)]
pub(crate) struct Ended {
    flows: BTreeMap<Flow, Last>,
    /// The oldest first, those among them that have been replaced.
    order: VecDeque<(Flow, Instant)>,
}

impl Ended {
    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }

    pub(crate) fn contains(&self, flow: &Flow, now: Instant) -> bool {
        self.flows.get(flow).is_some_and(|last| last.until > now)
    }

    fn add(&mut self, flow: Flow, seq: u32, ack: u32, now: Instant) {
        let until = now + KEPT;
        self.forget(now);
        self.flows.insert(flow, Last { seq, ack, until });
        self.order.push_back((flow, until));
    }

    fn forget(&mut self, now: Instant) {
        while let Some((flow, until)) = self.order.front()
            && (*until <= now || self.order.len() >= MOST)
        {
            if self.flows.get(flow).is_some_and(|last| last.until == *until) {
                self.flows.remove(flow);
            }
            self.order.pop_front();
        }
    }
}

impl Engine {
    /// Keeps of a socket only what is needed, if it will only wait from now on.
    pub(crate) fn bury(&mut self, id: u32, due: Option<Instant>) {
        let now = self.now;
        let Some(slot) = self.table.slot(id) else { return };
        if !matches!(slot.owner, Owner::Orphan { .. })
            || slot.tcp().state() != State::TimeWait
            || due.is_some_and(|due| due < now + SOON)
        {
            return;
        }
        let (flow, numbers) = (slot.flow, slot.numbers);
        if let Some(seq) = numbers.end() {
            self.ended.add(flow, seq, numbers.told, now);
        }
        self.remove(id);
    }

    /// Answers a segment of a connection that has ended. Gives the room for it back if it is for none, or opens one anew.
    pub(crate) fn answer_ended<T: TxToken>(
        &mut self,
        flow: &Flow,
        frame: &[u8],
        flags: u8,
        at: usize,
        token: T,
    ) -> Option<T> {
        if self.ended.len() == 0 {
            return Some(token);
        }
        let Some(last) = self.ended.flows.get(flow).copied() else { return Some(token) };
        if last.until <= self.now {
            self.ended.forget(self.now);
            return Some(token);
        }
        let Some(seq) = frame.get(at + 4..).and_then(|rest| rest.first_chunk()) else { return Some(token) };
        let ahead = u32::from_be_bytes(*seq).wrapping_sub(last.ack) as i32;
        // RFC 9293 section 3.10.7.4, where TIME-WAIT is: with a number that was not there before it is another connection.
        if flags & (SYN | RST) == SYN && ahead > 0 {
            self.ended.flows.remove(flow);
            return Some(token);
        }
        // A reset ends nothing that has ended (RFC 1337), and what only acknowledges wants no answer.
        let wants_answer = flags & (SYN | FIN) != 0 || payload(frame, at) != Some(0);
        if flags & RST == 0 && wants_answer {
            let answer = smoltcp::wire::TcpRepr {
                seq_number: TcpSeqNumber(last.seq as i32),
                ack_number: Some(TcpSeqNumber(last.ack as i32)),
                window_len: u16::MAX,
                ..reply::to(flow)
            };
            reply::send(frame, flow, &answer, &self.out.sums, token);
        }
        None
    }
}
