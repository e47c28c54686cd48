//! Requests under way, each in a slot until its reply is there.

use crate::client::Tx;
use crate::error::Error;
use crate::wire::{Header, Op, PAYLOAD_MAX};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use fata_trace::{Device, Kind};

/// How many may be under way; more wait. C xenstored stops reading when 20 replies are outstanding.
pub(crate) const SLOTS: usize = 16;
/// One more, for what must come before all others on a ring that was used before us.
const RESET_SLOT: usize = SLOTS;
/// A longer message's memory is given back.
const KEPT_BYTES: usize = 256;

/// Who wants the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A task.
    Task,
    /// The watch with this token, which it registers.
    Register(u32),
    /// Nobody, but it has to be looked at: the task that wanted it is gone.
    Nobody,
}

#[derive(Debug)]
pub(crate) struct Slot {
    /// `None`: free.
    pub(crate) purpose: Option<Purpose>,
    pub(crate) op: Op,
    pub(crate) tx: Tx,
    id: u32,
    /// Header and payload, kept until the reply is there, so that it can be sent once more.
    message: Vec<u8>,
    pub(crate) outcome: Option<Result<Vec<u8>, Error>>,
}

impl Slot {
    pub(crate) fn payload(&self) -> &[u8] {
        self.message.get(Header::SIZE..).unwrap_or_default()
    }

    fn set_header(&mut self, id: u32) {
        self.id = id;
        let len = self.payload().len() as u32;
        let header = Header { kind: self.op as u32, id, tx: self.tx.id, len }.encode();
        self.message[..Header::SIZE].copy_from_slice(&header);
    }
}

/// Where a reply belongs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Belongs {
    /// To this slot.
    To(usize),
    /// To a request of an earlier connection.
    Earlier,
    /// Nowhere.
    Nowhere,
}

/// All slots, and which of them wait to be sent.
#[derive(Debug)]
pub(crate) struct Requests {
    slots: Vec<Slot>,
    unsent: VecDeque<usize>,
    /// How much of the first of these is in the ring.
    sent: usize,
    next_id: u32,
    /// The first of this connection.
    first_id: u32,
    /// The first of those, up to it, that belong to earlier ones.
    oldest_id: u32,
}

impl Requests {
    pub(crate) fn new() -> Self {
        let slot =
            |_| Slot { purpose: None, op: Op::Read, tx: Tx::NONE, id: 0, message: Vec::new(), outcome: None };
        Self {
            slots: (0..=RESET_SLOT).map(slot).collect(),
            unsent: VecDeque::with_capacity(SLOTS + 1),
            sent: 0,
            next_id: 1,
            first_id: 1,
            oldest_id: 1,
        }
    }

    pub(crate) fn slot(&mut self, index: usize) -> &mut Slot {
        &mut self.slots[index]
    }

    /// Puts a request into a free slot and in line; `None` if there is none. The payload must not be too long.
    pub(crate) fn claim(&mut self, purpose: Purpose, op: Op, tx: Tx, payload: &[&[u8]]) -> Option<usize> {
        let index = self.slots[..SLOTS].iter().position(|slot| slot.purpose.is_none())?;
        self.fill(index, purpose, op, tx, payload);
        Some(index)
    }

    fn fill(&mut self, index: usize, purpose: Purpose, op: Op, tx: Tx, payload: &[&[u8]]) {
        let slot = &mut self.slots[index];
        (slot.purpose, slot.op, slot.tx) = (Some(purpose), op, tx);
        slot.message.clear();
        slot.message.resize(Header::SIZE, 0);
        payload.iter().for_each(|part| slot.message.extend_from_slice(part));
        debug_assert!(slot.payload().len() <= PAYLOAD_MAX);
        self.put_in_line(index);
    }

    /// Whether [`claim`](Self::claim) would find a slot.
    pub(crate) fn has_room(&self) -> bool {
        self.slots[..SLOTS].iter().any(|slot| slot.purpose.is_none())
    }

    /// Gives a request a number of its own, and sends it when its turn comes.
    fn put_in_line(&mut self, index: usize) {
        let id = self.take_id();
        self.slots[index].set_header(id);
        self.unsent.push_back(index);
    }

    fn take_id(&mut self) -> u32 {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        id
    }

    /// Bytes to put into the ring next.
    pub(crate) fn unsent(&self) -> Option<&[u8]> {
        self.slots[*self.unsent.front()?].message.get(self.sent..)
    }

