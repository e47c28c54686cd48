//! A frontend of a network device as small as can be, which says and does exactly what a test wants.

#![allow(dead_code, reason = "not every test program needs all of it")]

use fata_ring::Front;
use fata_sim::{Frame, NetFeatures, Netback, SimCpu, Tasks, Way, World, Xenstored, state};
use std::rc::Rc;
use xen_hyp::{Access, Channel, DomId, Granted, Pages, SharedMem, Xen};

pub(crate) const TX_SLOT: usize = 12;
pub(crate) const RX_SLOT: usize = 8;

pub(crate) const BLANK: u16 = 1;
pub(crate) const VALIDATED: u16 = 2;
pub(crate) const MORE: u16 = 4;
pub(crate) const EXTRA: u16 = 8;

/// A guest with a network device.
pub(crate) struct Machine {
    pub(crate) world: World,
    pub(crate) server: Rc<Xenstored>,
    pub(crate) xen: Rc<Xen<SimCpu>>,
    pub(crate) back: Rc<Netback>,
}

impl Machine {
    pub(crate) fn new(features: NetFeatures) -> Self {
        let world = World::new();
        let server = Xenstored::start(&world);
        Self::another(&world, &server, features)
    }

    /// One more guest in the same world.
    pub(crate) fn another(world: &World, server: &Rc<Xenstored>, features: NetFeatures) -> Self {
        let xen = world.guest();
        let back = Netback::plugged(world, server, xen.platform().domain().id(), 0, features);
        let machine = Self { world: world.clone(), server: server.clone(), xen, back };
        machine.settle();
        machine
    }

    /// Backends do what they can without time passing.
    pub(crate) fn settle(&self) {
        while self.world.run_backends() {}
    }

    /// The same, and time passes as long as anybody waits for it.
    pub(crate) fn wait(&self) {
        let mut tasks = Tasks::new(&self.world);
        tasks.spawn(std::future::pending());
        tasks.run();
    }

    /// A page of the guest's with these bytes, lent to the backend.
    pub(crate) fn lend(&self, offset: usize, bytes: &[u8]) -> Granted<SimCpu> {
        let mut pages = Pages::new(1).unwrap();
        pages[offset..offset + bytes.len()].copy_from_slice(bytes);
        pages.grant(&self.xen, DomId::DOM0, Access::Read).unwrap()
    }
}

/// What the guest says when it connects.
#[derive(Clone)]
pub(crate) struct Says {
    pub(crate) queues: usize,
    pub(crate) split: bool,
    pub(crate) nodes: Vec<(&'static str, &'static str)>,
}

impl Default for Says {
    /// Like Linux's netfront.
    fn default() -> Self {
        let nodes = vec![
            ("request-rx-copy", "1"),
            ("feature-rx-notify", "1"),
            ("feature-sg", "1"),
            ("feature-gso-tcpv4", "1"),
            ("feature-gso-tcpv6", "1"),
            ("feature-ipv6-csum-offload", "1"),
        ];
        Self { queues: 1, split: true, nodes }
    }
}

impl Says {
    /// The same without some of it.
    pub(crate) fn without(mut self, names: &[&str]) -> Self {
        self.nodes.retain(|(name, _)| !names.contains(name));
        self
    }

    pub(crate) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.nodes.push((name, value));
        self
    }
}

/// One pair of rings.
pub(crate) struct Rings {
    pub(crate) tx: Front<Rc<Granted<SimCpu>>>,
    pub(crate) rx: Front<Rc<Granted<SimCpu>>>,
    pub(crate) tx_channel: Channel<SimCpu>,
    pub(crate) rx_channel: Option<Channel<SimCpu>>,
    /// Pages to receive into, by the ids of their requests.
    pub(crate) pages: Vec<Option<Granted<SimCpu>>>,
    /// Pages that were sent from.
    pub(crate) lent: Vec<Granted<SimCpu>>,
}

/// A frame as the ring has it: its bytes, the flags of its first slot, and what GSO said.
pub(crate) type Received = (Vec<u8>, u16, Option<[u8; RX_SLOT]>);

/// A frontend that is connected.
pub(crate) struct NetFront {
    pub(crate) rings: Vec<Rings>,
}

impl NetFront {
    /// Writes where its rings are, says that it is connected, and lets the backend see it.
    pub(crate) fn connect(machine: &Machine, says: &Says) -> Self {
        let vdev = machine.back.vdev();
        let rings: Vec<Rings> = (0..says.queues).map(|_| Rings::new(machine, says.split)).collect();
        for (n, ring) in rings.iter().enumerate() {
            let prefix = if says.queues > 1 { format!("queue-{n}/") } else { String::new() };
            ring.tell(|name, value| vdev.write_front(&format!("{prefix}{name}"), value));
        }
        if says.queues > 1 {
            vdev.write_front("multi-queue-num-queues", says.queues.to_string());
        }
        says.nodes.iter().for_each(|(name, value)| vdev.write_front(name, value));
        vdev.write_front("state", state::CONNECTED.to_string());
        machine.settle();
        Self { rings }
    }

