//! Rings of requests and responses, as in block and network devices (`xen/include/public/io/ring.h`), both ends.
//!
//! Request and response share a slot, so there are never more responses due than slots. Each side publishes how far
//! it has written, and how far the other must come before it wants to be notified again: that is what makes
//! notifications rare, and what a missing fence turns into a side that sleeps for ever.

use crate::Corrupt;
use xen_hyp::SharedMem;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Offsets in `struct name_sring`.
const REQ_PROD: usize = 0;
const REQ_EVENT: usize = 4;
const RSP_PROD: usize = 8;
const RSP_EVENT: usize = 12;
const SLOTS: usize = 64;

/// What lies in a slot: plain bytes, whatever they are.
pub trait Message: FromBytes + IntoBytes + Immutable {}
impl<T: FromBytes + IntoBytes + Immutable> Message for T {}

/// Whether publishing `new` after `old` passes the index at which the other side asked to be notified
/// (`RING_PUSH_REQUESTS_AND_CHECK_NOTIFY`).
pub(crate) const fn passes(old: u32, new: u32, event: u32) -> bool {
    new.wrapping_sub(event) < new.wrapping_sub(old)
}

/// The slots in `bytes` of memory: the largest power of two that fits (`__RING_SIZE`).
pub const fn slots(bytes: usize, slot_bytes: usize) -> u32 {
    1 << ((bytes - SLOTS) / slot_bytes).ilog2()
}

/// Memory laid out as a ring.
#[derive(Debug)]
struct Ring<M> {
    mem: M,
    slot_bytes: usize,
    size: u32,
}

impl<M: SharedMem> Ring<M> {
    /// # Panics
    ///
    /// If not even one slot fits, or slots are not whole words: both are constants of the protocol.
    fn new(mem: M, slot_bytes: usize) -> Self {
        assert!(slot_bytes > 0 && slot_bytes.is_multiple_of(4) && mem.size() >= SLOTS + slot_bytes);
        let size = slots(mem.size(), slot_bytes);
        Self { mem, slot_bytes, size }
    }

    fn slot(&self, index: u32) -> usize {
        SLOTS + (index & (self.size - 1)) as usize * self.slot_bytes
    }

    fn put(&self, index: u32, parts: &[&[u8]]) {
        let (mut at, mut left) = (self.slot(index), self.slot_bytes);
        for part in parts {
            assert!(part.len() <= left, "a message longer than its slot");
            self.mem.copy_out(at, part);
            (at, left) = (at + part.len(), left - part.len());
        }
    }

    fn take<T: Message>(&self, index: u32) -> T {
        const { assert!(size_of::<T>() > 0) };
        assert!(size_of::<T>() <= self.slot_bytes, "a message longer than its slot");
        self.mem.read(self.slot(index))
    }

    /// Publishes an index and tells whether the other side wants to be notified of it.
    fn publish(&self, prod: usize, event: usize, old: u32, new: u32) -> bool {
        self.mem.store(prod, new);
        // Our index is out before we look for what they asked: they ask first and then look for our index.
        self.mem.fence();
        passes(old, new, self.mem.load(event))
    }

    /// Asks to be notified when the other side's index passes `at`.
    fn arm(&self, event: usize, at: u32) {
        self.mem.store(event, at.wrapping_add(1));
        self.mem.fence();
    }
}

/// The end that sends requests.
#[derive(Debug)]
pub struct Front<M> {
    ring: Ring<M>,
    /// The next request's index.
    req_prod: u32,
    /// How far the other end has been told.
    published: u32,
    /// The next response's index.
    rsp_cons: u32,
    /// How far there are responses, as far as we know.
    rsp_seen: u32,
}

impl<M: SharedMem> Front<M> {
    /// Lays a ring out in `mem`, whose slots hold requests and responses of up to `slot_bytes`.
    pub fn new(mem: M, slot_bytes: usize) -> Self {
        Self::from(mem, slot_bytes, 0)
    }

