//! All sockets, each found by what its datagrams say, in time that does not depend on how many there are.
//!
//! smoltcp looks through a whole set for each packet and in each poll. So each socket has a set of its own, and is given
//! what is for it.

use crate::error::Error;
use crate::headers::{Address, Flow};
use crate::numbers::Numbers;
use alloc::boxed::Box;
use alloc::vec::Vec;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::{AnySocket, tcp};
use smoltcp::time::Instant;

/// What a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One connection: found by both ends.
    Tcp,
    /// Found by its port.
    Udp,
    /// The only one that DHCP has.
    Dhcp,
    /// Pings; its identifier is in the place of the port.
    Ping,
}

/// Who answers for a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The application, or for DHCP the stack.
    Handle,
    /// A listener, while the peer has not answered its SYN-ACK.
    Opening(u32),
    /// A listener, until the application takes it.
    Waiting(u32),
    /// Nobody: it says goodbye, until then at the latest.
    Orphan { until: Instant },
}

/// A socket and what the stack keeps with it.
pub(crate) struct Slot {
    pub(crate) set: SocketSet<'static>,
    handle: SocketHandle,
    pub(crate) kind: Kind,
    /// What is received is found by this. For UDP and pings, `remote` is only who was sent to last.
    pub(crate) flow: Flow,
    pub(crate) owner: Owner,
    /// The largest segment that the peer takes.
    pub(crate) max_segment: u16,
    pub(crate) numbers: Numbers,
    /// What the peer acknowledged last, since we say goodbye.
    pub(crate) heard: Option<u32>,
    /// Its address is gone.
    pub(crate) bereft: bool,
    /// It is in the list of those to be looked at.
    pub(crate) queued: bool,
    /// It waits for a neighbour's address.
    pub(crate) stalled: bool,
    /// It is in the list of those to be looked at when a neighbour is heard of.
    pub(crate) listed: bool,
    hash: u32,
    next: u32,
}

impl Slot {
    /// The socket, which is a `T`.
    pub(crate) fn socket<T: AnySocket<'static>>(&mut self) -> &mut T {
        self.set.get_mut(self.handle)
    }

    pub(crate) fn tcp(&mut self) -> &mut tcp::Socket<'static> {
        self.socket()
    }

    /// Why a connection is over that did not end in order.
    pub(crate) fn why_over(&self) -> Error {
        if self.bereft { Error::AddressGone } else { Error::Reset }
    }

    /// The bytes of a connection's buffers.
    pub(crate) fn buffers(&mut self) -> usize {
        let socket = self.tcp();
        socket.recv_capacity() + socket.send_capacity()
    }

    /// Whether it is TCP over IPv6.
    pub(crate) fn is_v6(&self) -> bool {
        self.flow.local[..3] != [0, 0, 0xffff]
    }
}

const NONE: u32 = u32::MAX;

/// Sockets by number and by what they receive: a hash table with chains.
pub(crate) struct Table {
    slots: Vec<Option<Box<Slot>>>,
    free: Vec<u32>,
    /// The first of each chain; as many as a power of two.
    heads: Vec<u32>,
    /// Makes the chains unforeseeable.
    seed: u32,
}

