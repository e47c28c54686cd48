//! Domains, and the machine a guest sees.

use crate::grants::{Maptrack, Uses};
use crate::page::Page;
use crate::store::Store;
use crate::world::World;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use xen_hyp::platform::{GrantEntry, Shared, VcpuInfo, WallClock, Window};
use xen_hyp::{CpuRandom, DomId, Gfn, HvmParam, PAGE_SIZE, Platform, Port, SharedMem};

/// Frame of the console ring; any that is not RAM would do.
const CONSOLE_FRAME: u64 = 0x39000;
/// Entries in a frame of the grant table.
const GRANTS_A_FRAME: usize = PAGE_SIZE / size_of::<GrantEntry>();
/// Guest addresses from here on are for pages of other domains.
const WINDOWS: u64 = 1 << 40;

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
    /// `max_grant_frames`: how far the grant table may grow.
    pub grant_frames: usize,
    /// Whether the guest's memory is above 16 TiB.
    pub high_memory: bool,
    /// Whether there is address space for other domains' pages.
    pub windows: bool,
    /// How it is given its store.
    pub store: Store,
    /// What all four indices of the store's rings start from.
    pub store_index: u32,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            console: true,
            console_late: false,
            connection: 0,
            console_index: 0,
            console_io: false,
            grant_frames: 64,
            high_memory: false,
            windows: true,
            store: Store::Present,
            store_index: 0,
        }
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

/// A part of the machine that says something else each time.
type Says<T> = Box<dyn FnMut() -> T>;

/// What the hypervisor knows of a domain.
pub struct Domain {
    pub(crate) id: DomId,
    pub(crate) setup: Setup,
    pub(crate) words: Words,
    pub(crate) ports: RefCell<BTreeMap<u32, OpenPort>>,
    pub(crate) params: RefCell<BTreeMap<u32, u64>>,
    pub(crate) frames: RefCell<BTreeMap<u64, Rc<Page>>>,
    /// What is passed through to it, by address.
    passed: RefCell<BTreeMap<u64, Rc<Page>>>,
    grants: Vec<GrantEntry>,
    /// Frames of the table that the guest has asked for.
    grant_frames: Cell<usize>,
    pub(crate) active: RefCell<BTreeMap<u32, Uses>>,
    pub(crate) maptrack: RefCell<Maptrack>,
    /// Where the pages are that the guest has named by their frames. Our addresses do not fit an entry's 32 bits.
    named: RefCell<BTreeMap<u64, usize>>,
    windows: Cell<u64>,
    pub(crate) open_windows: Cell<usize>,
    pub(crate) console_output: RefCell<Vec<u8>>,
    pub(crate) console_input: RefCell<VecDeque<u8>>,
    pub(crate) shutdowns: RefCell<Vec<u32>>,
    pub(crate) sends: Cell<u64>,
    /// What the CPU's generator gives, in turn; without any there is no such generator.
    cpu_random: RefCell<Option<Says<Option<u64>>>>,
    /// What the finest clock says, if it is another than the world's.
    ticks: RefCell<Option<Says<u64>>>,
    /// It has been destroyed.
    pub(crate) dead: Cell<bool>,
}

