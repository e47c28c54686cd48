//! The hypervisor, its domains, the backends, and time.

use crate::domain::{Domain, End, Setup, SimCpu};
use crate::page::Page;
use crate::store::Store;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};
use xen_hyp::{DomId, HvmParam, Port, Xen, XenError};

/// A program in domain 0.
pub trait Backend {
    /// Does what there is to do; gives whether there was anything.
    fn turn(&self) -> bool;

    /// Hears of a new guest before it runs.
    fn created(&self, _guest: &Rc<Domain>) {}

    /// What a guest has left here, in words.
    fn left_over(&self, _guest: DomId) -> Vec<String> {
        Vec::new()
    }
}

/// A machine with a hypervisor and its domains. Clones are the same world.
#[derive(Clone)]
pub struct World(Rc<Inner>);

struct Inner {
    domains: RefCell<Vec<Rc<Domain>>>,
    guests: RefCell<Vec<Weak<Xen<SimCpu>>>>,
    backends: RefCell<Vec<Weak<dyn Backend>>>,
    clock_ns: Cell<u64>,
    timers: RefCell<Vec<(u64, Waker)>>,
    faults: RefCell<Vec<Fault>>,
    trace: bool,
}

struct Fault {
    domain: DomId,
    nr: usize,
    cmd: usize,
    error: XenError,
}

impl World {
    /// A world with only domain 0. With the variable `FATA_TRACE` set it prints each hypercall.
    pub fn new() -> Self {
        let nothing = Setup { console: false, store: Store::Absent, grant_frames: 0, ..Setup::default() };
        Self(Rc::new(Inner {
            domains: RefCell::new(vec![Rc::new(Domain::new(DomId::DOM0, nothing))]),
            guests: RefCell::default(),
            backends: RefCell::default(),
            clock_ns: Cell::new(0),
            timers: RefCell::default(),
            faults: RefCell::default(),
            trace: std::env::var_os("FATA_TRACE").is_some(),
        }))
    }

    /// Creates a guest with a console ring and starts it.
    pub fn guest(&self) -> Rc<Xen<SimCpu>> {
        self.guest_with(Setup::default())
    }

    /// Creates a guest and starts it.
    pub fn guest_with(&self, setup: Setup) -> Rc<Xen<SimCpu>> {
        let id = DomId(self.0.domains.borrow().len() as u16);
        let domain = Rc::new(Domain::new(id, setup));
        self.0.domains.borrow_mut().push(domain.clone());
        self.backends().iter().for_each(|backend| backend.created(&domain));
        let xen = Xen::new(SimCpu { world: self.clone(), domain });
        self.0.guests.borrow_mut().push(Rc::downgrade(&xen));
        xen
    }

    /// Has a domain start from the beginning, with the ports and the memory it has: as an image that has crashed and is loaded
    /// again. What the life before left must not run any more.
    pub fn start_anew(&self, domain: &Rc<Domain>) -> Rc<Xen<SimCpu>> {
        let xen = Xen::new(SimCpu { world: self.clone(), domain: domain.clone() });
        let mut guests = self.0.guests.borrow_mut();
        guests.retain(|guest| guest.upgrade().is_some_and(|xen| xen.platform().domain().id() != domain.id()));
        guests.push(Rc::downgrade(&xen));
        xen
    }

    /// The domain with this id.
    pub fn find(&self, id: DomId) -> Option<Rc<Domain>> {
        self.0.domains.borrow().get(usize::from(id.0)).filter(|domain| !domain.dead.get()).cloned()
    }

    /// Destroys a domain: its ports are closed, and so are its mappings of others' memory. Its own memory stays for those
    /// who have it mapped, so whoever plays the domain must keep it, and do nothing more. Xenstore is to be told
    /// separately.
    pub fn destroy(&self, domain: &Domain) {
        let ports: Vec<_> = domain.ports.borrow().keys().copied().collect();
        for port in ports {
            self.close(domain, Port(port)).expect("an open port");
        }
        drop(domain.maptrack.take());
        domain.dead.set(true);
    }

    /// Domain 0, in which the backends run.
    pub fn dom0(&self) -> Rc<Domain> {
        self.0.domains.borrow()[0].clone()
    }

    /// Adds a backend, which then has its turns until it is dropped.
    pub fn add_backend(&self, backend: Weak<dyn Backend>) {
        self.0.backends.borrow_mut().push(backend);
    }

