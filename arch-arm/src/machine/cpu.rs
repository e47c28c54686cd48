//! The machine as the rest of the system sees it: `Platform` for a 64-bit ARM guest of Xen.

use super::gic::Gic;
use super::mmio::Mmio;
use super::passed::Passed;
use super::random::Generator;
use super::start::image;
use super::{early, hypercall, mmu, timer};
use crate::tables::{MapError, Rights, Tables};
use aarch64_cpu::asm::{self, barrier};
use aarch64_cpu::registers::{ID_AA64ISAR0_EL1, Readable as _};
use alloc::vec::Vec;
use core::alloc::Layout;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering;
use fata_boot::info::{BootInfo, IntId, Region};
use xen_hyp::abi::{self, SharedInfoArm, memory, nr, vcpu};
use xen_hyp::platform::{CpuRandom, Gfn, GrantEntry, PAGE_SIZE, Platform, Shared, VcpuInfo, Window};

/// Address space for other domains' pages is mapped in blocks of this size, which cost no further table.
const BLOCK: u64 = 2 << 20;
const ENTRIES_PER_FRAME: usize = PAGE_SIZE / size_of::<GrantEntry>();
/// How long an interrupt that has been raised may take to arrive.
const PATIENCE_NS: u64 = 100_000_000;

/// Why the machine cannot be brought up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArmError {
    /// The final map could not be built.
    Map(MapError),
    /// The image was compiled for a CPU with instructions that this one lacks.
    Instructions,
    /// An interrupt that was raised did not arrive: it has another number than the device tree says, or the
    /// interrupt controller is elsewhere. A machine that waits for it never wakes.
    Silent {
        /// What raised it.
        source: &'static str,
        /// The number the device tree gives it.
        id: u32,
    },
}

impl fmt::Display for ArmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map(e) => write!(f, "the final memory map cannot be built: {e:?}"),
            Self::Instructions => f.write_str(
                "this image is for CPUs with AES and SHA instructions: build it with `--cpu portable`",
            ),
            Self::Silent { source, id } => {
                write!(f, "interrupt {id}, {source} by the device tree, does not arrive")
            }
        }
    }
}

/// A 64-bit ARM guest with one vCPU.
pub struct ArmCpu {
    pub(super) tables: RefCell<Tables>,
    pub(super) gic: Option<Gic>,
    pub(super) event_irq: Option<IntId>,
    pub(super) timer_irq: Option<IntId>,
    pub(super) uart_irq: Option<IntId>,
    pub(super) passed: Passed,
    uart_fired: Cell<bool>,
    uart: Option<Mmio>,
    shared: Option<&'static SharedInfoArm>,
    vcpu: Option<&'static VcpuInfo>,
    random: Option<Generator>,
    ram: Vec<Region>,
    grants: Region,
    grant_frames: Cell<usize>,
    windows: RefCell<Windows>,
}

/// Whether the compiler was told of instructions that there are not.
fn lacks_instructions() -> bool {
    // DDI 0487, D24.2.61: AES with PMULL is 2, SHA-256 is 1.
    let has = |shift: u32, least| ID_AA64ISAR0_EL1.get() >> shift & 0xf >= least;
    cfg!(target_feature = "aes") && !has(4, 2) || cfg!(target_feature = "sha2") && !has(12, 1)
}

#[derive(Default)]
struct Windows {
    unmapped: Vec<Region>,
    free: Vec<Region>,
}