    /// Says how many of them went in.
    pub(crate) fn sent(&mut self, len: usize) {
        self.sent += len;
        if self.unsent().is_some_and(<[u8]>::is_empty) {
            let sent = self.unsent.pop_front();
            if fata_trace::ON
                && let Some(index) = sent
            {
                fata_trace::mark(Kind::RequestOut, Device::STORE.0, self.slots[index].id.into());
            }
            self.sent = 0;
        }
    }

    /// Finds the slot that a reply is for; one that has had its reply, or has not been sent, expects none.
    pub(crate) fn find(&self, id: u32) -> Belongs {
        let expects = |(index, slot): (usize, &Slot)| {
            slot.purpose.is_some() && slot.id == id && slot.outcome.is_none() && !self.unsent.contains(&index)
        };
        match self.slots.iter().enumerate().position(expects) {
            Some(index) => Belongs::To(index),
            None if id.wrapping_sub(self.oldest_id) < self.first_id.wrapping_sub(self.oldest_id) => {
                Belongs::Earlier
            }
            None => Belongs::Nowhere,
        }
    }

    /// Makes a slot free.
    pub(crate) fn free(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        (slot.purpose, slot.outcome) = (None, None);
        if slot.message.capacity() > KEPT_BYTES {
            slot.message = Vec::new();
        }
    }

    /// The task that waited for this one is gone. It is taken back if not a byte of it has been sent; the end of
    /// a transaction is sent in any case. Gives whether its slot is free now.
    pub(crate) fn abandon(&mut self, index: usize) -> bool {
        let place = self.unsent.iter().position(|&unsent| unsent == index);
        let slot = &mut self.slots[index];
        match place.filter(|&place| place > 0 || self.sent == 0) {
            Some(_) if slot.op == Op::TransactionEnd => slot.message[Header::SIZE] = b'F',
            Some(place) => {
                self.unsent.remove(place);
                self.free(index);
                return true;
            }
            None => {}
        }
        slot.purpose = Some(Purpose::Nobody);
        false
    }

    /// The server has forgotten the transactions whose beginning no task has heard of yet: they begin again.
    pub(crate) fn begin_again(&mut self) {
        for index in 0..SLOTS {
            let slot = &mut self.slots[index];
            if slot.op == Op::TransactionStart && slot.outcome.take_if(|outcome| outcome.is_ok()).is_some() {
                self.put_in_line(index);
            }
        }
    }

    /// Starts over on a new connection: what tasks wait for is sent again, in the old order, unless it belongs
    /// to a transaction, which is lost; that has its outcome now. What no task waits for is forgotten. On a ring
    /// that was used before, first of all the server is made to forget what it knows of that.
    /// Gives the slots that have got an outcome.
    pub(crate) fn restart(&mut self, used: bool) -> SlotSet {
        self.begin_again();
        self.begin_connection();
        let oldest = self.first_id;
        if used {
            self.fill(RESET_SLOT, Purpose::Nobody, Op::ResetWatches, Tx::NONE, &[b"\0"]);
        }
        let mut lost = SlotSet(0);
        // From the oldest to the newest.
        let mut left = SlotSet::ALL;
        while let Some(index) = left.iter().min_by_key(|&index| self.slots[index].id.wrapping_sub(oldest)) {
            left.remove(index);
            let slot = &mut self.slots[index];
            match slot.purpose {
                Some(Purpose::Task) if slot.outcome.is_some() => {}
                Some(Purpose::Task) if slot.tx != Tx::NONE => {
                    slot.outcome = Some(Err(Error::EAGAIN));
                    lost.insert(index);
                }
                Some(Purpose::Task) => self.put_in_line(index),
                _ => self.free(index),
            }
        }
        lost
    }

    /// Nothing is sent, and what comes for the requests there are is too late.
    fn begin_connection(&mut self) {
        self.first_id = self.next_id;
        // Half of all numbers may be earlier ones.
        if self.first_id.wrapping_sub(self.oldest_id) > u32::MAX / 2 {
            self.oldest_id = self.first_id.wrapping_sub(u32::MAX / 2);
        }
        self.sent = 0;
        self.unsent.clear();
        self.free(RESET_SLOT);
    }

    /// Ends everything with this error. Gives the slots that have got an outcome.
    pub(crate) fn fail(&mut self, error: Error) -> SlotSet {
        self.begin_connection();
        let mut failed = SlotSet(0);
        for index in SlotSet::ALL.iter() {
            let slot = &mut self.slots[index];
            match slot.purpose {
                Some(Purpose::Task) if slot.outcome.is_some() => {}
                Some(Purpose::Task) => {
                    slot.outcome = Some(Err(error));
                    failed.insert(index);
                }
                _ => self.free(index),
            }
        }
        failed
    }
}

