//! Memory that Xen passes through to this domain, and perhaps to another one too.

use crate::mem::SharedMem;
use crate::platform::{PAGE_SIZE, Platform};
use crate::xen::Xen;
use alloc::rc::Rc;
use core::fmt;
use core::ptr::NonNull;

/// Memory outside of what Xen gives to domains, mapped into this one by its device tree (`xen,reg`,
/// `docs/misc/arm/passthrough.txt`). Xen maps it as Device-nGnRE (`p2m_mmio_direct_dev`), whatever our own tables say.
///
/// Hence its accesses are plain loads and stores of 1, 4 or 8 bytes at multiples of their size: on Device memory others
/// fault (DDI 0487, "Device memory"), and exclusives and atomics need not work. So bits of a word cannot be changed alone, and
/// both ends of a protocol over this must write to words of their own.
///
/// Nobody clears it. What is there at first is what was there before this domain, or before power came.
pub struct Passed<P: Platform> {
    base: NonNull<u8>,
    size: usize,
    /// The mapping lasts as long as the platform.
    _xen: Rc<Xen<P>>,
}

impl<P: Platform> Xen<P> {
    /// Reaches `size` bytes of whole pages at this guest physical address, which the device tree says were passed through.
    /// `None` if that is no such memory.
    pub fn map_passed(self: &Rc<Self>, at: u64, size: usize) -> Option<Passed<P>> {
        let whole = size > 0 && size.is_multiple_of(PAGE_SIZE) && at.is_multiple_of(PAGE_SIZE as u64);
        let base = self.platform().map_passed(at, size / PAGE_SIZE).filter(|_| whole)?;
        Some(Passed { base, size, _xen: self.clone() })
    }
}

impl<P: Platform> Passed<P> {
    /// The address of `len` bytes at `offset`.
    fn at(&self, offset: usize, len: usize) -> *mut u8 {
        assert!(offset <= self.size && len <= self.size - offset, "access outside of shared memory");
        self.base.as_ptr().wrapping_add(offset)
    }

    fn word(&self, offset: usize) -> *mut u32 {
        assert!(offset.is_multiple_of(size_of::<u32>()), "unaligned word in shared memory");
        self.at(offset, size_of::<u32>()).cast()
    }
}

/// Bytes that are copied at once, where they can.
const UNIT: usize = size_of::<u64>();

/// Cuts `len` bytes at `offset` into single ones, units at multiples of their size, and single ones.
fn cut(offset: usize, len: usize) -> (usize, usize) {
    let head = (offset.next_multiple_of(UNIT) - offset).min(len);
    (head, (len - head) / UNIT * UNIT)
}

impl<P: Platform> SharedMem for Passed<P> {
    fn size(&self) -> usize {
        self.size
    }

    fn load(&self, offset: usize) -> u32 {
        // SAFETY: in bounds and aligned; `map_passed` vouches that it stays valid, and is no memory of Rust's.
        let value = unsafe { self.word(offset).read_volatile() };
        order::after_load();
        value
    }

    fn store(&self, offset: usize, value: u32) {
        order::before_store();
        // SAFETY: as above.
        unsafe { self.word(offset).write_volatile(value) };
    }

    fn copy_in(&self, offset: usize, into: &mut [u8]) {
        let from = self.at(offset, into.len());
        let (head, units) = cut(offset, into.len());
        let (first, rest) = into.split_at_mut(head);
        let (middle, last) = rest.split_at_mut(units);
        for (n, byte) in first.iter_mut().enumerate() {
            // SAFETY: in the range that `at` has checked.
            *byte = unsafe { from.wrapping_add(n).read_volatile() };
        }
        for (n, unit) in middle.as_chunks_mut::<UNIT>().0.iter_mut().enumerate() {
            let from = from.wrapping_add(head + n * UNIT).cast::<u64>();
            // SAFETY: as above, and aligned, since the memory is to pages and `cut` sees to the rest.
            *unit = unsafe { from.read_volatile() }.to_ne_bytes();
        }
        for (n, byte) in last.iter_mut().enumerate() {
            // SAFETY: as for the first.
            *byte = unsafe { from.wrapping_add(head + units + n).read_volatile() };
        }
    }

    fn copy_out(&self, offset: usize, from: &[u8]) {
        let to = self.at(offset, from.len());
        let (head, units) = cut(offset, from.len());
        let (first, rest) = from.split_at(head);
        let (middle, last) = rest.split_at(units);
        for (n, byte) in first.iter().enumerate() {
            // SAFETY: in the range that `at` has checked.
            unsafe { to.wrapping_add(n).write_volatile(*byte) };
        }
        for (n, unit) in middle.as_chunks::<UNIT>().0.iter().enumerate() {
            let to = to.wrapping_add(head + n * UNIT).cast::<u64>();
            // SAFETY: as above, and aligned, since the memory is to pages and `cut` sees to the rest.
            unsafe { to.write_volatile(u64::from_ne_bytes(*unit)) };
        }
        for (n, byte) in last.iter().enumerate() {
            // SAFETY: as for the first.
            unsafe { to.wrapping_add(head + units + n).write_volatile(*byte) };
        }
    }

    fn fence(&self) {
        order::complete();
    }
}

impl<P: Platform> fmt::Debug for Passed<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passed").field("base", &self.base).field("size", &self.size).finish()
    }
}

/// Order among accesses to it.
///
/// Device memory keeps the order of accesses to one peripheral only, which may be as small as a kilobyte (DDI 0487, "Device memory"),
/// and orders nothing against Normal memory. It is always Outer Shareable, while `fence` of Rust is `dmb ish`, which
/// promises its order to observers of our inner domain. Xen has all its CPUs in one, so that may do; but what it costs to
/// ask for the outer domain is lost beside an access that goes past all caches.
#[cfg(all(target_arch = "aarch64", not(miri)))]
mod order {
    use core::arch::asm;

    /// What was loaded was loaded before all that follows.
    pub(super) fn after_load() {
        // SAFETY: a barrier; not `nomem`, so that the compiler keeps the order too.
        unsafe { asm!("dmb oshld", options(nostack, preserves_flags)) };
    }

    /// All that went before is done first. Loads as well: once the other end sees that bytes were read, it writes new ones
    /// there.
    pub(super) fn before_store() {
        // SAFETY: as above.
        unsafe { asm!("dmb osh", options(nostack, preserves_flags)) };
    }

    /// Stores have arrived before anything that follows happens. `dmb` orders accesses to memory with each other. But the
    /// news of them goes another way: a hypercall, a bit in Normal memory of Xen's, an interrupt. Whoever hears it must
    /// find what it is about, and only `dsb` waits for that.
    pub(super) fn complete() {
        // SAFETY: as above.
        unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
    }
}

#[cfg(not(all(target_arch = "aarch64", not(miri))))]
mod order {
    use core::sync::atomic::{Ordering, fence};

    pub(super) fn after_load() {
        fence(Ordering::Acquire);
    }

    pub(super) fn before_store() {
        fence(Ordering::Release);
    }

    pub(super) fn complete() {
        fence(Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_cut_at_multiples_of_a_unit() {
        for (offset, len, cut_to) in [
            (0, 0, (0, 0)),
            (0, 16, (0, 16)),
            (3, 2, (2, 0)),
            (3, 5, (5, 0)),
            (3, 14, (5, 8)),
            (8, 7, (0, 0)),
        ] {
            assert_eq!(cut(offset, len), cut_to, "{len} bytes at {offset}");
        }
    }
}
