//! A switch that learns who is where, like Linux's bridge.

use crate::frame::{ETHERNET, Frame};
use crate::netback::{Netback, Ticket};
use crate::rng::Rng;
use crate::world::{Backend, World};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::{Rc, Weak};
use xen_hyp::Signal;

/// A tag of 802.1Q, which does not count for the MTU.
const VLAN: usize = 4;

/// Connects netbacks of any guests and ports of a test.
pub struct Switch {
    world: World,
    plugs: RefCell<Vec<Plug>>,
    /// Behind which port each address was seen last.
    learnt: RefCell<BTreeMap<[u8; 6], usize>>,
    under_way: RefCell<VecDeque<Transit>>,
    delay_ns: Cell<u64>,
    loss: RefCell<Option<(Rng, usize)>>,
    counts: Cell<SwitchStats>,
}

/// How many frames went through a switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwitchStats {
    /// To one port.
    pub forwarded: u64,
    /// To all but one.
    pub flooded: u64,
    /// Lost on command.
    pub lost: u64,
    /// Longer than the port that they had to go out of allows.
    pub too_long: u64,
}

/// A frame on its way.
struct Transit {
    at_ns: u64,
    from: usize,
    frame: Frame,
    ticket: Option<Ticket>,
}

/// What is plugged in.
#[derive(Clone)]
enum Plug {
    Guest(Weak<Netback>),
    Test(Weak<PortInner>),
}

/// A port that a test has for itself.
pub struct SwitchPort {
    switch: Rc<Switch>,
    inner: Rc<PortInner>,
}

struct PortInner {
    number: usize,
    /// It takes frames to be cut, and without checksums.
    offloads: Cell<bool>,
    received: RefCell<VecDeque<Frame>>,
    news: Signal,
}

impl Switch {
    /// One without anything plugged in.
    pub fn new(world: &World) -> Rc<Self> {
        let switch = Rc::new(Self {
            world: world.clone(),
            plugs: RefCell::default(),
            learnt: RefCell::default(),
            under_way: RefCell::default(),
            delay_ns: Cell::new(0),
            loss: RefCell::default(),
            counts: Cell::default(),
        });
        let backend: Rc<dyn Backend> = switch.clone();
        world.add_backend(Rc::downgrade(&backend));
        switch
    }

    /// Adds the interface of a guest.
    pub fn attach(&self, netback: &Rc<Netback>) {
        netback.set_attached(true);
        self.plugs.borrow_mut().push(Plug::Guest(Rc::downgrade(netback)));
    }

    /// Removes the interface of a guest. What it sends from now on is [there to be looked at](Netback::sent).
    pub fn detach(&self, netback: &Rc<Netback>) {
        netback.set_attached(false);
        let mut plugs = self.plugs.borrow_mut();
        let at = plugs
            .iter()
            .position(|plug| matches!(plug, Plug::Guest(it) if it.ptr_eq(&Rc::downgrade(netback))));
        if let Some(at) = at {
            plugs[at] = Plug::Guest(Weak::new());
            self.learnt.borrow_mut().retain(|_, port| *port != at);
        }
    }

    /// A port for the test itself, which takes frames as they are on a wire.
    pub fn port(self: &Rc<Self>) -> SwitchPort {
        let mut plugs = self.plugs.borrow_mut();
        let inner = Rc::new(PortInner {
            number: plugs.len(),
            offloads: Cell::new(false),
            received: RefCell::default(),
            news: Signal::new(),
        });
        plugs.push(Plug::Test(Rc::downgrade(&inner)));
        SwitchPort { switch: self.clone(), inner }
    }

    /// Has every frame take so long.
    pub fn set_delay(&self, ns: u64) {
        self.delay_ns.set(ns);
    }

    /// Loses one frame of so many, at random; 0: none.
    pub fn set_loss(&self, rng: Rng, one_of: usize) {
        *self.loss.borrow_mut() = (one_of > 0).then_some((rng, one_of));
    }

    /// Forgets who is where.
    pub fn forget(&self) {
        self.learnt.borrow_mut().clear();
    }

    /// Behind which port an address is, counted from 0 as they were plugged in.
    pub fn learnt(&self, address: [u8; 6]) -> Option<usize> {
        self.learnt.borrow().get(&address).copied()
    }

