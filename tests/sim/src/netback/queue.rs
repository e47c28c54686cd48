//! A pair of rings of a connected network device, and how they are mapped.

use super::tx::Ticket;
use super::wire::{RX_SLOT, RxRequest, TX_SLOT, TxRequest, tx_null, tx_response};
use crate::domain::Domain;
use crate::frame::Frame;
use crate::grants::MappedPages;
use crate::vdev::Vdev;
use crate::world::World;
use fata_ring::{Back, Corrupt};
use std::collections::VecDeque;
use std::rc::Rc;
use xen_hyp::{GrantRef, Port, SharedMem};

/// Offsets in `struct netif_rx_sring`.
const REQ_PROD: usize = 0;
const REQ_EVENT: usize = 4;

/// A ring of one page and the end of a channel that belongs to it.
pub(super) struct Side {
    pub(super) back: Back<Rc<MappedPages>>,
    pub(super) memory: Rc<MappedPages>,
    pub(super) port: Port,
    home: Rc<Domain>,
    /// There may be requests.
    pub(super) awake: bool,
}

/// A frame for the guest.
pub(super) struct Waiting {
    pub(super) frame: Frame,
    /// When it is dropped.
    pub(super) expires_ns: u64,
    /// Of a packet that another guest has sent, whose pages it lies in.
    pub(super) _ticket: Option<Ticket>,
}

pub(super) struct Queue {
    pub(super) tx: Side,
    pub(super) rx: Side,
    /// The two have one channel.
    shared: bool,
    /// Frames for the guest for which there were no requests yet.
    pub(super) waiting: VecDeque<Waiting>,
    /// The guest has not given anything to receive into (`xenvif_rx_queue_stalled`).
    pub(super) stalled: bool,
    /// When it last did.
    pub(super) last_rx_ns: u64,
    /// The next request's index in the ring for receiving.
    rx_cons: u32,
    /// Answers to what the guest sent that have yet to be written.
    answers: Vec<[u8; 4]>,
}

impl Side {
    /// Maps a ring.
    pub(super) fn map(
        world: &World,
        home: &Rc<Domain>,
        guest: &Rc<Domain>,
        gref: u32,
        slot: usize,
        port: Port,
    ) -> Result<Self, String> {
        let page = world
            .map_grant(home.id(), guest, GrantRef(gref), true)
            .map_err(|status| format!("mapping ring-ref {gref}: status {status}"))?;
        let memory = Rc::new(MappedPages(vec![page]));
        let back = Back::attach(memory.clone(), slot).map_err(|Corrupt| "bogus ring indices")?;
        Ok(Self { back, memory, port, home: home.clone(), awake: true })
    }

    /// Publishes what was answered, and notifies the guest if it waits for that.
    pub(super) fn publish(&mut self, world: &World) {
        if self.back.publish() {
            self.notify(world);
        }
    }

    /// Whether there was an event since the last time.
    pub(super) fn take_event(&self) -> bool {
        self.home.take_event(self.port)
    }

    pub(super) fn notify(&self, world: &World) {
        let _ = world.send(&self.home, self.port);
    }

    /// Lets go of its port, as its page is.
    pub(super) fn close(&self, world: &World) {
        let _ = world.close(&self.home, self.port);
    }
}