    /// Connected with room to receive 64 pages in each queue.
    pub(crate) fn ready(machine: &Machine, says: &Says) -> Self {
        let mut front = Self::connect(machine, says);
        for queue in 0..front.rings.len() {
            front.rings[queue].post(machine, 64);
        }
        machine.settle();
        assert_eq!(machine.back.vdev().state(), state::CONNECTED);
        front
    }

    /// Closes as a guest does.
    pub(crate) fn close(self, machine: &Machine) {
        let vdev = machine.back.vdev();
        vdev.write_front("state", state::CLOSED.to_string());
        machine.settle();
    }
}

impl Rings {
    fn new(machine: &Machine, split: bool) -> Self {
        let ring = || {
            let pages = Pages::new(1).unwrap();
            Rc::new(pages.grant(&machine.xen, DomId::DOM0, Access::Write).unwrap())
        };
        let listen = || machine.xen.listen(DomId::DOM0).unwrap();
        Self {
            tx: Front::new(ring(), TX_SLOT),
            rx: Front::new(ring(), RX_SLOT),
            tx_channel: listen(),
            rx_channel: split.then(listen),
            pages: Vec::new(),
            lent: Vec::new(),
        }
    }

    fn tell(&self, write: impl Fn(&str, String)) {
        write("tx-ring-ref", self.tx.memory().gref().0.to_string());
        write("rx-ring-ref", self.rx.memory().gref().0.to_string());
        match &self.rx_channel {
            Some(rx) => {
                write("event-channel-tx", self.tx_channel.port().0.to_string());
                write("event-channel-rx", rx.port().0.to_string());
            }
            None => write("event-channel", self.tx_channel.port().0.to_string()),
        }
    }

    /// Asks to receive so many pages more; whether the backend wanted to hear of it.
    pub(crate) fn post(&mut self, machine: &Machine, count: usize) -> bool {
        for _ in 0..count {
            let page = Pages::new(1).unwrap().grant(&machine.xen, DomId::DOM0, Access::Write).unwrap();
            let id = self.pages.len() as u16;
            self.rx.push_parts(&[&id.to_ne_bytes(), &[0; 2], &page.gref().0.to_ne_bytes()]);
            self.pages.push(Some(page));
        }
        let wanted = self.rx.publish();
        if wanted {
            self.rx_channel.as_ref().unwrap_or(&self.tx_channel).notify();
        }
        wanted
    }

    /// The answers of the ring for receiving since the last time.
    pub(crate) fn answers(&mut self) -> Vec<[u8; RX_SLOT]> {
        std::iter::from_fn(|| self.rx.take().unwrap()).collect()
    }

    /// Receives as a guest that believes everything.
    pub(crate) fn receive(&mut self) -> Vec<Received> {
        let mut answers = self.answers().into_iter();
        let mut frames = Vec::new();
        while let Some(first) = answers.next() {
            let (mut bytes, mut gso, mut answer) = (Vec::new(), None, first);
            let flags = u16_at(&first, 4);
            loop {
                let [id, offset] = [u16_at(&answer, 0), u16_at(&answer, 2)];
                let length = usize::from(u16_at(&answer, 6));
                let page = self.pages[usize::from(id)].take().unwrap();
                let mut part = vec![0; length];
                page.copy_in(offset.into(), &mut part);
                bytes.extend(part);
                page.revoke().unwrap();
                if u16_at(&answer, 4) & EXTRA != 0 {
                    gso = answers.next();
                    // Requests are used in their order, and of that one the page is not.
                    self.pages[usize::from(id) + 1].take().unwrap().revoke().unwrap();
                }
                if u16_at(&answer, 4) & MORE == 0 {
                    break;
                }
                answer = answers.next().unwrap();
            }
            frames.push((bytes, flags, gso));
        }
        frames
    }

    /// Puts slots into the ring for sending.
    pub(crate) fn send_slots(&mut self, slots: &[[u8; TX_SLOT]]) {
        slots.iter().for_each(|slot| self.tx.push(slot));
        if self.tx.publish() {
            self.tx_channel.notify();
        }
    }