    /// What went through it.
    pub fn stats(&self) -> SwitchStats {
        self.counts.get()
    }

    fn count(&self, add: impl FnOnce(&mut SwitchStats)) {
        let mut counts = self.counts.get();
        add(&mut counts);
        self.counts.set(counts);
    }

    /// Takes a frame that came in by a port.
    fn accept(&self, from: usize, frame: Frame, ticket: Option<Ticket>) {
        if let Some((rng, one_of)) = &mut *self.loss.borrow_mut()
            && rng.within(0..*one_of) == 0
        {
            return self.count(|counts| counts.lost += 1);
        }
        let at_ns = self.world.now_ns() + self.delay_ns.get();
        if self.delay_ns.get() > 0 {
            self.world.alarm(at_ns);
        }
        self.under_way.borrow_mut().push_back(Transit { at_ns, from, frame, ticket });
    }

    /// Sends a frame out of where it belongs.
    fn forward(&self, transit: &Transit) {
        let Transit { from, frame, ticket, .. } = transit;
        let (from, ticket) = (*from, ticket.as_ref());
        let (Some(source), Some(destination)) = (frame.source(), frame.destination()) else { return };
        if source[0] & 1 == 0 {
            self.learnt.borrow_mut().insert(source, from);
        }
        let known = if frame.is_multicast() { None } else { self.learnt(destination) };
        let plugs = self.plugs.borrow().clone();
        match known {
            Some(port) if port == from => {}
            Some(port) => {
                self.count(|counts| counts.forwarded += 1);
                self.output(&plugs[port], frame, ticket);
            }
            None => {
                self.count(|counts| counts.flooded += 1);
                let others = plugs.iter().enumerate().filter(|(port, _)| *port != from);
                others.for_each(|(_, plug)| self.output(plug, frame, ticket));
            }
        }
    }

    fn output(&self, plug: &Plug, frame: &Frame, ticket: Option<&Ticket>) {
        match plug {
            Plug::Guest(netback) => {
                let Some(netback) = netback.upgrade() else { return };
                // Segments are as long as whoever made them agreed on (`is_skb_forwardable`).
                if frame.gso.is_none() && frame.bytes.len() > ETHERNET + VLAN + netback.mtu() {
                    return self.count(|counts| counts.too_long += 1);
                }
                netback.forward(frame, ticket);
            }
            Plug::Test(port) => {
                let Some(port) = port.upgrade() else { return };
                let frames = match port.offloads.get() {
                    true => Some(vec![frame.clone()]),
                    false => frame.on_the_wire(),
                };
                port.received.borrow_mut().extend(frames.into_iter().flatten());
                port.news.fire();
            }
        }
    }
}

impl Backend for Switch {
    fn turn(&self) -> bool {
        let plugs = self.plugs.borrow().clone();
        for (port, plug) in plugs.iter().enumerate() {
            if let Plug::Guest(netback) = plug
                && let Some(netback) = netback.upgrade()
            {
                for (frame, ticket) in netback.take_sent() {
                    self.accept(port, frame, ticket);
                }
            }
        }
        let mut any = false;
        loop {
            let now_ns = self.world.now_ns();
            let due = self.under_way.borrow_mut().pop_front_if(|transit| transit.at_ns <= now_ns);
            let Some(transit) = due else { return any };
            self.forward(&transit);
            any = true;
        }
    }
}

impl SwitchPort {
    /// Sends a frame.
    pub fn send(&self, frame: Frame) {
        self.switch.accept(self.inner.number, frame, None);
    }

    /// The next frame that has come, if there is one.
    pub fn take(&self) -> Option<Frame> {
        self.inner.received.borrow_mut().pop_front()
    }

    /// The next frame, when it comes.
    pub async fn receive(&self) -> Frame {
        self.inner.news.until(|| self.take()).await
    }

    /// Whether it takes frames as guests make them, to be cut and without checksums.
    pub fn set_offloads(&self, offloads: bool) {
        self.inner.offloads.set(offloads);
    }

    /// Fires when a frame has come.
    pub fn news(&self) -> &Signal {
        &self.inner.news
    }

    /// Its number at the switch.
    pub fn number(&self) -> usize {
        self.inner.number
    }
}
