//! The backend of a network device, in domain 0 or another, written after Linux's `drivers/net/xen-netback` so as to share
//! its habits, and as much of a toolstack as plugs devices in and pulls them.
//!
//! What the guest sends goes to the [`Switch`](crate::Switch) that it is attached to, or else is there to be looked at.

mod connect;
mod control;
mod features;
mod lies;
mod mischief;
mod plug;
mod queue;
mod rx;
mod tx;
mod wire;

pub use features::{Features, NetStats};
pub use lies::NetLie;
pub use mischief::Way;
pub use rx::Taken;
pub use tx::Sending;
pub(crate) use tx::Ticket;

use crate::blkback::Order;
use crate::domain::Domain;
use crate::frame::Frame;
use crate::grants::{MappedPage, MappedPages};
use crate::rng::Rng;
use crate::vdev::Vdev;
use crate::world::{Backend, World};
use crate::xenstored::{StoreWatch, Xenstored};
use control::Hash;
use queue::{Queue, Side};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use tx::Packet;
use wire::RX_SLOT;
use xen_hyp::DomId;

/// The backend of one network device.
pub struct Netback {
    world: World,
    /// Where it runs.
    home: Rc<Domain>,
    guest: Rc<Domain>,
    vdev: Vdev,
    /// Of our own half.
    nodes: StoreWatch,
    id: u32,
    inner: RefCell<Inner>,
}

struct Inner {
    features: Features,
    /// What is in nodes instead of what would be; `None`: they are not there.
    nodes: BTreeMap<String, Option<String>>,
    /// There is a driver for new devices.
    driver: bool,
    /// Something is to be looked at that no node tells of.
    news: bool,
    /// The script that adds the interface to the bridge comes to an end.
    script: bool,
    /// What the driver has, while it is bound to the device.
    watch: Option<StoreWatch>,
    state: u32,
    /// The state is said only when the script is done (`have_hotplug_status_watch`).
    deferred: bool,
    /// The guest broke the protocol: nothing is served until it is plugged in again.
    disabled: bool,
    queues: Vec<Queue>,
    control: Option<Side>,
    hash: Hash,
    taken: Taken,
    /// `request-multicast-control` as it was when it connected.
    filtered: bool,
    /// Groups that the guest is in.
    filter: Vec<[u8; 6]>,
    carrier: Option<bool>,
    /// Turns that pass between reading where the rings are and saying that it is connected.
    connect_turns: usize,
    /// How many of them are left.
    connecting: usize,
    /// Something happened meanwhile.
    missed: bool,
    /// The toolstack waits for it to be closed.
    pulling: bool,
    /// Packets taken and not answered in full.
    pending: Vec<Packet>,
    packets: u64,
    order: Order,
    released: usize,
    /// Leaves out turns.
    lazy: Option<Rng>,
    /// So many before the next.
    skips: usize,
    judge: Option<Judge>,
    tamper: Option<Tamper>,
    tamper_sent: Option<TamperSent>,
    /// What the guest has sent and nobody has taken.
    sent: Vec<(Frame, Option<Ticket>)>,
    /// It goes to a switch.
    attached: bool,
    log: Vec<Sending>,
    complaints: Vec<String>,
    stats: NetStats,
    /// Pages stay mapped when requests are answered.
    keeps: bool,
    kept: Vec<Rc<MappedPage>>,
    kept_rings: Vec<Rc<MappedPages>>,
    storm: bool,
}

type Judge = Box<dyn FnMut(&Sending) -> Option<i16>>;
type Tamper = Box<dyn FnMut(&mut Vec<[u8; RX_SLOT]>)>;
type TamperSent = Box<dyn FnMut(&mut Vec<[u8; 4]>)>;

impl Netback {
    /// A driver in domain 0 for this network device of `guest`, which is not plugged in yet.
    pub fn new(world: &World, store: &Rc<Xenstored>, guest: DomId, id: u32, features: Features) -> Rc<Self> {
        Self::new_in(world, store, DomId::DOM0, guest, id, features)
    }