impl ArmCpu {
    /// Switches to the final map, gives `ram` to the allocator, and turns on what the machine has. Parts of
    /// `ram` that could not be mapped are passed to `skipped`.
    pub fn new(
        info: &BootInfo<'static>,
        ram: &[Region],
        mut skipped: impl FnMut(Region),
    ) -> Result<Self, ArmError> {
        if let Some(conduit) = info.psci {
            early::set_conduit(conduit);
        }
        if lacks_instructions() {
            return Err(ArmError::Instructions);
        }
        let tables = mmu::enable(info, ram, &mut skipped).map_err(ArmError::Map)?;
        let mut usable = Vec::new();
        for part in ram.iter().filter(|part| tables.lookup(part.base) == Some(Rights::ReadWrite)) {
            // SAFETY: free RAM by the caller's account of the device tree, mapped just now, given away once.
            unsafe { fata_boot::MEMORY.add(*part) };
            usable.push(*part);
        }
        let uart = info.uart.map(|uart| {
            if !early::has_ring() {
                // SAFETY: the final map has the registers as device memory.
                unsafe { early::use_uart(&uart) };
            }
            // SAFETY: as above.
            unsafe { Mmio::new(uart.registers) }
        });
        let event = info.hypervisor.as_ref().map(|h| h.event);
        let uart_irq = info.uart.and_then(|u| u.interrupt);
        // SAFETY: the final map has the regions as device memory.
        let gic = info.gic.map(|gic| unsafe { Gic::new(gic) });
        if let Some(gic) = &gic {
            [event, info.timer, uart_irq].into_iter().flatten().for_each(|id| gic.enable(id));
        }
        Ok(Self {
            tables: RefCell::new(tables),
            gic,
            event_irq: event,
            timer_irq: info.timer,
            uart_irq,
            passed: Passed::new(info.devices),
            uart_fired: Cell::new(false),
            uart,
            shared: None,
            vcpu: None,
            random: Generator::find(),
            ram: usable,
            grants: info.hypervisor.as_ref().map(|h| h.grants).unwrap_or_default(),
            grant_frames: Cell::new(0),
            windows: RefCell::new(Windows {
                unmapped: info.hypervisor.iter().flat_map(|h| h.extended.iter().copied()).collect(),
                free: Vec::new(),
            }),
        })
    }

    /// Asks Xen for the shared info page and the vCPU's own part of it, without which there are no events, and
    /// sees each interrupt arrive that the run loop will wait for.
    pub fn share_with_xen(&mut self) -> Result<(), ArmError> {
        if let (true, Some(id)) = (self.share(), self.event_irq) {
            self.see("the event upcall", id)?;
        }
        if let Some(id) = self.timer_irq {
            timer::set(Some(0));
            self.see("the virtual timer", id)?;
        }
        Ok(())
    }

    /// Takes interrupts until `wanted`, which has been raised, was among them.
    fn see(&self, source: &'static str, wanted: IntId) -> Result<(), ArmError> {
        let Some(gic) = &self.gic else { return Ok(()) };
        let limit_ns = timer::now_ns() + PATIENCE_NS;
        loop {
            // The time first: whoever kept us from running for that long may have kept the interrupt, too.
            let late = timer::now_ns() >= limit_ns;
            match self.take_interrupt(gic) {
                Some((id, _)) if id == wanted => return Ok(()),
                _ if late => return Err(ArmError::Silent { source, id: wanted.0 }),
                _ => {}
            }
        }
    }

    /// Gives whether Xen has raised an event.
    fn share(&mut self) -> bool {
        if add_to_physmap(memory::SPACE_SHARED_INFO, 0, image::shared_info()) != 0 {
            return false;
        }
        // SAFETY: the page is the image's own, never cleared or otherwise used, and now Xen's shared_info.
        let shared: &SharedInfoArm = unsafe { &*ptr::with_exposed_provenance(image::shared_info() as usize) };
        self.shared = Some(shared);
        let at = image::vcpu_info();
        // SAFETY: the page is the image's own and used for nothing else; Xen initialises what it uses of it
        // from the legacy place, but not what lies behind.
        unsafe { ptr::with_exposed_provenance_mut::<u8>(at as usize).write_bytes(0, PAGE_SIZE) };
        let op = vcpu::RegisterVcpuInfo { mfn: at >> 12, offset: 0, rsvd: 0 };
        // SAFETY: `struct vcpu_register_vcpu_info` outlives the call; the page it names is given up to Xen.
        let rc = unsafe {
            hypercall::xen(nr::VCPU_OP, [vcpu::REGISTER_VCPU_INFO, 0, &raw const op as usize, 0, 0])
        };
        self.vcpu = Some(match rc {
            // SAFETY: registered just now, for as long as the domain lives.
            0 => unsafe { &*ptr::with_exposed_provenance(at as usize) },
            // The first vCPU also has one in shared_info.
            _ => &shared.vcpu_info.events,
        });
        // Xen raises one when it registers, lest any be lost (`map_guest_area` in its domain.c).
        rc == 0
    }

    /// The registers of the device tree's serial port.
    pub fn uart(&self) -> Option<Mmio> {
        self.uart
    }

