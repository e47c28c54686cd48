//! What is the same whatever the machine: requests, watches and the state of the connection.

use crate::error::Error;
use crate::requests::{Belongs, Purpose, Requests, SLOTS, SlotSet};
use crate::state::{Features, State};
use crate::watch::{Entry, Registered, Watches};
use crate::wire::{Decimal, ERROR_REPLY, Header, Op, PAYLOAD_MAX, WATCH_EVENT, number, until_nul};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use fata_ring::{Corrupt, Producer};
use fata_trace::{Device, Kind};
use xen_hyp::{SharedMem, Signal};

/// A transaction; id 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tx {
    pub(crate) id: u32,
    /// The connection that it is of.
    pub(crate) epoch: u32,
}

impl Tx {
    pub(crate) const NONE: Self = Self { id: 0, epoch: 0 };
}

/// What has to be sent although no task waits for it.
enum Chore {
    /// Ends a watch; the payload.
    Unwatch(Vec<u8>),
    /// Ends a transaction, discarding it.
    End(Tx),
}

pub(crate) struct Client {
    state: Cell<State>,
    pub(crate) features: Cell<Features>,
    /// Fires when the state changes.
    pub(crate) changed: Signal,
    /// Fires when there is work that no event announces.
    pub(crate) work: Signal,
    epoch: Cell<u32>,
    requests: RefCell<Requests>,
    /// By slot: fires when its outcome is there.
    done: [Signal; SLOTS],
    /// Fires when a slot is free, or none will be.
    free: Signal,
    /// How many tasks wait for a slot.
    waiting: Cell<usize>,
    chores: RefCell<VecDeque<Chore>>,
    pub(crate) watches: Watches,
}

