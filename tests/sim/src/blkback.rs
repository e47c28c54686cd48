//! A disk's backend, in domain 0 or another, written after Linux's `drivers/block/xen-blkback` so as to share its habits, and as
//! much of a toolstack as plugs disks in and pulls them.

mod connect;
mod medium;
mod mischief;
mod queue;
mod request;
mod serve;

pub use medium::Medium;
pub use request::Seen;

use crate::domain::Domain;
use crate::grants::{MappedPage, MappedPages};
use crate::rng::Rng;
use crate::vdev::Vdev;
use crate::world::{Backend, World};
use crate::xenstored::{StoreWatch, Xenstored};
use queue::Queue;
use serve::Pending;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use xen_hyp::DomId;

/// What a backend can do and what its disk is like.
#[derive(Clone, Debug)]
pub struct Features {
    /// `feature-flush-cache`.
    pub flush: bool,
    /// `feature-barrier`.
    pub barrier: bool,
    /// `feature-discard`.
    pub discard: bool,
    /// `discard-secure`.
    pub secure: bool,
    /// `feature-persistent`.
    pub persistent: bool,
    /// Pages that it keeps for each ring; more than these it maps for each request.
    pub persistent_max: usize,
    /// `feature-max-indirect-segments`; 0 is none.
    pub segments: u32,
    /// `max-ring-page-order`.
    pub ring_order: u32,
    /// `multi-queue-max-queues`.
    pub queues: u32,
    /// Whether all this is in its nodes before the guest has said anything. Linux tells of flush, barrier, discard and
    /// persistent grants only when it connects.
    pub early: bool,
    /// `sector-size`.
    pub sector_bytes: u32,
    /// `physical-sector-size`.
    pub physical_bytes: u32,
    /// Plugged in with mode `r`.
    pub read_only: bool,
    /// `VDISK_CDROM`.
    pub cdrom: bool,
    /// `VDISK_REMOVABLE`.
    pub removable: bool,
    /// The node `trusted` of the guest's half, if there is one.
    pub trusted: Option<bool>,
    /// Whether requests after a barrier wait for its end, which Linux does not make them do.
    pub strict_barriers: bool,
}

impl Default for Features {
    /// Those of Linux's.
    fn default() -> Self {
        Self {
            flush: true,
            barrier: true,
            discard: true,
            secure: false,
            persistent: true,
            persistent_max: 1056,
            segments: 256,
            ring_order: 4,
            queues: 4,
            early: false,
            sector_bytes: 512,
            physical_bytes: 512,
            read_only: false,
            cdrom: false,
            removable: false,
            trusted: None,
            strict_barriers: false,
        }
    }
}

/// When requests are done and answered.
#[derive(Clone, Debug)]
pub enum Order {
    /// All at once, in their order.
    Arrival,
    /// One a turn.
    OneATurn,
    /// In any order, each done at one time and answered at another.
    Random(Rng),
    /// None, but those that are [released](Blkback::release).
    Held,
    /// Each so many nanoseconds after it came.
    After(u64),
}

/// The backend of one disk.
pub struct Blkback {
    world: World,
    /// Where it runs.
    home: Rc<Domain>,
    guest: Rc<Domain>,
    vdev: Vdev,
    /// Of our own half.
    nodes: StoreWatch,
    id: u32,
    medium: RefCell<Rc<Medium>>,
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
    /// `physical-device` is there.
    inserted: bool,
    /// What the driver has, while it is bound to the device.
    watch: Option<StoreWatch>,
    state: u32,
    queues: Vec<Queue>,
    /// Turns that pass between reading where the rings are and saying that it is connected.
    connect_turns: usize,
    /// How many of them are left.
    connecting: usize,
    /// Something happened meanwhile.
    missed: bool,
    pending: Vec<Pending>,
    /// The toolstack waits for it to be closed.
    pulling: bool,
    order: Order,
    released: usize,
    /// Leaves out turns.
    lazy: Option<Rng>,
    /// So many before the next.
    skips: usize,
    judge: Option<Judge>,
    peek: Option<Peek>,
    log: Vec<Seen>,
    complaints: Vec<String>,
    /// Pages stay mapped when requests are answered.
    keeps: bool,
    kept: Vec<Rc<MappedPage>>,
    kept_rings: Vec<Rc<MappedPages>>,
    storm: bool,
}

type Peek = Box<dyn FnMut(&Seen, &[Vec<u8>], &[Vec<u8>])>;
type Judge = Box<dyn FnMut(&Seen) -> Option<i16>>;