    /// Whether the serial port's interrupt was taken since this was last asked.
    pub fn take_uart_interrupt(&self) -> bool {
        self.uart_fired.replace(false)
    }

    /// Page tables used, and how many there are.
    pub fn page_tables(&self) -> (usize, usize) {
        self.tables.borrow().usage()
    }

    fn map(&self, region: Region) -> Option<NonNull<u8>> {
        self.tables.borrow_mut().map(region, Rights::ReadWrite).ok()?;
        mmu::publish();
        NonNull::new(ptr::with_exposed_provenance_mut(region.base as usize))
    }

    /// Takes what the GIC has pending; wakes are the run loop's business.
    fn take_interrupts(&self) {
        let Some(gic) = &self.gic else { return };
        while let Some((_, again)) = self.take_interrupt(gic) {
            // The serial port's line stays up until its driver has been; it must not hold us here.
            if again {
                break;
            }
        }
    }

    /// The next interrupt, and whether it is one that is still waiting for its driver.
    fn take_interrupt(&self, gic: &Gic) -> Option<(IntId, bool)> {
        let id = gic.take()?;
        if Some(id) == self.timer_irq {
            // Level-triggered: quiet until the next deadline is set.
            timer::set(None);
        }
        let again = Some(id) == self.uart_irq && self.uart_fired.replace(true);
        self.passed.note(gic, id);
        gic.done(id);
        Some((id, again))
    }
}

/// Gives RAM back to Xen, so that pages of other domains can be where it was. It stays mapped as it is.
fn give_up_ram(size: u64) -> Option<Region> {
    let pages = size as usize / PAGE_SIZE;
    let layout = Layout::from_size_align(size as usize, PAGE_SIZE).ok()?;
    // SAFETY: a window has at least one page.
    let base = NonNull::new(unsafe { alloc::alloc::alloc(layout) })?;
    let first = base.addr().get() as u64 >> 12;
    let frames: Vec<u64> = (first..first + pages as u64).collect();
    let op = memory::Reservation {
        extent_start: frames.as_ptr().expose_provenance() as u64,
        nr_extents: pages as u64,
        domid: abi::DOMID_SELF,
        ..Default::default()
    };
    let args = [memory::DECREASE_RESERVATION, &raw const op as usize, 0, 0, 0];
    // SAFETY: the structure and the frames it names outlive the call. The pages that go were allocated just now, and
    // are not used as memory any more, nor freed.
    let given = unsafe { hypercall::xen(nr::MEMORY_OP, args) };
    // If Xen took but a part, that is lost, and there is no window.
    (given == pages as isize).then_some(Region { base: first << 12, size })
}

/// Puts a page of Xen's at `at`. 0 if it did.
fn add_to_physmap(space: u32, index: u64, at: u64) -> isize {
    let op = memory::AddToPhysmap { domid: abi::DOMID_SELF, size: 0, space, idx: index, gpfn: at >> 12 };
    // SAFETY: `struct xen_add_to_physmap` outlives the call. The page that was at `at` goes; the callers name
    // pages that hold nothing.
    unsafe { hypercall::xen(nr::MEMORY_OP, [memory::ADD_TO_PHYSMAP, &raw const op as usize, 0, 0, 0]) }
}

// SAFETY: the map is the identity; grant frames, shared pages, windows and what is passed through lie outside the RAM that
// Rust's allocator was given, are Normal write-back inner shareable but for the last, and are never unmapped.
unsafe impl Platform for ArmCpu {
    unsafe fn hypercall(&self, nr: usize, args: [usize; 5]) -> isize {
        // SAFETY: the caller's promise.
        unsafe { hypercall::xen(nr, args) }
    }

    fn frame_of(&self, va: NonNull<u8>) -> Gfn {
        Gfn(va.addr().get() as u64 >> 12)
    }

    fn map_frame(&self, frame: Gfn) -> Option<NonNull<u8>> {
        let page = Region { base: frame.0.checked_mul(PAGE_SIZE as u64)?, size: PAGE_SIZE as u64 };
        let ours = |r: &Region| (r.base..r.end()).contains(&page.base);
        if page.base == 0 || self.ram.iter().any(ours) || (image::start()..image::end()).contains(&page.base)
        {
            return None;
        }
        // A frame may be asked for again, by a driver that starts over.
        let mapped = self.tables.borrow().lookup(page.base);
        match mapped {
            Some(Rights::ReadWrite) => NonNull::new(ptr::with_exposed_provenance_mut(page.base as usize)),
            Some(_) => None,
            None => self.map(page),
        }
    }