    /// The same with all indices at `start`.
    pub(crate) fn from(mem: M, slot_bytes: usize, start: u32) -> Self {
        let ring = Ring::new(mem, slot_bytes);
        for (offset, value) in [(REQ_PROD, start), (RSP_PROD, start)] {
            ring.mem.store(offset, value);
        }
        ring.arm(REQ_EVENT, start);
        ring.arm(RSP_EVENT, start);
        Self { ring, req_prod: start, published: start, rsp_cons: start, rsp_seen: start }
    }

    /// How many slots there are.
    pub fn size(&self) -> u32 {
        self.ring.size
    }

    /// How many more requests there is room for.
    pub fn room(&self) -> u32 {
        self.ring.size - self.req_prod.wrapping_sub(self.rsp_cons)
    }

    /// Writes a request. The other end sees it after [`publish`](Self::publish).
    ///
    /// # Panics
    ///
    /// If there is no [`room`](Self::room), or the request is longer than a slot.
    pub fn push(&mut self, request: &[u8]) {
        self.push_parts(&[request]);
    }

    /// The same for a request in several parts, which lie one after the other.
    pub fn push_parts(&mut self, parts: &[&[u8]]) {
        assert!(self.room() > 0, "a request more than there are slots");
        self.ring.put(self.req_prod, parts);
        self.req_prod = self.req_prod.wrapping_add(1);
    }

    /// Publishes all requests written so far, and tells whether the other end must be notified.
    #[must_use = "a peer that is not notified sleeps on"]
    pub fn publish(&mut self) -> bool {
        let old = core::mem::replace(&mut self.published, self.req_prod);
        old != self.req_prod && self.ring.publish(REQ_PROD, REQ_EVENT, old, self.req_prod)
    }

    /// Takes the next response. `None` means that there is none, and that an event will come when there is.
    pub fn take<S: Message>(&mut self) -> Result<Option<S>, Corrupt> {
        if self.rsp_cons == self.rsp_seen && !self.look()? {
            self.ring.arm(RSP_EVENT, self.rsp_cons);
            if !self.look()? {
                return Ok(None);
            }
        }
        Ok(Some(self.consume()))
    }

    /// Takes the next response if there is one. No event is asked for, unlike by [`take`](Self::take): for responses
    /// that nobody waits for.
    pub fn try_take<S: Message>(&mut self) -> Result<Option<S>, Corrupt> {
        if self.rsp_cons == self.rsp_seen && !self.look()? {
            return Ok(None);
        }
        Ok(Some(self.consume()))
    }

    /// Asks for an event when `count` responses are there that have not been taken. Gives whether they are there
    /// already, and no event need come.
    pub fn ask(&mut self, count: u32) -> Result<bool, Corrupt> {
        self.ring.arm(RSP_EVENT, self.rsp_cons.wrapping_add(count.saturating_sub(1)));
        self.look()?;
        Ok(self.rsp_seen.wrapping_sub(self.rsp_cons) >= count)
    }

    /// Whether there are requests to be answered, and no answer to any of them.
    pub fn is_silent(&self) -> bool {
        self.published != self.rsp_cons && self.ring.mem.load(RSP_PROD) == self.rsp_cons
    }

    fn consume<S: Message>(&mut self) -> S {
        let response = self.ring.take(self.rsp_cons);
        self.rsp_cons = self.rsp_cons.wrapping_add(1);
        response
    }

    /// Looks for responses. Only requests that were published can have been answered.
    fn look(&mut self) -> Result<bool, Corrupt> {
        let prod = self.ring.mem.load(RSP_PROD);
        if prod.wrapping_sub(self.rsp_cons) > self.published.wrapping_sub(self.rsp_cons) {
            return Err(Corrupt);
        }
        self.rsp_seen = prod;
        Ok(prod != self.rsp_cons)
    }

    /// The memory it lies in.
    pub fn memory(&self) -> &M {
        &self.ring.mem
    }

    /// Gives the memory back.
    pub fn into_memory(self) -> M {
        self.ring.mem
    }
}