    /// Sends a frame in parts of these lengths, as it says of itself. Slots have ids from `id` on.
    pub(crate) fn send(&mut self, machine: &Machine, frame: &Frame, parts: &[usize], id: u16) {
        assert_eq!(parts.iter().sum::<usize>(), frame.bytes.len());
        let mut flags = match frame.csum {
            fata_sim::Csum::Blank => BLANK | VALIDATED,
            fata_sim::Csum::Validated => VALIDATED,
            fata_sim::Csum::Full => 0,
        };
        let (mut slots, mut rest) = (Vec::new(), &frame.bytes[..]);
        for (n, &length) in parts.iter().enumerate() {
            let (part, after) = rest.split_at(length);
            rest = after;
            // Anywhere in its page.
            let offset = (n * 64 + 2).min(4096 - length);
            let page = machine.lend(offset, part);
            flags = if n == 0 { flags } else { 0 };
            flags |= if n + 1 < parts.len() { MORE } else { 0 };
            flags |= if n == 0 && frame.gso.is_some() { EXTRA } else { 0 };
            let size = if n == 0 { frame.bytes.len() } else { length };
            slots.push(tx_request(page.gref().0, offset as u16, flags, id + n as u16, size as u16));
            if let (0, Some(mss)) = (n, frame.gso) {
                let kind = if frame.headers().is_none_or(|headers| headers.version == 4) { 1 } else { 2 };
                slots.push(gso_extra(kind, mss));
            }
            self.lent.push(page);
        }
        self.send_slots(&slots);
    }

    /// The ids and statuses of answers since the last time.
    pub(crate) fn sent(&mut self) -> Vec<(u16, i16)> {
        let answers = std::iter::from_fn(|| self.tx.take::<[u8; 4]>().unwrap());
        answers.map(|answer| (u16_at(&answer, 0), u16_at(&answer, 2) as i16)).collect()
    }
}

pub(crate) fn tx_request(gref: u32, offset: u16, flags: u16, id: u16, size: u16) -> [u8; TX_SLOT] {
    let mut slot = [0; TX_SLOT];
    slot[..4].copy_from_slice(&gref.to_ne_bytes());
    for (field, bytes) in [offset, flags, id, size].iter().zip(slot[4..].chunks_mut(2)) {
        bytes.copy_from_slice(&field.to_ne_bytes());
    }
    slot
}

pub(crate) fn gso_extra(kind: u8, mss: u16) -> [u8; TX_SLOT] {
    let mut slot = [0; TX_SLOT];
    (slot[0], slot[4]) = (1, kind);
    slot[2..4].copy_from_slice(&mss.to_ne_bytes());
    slot
}

pub(crate) fn mcast_extra(add: bool, address: [u8; 6]) -> [u8; TX_SLOT] {
    let mut slot = [0; TX_SLOT];
    slot[0] = if add { 2 } else { 3 };
    slot[2..8].copy_from_slice(&address);
    slot
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) const A: [u8; 6] = [2, 0, 0, 0, 0, 0xa];
pub(crate) const B: [u8; 6] = [2, 0, 0, 0, 0, 0xb];

/// What TCP of these ports carries, over IPv4 or IPv6, with its checksum blank.
pub(crate) fn tcp(version: u8, ports: [u16; 2], data: &[u8]) -> Frame {
    let mut bytes = [B, A].concat();
    let length = 20 + data.len() as u16;
    if version == 4 {
        bytes.extend([8, 0, 0x45, 0]);
        bytes.extend((20 + length).to_be_bytes());
        bytes.extend([0x12, 0x34, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        let sum: u32 = bytes[14..].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        bytes[24..26].copy_from_slice(&sum.to_be_bytes());
    } else {
        bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        bytes.extend(length.to_be_bytes());
        bytes.extend([6, 64]);
        for last in [1, 2] {
            bytes.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        }
    }
    ports.iter().for_each(|port| bytes.extend(port.to_be_bytes()));
    // Sequence and acknowledgement, five words of header with PSH and ACK, window, checksum, urgent pointer.
    bytes.extend([0, 0, 0, 100, 0, 0, 0, 7, 0x50, 0x18, 0x20, 0, 0, 0, 0, 0]);
    bytes.extend(data);
    Frame::new(bytes).with_blank()
}

/// The same with its checksum in it.
pub(crate) fn whole(frame: Frame) -> Frame {
    frame.on_the_wire().unwrap().remove(0)
}

/// Any frame of so many bytes.
pub(crate) fn frame(length: usize) -> Frame {
    let mut bytes = [&B[..], &A, &[0x88, 0xb5]].concat();
    bytes.extend((0..length - 14).map(|n| (n * 7 + length) as u8));
    Frame::new(bytes)
}

/// The memory of a ring, as the backend sees it.
pub(crate) fn index(machine: &Machine, way: Way, offset: usize) -> u32 {
    machine.back.ring(0, way).unwrap().load(offset)
}