/// Some of the slots that tasks can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotSet(u32);

impl SlotSet {
    const ALL: Self = Self((1 << SLOTS) - 1);

    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        (0..SLOTS).filter(move |index| self.0 >> index & 1 != 0)
    }

    fn insert(&mut self, index: usize) {
        self.0 |= 1 << index;
    }

    fn remove(&mut self, index: usize) {
        self.0 &= !(1 << index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send_all(requests: &mut Requests) -> Vec<Header> {
        let mut sent = Vec::new();
        while let Some(bytes) = requests.unsent() {
            sent.push(Header::decode(*bytes.first_chunk().unwrap()));
            let len = bytes.len();
            requests.sent(len);
        }
        sent
    }

    #[test]
    fn what_is_sent_again_keeps_its_order_and_gets_new_numbers() {
        let mut requests = Requests::new();
        requests.next_id = u32::MAX - 1;
        requests.first_id = u32::MAX - 1;
        requests.oldest_id = u32::MAX - 1;
        for id in [0, 0, 7, 0] {
            let tx = Tx { id, ..Tx::NONE };
            requests.claim(Purpose::Task, Op::Write, tx, &[b"path\0", b"value"]).unwrap();
        }
        requests.claim(Purpose::Nobody, Op::Unwatch, Tx::NONE, &[b"x\0y\0"]).unwrap();
        let ids: Vec<u32> = send_all(&mut requests).iter().map(|h| h.id).collect();
        assert_eq!(ids, [u32::MAX - 1, u32::MAX, 0, 1, 2]);
        // The first is answered, its slot used again by what is now the last.
        requests.free(0);
        requests.claim(Purpose::Task, Op::Read, Tx::NONE, &[b"last\0"]).unwrap();
        assert_eq!(requests.restart(false), SlotSet(1 << 2));
        assert_eq!(requests.slot(2).outcome, Some(Err(Error::EAGAIN)));
        let again = send_all(&mut requests);
        assert_eq!(again.iter().map(|h| (h.id, h.kind)).collect::<Vec<_>>(), [(4, 11), (5, 11), (6, 2)]);
        for id in ids {
            assert_eq!(requests.find(id), Belongs::Earlier);
        }
        assert_eq!(requests.find(5), Belongs::To(3));
        assert_eq!(requests.find(7), Belongs::Nowhere);
        assert_eq!(requests.find(u32::MAX - 2), Belongs::Nowhere);
    }

    #[test]
    fn only_what_is_wholly_unsent_can_be_taken_back() {
        let mut requests = Requests::new();
        let [a, b] =
            [b"a\0", b"b\0"].map(|p| requests.claim(Purpose::Task, Op::Read, Tx::NONE, &[p]).unwrap());
        assert_eq!(requests.find(1), Belongs::Nowhere);
        requests.sent(1);
        assert!(!requests.abandon(a));
        assert!(requests.abandon(b));
        requests.sent(17);
        assert!(requests.unsent().is_none());
        assert_eq!(requests.find(1), Belongs::To(a));
        assert_eq!(requests.slot(a).purpose, Some(Purpose::Nobody));
    }

    #[test]
    fn the_end_of_a_transaction_that_nobody_waits_for_any_more_discards_it() {
        let mut requests = Requests::new();
        let tx = Tx { id: 7, epoch: 0 };
        let end = requests.claim(Purpose::Task, Op::TransactionEnd, tx, &[b"T\0"]).unwrap();
        assert!(!requests.abandon(end));
        assert_eq!(requests.unsent().unwrap()[Header::SIZE..], *b"F\0");
    }

    #[test]
    fn a_beginning_that_nobody_has_heard_of_is_sent_again() {
        let mut requests = Requests::new();
        let start = requests.claim(Purpose::Task, Op::TransactionStart, Tx::NONE, &[b"\0"]).unwrap();
        let read = requests.claim(Purpose::Task, Op::Read, Tx::NONE, &[b"a\0"]).unwrap();
        assert_eq!(send_all(&mut requests).len(), 2);
        for slot in [start, read] {
            requests.slot(slot).outcome = Some(Ok(b"7\0".to_vec()));
        }
        requests.begin_again();
        assert_eq!(send_all(&mut requests).len(), 1);
        assert_eq!(requests.slot(start).outcome, None);
        requests.slot(start).outcome = Some(Ok(b"8\0".to_vec()));
        requests.restart(true);
        let sent = send_all(&mut requests);
        assert_eq!(sent.iter().map(|h| h.kind).collect::<Vec<_>>(), [21, 6]);
        assert!(requests.slot(read).outcome.is_some());
    }
}
