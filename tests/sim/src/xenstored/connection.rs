//! One domain's ring, and what the server keeps for it (`tools/xenstored/domain.c`, `watch.c`).

use super::tree::{Fired, Match, Transaction};
use crate::page::Page;
use crate::rng::Rng;
use crate::world::World;
use std::collections::VecDeque;
use std::rc::Rc;
use xen_hyp::{Port, SharedMem};

const SIZE: u32 = 1024;
const RSP: usize = 1024;
const REQ_CONS: usize = 2048;
const REQ_PROD: usize = 2052;
const RSP_CONS: usize = 2056;
const RSP_PROD: usize = 2060;
pub(super) const FEATURES: usize = 2064;
pub(super) const CONNECTION: usize = 2068;
pub(super) const ERROR: usize = 2072;

pub(super) const RECONNECTION: u32 = 1;
pub(super) const ERROR_FEATURE: u32 = 2;

/// `XENSTORE_ERROR_RINGIDX`.
const RING_INDEX: u32 = 2;
/// `XENSTORE_ERROR_PROTO`.
const PROTOCOL: u32 = 3;

pub(super) const HEADER: usize = 16;
pub(super) const PAYLOAD_MAX: usize = 4096;
const WATCH_EVENT: u32 = 15;

/// Replies that may wait before no more requests are read (`ACC_OUTST`).
const OUTSTANDING: usize = 20;

#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub(super) path: String,
    pub(super) token: String,
    pub(super) depth: Option<u32>,
    /// Bytes at the start of paths that are not shown, of a watch by relative path.
    pub(super) hidden: usize,
}

impl Watch {
    fn concerns(&self, fired: &Fired) -> bool {
        match fired.kind {
            Match::Exact => fired.path == self.path,
            Match::Subtree => is_child(&fired.path, &self.path, self.depth),
            Match::Depth => {
                fired.path == self.path
                    || self.depth.is_some_and(|d| d > 0) && is_child(&fired.path, &self.path, self.depth)
            }
            Match::NoDepth => fired.path == self.path && self.depth.is_none(),
        }
    }
}

fn is_child(path: &str, above: &str, depth: Option<u32>) -> bool {
    let below = match path.strip_prefix(above) {
        Some("") => return true,
        Some(below) if above == "/" => below,
        Some(below) if below.starts_with('/') => &below[1..],
        _ => return false,
    };
    depth.is_none_or(|depth| below.split('/').count() <= depth as usize)
}

pub(super) struct Message {
    pub(super) bytes: Vec<u8>,
    sent: usize,
}

impl Message {
    pub(super) fn new(kind: u32, id: u32, tx: u32, payload: &[u8]) -> Self {
        let header = [kind, id, tx, payload.len() as u32].map(u32::to_ne_bytes);
        Self { bytes: [header.as_flattened(), payload].concat(), sent: 0 }
    }

    pub(super) fn raw(bytes: Vec<u8>) -> Self {
        Self { bytes, sent: 0 }
    }

    fn is_event(&self) -> bool {
        self.bytes.starts_with(&WATCH_EVENT.to_ne_bytes())
    }
}

/// A ring with a guest at the other end.
pub(super) struct Ring {
    pub(super) page: Rc<Page>,
    /// Our end; `None` while the server is down.
    pub(super) port: Option<Port>,
    /// There may be something to do, because of an event or because the last turn did not do it all.
    awake: bool,
}

#[derive(Default)]
pub(super) struct Connection {
    /// `None` for domain 0, which calls.
    pub(super) ring: Option<Ring>,
    input: Vec<u8>,
    pub(super) output: VecDeque<Message>,
    pub(super) watches: Vec<Watch>,
    pub(super) transactions: Vec<Transaction>,
    pub(super) next_transaction: u32,
    /// It broke the protocol, so it is not listened to.
    ignored: bool,
    pub(super) shut_down: bool,
    /// Events dropped because the same one was waiting already.
    pub(super) dropped: u64,
}

impl Connection {
    pub(super) fn with(page: Rc<Page>) -> Self {
        Self { ring: Some(Ring { page, port: None, awake: true }), ..Self::default() }
    }

    /// Forgets everything about the client.
    pub(super) fn forget(&mut self) {
        self.input.clear();
        self.output.clear();
        self.watches.clear();
        self.transactions.clear();
        (self.next_transaction, self.ignored) = (0, false);
    }

    /// `domain_conn_reset`.
    pub(super) fn reset(&mut self, index: u32) {
        self.forget();
        let Some(ring) = &mut self.ring else { return };
        ring.awake = true;
        for offset in [REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD] {
            ring.page.store(offset, index);
        }
    }

    /// `ignore_connection`.
    pub(super) fn ignore(&mut self, error: u32) {
        self.forget();
        self.ignored = true;
        if let Some(ring) = &self.ring
            && ring.page.load(FEATURES) & ERROR_FEATURE != 0
        {
            ring.page.store(ERROR, error);
        }
    }

    pub(super) fn notify(&self, world: &World) {
        if let Some(port) = self.ring.as_ref().and_then(|ring| ring.port) {
            let _ = world.send(&world.dom0(), port);
        }
    }