impl Blkback {
    /// A driver in domain 0 for this disk of `guest`, which is not plugged in yet.
    pub fn new(
        world: &World,
        store: &Rc<Xenstored>,
        guest: DomId,
        id: u32,
        medium: &Rc<Medium>,
        features: Features,
    ) -> Rc<Self> {
        Self::new_in(world, store, DomId::DOM0, guest, id, medium, features)
    }

    /// The same in another domain.
    pub fn new_in(
        world: &World,
        store: &Rc<Xenstored>,
        home: DomId,
        guest: DomId,
        id: u32,
        medium: &Rc<Medium>,
        features: Features,
    ) -> Rc<Self> {
        let inner = Inner {
            features,
            nodes: BTreeMap::new(),
            driver: true,
            news: true,
            inserted: true,
            watch: None,
            state: 0,
            queues: Vec::new(),
            connect_turns: 0,
            connecting: 0,
            missed: false,
            pending: Vec::new(),
            pulling: false,
            order: Order::Arrival,
            released: 0,
            lazy: None,
            skips: 0,
            judge: None,
            peek: None,
            log: Vec::new(),
            complaints: Vec::new(),
            keeps: false,
            kept: Vec::new(),
            kept_rings: Vec::new(),
            storm: false,
        };
        let vdev = Vdev::new_in(store, home, guest, "vbd", id);
        let back = Rc::new(Self {
            world: world.clone(),
            home: world.find(home).expect("the backend's domain"),
            guest: world.find(guest).expect("the guest"),
            nodes: store.watch(vdev.back()),
            vdev,
            id,
            medium: RefCell::new(medium.clone()),
            inner: RefCell::new(inner),
        });
        let backend: Rc<dyn Backend> = back.clone();
        world.add_backend(Rc::downgrade(&backend));
        back
    }

    /// The same with the disk plugged in.
    pub fn plugged(
        world: &World,
        store: &Rc<Xenstored>,
        guest: DomId,
        id: u32,
        medium: &Rc<Medium>,
        features: Features,
    ) -> Rc<Self> {
        let back = Self::new(world, store, guest, id, medium, features);
        back.plug();
        back
    }

    /// Plugs the disk in, as `xl block-attach` does.
    pub fn plug(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.detach(&self.world);
        let features = &inner.features;
        let id = self.id.to_string();
        let kind = if features.cdrom { "cdrom" } else { "disk" };
        let trusted = features.trusted.map(|trusted| ("trusted", if trusted { "1" } else { "0" }));
        let front: Vec<_> =
            [("virtual-device", &id[..]), ("device-type", kind)].into_iter().chain(trusted).collect();
        let mode = if features.read_only { "r" } else { "w" };
        let removable = if features.removable { "1" } else { "0" };
        let back = [
            ("removable", removable),
            ("bootable", "1"),
            ("dev", "xvda"),
            ("type", "phy"),
            ("mode", mode),
            ("device-type", kind),
            ("discard-enable", "1"),
        ];
        self.vdev.plug(&front, &back);
        inner.pulling = false;
        let set: Vec<String> = inner.nodes.keys().cloned().collect();
        set.iter().for_each(|name| self.write(&inner, name, ""));
    }

    /// Asks for the disk to be let go, as `xl block-detach` does, and removes it when it has been.
    pub fn unplug(&self) {
        self.vdev.ask_to_close();
        self.inner.borrow_mut().pulling = true;
    }

    /// Removes the disk, whatever state it is in, as `xl block-detach --force` does.
    pub fn pull(&self) {
        self.vdev.pull();
        self.inner.borrow_mut().pulling = false;
    }

    /// Whether there is a driver, for devices plugged in from now on and the one there is.
    pub fn set_driver(&self, driver: bool) {
        let mut inner = self.inner.borrow_mut();
        (inner.driver, inner.news) = (driver, true);
    }

    /// Whether the hotplug script has said which disk it is.
    pub fn set_inserted(&self, inserted: bool) {
        let mut inner = self.inner.borrow_mut();
        inner.inserted = inserted;
        self.update(&mut inner);
    }

    /// Unbinds the driver, as through sysfs: what it has begun ends first, and our state stays as it is.
    pub fn unbind(&self) {
        let mut inner = self.inner.borrow_mut();
        self.finish_pending(&mut inner);
        inner.detach(&self.world);
        inner.driver = false;
    }