impl Client {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            state: Cell::new(State::Late),
            features: Cell::default(),
            changed: Signal::new(),
            work: Signal::new(),
            epoch: Cell::new(0),
            requests: RefCell::new(Requests::new()),
            done: [const { Signal::new() }; SLOTS],
            free: Signal::new(),
            waiting: Cell::new(0),
            chores: RefCell::default(),
            watches: Watches::default(),
        })
    }

    pub(crate) fn state(&self) -> State {
        self.state.get()
    }

    pub(crate) fn set_state(&self, state: State) {
        if self.state.replace(state) != state {
            self.changed.fire();
        }
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.get()
    }

    /// Puts a request in line; `None` if it has to wait for a slot.
    fn claim(&self, op: Op, tx: Tx, payload: &[&[u8]]) -> Option<Result<Ticket<'_>, Error>> {
        if payload.iter().map(|part| part.len()).sum::<usize>() > PAYLOAD_MAX {
            return Some(Err(Error::PayloadTooLong));
        }
        if tx != Tx::NONE && tx.epoch != self.epoch.get() {
            return Some(Err(Error::EAGAIN));
        }
        match self.state.get() {
            State::Dead(error) => return Some(Err(error)),
            // First, so that no crowd of tasks can keep it from happening.
            State::Connected => self.do_chores(),
            _ => {}
        }
        let slot = self.requests.borrow_mut().claim(Purpose::Task, op, tx, payload)?;
        Some(Ok(Ticket { client: self, slot, taken: false }))
    }

    /// Puts as much into the ring as there is room for.
    pub(crate) fn send<M: SharedMem>(&self, ring: &Producer<M>) -> Result<(), Corrupt> {
        self.do_chores();
        let mut requests = self.requests.borrow_mut();
        while let Some(bytes) = requests.unsent() {
            let written = ring.write(bytes)?;
            if written == 0 {
                break;
            }
            requests.sent(written);
        }
        Ok(())
    }

    /// Takes slots for what no task waits for.
    fn do_chores(&self) {
        let mut requests = self.requests.borrow_mut();
        let mut chores = self.chores.borrow_mut();
        while let Some(chore) = chores.front() {
            let (op, tx, payload) = match chore {
                Chore::Unwatch(payload) => (Op::Unwatch, Tx::NONE, &payload[..]),
                Chore::End(tx) => (Op::TransactionEnd, *tx, &b"F\0"[..]),
            };
            if requests.claim(Purpose::Nobody, op, tx, &[payload]).is_none() {
                return;
            }
            chores.pop_front();
        }
        while let Some(watch) = self.watches.unregistered() {
            let depth = self.features.get().has(Features::WATCH_DEPTH);
            let purpose = Purpose::Register(watch.token);
            let claimed =
                watch.with_payload(depth, |parts| requests.claim(purpose, Op::Watch, Tx::NONE, parts));
            if claimed.is_none() {
                return;
            }
            watch.set(Registered::Asked);
        }
    }

    /// Takes a message of the server.
    pub(crate) fn receive(&self, header: Header, payload: Vec<u8>) -> Result<(), Corrupt> {
        if header.kind == WATCH_EVENT {
            return self.watches.event(&payload);
        }
        let mut requests = self.requests.borrow_mut();
        let index = match requests.find(header.id) {
            Belongs::To(index) => index,
            Belongs::Earlier => return Ok(()),
            Belongs::Nowhere => return Err(Corrupt),
        };
        fata_trace::mark(Kind::AnswerIn, Device::STORE.0, header.id.into());
        let slot = requests.slot(index);
        let outcome = match header.kind {
            _ if header.tx != slot.tx.id => return Err(Corrupt),
            ERROR_REPLY => Err(Error::from_reply(until_nul(&payload))),
            kind if kind == slot.op as u32 => Ok(payload),
            _ => return Err(Corrupt),
        };
        let reset = slot.op == Op::ResetWatches && outcome.is_ok();
        let lost = slot.tx != Tx::NONE && slot.tx.epoch != self.epoch.get();
        if slot.purpose == Some(Purpose::Task) {
            slot.outcome = Some(if lost { Err(Error::EAGAIN) } else { outcome });
            if reset {
                requests.begin_again();
                self.forgotten(Registered::No);
            }
            drop(requests);
            self.done[index].fire();
            return Ok(());
        }
        drop(requests);
        self.settle(index, outcome)
    }

    /// Takes a reply that no task waits for, and frees its slot.
    fn settle(&self, index: usize, outcome: Result<Vec<u8>, Error>) -> Result<(), Corrupt> {
        let mut requests = self.requests.borrow_mut();
        let slot = requests.slot(index);
        let mut result = Ok(());
        let chore = match (slot.purpose, outcome) {
            (Some(Purpose::Register(token)), outcome) => {
                let unwatch = || Chore::Unwatch(without_depth(slot.payload()));
                self.watches.settle(token, outcome).then(unwatch)
            }
            (_, Ok(reply)) if slot.op == Op::TransactionStart => {
                let id = number(until_nul(&reply)).filter(|&id| id != 0);
                result = id.map(|_| ()).ok_or(Corrupt);
                id.map(|id| Chore::End(Tx { id, epoch: self.epoch.get() }))
            }
            _ => None,
        };
        requests.free(index);
        drop(requests);
        if let Some(chore) = chore {
            self.add_chore(chore);
        }
        self.freed();
        result
    }

    fn add_chore(&self, chore: Chore) {
        self.chores.borrow_mut().push_back(chore);
        self.work.fire();
    }

    pub(crate) fn add_watch(&self, path: &str, depth: Option<u32>) -> Rc<Entry> {
        let entry = self.watches.add(path, depth);
        if let State::Dead(error) = self.state.get() {
            entry.set(Registered::Refused(error));
        }
        entry
    }

    pub(crate) fn end_watch(&self, entry: &Rc<Entry>) {
        self.watches.remove(entry);
        // One that is being registered is ended when the reply is there, since replies may come in any order.
        if entry.registered.get() == Registered::Yes {
            self.add_chore(Chore::Unwatch(entry.with_payload(false, |parts| parts.concat())));
        }
    }

    pub(crate) fn end_transaction(&self, tx: Tx) {
        if tx.epoch == self.epoch.get() {
            self.add_chore(Chore::End(tx));
        }
    }

    /// The server has forgotten our transactions, and how far our watches are known to it is this.
    fn forgotten(&self, watches: Registered) {
        self.epoch.set(self.epoch.get().wrapping_add(1));
        self.chores.borrow_mut().clear();
        self.watches.set_all(watches);
    }

    /// There is a new connection, to a server that knows nothing of us; unless the ring was `used` before.
    pub(crate) fn connected(&self, used: bool) {
        self.forgotten(Registered::No);
        let lost = self.requests.borrow_mut().restart(used);
        self.set_state(State::Connected);
        self.announce(lost);
    }

    /// There will be no answers any more.
    pub(crate) fn die(&self, error: Error) {
        self.forgotten(Registered::Refused(error));
        let failed = self.requests.borrow_mut().fail(error);
        self.set_state(State::Dead(error));
        self.announce(failed);
    }

    fn announce(&self, done: SlotSet) {
        done.iter().for_each(|index| self.done[index].fire());
        self.free.fire();
    }

    /// A slot is free now: for what no task waits for, then for who waits.
    fn freed(&self) {
        if self.state.get() == State::Connected
            && (!self.chores.borrow().is_empty() || self.watches.has_news())
        {
            self.work.fire();
        }
        self.free.fire();
    }

    /// A place among those who wait for a slot.
    pub(crate) fn place(&self) -> Place<'_> {
        Place { client: self, waits: false }
    }
}

