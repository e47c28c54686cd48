//! Domains, and the machine a guest sees.

use crate::page::Page;
use crate::world::World;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use xen_hyp::platform::{GrantEntry, Shared, VcpuInfo, WallClock, Window};
use xen_hyp::{DomId, Gfn, HvmParam, Platform, Port, SharedMem};

/// Frame of the console ring; any that is not RAM would do.
const CONSOLE_FRAME: u64 = 0x39000;
/// Entries of the grant table: sixteen frames.
const GRANT_ENTRIES: usize = 8192;

/// How the toolstack sets up a guest.
#[derive(Clone, Debug)]
pub struct Setup {
    /// `HVM_PARAM_CONSOLE_PFN`: whether there is a ring.
    pub console: bool,
    /// Whether the parameter is all ones until [`World::announce_console`].
    pub console_late: bool,
    /// The ring's `connection` byte; toolstacks since Xen 4.22 start with 1, disconnected.
    pub connection: u8,
    /// What all four indices of the ring start from.
    pub console_index: u32,
    /// Whether Xen lets the guest use its own console, as one that it made itself.
    pub console_io: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { console: true, console_late: false, connection: 0, console_index: 0, console_io: false }
    }
}

/// One end of an event channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Unbound(DomId),
    Interdomain(DomId, Port),
    Virq(u32),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenPort {
    pub(crate) end: End,
    /// Opened by the domain itself, so that it has to close it.
    pub(crate) own: bool,
}

/// The words Xen shares with a domain.
#[derive(Default)]
pub(crate) struct Words {
    pub(crate) vcpu: VcpuInfo,
    pub(crate) pending: Table,
    pub(crate) mask: Table,
    pub(crate) wall: WallClock,
}

pub(crate) struct Table(pub(crate) [AtomicU64; 64]);

impl Default for Table {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; 64])
    }
}

/// What the hypervisor knows of a domain.
pub struct Domain {
    pub(crate) id: DomId,
    pub(crate) setup: Setup,
    pub(crate) words: Words,
    pub(crate) ports: RefCell<BTreeMap<u32, OpenPort>>,
    pub(crate) params: RefCell<BTreeMap<u32, u64>>,
    frames: RefCell<BTreeMap<u64, Rc<Page>>>,
    grants: Vec<GrantEntry>,
    pub(crate) console_output: RefCell<Vec<u8>>,
    pub(crate) console_input: RefCell<VecDeque<u8>>,
    pub(crate) shutdowns: RefCell<Vec<u32>>,
    pub(crate) sends: Cell<u64>,
}

impl Domain {
    pub(crate) fn new(id: DomId, setup: Setup) -> Self {
        let domain = Self {
            id,
            words: Words::default(),
            ports: RefCell::default(),
            params: RefCell::default(),
            frames: RefCell::default(),
            grants: (0..GRANT_ENTRIES).map(|_| GrantEntry::default()).collect(),
            console_output: RefCell::default(),
            console_input: RefCell::default(),
            shutdowns: RefCell::default(),
            sends: Cell::new(0),
            setup,
        };
        if domain.setup.console {
            let page = Rc::new(Page::new());
            for offset in (3072..3088).step_by(4) {
                page.store(offset, domain.setup.console_index);
            }
            page.write(3088, &domain.setup.connection);
            domain.frames.borrow_mut().insert(CONSOLE_FRAME, page);
            let port = domain.open(End::Unbound(DomId::DOM0), false);
            domain.set_param(HvmParam::ConsoleEvtchn, port.0.into());
            domain.set_param(
                HvmParam::ConsolePfn,
                if domain.setup.console_late { u64::MAX } else { CONSOLE_FRAME },
            );
        }
        domain
    }

    /// Its id.
    pub fn id(&self) -> DomId {
        self.id
    }

    /// What it wrote to Xen's console.
    pub fn console_output(&self) -> Vec<u8> {
        self.console_output.borrow().clone()
    }

    /// Types on Xen's console while it has the input.
    pub fn type_on_console(&self, bytes: &[u8]) {
        self.console_input.borrow_mut().extend(bytes);
    }

    /// The reasons (`SHUTDOWN_*`) for which it shut down.
    pub fn shutdowns(&self) -> Vec<u32> {
        self.shutdowns.borrow().clone()
    }

    /// How often it called `EVTCHNOP_send`.
    pub fn sends(&self) -> u64 {
        self.sends.get()
    }

    /// Sets an HVM parameter.
    pub fn set_param(&self, param: HvmParam, value: u64) {
        self.params.borrow_mut().insert(param as u32, value);
    }

    /// Reads an HVM parameter.
    pub fn param(&self, param: HvmParam) -> u64 {
        self.params.borrow().get(&(param as u32)).copied().unwrap_or(0)
    }

    /// The page of the console ring, as its backend sees it.
    pub fn console_page(&self) -> Rc<Page> {
        self.frames.borrow()[&CONSOLE_FRAME].clone()
    }

    pub(crate) fn announce_console(&self) {
        self.set_param(HvmParam::ConsolePfn, CONSOLE_FRAME);
    }

    /// Sets the time of day at the moment when the clock stood at zero, as dom0 does through Xen.
    pub fn set_wall_clock(&self, secs: u64, nsec: u32) {
        let wall = &self.words.wall;
        wall.version.fetch_add(1, Ordering::AcqRel);
        wall.sec.store(secs as u32, Ordering::Relaxed);
        wall.sec_hi.store((secs >> 32) as u32, Ordering::Relaxed);
        wall.nsec.store(nsec, Ordering::Relaxed);
        wall.version.fetch_add(1, Ordering::AcqRel);
    }
}

/// The machine of a guest: what an arch crate is on a board.
pub struct SimCpu {
    pub(crate) world: World,
    pub(crate) domain: Rc<Domain>,
}

impl SimCpu {
    /// The domain it belongs to.
    pub fn domain(&self) -> &Rc<Domain> {
        &self.domain
    }
}

// SAFETY: pages, words and grant entries live as long as the domain, which `self` keeps, and are reached only
// by atomics and volatile copies; hypercalls touch their argument structures only.
unsafe impl Platform for SimCpu {
    unsafe fn hypercall(&self, nr: usize, args: [usize; 5]) -> isize {
        // SAFETY: the caller's contract is the same.
        unsafe { crate::hypercall::dispatch(&self.world, &self.domain, nr, args) }
    }

    fn frame_of(&self, va: NonNull<u8>) -> Gfn {
        Gfn(va.as_ptr().expose_provenance() as u64 >> 12)
    }

    fn map_frame(&self, frame: Gfn) -> Option<NonNull<u8>> {
        self.domain.frames.borrow().get(&frame.0).map(|page| page.base())
    }

    fn grant_entries(&self, _at_least: usize) -> &[GrantEntry] {
        &self.domain.grants
    }

    fn window(&self, _pages: usize) -> Option<Window> {
        None
    }

    fn release_window(&self, _window: Window) {}

    fn shared(&self) -> Option<Shared<'_>> {
        let Words { vcpu, pending, mask, wall } = &self.domain.words;
        Some(Shared { vcpu, pending: &pending.0, mask: &mask.0, wall })
    }

    fn idle(&self, deadline_ns: Option<u64>) {
        let pending = || self.domain.words.vcpu.upcall_pending.load(Ordering::Acquire) != 0;
        while !pending() {
            if !self.world.run_backends() {
                self.world.advance(deadline_ns);
                return;
            }
        }
    }

    fn now_ns(&self) -> u64 {
        self.world.now_ns()
    }
}