impl Queue {
    /// Maps the rings whose nodes have this prefix, and binds their ports (`connect_data_rings`).
    pub(super) fn map(
        world: &World,
        home: &Rc<Domain>,
        guest: &Rc<Domain>,
        vdev: &Vdev,
        prefix: &str,
    ) -> Result<Self, String> {
        let node = |name: &str| vdev.number(&format!("{prefix}{name}"));
        let number =
            |name: &str| node(name).ok_or_else(|| format!("reading {}/{prefix}{name}", vdev.front()));
        let (tx, rx) = (number("tx-ring-ref")?, number("rx-ring-ref")?);
        let ports = match (node("event-channel-tx"), node("event-channel-rx")) {
            (Some(tx), Some(rx)) => (tx, rx),
            _ => {
                let port = number("event-channel")?;
                (port, port)
            }
        };
        let bind = |port| {
            let bound = world.bind(home, guest.id(), Port(port));
            bound.map_err(|error| format!("binding port {port}: {error}"))
        };
        let shared = ports.0 == ports.1;
        // Neither is bound before both are mapped, so that nothing is left if the guest named what it has not lent.
        let mut tx = Side::map(world, home, guest, tx, TX_SLOT, Port(0))?;
        let mut rx = Side::map(world, home, guest, rx, RX_SLOT, Port(0))?;
        tx.port = bind(ports.0)?;
        rx.port = match shared {
            true => tx.port,
            false => bind(ports.1).inspect_err(|_| tx.close(world))?,
        };
        let rx_cons = rx.memory.load(8);
        let (waiting, last_rx_ns) = (VecDeque::new(), world.now_ns());
        Ok(Self { tx, rx, shared, waiting, stalled: true, last_rx_ns, rx_cons, answers: Vec::new() })
    }

    /// Wakes what there was an event for; gives whether there was one.
    pub(super) fn take_events(&mut self) -> bool {
        let tx = self.tx.take_event();
        let rx = if self.shared { tx } else { self.rx.take_event() };
        self.tx.awake |= tx;
        self.rx.awake |= rx;
        tx || rx
    }

    /// Answers a packet's request, and the extra information that followed it (`make_tx_response`).
    pub(super) fn respond(&mut self, request: &TxRequest, extras: usize, status: i16) {
        self.answers.push(tx_response(request.id, status));
        self.answers.extend((0..extras).map(|_| tx_null()));
    }

    /// Writes the answers, once somebody has changed them, as far as requests are due one, and publishes them.
    pub(super) fn publish_sent(&mut self, world: &World, change: impl FnOnce(&mut Vec<[u8; 4]>)) {
        let mut answers = core::mem::take(&mut self.answers);
        if !answers.is_empty() {
            change(&mut answers);
        }
        for answer in answers {
            if self.tx.back.due() > 0 {
                self.tx.back.push(&answer);
            }
        }
        self.tx.publish(world);
    }

    /// Writes answers to requests to receive. More than requests were taken use up further ones.
    pub(super) fn answer(&mut self, answers: &[[u8; RX_SLOT]]) {
        for answer in answers {
            if self.rx.back.due() == 0 && (self.requests() == 0 || self.take_request().is_err()) {
                return;
            }
            self.rx.back.push(answer);
        }
    }

    /// How many requests there are to receive into, as the guest says.
    pub(super) fn requests(&self) -> u32 {
        self.rx.memory.load(REQ_PROD).wrapping_sub(self.rx_cons)
    }

    /// Whether there are so many; if not, an event will come when there are more (`xenvif_rx_ring_slots_available`).
    pub(super) fn has_requests(&self, needed: usize) -> bool {
        loop {
            let requests = self.requests();
            if requests as usize >= needed {
                return true;
            }
            let prod = self.rx_cons.wrapping_add(requests);
            self.rx.memory.store(REQ_EVENT, prod.wrapping_add(1));
            self.rx.memory.fence();
            if self.requests() == requests {
                return false;
            }
        }
    }

    /// Takes a request to receive into.
    pub(super) fn take_request(&mut self) -> Result<RxRequest, Corrupt> {
        let slot = self.rx.back.take::<[u8; RX_SLOT]>()?.ok_or(Corrupt)?;
        self.rx_cons = self.rx_cons.wrapping_add(1);
        Ok(RxRequest::parse(&slot))
    }

    /// How many bytes wait.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting.iter().map(|waiting| waiting.frame.bytes.len()).sum()
    }

    /// Where its rings are.
    pub(super) fn memory(&self) -> [Rc<MappedPages>; 2] {
        [self.tx.memory.clone(), self.rx.memory.clone()]
    }

    /// Lets go of its ports, as its pages are.
    pub(super) fn close(&self, world: &World) {
        self.tx.close(world);
        if !self.shared {
            self.rx.close(world);
        }
    }
}
