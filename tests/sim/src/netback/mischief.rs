//! What a backend that means harm does, or one with a bug.

use super::wire::{RX_SLOT, TX_SLOT, tx_response};
use super::{Inner, Netback, Order, Packet};
use crate::grants::MappedPages;
use std::rc::Rc;
use xen_hyp::SharedMem;

/// Offsets in `struct netif_tx_sring`.
const RSP_PROD: usize = 8;
const SLOTS: usize = 64;

/// Which ring of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// That by which the guest sends.
    Tx,
    /// That by which it receives.
    Rx,
}

impl Netback {
    /// The memory of a ring, to write anything into; `None` while it is not connected.
    pub fn ring(&self, queue: usize, way: Way) -> Option<Rc<MappedPages>> {
        let inner = self.inner.borrow();
        let [tx, rx] = inner.queues.get(queue)?.memory();
        Some(if way == Way::Tx { tx } else { rx })
    }

    /// Puts an answer of its own into a ring, where the next one belongs, and publishes it.
    pub fn forge(&self, queue: usize, way: Way, answer: &[u8]) {
        let Some(ring) = self.ring(queue, way) else { return };
        let prod = ring.load(RSP_PROD);
        let slot = if way == Way::Tx { TX_SLOT } else { RX_SLOT };
        let slots = fata_ring::slots(ring.size(), slot);
        ring.copy_out(SLOTS + (prod & (slots - 1)) as usize * slot, &answer[..answer.len().min(slot)]);
        ring.store(RSP_PROD, prod.wrapping_add(1));
        self.notify(queue, way);
    }

    /// The same for a packet that the guest has sent, or not.
    pub fn forge_sent(&self, queue: usize, id: u16, status: i16) {
        self.forge(queue, Way::Tx, &tx_response(id, status));
    }

    /// Publishes this index of answers, whatever there is.
    pub fn publish(&self, queue: usize, way: Way, index: u32) {
        if let Some(ring) = self.ring(queue, way) {
            ring.store(RSP_PROD, index);
        }
        self.notify(queue, way);
    }

    /// Sends an event for nothing.
    pub fn notify(&self, queue: usize, way: Way) {
        if let Some(queue) = self.inner.borrow().queues.get(queue) {
            let side = if way == Way::Tx { &queue.tx } else { &queue.rx };
            side.notify(&self.world);
        }
    }

    /// Lets this change the answers of each frame for the guest before they are written: one for each slot, the
    /// first with the first part of the data, and extra information after that. More than there were are written too, as
    /// long as the guest has asked for more.
    pub fn tamper(&self, tamper: impl FnMut(&mut Vec<[u8; RX_SLOT]>) + 'static) {
        self.inner.borrow_mut().tamper = Some(Box::new(tamper));
    }

    /// The same for the answers of each turn to what the guest has sent: an id and a status each.
    pub fn tamper_sent(&self, tamper: impl FnMut(&mut Vec<[u8; 4]>) + 'static) {
        self.inner.borrow_mut().tamper_sent = Some(Box::new(tamper));
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
        let mut inner = self.inner.borrow_mut();
        inner.kept.clear();
        inner.kept_rings.clear();
    }

    /// From now on an honest backend, as it was before anything was set.
    pub fn behave(&self) {
        let mut inner = self.inner.borrow_mut();
        let Inner { order, nodes, judge, tamper, tamper_sent, keeps, storm, driver, script, .. } =
            &mut *inner;
        nodes.clear();
        (*order, *judge, *tamper, *tamper_sent) = (Order::Arrival, None, None, None);
        (*keeps, *storm, *driver, *script) = (false, false, true, true);
        inner.kept.clear();
        inner.kept_rings.clear();
    }

    /// The ids of slots taken and not answered, in their order.
    pub fn pending_ids(&self) -> Vec<u16> {
        self.inner.borrow().pending.iter().flat_map(Packet::ids).collect()
    }
}