impl Domain {
    pub(crate) fn new(id: DomId, setup: Setup) -> Self {
        let domain = Self {
            id,
            words: Words::default(),
            ports: RefCell::default(),
            params: RefCell::default(),
            frames: RefCell::default(),
            passed: RefCell::default(),
            grants: (0..setup.grant_frames * GRANTS_A_FRAME).map(|_| GrantEntry::default()).collect(),
            grant_frames: Cell::new(0),
            active: RefCell::default(),
            maptrack: RefCell::default(),
            named: RefCell::default(),
            windows: Cell::new(WINDOWS),
            open_windows: Cell::new(0),
            console_output: RefCell::default(),
            console_input: RefCell::default(),
            shutdowns: RefCell::default(),
            sends: Cell::new(0),
            cpu_random: RefCell::default(),
            ticks: RefCell::default(),
            dead: Cell::new(false),
            setup,
        };
        domain.set_up_store();
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

    /// Has it find this at an address, as what Xen passes through by its device tree.
    pub fn pass(&self, at: u64, memory: &Rc<Page>) {
        self.passed.borrow_mut().insert(at, memory.clone());
    }

    /// Sets an HVM parameter.
    pub fn set_param(&self, param: HvmParam, value: u64) {
        self.params.borrow_mut().insert(param as u32, value);
    }

    /// Reads an HVM parameter.
    pub fn param(&self, param: HvmParam) -> u64 {
        self.params.borrow().get(&(param as u32)).copied().unwrap_or(0)
    }

    /// The whole grant table.
    pub(crate) fn grants(&self) -> &[GrantEntry] {
        &self.grants
    }

    /// The address of a page that the guest named by this frame; 0 if it did not.
    pub(crate) fn address_of(&self, frame: u64) -> usize {
        self.named.borrow().get(&frame).copied().unwrap_or(0)
    }

    /// The page of the console ring, as its backend sees it.
    pub fn console_page(&self) -> Rc<Page> {
        self.frames.borrow()[&CONSOLE_FRAME].clone()
    }

    pub(crate) fn announce_console(&self) {
        self.set_param(HvmParam::ConsolePfn, CONSOLE_FRAME);
    }

    /// Gives its CPU a generator of random numbers.
    pub fn set_cpu_random(&self, draw: impl FnMut() -> Option<u64> + 'static) {
        *self.cpu_random.borrow_mut() = Some(Box::new(draw));
    }

    /// Gives it a clock for [`Platform::ticks`], which else is that of the world.
    pub fn set_ticks(&self, ticks: impl FnMut() -> u64 + 'static) {
        *self.ticks.borrow_mut() = Some(Box::new(ticks));
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
        let address = va.as_ptr().expose_provenance() & !(PAGE_SIZE - 1);
        let high = u64::from(self.domain.setup.high_memory) << 32;
        let frame = (address as u64 >> 12) & u64::from(u32::MAX) | high;
        self.domain.named.borrow_mut().insert(frame, address);
        Gfn(frame)
    }

    fn map_frame(&self, frame: Gfn) -> Option<NonNull<u8>> {
        self.domain.frames.borrow().get(&frame.0).map(|page| page.base())
    }

    fn map_passed(&self, at: u64, pages: usize) -> Option<NonNull<u8>> {
        let passed = self.domain.passed.borrow();
        passed.get(&at).filter(|memory| pages * PAGE_SIZE <= memory.size()).map(|memory| memory.base())
    }

    fn grant_entries(&self, at_least: usize) -> &[GrantEntry] {
        let domain = &self.domain;
        let wanted = at_least.div_ceil(GRANTS_A_FRAME).min(domain.setup.grant_frames);
        domain.grant_frames.set(domain.grant_frames.get().max(wanted));
        &domain.grants[..domain.grant_frames.get() * GRANTS_A_FRAME]
    }

    fn window(&self, pages: usize) -> Option<Window> {
        if !self.domain.setup.windows || pages == 0 {
            return None;
        }
        let host_addr = self.domain.windows.get();
        self.domain.windows.set(host_addr + (pages * PAGE_SIZE) as u64);
        self.domain.open_windows.set(self.domain.open_windows.get() + 1);
        Some(Window { va: NonNull::dangling(), host_addr, pages })
    }

    fn window_page(&self, window: &Window, index: usize) -> NonNull<u8> {
        let at = window.host_addr + (index * PAGE_SIZE) as u64;
        self.domain.mapped_at(at).expect("a page that is mapped")
    }

    fn release_window(&self, window: Window) {
        let pages = 0..window.pages as u64;
        let left = pages.filter(|n| self.domain.mapped_at(window.host_addr + n * PAGE_SIZE as u64).is_some());
        assert_eq!(left.count(), 0, "pages left in a window that is given back");
        self.domain.open_windows.set(self.domain.open_windows.get() - 1);
    }

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

    fn ticks(&self) -> u64 {
        self.domain.ticks.borrow_mut().as_mut().map_or_else(|| self.now_ns(), |ticks| ticks())
    }

    fn cpu_random(&self) -> Option<CpuRandom> {
        self.domain.cpu_random.borrow().is_some().then_some(CpuRandom::Rndr)
    }

    fn draw_cpu_random(&self) -> Option<u64> {
        self.domain.cpu_random.borrow_mut().as_mut()?()
    }
}
