//! What a backend that means harm does, or one with a bug.

use super::request::response;
use super::{Blkback, Inner, Order};
use crate::grants::MappedPages;
use std::rc::Rc;
use xen_hyp::SharedMem;

/// Offsets in `struct blkif_sring`.
const RSP_PROD: usize = 8;
const SLOTS: usize = 64;
const SLOT: usize = super::request::SLOT;

impl Blkback {
    /// The memory of a ring, to write anything into; `None` while it is not connected.
    pub fn ring(&self, queue: usize) -> Option<Rc<MappedPages>> {
        self.inner.borrow().queues.get(queue).map(|queue| queue.memory.clone())
    }

    /// Puts an answer of its own into a ring, where the next one belongs, and publishes it.
    pub fn forge(&self, queue: usize, id: u64, op: u8, status: i16) {
        let Some(ring) = self.ring(queue) else { return };
        let prod = ring.load(RSP_PROD);
        let slots = fata_ring::slots(ring.size(), SLOT);
        ring.copy_out(SLOTS + (prod & (slots - 1)) as usize * SLOT, &response(id, op, status));
        ring.store(RSP_PROD, prod.wrapping_add(1));
        self.notify(queue);
    }

    /// Publishes this index of answers, whatever there is.
    pub fn publish(&self, queue: usize, index: u32) {
        if let Some(ring) = self.ring(queue) {
            ring.store(RSP_PROD, index);
        }
        self.notify(queue);
    }

    /// Sends an event for nothing.
    pub fn notify(&self, queue: usize) {
        if let Some(queue) = self.inner.borrow().queues.get(queue) {
            queue.notify(&self.world);
        }
    }

    /// Whether it sends an event with each turn in which anything happens.
    pub fn set_storm(&self, storm: bool) {
        self.inner.borrow_mut().storm = storm;
    }

    /// Whether pages of requests stay mapped when they are answered.
    pub fn set_keeps(&self, keeps: bool) {
        self.inner.borrow_mut().keeps = keeps;
    }

    /// How many pages it keeps that it should not.
    pub fn kept(&self) -> usize {
        let inner = self.inner.borrow();
        inner.kept.len() + inner.kept_rings.iter().map(|ring| ring.0.len()).sum::<usize>()
    }

    /// Lets go of all pages that it should not have.
    pub fn let_go(&self) {
        self.inner.borrow_mut().let_go();
    }

    /// From now on an honest backend, as it was before anything was set.
    pub fn behave(&self) {
        let mut inner = self.inner.borrow_mut();
        let Inner { order, nodes, judge, peek, keeps, storm, driver, inserted, .. } = &mut *inner;
        nodes.clear();
        (*order, *judge, *peek) = (Order::Arrival, None, None);
        (*keeps, *storm, *driver, *inserted) = (false, false, true, true);
        inner.let_go();
    }

    /// The ids of requests taken and not answered, in their order.
    pub fn pending_ids(&self) -> Vec<u64> {
        self.inner.borrow().pending.iter().map(|pending| pending.id()).collect()
    }
}