    /// `send_event`: the same one does not wait twice.
    pub(super) fn fire(&mut self, fired: &Fired, dedupe: bool) {
        for watch in self.watches.iter().filter(|watch| watch.concerns(fired)) {
            let message = event(watch, &fired.path);
            let waits = |other: &Message| other.is_event() && other.bytes == message.bytes;
            if dedupe && !fired.path.starts_with('@') && self.output.iter().any(waits) {
                self.dropped += 1;
            } else if message.bytes.len() <= HEADER + PAYLOAD_MAX {
                self.output.push_back(message);
            }
        }
        self.wake();
    }

    /// A watch fires once when it is new.
    pub(super) fn fire_first(&mut self) {
        let first = self.watches.last().map(|watch| event(watch, &watch.path));
        self.output.extend(first);
    }

    pub(super) fn wake(&mut self) {
        if let Some(ring) = &mut self.ring {
            ring.awake = true;
        }
    }

    /// Whether there may be something to do.
    pub(super) fn is_awake(&mut self, world: &World) -> bool {
        let Some(ring) = &mut self.ring else { return false };
        let Some(port) = ring.port else { return false };
        ring.awake |= world.dom0().take_event(port);
        ring.awake
    }

    /// Whether the guest asks for everything to start over.
    pub(super) fn wants_reset(&self) -> bool {
        let Some(ring) = &self.ring else { return false };
        ring.page.load(FEATURES) & RECONNECTION != 0 && ring.page.load(CONNECTION) != 0
    }

    /// Reads and writes what it can, in pieces of random length and one message only if there is a generator.
    /// Gives a request when one is whole.
    pub(super) fn turn(&mut self, world: &World, slow: &mut Option<Rng>) -> Option<Message> {
        if self.ignored {
            self.ring.as_mut()?.awake = false;
            return None;
        }
        loop {
            let wrote = self.write(world, slow);
            let read = self.read(world, slow);
            if let Some(request) = self.whole() {
                return Some(request);
            }
            if !(wrote || read) || self.ignored {
                self.ring.as_mut()?.awake = false;
                return None;
            }
            if slow.is_some() {
                return None;
            }
        }
    }

    /// A request that is there with all of its bytes.
    fn whole(&mut self) -> Option<Message> {
        let len = u32::from_ne_bytes(*self.input.get(12..)?.first_chunk()?) as usize;
        if len > PAYLOAD_MAX {
            self.ignore(PROTOCOL);
            return None;
        }
        let whole = self.input.len() == HEADER + len;
        whole.then(|| Message::raw(core::mem::take(&mut self.input)))
    }

    /// `readchn`: indices are read once, up to the end of the buffer, and it notifies whenever it took something.
    fn read(&mut self, world: &World, slow: &mut Option<Rng>) -> bool {
        let Some(ring) = &self.ring else { return false };
        if self.output.iter().filter(|message| !message.is_event()).count() >= OUTSTANDING {
            return false;
        }
        let wanted = match self.input.get(12..).and_then(|bytes| bytes.first_chunk()) {
            Some(len) => HEADER + u32::from_ne_bytes(*len) as usize - self.input.len(),
            None => HEADER - self.input.len(),
        };
        let (cons, prod) = (ring.page.load(REQ_CONS), ring.page.load(REQ_PROD));
        let there = prod.wrapping_sub(cons);
        if there > SIZE {
            self.ignore(RING_INDEX);
            return false;
        }
        let most = there.min(SIZE - cons % SIZE).min(wanted as u32) as usize;
        let len = chunk(slow, most);
        if len == 0 {
            return false;
        }
        let mut bytes = vec![0; len];
        ring.page.copy_in((cons % SIZE) as usize, &mut bytes);
        ring.page.store(REQ_CONS, cons.wrapping_add(len as u32));
        self.input.extend(bytes);
        self.notify(world);
        true
    }

    /// `writechn`: as `readchn`.
    fn write(&mut self, world: &World, slow: &mut Option<Rng>) -> bool {
        let (Some(ring), Some(message)) = (&self.ring, self.output.front_mut()) else { return false };
        let (cons, prod) = (ring.page.load(RSP_CONS), ring.page.load(RSP_PROD));
        let there = prod.wrapping_sub(cons);
        if there > SIZE {
            self.ignore(RING_INDEX);
            return false;
        }
        let rest = &message.bytes[message.sent..];
        let most = (SIZE - there).min(SIZE - prod % SIZE).min(rest.len() as u32) as usize;
        let len = chunk(slow, most);
        if len > 0 {
            ring.page.copy_out(RSP + (prod % SIZE) as usize, &rest[..len]);
            ring.page.store(RSP_PROD, prod.wrapping_add(len as u32));
            message.sent += len;
        }
        if message.sent == message.bytes.len() {
            self.output.pop_front();
        }
        if len > 0 {
            self.notify(world);
        }
        len > 0
    }
}

fn event(watch: &Watch, path: &str) -> Message {
    Message::new(WATCH_EVENT, 0, 0, format!("{}\0{}\0", &path[watch.hidden..], watch.token).as_bytes())
}

fn chunk(slow: &mut Option<Rng>, most: usize) -> usize {
    match slow {
        Some(rng) if most > 0 => rng.within(1..most + 1),
        _ => most,
    }
}