/// The first two strings of what started a watch: what ends it.
fn without_depth(payload: &[u8]) -> Vec<u8> {
    let strings = payload.split_inclusive(|&byte| byte == 0).take(2);
    strings.flatten().copied().collect()
}

/// A request in line or under way, for the task that waits for it. Dropped before it has its reply, it is taken
/// back, or its reply is swallowed when it comes; what it achieved and nobody can use is undone.
pub(crate) struct Ticket<'a> {
    client: &'a Client,
    slot: usize,
    taken: bool,
}

impl Ticket<'_> {
    /// Waits for the reply.
    pub(crate) async fn reply(mut self) -> Result<Vec<u8>, Error> {
        let Self { client, slot, .. } = self;
        let outcome =
            client.done[slot].until(|| client.requests.borrow_mut().slot(slot).outcome.take()).await;
        self.taken = true;
        outcome
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut requests = self.client.requests.borrow_mut();
        if self.taken {
            requests.free(self.slot);
        } else if let Some(outcome) = requests.slot(self.slot).outcome.take() {
            drop(requests);
            // If it makes no sense, there is nothing to undo.
            let _ = self.client.settle(self.slot, outcome);
            return;
        } else if !requests.abandon(self.slot) {
            return;
        }
        drop(requests);
        self.client.freed();
    }
}

/// A task's place among those who wait for a slot. Who comes later does not pass who waits.
pub(crate) struct Place<'a> {
    client: &'a Client,
    waits: bool,
}

impl<'a> Place<'a> {
    /// Waits for a slot, and puts a request in line.
    pub(crate) async fn claim(mut self, op: Op, tx: Tx, payload: &[&[u8]]) -> Result<Ticket<'a>, Error> {
        let client = self.client;
        let claim = || {
            if self.waits || client.waiting.get() == 0 {
                let claimed = client.claim(op, tx, payload);
                if claimed.is_some() {
                    return claimed;
                }
            }
            if !core::mem::replace(&mut self.waits, true) {
                client.waiting.set(client.waiting.get() + 1);
            }
            None
        };
        client.free.until(claim).await
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.waits {
            let client = self.client;
            client.waiting.set(client.waiting.get() - 1);
            // Those behind it may have been told of a slot that they had to leave to it.
            if client.requests.borrow().has_room() {
                client.free.fire();
            }
        }
    }
}

/// The payload of requests that take a domain.
pub(crate) fn domain(dom: xen_hyp::DomId) -> Decimal {
    Decimal::new(dom.0.into())
}