    fn map_passed(&self, at: u64, pages: usize) -> Option<NonNull<u8>> {
        let size = (pages as u64).checked_mul(PAGE_SIZE as u64).filter(|size| *size > 0)?;
        self.passed_memory(Region { base: at, size })?;
        NonNull::new(ptr::with_exposed_provenance_mut(at as usize))
    }

    fn grant_entries(&self, at_least: usize) -> &[GrantEntry] {
        let room = self.grants.size as usize / PAGE_SIZE;
        while self.grant_frames.get() * ENTRIES_PER_FRAME < at_least && self.grant_frames.get() < room {
            let n = self.grant_frames.get() as u64;
            let frame = Region { base: self.grants.base + n * PAGE_SIZE as u64, size: PAGE_SIZE as u64 };
            if add_to_physmap(memory::SPACE_GRANT_TABLE, n, frame.base) != 0 || self.map(frame).is_none() {
                break;
            }
            self.grant_frames.set(n as usize + 1);
            fata_trace::grants(self.grants.base as usize, (n as usize + 1) * ENTRIES_PER_FRAME);
        }
        let entries = self.grant_frames.get() * ENTRIES_PER_FRAME;
        if entries == 0 {
            return &[];
        }
        // SAFETY: that many frames of the grant table are mapped there, one after the other, for good.
        unsafe {
            core::slice::from_raw_parts(ptr::with_exposed_provenance(self.grants.base as usize), entries)
        }
    }

    fn window(&self, pages: usize) -> Option<Window> {
        let size = (pages as u64).checked_mul(PAGE_SIZE as u64).filter(|s| *s > 0)?;
        let mut windows = self.windows.borrow_mut();
        let at = match windows.free.iter().position(|r| r.size >= size) {
            Some(at) => at,
            None => {
                let wanted = size.next_multiple_of(BLOCK);
                let block = windows.unmapped.iter_mut().find_map(|r| {
                    let base = r.base.next_multiple_of(BLOCK);
                    let end = base.checked_add(wanted).filter(|end| *end <= r.end())?;
                    *r = Region { base: end, size: r.end() - end };
                    Some(Region { base, size: wanted })
                });
                let block = match block {
                    Some(block) => self.map(block).map(|_| block)?,
                    // Older Xens name no extended regions; then our own RAM makes room, for good.
                    None => give_up_ram(size)?,
                };
                windows.free.push(block);
                windows.free.len() - 1
            }
        };
        let base = windows.free[at].base;
        match windows.free[at].size - size {
            0 => drop(windows.free.swap_remove(at)),
            rest => windows.free[at] = Region { base: base + size, size: rest },
        }
        let va = NonNull::new(ptr::with_exposed_provenance_mut(base as usize))?;
        Some(Window { va, host_addr: base, pages })
    }

    fn release_window(&self, window: Window) {
        let size = (window.pages * PAGE_SIZE) as u64;
        self.windows.borrow_mut().free.push(Region { base: window.host_addr, size });
    }

    fn shared(&self) -> Option<Shared<'_>> {
        let shared = self.shared?;
        Some(Shared {
            vcpu: self.vcpu?,
            pending: &shared.evtchn_pending,
            mask: &shared.evtchn_mask,
            wall: &shared.wall,
        })
    }

    fn idle(&self, deadline_ns: Option<u64>) {
        if self.vcpu.is_some_and(|v| v.upcall_pending.load(Ordering::Acquire) != 0) {
            return;
        }
        if self.gic.is_none() || (deadline_ns.is_some() && self.timer_irq.is_none()) {
            // Nothing would end a wait.
            asm::nop();
            return;
        }
        timer::set(deadline_ns);
        barrier::dsb(barrier::SY);
        asm::wfi();
        self.take_interrupts();
    }

    fn now_ns(&self) -> u64 {
        timer::now_ns()
    }

    fn ticks(&self) -> u64 {
        timer::ticks()
    }

    fn cpu_random(&self) -> Option<CpuRandom> {
        self.random.is_some().then_some(CpuRandom::Rndr)
    }

    fn draw_cpu_random(&self) -> Option<u64> {
        self.random.as_ref()?.draw()
    }
}