    /// The same in another domain.
    pub fn new_in(
        world: &World,
        store: &Rc<Xenstored>,
        home: DomId,
        guest: DomId,
        id: u32,
        features: Features,
    ) -> Rc<Self> {
        let vdev = Vdev::new_in(store, home, guest, "vif", id);
        let back = Rc::new(Self {
            world: world.clone(),
            home: world.find(home).expect("the backend's domain"),
            guest: world.find(guest).expect("the guest"),
            nodes: store.watch(vdev.back()),
            vdev,
            id,
            inner: RefCell::new(Inner::new(features)),
        });
        let backend: Rc<dyn Backend> = back.clone();
        world.add_backend(Rc::downgrade(&backend));
        back
    }

    /// The same with the device plugged in.
    pub fn plugged(
        world: &World,
        store: &Rc<Xenstored>,
        guest: DomId,
        id: u32,
        features: Features,
    ) -> Rc<Self> {
        let back = Self::new(world, store, guest, id, features);
        back.plug();
        back
    }

    /// What it can do; changes are seen when it says so the next time.
    pub fn change_features(&self, change: impl FnOnce(&mut Features)) {
        change(&mut self.inner.borrow_mut().features);
    }

    /// Has this in a node of the backend's half, whatever the truth, from now on; `None`: no such node.
    pub fn set_node(&self, name: &str, value: Option<&str>) {
        let mut inner = self.inner.borrow_mut();
        inner.nodes.insert(name.into(), value.map(String::from));
        if self.vdev.has_back() {
            self.write(&inner, name, "");
        }
    }

    /// When packets of the guest go out and are answered from now on.
    pub fn set_order(&self, order: Order) {
        self.inner.borrow_mut().order = order;
    }

    /// Sends on and answers so many packets that were [held](Order::Held), the first first.
    pub fn release(&self, count: usize) {
        self.inner.borrow_mut().released += count;
    }

    /// Leaves out turns at random from now on, after those in which it did something.
    pub fn be_lazy(&self, rng: Rng) {
        self.inner.borrow_mut().lazy = Some(rng);
    }

    /// Takes so many turns to connect, between reading where the rings are and saying so; it sees nothing meanwhile.
    pub fn connect_slowly(&self, turns: usize) {
        self.inner.borrow_mut().connect_turns = turns;
    }

    /// Asks this with each packet of the guest; one that it gives a status for is not sent on, and fails with that.
    pub fn judge(&self, judge: impl FnMut(&Sending) -> Option<i16> + 'static) {
        self.inner.borrow_mut().judge = Some(Box::new(judge));
    }

    /// Has a frame come to the guest. It is lost if the guest does not take any.
    pub fn inject(&self, frame: &Frame) {
        self.enqueue(&mut self.inner.borrow_mut(), frame, None);
    }

    /// What the guest has sent since the last call, as it sent it. With a switch it goes there.
    pub fn sent(&self) -> Vec<Frame> {
        self.take_sent().into_iter().map(|(frame, _)| frame).collect()
    }

    /// The same as it would be on a wire, in segments with checksums.
    pub fn sent_on_the_wire(&self) -> Vec<Frame> {
        self.sent().iter().filter_map(Frame::on_the_wire).flatten().collect()
    }

    /// All packets it has taken.
    pub fn log(&self) -> Vec<Sending> {
        self.inner.borrow().log.clone()
    }

    /// What the guest did wrong.
    pub fn complaints(&self) -> Vec<String> {
        self.inner.borrow().complaints.clone()
    }

    /// How much of what there was.
    pub fn stats(&self) -> NetStats {
        self.inner.borrow().stats
    }

    /// Packets taken and not answered in full.
    pub fn pending(&self) -> usize {
        self.inner.borrow().pending.len()
    }

    /// Frames for the guest that wait for requests.
    pub fn waiting(&self) -> usize {
        self.inner.borrow().queues.iter().map(|queue| queue.waiting.len()).sum()
    }

    /// How many pairs of rings it is connected by.
    pub fn queues(&self) -> usize {
        self.inner.borrow().queues.len()
    }

    /// What the guest said that it takes when it connected.
    pub fn taken(&self) -> Taken {
        self.inner.borrow().taken
    }

    /// The groups that the guest said it is in.
    pub fn groups(&self) -> Vec<[u8; 6]> {
        self.inner.borrow().filter.clone()
    }

    /// Its state, as far as it knows; 0 if no driver is bound.
    pub fn state(&self) -> u32 {
        self.inner.borrow().state
    }

    /// Its nodes.
    pub fn vdev(&self) -> &Vdev {
        &self.vdev
    }

