//! What becomes of sockets: connections that open and end, and how they go.

use crate::engine::Engine;
use crate::headers::{self, Address};
use crate::table::{Kind, Owner};
use alloc::collections::VecDeque;
use smoltcp::socket::tcp;
use smoltcp::time::Duration;
use smoltcp::wire::IpAddress;

/// How long a connection may take to end once the application has let go of it.
const GOODBYE: Duration = Duration::from_secs(60);
/// Connections that may be ending at the same time, and the bytes of their buffers. When there are more, one that only
/// waits for what is late is forgotten, or else the oldest is reset.
const ORPHANS: usize = 256;
const ORPHANS_BYTES: usize = 8 << 20;

/// Connections that are ending, the oldest first, and the bytes of their buffers.
#[derive(Default)]
pub(crate) struct Orphans {
    ids: VecDeque<u32>,
    bytes: usize,
}

impl Orphans {
    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }
}

impl Engine {
    /// Draws the conclusions from the state that a connection has come to.
    pub(crate) fn settle(&mut self, id: u32) {
        let Some(slot) = self.table.slot(id) else { return };
        let (state, owner) = (slot.tcp().state(), slot.owner);
        match (owner, state) {
            (Owner::Opening(_), tcp::State::SynReceived) => {}
            (Owner::Opening(listener), tcp::State::Listen | tcp::State::Closed) => {
                self.remove(id);
                self.forget(listener, id);
            }
            (Owner::Opening(listener), _) => {
                slot.owner = Owner::Waiting(listener);
                // From now on it is the application's to say how long it may be silent.
                slot.tcp().set_timeout(None);
                self.opened(listener, id);
            }
            (Owner::Waiting(listener), tcp::State::Closed) => {
                self.remove(id);
                self.forget(listener, id);
            }
            // A reset may have to be sent yet.
            (Owner::Orphan { .. }, tcp::State::Closed) if slot.tcp().remote_endpoint().is_none() => {
                self.remove(id)
            }
            _ => {}
        }
    }

    /// Addresses are gone: ends the connections that had them, and lets nothing more be sent from them. If one is back,
    /// so are the sockets that are bound to it.
    pub(crate) fn bereave(&mut self, gone: &[IpAddress]) {
        for id in self.table.ids() {
            let Some(slot) = self.table.slot(id).filter(|slot| slot.flow.local != Address::default()) else {
                continue;
            };
            let local = headers::ip_address(slot.flow.local);
            if gone.contains(&local) {
                slot.bereft = true;
                if slot.kind == Kind::Tcp {
                    slot.tcp().abort();
                }
            } else if slot.bereft && slot.kind == Kind::Udp {
                let interface = self.interface.as_ref();
                slot.bereft = !interface.is_some_and(|interface| interface.has_ip_addr(local));
            }
        }
    }

    /// Takes a socket out for good.
    pub(crate) fn remove(&mut self, id: u32) {
        if let Some(mut slot) = self.table.remove(id) {
            self.deadlines.set(id, None);
            if slot.queued {
                self.ready.retain(|other| *other != id);
            }
            if slot.listed {
                self.stalled.retain(|other| *other != id);
            }
            if let Owner::Orphan { .. } = slot.owner {
                self.disown(id, slot.buffers());
            }
        }
    }

    /// Lets a connection end by itself, without anybody who reads from it.
    pub(crate) fn orphan(&mut self, id: u32) {
        let until = self.now + GOODBYE;
        let Some(slot) = self.table.slot(id) else { return };
        if slot.tcp().state() == tcp::State::SynSent {
            // Nothing is open yet. A peer that answers still is reset like anybody whom we do not know; one that is not
            // there would have a reset wait for its address.
            return self.remove(id);
        }
        slot.tcp().close();
        slot.owner = Owner::Orphan { until };
        self.orphans.bytes += slot.buffers();
        self.orphans.ids.push_back(id);
        self.settle(id);
        self.kick(id);
        while self.orphans.ids.len() > ORPHANS || self.orphans.bytes > ORPHANS_BYTES {
            self.lose_an_orphan();
        }
    }

    fn lose_an_orphan(&mut self) {
        let waits =
            |id: &u32| self.table.slot(*id).is_some_and(|slot| slot.tcp().state() == tcp::State::TimeWait);
        if let Some(id) = self.orphans.ids.iter().copied().find(waits) {
            self.remove(id);
        } else if let Some(id) = self.orphans.ids.front().copied()
            && let Some(slot) = self.table.slot(id)
        {
            slot.tcp().abort();
            let bytes = slot.buffers();
            // It counts no more, and is gone when its reset has been sent.
            self.disown(id, bytes);
            self.kick(id);
            self.counts.orphans_reset += 1;
        }
    }

    fn disown(&mut self, id: u32, bytes: usize) {
        if let Some(at) = self.orphans.ids.iter().position(|other| *other == id) {
            self.orphans.ids.remove(at);
            self.orphans.bytes -= bytes;
        }
    }
}
