//! The one seam: everything that differs between Xen on ARM64, Xen on x86 and a host test process.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

/// Bytes in a page shared with Xen or another domain (`XEN_PAGE_SIZE`, `xen/include/public/arch-arm.h`).
pub const PAGE_SIZE: usize = 4096;

/// A guest frame number: the address Xen knows a page by, divided by [`PAGE_SIZE`].
///
/// On ARM an intermediate physical address; on x86 PV a machine frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gfn(pub u64);

/// What a machine provides for the rest of the system to run on it.
///
/// One vCPU, no work in interrupt context: an implementor need not be `Sync`, and none of its methods
/// is called re-entrantly.
///
/// # Safety
///
/// The implementor vouches that
/// - [`frame_of`](Self::frame_of) names the frame that backs the address it was given,
/// - [`map_frame`](Self::map_frame), [`window_page`](Self::window_page), [`grant_entries`](Self::grant_entries) and
///   [`shared`](Self::shared) return memory that stays valid for as long as `self`, that is Normal
///   write-back inner-shareable (or the architecture's equal), and of which no part is ordinary Rust memory,
/// - [`map_passed`](Self::map_passed) returns as many pages, one after the other, initialised, that stay valid for as long
///   as `self`, and of which no part is ordinary Rust memory,
/// - [`hypercall`](Self::hypercall) does what Xen's ABI says for that number and no more.
pub unsafe trait Platform: 'static {
    /// Traps to the hypervisor: `nr` as in `xen/include/public/xen.h`, unused arguments zero.
    /// Returns Xen's result, negative errno on failure.
    ///
    /// # Safety
    ///
    /// Addresses among `args` must be valid for what hypercall `nr` does to them, and the call itself must
    /// not take memory away from Rust that is still in use.
    unsafe fn hypercall(&self, nr: usize, args: [usize; 5]) -> isize;

    /// The frame the hypervisor knows this address of ordinary memory by.
    fn frame_of(&self, va: NonNull<u8>) -> Gfn;

    /// Makes a page accessible that Xen set aside for this domain (the frames in HVM params or start_info).
    /// `None` if the frame is our own RAM or cannot be mapped, which for a value read from outside may be.
    fn map_frame(&self, frame: Gfn) -> Option<NonNull<u8>>;

    /// Makes consecutive whole pages from this guest physical address on accessible that Xen passed through to this domain.
    /// They take naturally aligned loads and stores, and nothing else is promised of them. `None` if any of it is our own
    /// RAM or cannot be mapped, or the platform has no such thing.
    fn map_passed(&self, _at: u64, _pages: usize) -> Option<NonNull<u8>> {
        None
    }

    /// The grant table, version 1, grown to `at_least` entries if Xen's limit allows; never shorter than before.
    fn grant_entries(&self, at_least: usize) -> &[GrantEntry];

    /// Reserves address space for `pages` consecutive pages of other domains; nothing is mapped there yet.
    /// `None` when it is exhausted.
    fn window(&self, pages: usize) -> Option<Window>;

    /// Where the page of this number in a window is seen, once something is mapped there: one after the other,
    /// unless the platform cannot have them so.
    fn window_page(&self, window: &Window, index: usize) -> NonNull<u8> {
        assert!(index < window.pages, "a page outside of its window");
        // A window is not at the end of the address space.
        NonNull::new(window.va.as_ptr().wrapping_add(index * PAGE_SIZE)).unwrap_or(window.va)
    }

    /// Gives a window back. Every page in it must have been unmapped.
    fn release_window(&self, window: Window);

    /// The words Xen and this vCPU share: event bits and the wall clock. `None` if Xen refused them.
    fn shared(&self) -> Option<Shared<'_>>;

    /// Sleeps until an event bit is pending, a device interrupt arrived, or [`now_ns`](Self::now_ns) reaches
    /// `deadline_ns`. May return early. Returns at once if an event is pending already.
    fn idle(&self, deadline_ns: Option<u64>);

    /// Nanoseconds since this machine started; never decreases.
    fn now_ns(&self) -> u64;

    /// The finest clock there is, in ticks of its own.
    fn ticks(&self) -> u64 {
        self.now_ns()
    }

    /// The CPU's own generator of random numbers, if it has one.
    fn cpu_random(&self) -> Option<CpuRandom> {
        None
    }

    /// A number from it; `None` if it has none to give at the moment, although it was asked more than once.
    fn draw_cpu_random(&self) -> Option<u64> {
        None
    }
}

/// An instruction that gives random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuRandom {
    /// `RNDR` and `RNDRRS` of ARM (FEAT_RNG).
    Rndr,
    /// `RDRAND` of x86.
    Rdrand,
}

/// Address space reserved for pages of other domains.
#[derive(Debug)]
pub struct Window {
    /// Where the pages will be seen.
    pub va: NonNull<u8>,
    /// What `GNTTABOP_map_grant_ref` wants as `host_addr`: a guest physical address on ARM, virtual on x86 PV.
    pub host_addr: u64,
    /// Its length.
    pub pages: usize,
}

/// `grant_entry_v1_t` (`xen/include/public/grant_table.h`), the only version on ARM.
#[repr(C)]
#[derive(Debug, Default)]
pub struct GrantEntry {
    /// `GTF_*`; written last when granting.
    pub flags: AtomicU16,
    /// The domain being granted access.
    pub domid: AtomicU16,
    /// The frame it may access.
    pub frame: AtomicU32,
}

/// The first fields of `struct vcpu_info` (`xen/include/public/xen.h`), equal on all 64-bit architectures.
#[repr(C)]
#[derive(Debug, Default)]
pub struct VcpuInfo {
    /// `evtchn_upcall_pending`: Xen sets it after setting a bit in `pending_sel`; we clear it before scanning.
    pub upcall_pending: AtomicU8,
    /// `evtchn_upcall_mask`: used on x86 PV only.
    pub upcall_mask: AtomicU8,
    /// Padding up to the next field.
    pub _pad: [u8; 6],
    /// `evtchn_pending_sel`: which words of [`Shared::pending`] to look at.
    pub pending_sel: AtomicU64,
}

/// The wall-clock fields of `struct shared_info` (`xen/include/public/xen.h`); `sec_hi` follows on 64-bit ABIs.
#[repr(C)]
#[derive(Debug, Default)]
pub struct WallClock {
    /// `wc_version`: odd while Xen is writing.
    pub version: AtomicU32,
    /// `wc_sec`: seconds since 1970, low half, at system time zero.
    pub sec: AtomicU32,
    /// `wc_nsec`: nanoseconds of the second.
    pub nsec: AtomicU32,
    /// `wc_sec_hi`: high half of the seconds.
    pub sec_hi: AtomicU32,
}

/// What Xen shares with one vCPU. All of it may change at any time.
#[derive(Clone, Copy, Debug)]
pub struct Shared<'a> {
    /// Upcall flag and selector of this vCPU.
    pub vcpu: &'a VcpuInfo,
    /// `evtchn_pending`: one bit a port; taking a bit clears it.
    pub pending: &'a [AtomicU64; 64],
    /// `evtchn_mask`: a set bit keeps its port from raising the upcall.
    pub mask: &'a [AtomicU64; 64],
    /// Wall-clock base.
    pub wall: &'a WallClock,
}