    /// The same for a frame that another guest has sent.
    pub(crate) fn forward(&self, frame: &Frame, ticket: Option<&Ticket>) {
        self.enqueue(&mut self.inner.borrow_mut(), frame, ticket);
    }

    /// What the guest has sent since the last call, and what to keep as long as it is not copied or dropped.
    pub(crate) fn take_sent(&self) -> Vec<(Frame, Option<Ticket>)> {
        core::mem::take(&mut self.inner.borrow_mut().sent)
    }

    /// Whether a switch takes what the guest sends.
    pub(crate) fn set_attached(&self, attached: bool) {
        self.inner.borrow_mut().attached = attached;
    }

    /// The longest packet that passes its port of a switch.
    pub(crate) fn mtu(&self) -> usize {
        self.inner.borrow().features.mtu.unwrap_or(1500) as usize
    }

    fn write(&self, inner: &Inner, name: &str, value: &str) {
        match inner.nodes.get(name) {
            None => self.vdev.write(name, value),
            Some(Some(instead)) => self.vdev.write(name, instead),
            Some(None) => self.vdev.remove(name),
        }
    }

    /// Takes packets out of the rings and puts frames into them; gives whether there was anything.
    fn serve(&self, inner: &mut Inner) -> bool {
        let mut any = false;
        if inner.connecting > 0 {
            return any;
        }
        any |= self.control(inner);
        for index in 0..inner.queues.len() {
            let queue = &mut inner.queues[index];
            any |= queue.take_events();
            if core::mem::take(&mut queue.tx.awake) && !inner.disabled {
                any = true;
                self.take_packets(inner, index);
            }
        }
        any |= self.progress(inner);
        let now_ns = self.world.now_ns();
        for index in 0..inner.queues.len() {
            let queue = &mut inner.queues[index];
            let expired = queue.waiting.front().is_some_and(|waiting| now_ns >= waiting.expires_ns);
            if (core::mem::take(&mut queue.rx.awake) || expired) && !inner.disabled {
                any = true;
                self.give(inner, index);
            }
            self.publish_sent(inner, index);
            let queue = &mut inner.queues[index];
            queue.rx.publish(&self.world);
            if inner.storm && any {
                queue.tx.notify(&self.world);
                queue.rx.notify(&self.world);
            }
        }
        any
    }
}

impl Inner {
    fn new(features: Features) -> Self {
        Self {
            features,
            nodes: BTreeMap::new(),
            driver: true,
            news: true,
            script: true,
            watch: None,
            state: 0,
            deferred: false,
            disabled: false,
            queues: Vec::new(),
            control: None,
            hash: Hash::default(),
            taken: Taken::default(),
            filtered: false,
            filter: Vec::new(),
            carrier: None,
            connect_turns: 0,
            connecting: 0,
            missed: false,
            pulling: false,
            pending: Vec::new(),
            packets: 0,
            order: Order::Arrival,
            released: 0,
            lazy: None,
            skips: 0,
            judge: None,
            tamper: None,
            tamper_sent: None,
            sent: Vec::new(),
            attached: false,
            log: Vec::new(),
            complaints: Vec::new(),
            stats: NetStats::default(),
            keeps: false,
            kept: Vec::new(),
            kept_rings: Vec::new(),
            storm: false,
        }
    }

    /// Keeps a page that it is done with, if it should not.
    fn keep(&mut self, page: &Rc<MappedPage>) {
        if self.keeps {
            self.kept.push(page.clone());
        }
    }
}

impl Backend for Netback {
    fn turn(&self) -> bool {
        let mut inner = self.inner.borrow_mut();
        if inner.skips > 0 {
            inner.skips -= 1;
            return true;
        }
        let any = self.follow_states(&mut inner) | self.serve(&mut inner);
        if any && let Some(rng) = &mut inner.lazy {
            inner.skips = rng.within(0..6);
        }
        any
    }

    fn left_over(&self, guest: DomId) -> Vec<String> {
        let inner = self.inner.borrow();
        if guest != self.guest.id() {
            return Vec::new();
        }
        let rings = inner.queues.len();
        let rings = (rings > 0).then(|| format!("{rings} pairs of rings of vif {}", self.id));
        let pending = inner.pending.len();
        rings
            .into_iter()
            .chain((pending > 0).then(|| format!("{pending} packets of vif {}", self.id)))
            .collect()
    }
}