    /// Binds it again.
    pub fn bind(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.driver = true;
        self.probe(&mut inner);
    }

    /// The backend is no more: what it has begun it has, and the rest it has not. The nodes stay as they are. Its
    /// mappings go with it, or stay until [`let_go`](Self::let_go).
    pub fn crash(&self, keeps: bool) {
        let mut inner = self.inner.borrow_mut();
        if keeps {
            let pages = inner.pages();
            inner.kept.extend(pages);
            let rings: Vec<_> = inner.queues.iter().map(|queue| queue.memory.clone()).collect();
            inner.kept_rings.extend(rings);
        }
        inner.detach(&self.world);
        inner.driver = false;
    }

    /// Exchanges the medium, which is seen when the driver connects anew.
    pub fn exchange(&self, medium: &Rc<Medium>) {
        *self.medium.borrow_mut() = medium.clone();
    }

    /// Makes the medium longer or shorter, and says so (`xen_vbd_resize`).
    pub fn resize(&self, sectors: u64) {
        self.medium().resize(sectors);
        let inner = self.inner.borrow();
        self.write(&inner, "sectors", &sectors.to_string());
        self.vdev.write("state", inner.state.to_string());
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

    /// When requests are done and answered from now on.
    pub fn set_order(&self, order: Order) {
        self.inner.borrow_mut().order = order;
    }

    /// Does and answers so many requests that were [held](Order::Held), the first first.
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

    /// Asks this with each request; what it gives is the status that the request fails with.
    pub fn judge(&self, judge: impl FnMut(&Seen) -> Option<i16> + 'static) {
        self.inner.borrow_mut().judge = Some(Box::new(judge));
    }

    /// Shows this each request when it comes, with all that is in its pages and in those with its segments.
    pub fn peek(&self, peek: impl FnMut(&Seen, &[Vec<u8>], &[Vec<u8>]) + 'static) {
        self.inner.borrow_mut().peek = Some(Box::new(peek));
    }

    /// All requests it has taken.
    pub fn log(&self) -> Vec<Seen> {
        self.inner.borrow().log.clone()
    }

    /// What the guest did wrong.
    pub fn complaints(&self) -> Vec<String> {
        self.inner.borrow().complaints.clone()
    }

    /// Requests taken and not answered.
    pub fn pending(&self) -> usize {
        self.inner.borrow().pending.len()
    }

    /// How many rings it is connected by.
    pub fn queues(&self) -> usize {
        self.inner.borrow().queues.len()
    }

    /// How many pages it keeps mapped because both agreed to.
    pub fn persistent(&self) -> usize {
        let inner = self.inner.borrow();
        inner.queues.iter().filter_map(|queue| queue.persistent.as_ref()).map(BTreeMap::len).sum()
    }

    /// Its state, as far as it knows; 0 if no driver is bound.
    pub fn state(&self) -> u32 {
        self.inner.borrow().state
    }

    /// Its nodes.
    pub fn vdev(&self) -> &Vdev {
        &self.vdev
    }

    /// What is on the disk.
    pub fn medium(&self) -> Rc<Medium> {
        self.medium.borrow().clone()
    }

    fn write(&self, inner: &Inner, name: &str, value: &str) {
        match inner.nodes.get(name) {
            None => self.vdev.write(name, value),
            Some(Some(instead)) => self.vdev.write(name, instead),
            Some(None) => self.vdev.remove(name),
        }
    }
}

impl Inner {
    /// Unmaps what it should not have.
    fn let_go(&mut self) {
        self.kept.clear();
        self.kept_rings.clear();
    }

    /// Ends the connection and lets the device go.
    fn detach(&mut self, world: &World) {
        self.disconnect(world);
        (self.watch, self.state) = (None, 0);
        (self.connecting, self.missed) = (0, false);
    }

    /// Everything of the guest's that is mapped, but for rings.
    fn pages(&self) -> Vec<Rc<MappedPage>> {
        let pending = self.pending.iter().flat_map(|pending| pending.pages.iter().chain(&pending.tables));
        let persistent = self.queues.iter().filter_map(|queue| queue.persistent.as_ref());
        pending.chain(persistent.flat_map(BTreeMap::values)).cloned().collect()
    }

    /// `xen_blkif_disconnect`, without waiting for what is under way.
    fn disconnect(&mut self, world: &World) {
        self.pending.clear();
        for queue in self.queues.drain(..) {
            queue.close(world);
        }
    }
}

impl Backend for Blkback {
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
}