    /// Tells a guest with a late console where it is, as `init-dom0less` does for Xenstore.
    pub fn announce_console(&self, domain: &Domain) {
        domain.announce_console();
        domain.raise(Port(domain.param(HvmParam::ConsoleEvtchn) as u32));
    }

    /// Makes the next call of this command fail. Calls pile up: each is good for one failure.
    pub fn fail(&self, domain: DomId, nr: usize, cmd: usize, error: XenError) {
        self.0.faults.borrow_mut().push(Fault { domain, nr, cmd, error });
    }

    pub(crate) fn injected(&self, domain: DomId, nr: usize, cmd: usize) -> Option<XenError> {
        let mut faults = self.0.faults.borrow_mut();
        let found = faults.iter().position(|f| (f.domain, f.nr, f.cmd) == (domain, nr, cmd))?;
        Some(faults.remove(found).error)
    }

    /// Nanoseconds since the world began.
    pub fn now_ns(&self) -> u64 {
        self.0.clock_ns.get()
    }

    /// Waits until the clock has moved on by `ns`.
    pub async fn sleep(&self, ns: u64) {
        let deadline = self.now_ns() + ns;
        poll_fn(|cx| {
            if self.now_ns() >= deadline {
                return Poll::Ready(());
            }
            self.0.timers.borrow_mut().push((deadline, cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    /// Has the clock stop at this time, so that backends have a turn then.
    pub(crate) fn alarm(&self, at_ns: u64) {
        self.0.timers.borrow_mut().push((at_ns, Waker::noop().clone()));
    }

    /// Memory that belongs to no domain, for [`Domain::pass`].
    pub fn spare_memory(&self, pages: usize) -> Rc<Page> {
        Rc::new(Page::many(pages))
    }

    /// Moves the clock on, as by a backend that takes so long.
    pub fn pass(&self, ns: u64) {
        self.0.clock_ns.set(self.now_ns() + ns);
    }

    /// Moves the clock to the next deadline: the one given or the earliest timer. Gives whether there was one.
    pub(crate) fn advance(&self, deadline_ns: Option<u64>) -> bool {
        let timer = self.0.timers.borrow().iter().map(|(at, _)| *at).min();
        let Some(next) = deadline_ns.into_iter().chain(timer).min() else { return false };
        self.0.clock_ns.set(next.max(self.now_ns()));
        let due: Vec<_> = self.0.timers.borrow_mut().extract_if(.., |(at, _)| *at <= self.now_ns()).collect();
        due.into_iter().for_each(|(_, waker)| waker.wake());
        true
    }

    /// Gives each backend a turn; whether any had something to do.
    pub fn run_backends(&self) -> bool {
        self.backends().iter().fold(false, |any, backend| backend.turn() | any)
    }

    fn backends(&self) -> Vec<Rc<dyn Backend>> {
        self.0.backends.borrow().iter().filter_map(Weak::upgrade).collect()
    }

    /// Demultiplexes the events of each guest; whether there were any.
    pub(crate) fn demux(&self) -> bool {
        let guests: Vec<_> = self.0.guests.borrow().iter().filter_map(Weak::upgrade).collect();
        guests.iter().fold(false, |any, xen| xen.demux() | any)
    }

    /// Fails if a guest left something open that it opened itself.
    ///
    /// # Panics
    ///
    /// If so, saying what.
    pub fn assert_cleaned_up(&self) {
        for domain in self.0.domains.borrow().iter().skip(1).filter(|domain| !domain.dead.get()) {
            let ports = domain.ports.borrow();
            let left: Vec<(&u32, End)> =
                ports.iter().filter(|(_, p)| p.own).map(|(n, p)| (n, p.end)).collect();
            assert!(left.is_empty(), "{} left ports open: {left:?}", domain.id);
            assert_eq!(domain.granted(), [], "{} left grants", domain.id);
            assert_eq!(domain.mapped(), 0, "{} left pages of others mapped", domain.id);
            assert_eq!(domain.open_windows.get(), 0, "{} left windows", domain.id);
            let left: Vec<_> = self.backends().iter().flat_map(|b| b.left_over(domain.id)).collect();
            assert!(left.is_empty(), "{} left {left:?}", domain.id);
        }
    }

    pub(crate) fn trace(&self, what: fmt::Arguments<'_>) {
        if self.0.trace {
            println!("{:>12} {what}", self.now_ns());
        }
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}