/// The end that answers them.
#[derive(Debug)]
pub struct Back<M> {
    ring: Ring<M>,
    /// The next request's index.
    req_cons: u32,
    /// How far there are requests, as far as we know.
    req_seen: u32,
    /// The next response's index.
    rsp_prod: u32,
    /// How far the other end has been told.
    published: u32,
}

impl<M: SharedMem> Back<M> {
    /// Attaches to a ring that the other end has laid out. Requests that were answered before count as done, so
    /// that a backend may take up where another has left (`BACK_RING_ATTACH`).
    pub fn attach(mem: M, slot_bytes: usize) -> Result<Self, Corrupt> {
        let ring = Ring::new(mem, slot_bytes);
        let (req_prod, rsp_prod) = (ring.mem.load(REQ_PROD), ring.mem.load(RSP_PROD));
        if req_prod.wrapping_sub(rsp_prod) > ring.size {
            return Err(Corrupt);
        }
        Ok(Self { ring, req_cons: rsp_prod, req_seen: rsp_prod, rsp_prod, published: rsp_prod })
    }

    /// How many slots there are.
    pub fn size(&self) -> u32 {
        self.ring.size
    }

    /// Takes the next request. `None` means that there is none, and that an event will come when there is.
    pub fn take<Q: Message>(&mut self) -> Result<Option<Q>, Corrupt> {
        if self.req_cons == self.req_seen && !self.look()? {
            self.ring.arm(REQ_EVENT, self.req_cons);
            if !self.look()? {
                return Ok(None);
            }
        }
        let request = self.ring.take(self.req_cons);
        self.req_cons = self.req_cons.wrapping_add(1);
        Ok(Some(request))
    }

    /// Looks for requests. There cannot be more than slots that we have answered or never used.
    fn look(&mut self) -> Result<bool, Corrupt> {
        let prod = self.ring.mem.load(REQ_PROD);
        let due = self.req_cons.wrapping_sub(self.rsp_prod);
        if prod.wrapping_sub(self.req_cons) > self.ring.size - due {
            return Err(Corrupt);
        }
        self.req_seen = prod;
        Ok(prod != self.req_cons)
    }

    /// How many requests were taken and not answered.
    pub fn due(&self) -> u32 {
        self.req_cons.wrapping_sub(self.rsp_prod)
    }

    /// Writes a response. The other end sees it after [`publish`](Self::publish).
    ///
    /// # Panics
    ///
    /// If no request is [`due`](Self::due) an answer, or the response is longer than a slot.
    pub fn push(&mut self, response: &[u8]) {
        assert!(self.due() > 0, "a response without a request");
        self.ring.put(self.rsp_prod, &[response]);
        self.rsp_prod = self.rsp_prod.wrapping_add(1);
    }

    /// Publishes all responses written so far, and tells whether the other end must be notified.
    #[must_use = "a peer that is not notified sleeps on"]
    pub fn publish(&mut self) -> bool {
        let old = core::mem::replace(&mut self.published, self.rsp_prod);
        old != self.rsp_prod && self.ring.publish(RSP_PROD, RSP_EVENT, old, self.rsp_prod)
    }

    /// The memory it lies in.
    pub fn memory(&self) -> &M {
        &self.ring.mem
    }
}

#[cfg(all(test, not(loom)))]
#[path = "message_tests.rs"]
mod tests;

#[cfg(all(test, loom))]
#[path = "message_loom.rs"]
mod model;

#[cfg(kani)]
mod proofs {
    use super::passes;

    /// Exactly when one of the indices from `old` + 1 to `new` is `event`, wherever they wrap around.
    #[kani::proof]
    fn a_notification_is_due_exactly_when_the_event_index_is_passed() {
        let (old, len, event): (u32, u32, u32) = kani::any();
        kani::assume(len <= 1 << 16);
        let distance = event.wrapping_sub(old);
        assert_eq!(passes(old, old.wrapping_add(len), event), distance >= 1 && distance <= len);
    }
}