impl Table {
    pub(crate) fn new(seed: u32) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), heads: alloc::vec![NONE; 16], seed }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The numbers there may be.
    pub(crate) fn ids(&self) -> core::ops::Range<u32> {
        0..self.slots.len() as u32
    }

    pub(crate) fn slot(&mut self, id: u32) -> Option<&mut Slot> {
        self.slots.get_mut(id as usize)?.as_deref_mut()
    }

    /// Takes a socket in. Its set is made here, for it alone.
    pub(crate) fn insert(
        &mut self,
        socket: impl AnySocket<'static>,
        kind: Kind,
        flow: Flow,
        owner: Owner,
    ) -> u32 {
        if self.len() >= self.heads.len() {
            self.grow();
        }
        let mut set = SocketSet::new(Vec::with_capacity(1));
        let handle = set.add(socket);
        let hash = self.hash(kind, &flow);
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        let chain = hash as usize & (self.heads.len() - 1);
        let slot = Slot {
            set,
            handle,
            kind,
            flow,
            owner,
            max_segment: 536,
            numbers: Numbers::default(),
            heard: None,
            bereft: false,
            queued: false,
            stalled: false,
            listed: false,
            hash,
            next: self.heads[chain],
        };
        self.slots[id as usize] = Some(Box::new(slot));
        self.heads[chain] = id;
        id
    }

    /// Takes a socket out.
    pub(crate) fn remove(&mut self, id: u32) -> Option<Box<Slot>> {
        let slot = self.slots.get_mut(id as usize)?.take()?;
        let chain = slot.hash as usize & (self.heads.len() - 1);
        if self.heads[chain] == id {
            self.heads[chain] = slot.next;
        } else {
            let mut before = self.heads[chain];
            while let Some(other) = self.slot(before) {
                if other.next == id {
                    other.next = slot.next;
                    break;
                }
                before = other.next;
            }
        }
        self.free.push(id);
        Some(slot)
    }

    fn grow(&mut self) {
        self.heads = alloc::vec![NONE; self.heads.len() * 2];
        for (id, slot) in (0..).zip(&mut self.slots) {
            let Some(slot) = slot else { continue };
            let chain = slot.hash as usize & (self.heads.len() - 1);
            slot.next = core::mem::replace(&mut self.heads[chain], id);
        }
    }

    /// The connection that a segment is of.
    pub(crate) fn tcp(&self, flow: &Flow) -> Option<u32> {
        self.find(Kind::Tcp, flow, |_, slot| slot.flow == *flow)
    }

    /// Who takes datagrams to this port: first who is bound to the address as well, then who is bound to none, then
    /// any, which for broadcasts and groups is right.
    pub(crate) fn udp(&self, flow: &Flow) -> Option<u32> {
        let (mut any, mut other) = (None, None);
        let exact = self.find(Kind::Udp, flow, |id, slot| {
            if slot.flow.local_port != flow.local_port {
                return false;
            }
            if slot.flow.local == Address::default() {
                any = Some(id);
            } else {
                other = Some(id);
            }
            slot.flow.local == flow.local
        });
        exact.or(any).or(other)
    }

    /// The only socket of its kind with this port.
    pub(crate) fn only(&self, kind: Kind, port: u16) -> Option<u32> {
        let flow = Flow { local_port: port, ..Flow::default() };
        self.find(kind, &flow, |_, slot| slot.flow.local_port == port)
    }

    fn find(&self, kind: Kind, flow: &Flow, mut is_it: impl FnMut(u32, &Slot) -> bool) -> Option<u32> {
        let hash = self.hash(kind, flow);
        let mut id = self.heads[hash as usize & (self.heads.len() - 1)];
        while let Some(slot) = self.slots.get(id as usize)?.as_deref() {
            if slot.hash == hash && slot.kind == kind && is_it(id, slot) {
                return Some(id);
            }
            id = slot.next;
        }
        None
    }

    /// Connections by both ends, the others by their ports.
    fn hash(&self, kind: Kind, flow: &Flow) -> u32 {
        let ports = u32::from(flow.local_port);
        let mut hash = self.seed;
        let mut mix = |word: u32| {
            hash = (hash ^ word).wrapping_mul(0x9e37_79b1);
            hash ^= hash >> 15;
        };
        if kind == Kind::Tcp {
            mix(ports << 16 | u32::from(flow.remote_port));
            let [a, b, c, d] = flow.remote;
            if [a, b, c] != [0, 0, 0xffff] {
                mix(a);
                mix(b);
                mix(c);
            }
            mix(d);
        } else {
            mix(ports);
        }
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fata_sim::Rng;
    use smoltcp::socket::tcp::SocketBuffer;
    use std::collections::HashMap;

    fn socket() -> tcp::Socket<'static> {
        tcp::Socket::new(SocketBuffer::new(Vec::new()), SocketBuffer::new(Vec::new()))
    }

    #[test]
    fn the_table_is_in_step_with_a_map() {
        let (mut random, mut table, mut map) = (Rng::new(), Table::new(7), HashMap::new());
        for _ in 0..20_000 {
            let (remote_port, local_port) = (random.within(1..50) as u16, random.within(1..10) as u16);
            let remote = [0, 0, 0xffff * (random.number() as u32 & 1), random.within(0..3) as u32];
            let flow = Flow { remote, local: [1; 4], remote_port, local_port };
            let key = (remote, remote_port, local_port);
            assert_eq!(table.tcp(&flow), map.get(&key).copied());
            match map.remove(&key) {
                Some(id) => assert_eq!(table.remove(id).unwrap().flow, flow),
                None => {
                    let id = table.insert(socket(), Kind::Tcp, flow, Owner::Handle);
                    map.insert(key, id);
                }
            }
            assert_eq!(table.len(), map.len());
        }
    }

    #[test]
    fn datagrams_go_to_who_is_bound_most_closely() {
        let mut table = Table::new(1);
        let flow = |local| Flow { local, local_port: 53, ..Flow::default() };
        assert_eq!(table.udp(&flow([1; 4])), None);
        let bound = table.insert(socket(), Kind::Udp, flow([1; 4]), Owner::Handle);
        assert_eq!(table.udp(&flow([2; 4])), Some(bound));
        let any = table.insert(socket(), Kind::Udp, flow([0; 4]), Owner::Handle);
        assert_eq!((table.udp(&flow([1; 4])), table.udp(&flow([2; 4]))), (Some(bound), Some(any)));
        assert_eq!(table.only(Kind::Dhcp, 53), None);
    }
}
