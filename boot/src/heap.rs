//! Memory: page frames from a buddy allocator, everything smaller from a TLSF heap on top of it.
//!
//! Whole pages asked for with page alignment come straight from the frames: those are what a driver lends to
//! another domain, and such a page must hold nothing else.

use crate::info::Region;
use buddy_system_allocator::Heap as Buddy;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};
use rlsf::Tlsf;
use spin::Mutex;

const PAGE: usize = 4096;
/// The heap takes this much from the frames at a time, or what a larger request needs.
const GROWTH: usize = 64 << 10;
/// Largest block of frames: 2^39 bytes, the whole address space.
const ORDER: usize = 40;

/// The allocator of an image.
pub struct Memory(Mutex<Inner>);

struct Inner {
    frames: Buddy<ORDER>,
    heap: Tlsf<'static, u32, u32, 28, 8>,
    usage: Usage,
}

/// Where the memory is, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// All that was ever given to the allocator.
    pub total: usize,
    /// Given out as whole pages.
    pub pages: usize,
    /// Taken from the frames by the heap.
    pub heap: usize,
    /// Of which allocated.
    pub heap_used: usize,
}

impl Usage {
    /// Neither pages nor heap.
    pub const fn free(&self) -> usize {
        self.total - self.pages - self.heap
    }
}

impl Memory {
    /// An allocator with no memory.
    pub const fn new() -> Self {
        Self(Mutex::new(Inner {
            frames: Buddy::empty(),
            heap: Tlsf::new(),
            usage: Usage { total: 0, pages: 0, heap: 0, heap_used: 0 },
        }))
    }

    /// Adds RAM. Costs the same whatever its size.
    ///
    /// # Safety
    ///
    /// `region` is page-aligned, mapped, used by nothing else, and stays so.
    pub unsafe fn add(&self, region: Region) {
        let mut inner = self.0.lock();
        let (from, to) = (region.base as usize, region.end() as usize);
        // SAFETY: the caller's promise.
        unsafe { inner.frames.add_to_heap(from, to) };
        inner.usage.total += to - from;
    }

    /// What is used and what is free.
    pub fn usage(&self) -> Usage {
        self.0.lock().usage
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether `layout` is for whole pages.
const fn is_pages(layout: &Layout) -> bool {
    layout.align() == PAGE && layout.size().is_multiple_of(PAGE)
}

impl Inner {
    /// Gives the heap more frames, enough for `layout`.
    fn grow(&mut self, layout: Layout) -> Option<()> {
        // TLSF rounds the size up to find a block in constant time, hence the slack.
        let needed = layout.size().checked_add(layout.align())?.checked_add(layout.size() / 8 + 64)?;
        let size = needed.max(GROWTH).checked_next_multiple_of(PAGE)?;
        // A small machine may have what is needed, but not all that we would like.
        let sizes = [size, needed.checked_next_multiple_of(PAGE)?];
        let (block, size) = sizes.into_iter().find_map(|size| {
            let pages = Layout::from_size_align(size, PAGE).ok()?;
            self.frames.alloc(pages).ok().map(|block| (block, size.next_power_of_two()))
        })?;
        let block = NonNull::slice_from_raw_parts(block, size);
        // SAFETY: fresh from the frames, the buddy's blocks being powers of two, and never given back.
        unsafe { self.heap.insert_free_block_ptr(block) };
        self.usage.heap += size;
        Some(())
    }

    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        if is_pages(&layout) {
            let block = self.frames.alloc(layout).ok()?;
            self.usage.pages += layout.size().next_power_of_two();
            return Some(block);
        }
        let block = match self.heap.allocate(layout) {
            Some(block) => block,
            None => {
                self.grow(layout)?;
                self.heap.allocate(layout)?
            }
        };
        self.usage.heap_used += layout.size();
        Some(block)
    }
}

// SAFETY: both allocators hand out each byte once and respect the layout; the lock makes one call at a time.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.lock().allocate(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(block) = NonNull::new(block) else { return };
        let mut inner = self.0.lock();
        if is_pages(&layout) {
            // SAFETY: from `alloc` with the same layout, says the caller.
            unsafe { inner.frames.dealloc(block, layout) };
            inner.usage.pages -= layout.size().next_power_of_two();
        } else {
            // SAFETY: from `alloc` with the same layout, says the caller.
            unsafe { inner.heap.deallocate(block, layout.align()) };
            inner.usage.heap_used -= layout.size();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(bytes: usize) -> Memory {
        let layout = Layout::from_size_align(bytes, PAGE).unwrap();
        // SAFETY: not zero-sized; leaked, so it stays ours.
        let at = unsafe { std::alloc::alloc(layout) } as u64;
        let memory = Memory::new();
        // SAFETY: as above.
        unsafe { memory.add(Region { base: at, size: bytes as u64 }) };
        memory
    }

    #[test]
    fn everything_comes_back() {
        let m = memory(1 << 20);
        let layouts = [(1, 1), (24, 8), (4096, 4096), (100, 64), (200_000, 16), (8192, 4096), (4096, 8)]
            .map(|(size, align)| Layout::from_size_align(size, align).unwrap());
        for _ in 0..100 {
            let blocks = layouts.map(|l| {
                // SAFETY: none of the layouts is empty.
                let p = unsafe { m.alloc(l) };
                assert!(!p.is_null(), "{l:?} {:?}", m.usage());
                assert_eq!(p as usize % l.align(), 0);
                // SAFETY: just allocated.
                unsafe { p.write_bytes(0xa5, l.size()) };
                p
            });
            for (p, l) in blocks.into_iter().zip(layouts) {
                // SAFETY: allocated with this layout.
                unsafe { m.dealloc(p, l) };
            }
        }
        let usage = m.usage();
        assert_eq!((usage.pages, usage.heap_used), (0, 0));
        assert!(usage.heap < 512 << 10, "{usage:?}");
    }

    #[test]
    fn exhaustion_is_an_error_and_passes() {
        let m = memory(256 << 10);
        let page = Layout::from_size_align(PAGE, PAGE).unwrap();
        let mut pages = Vec::new();
        loop {
            // SAFETY: not empty.
            let p = unsafe { m.alloc(page) };
            if p.is_null() {
                break;
            }
            pages.push(p);
        }
        assert_eq!(pages.len(), 64);
        assert_eq!(m.usage().free(), 0);
        let small = Layout::from_size_align(16, 8).unwrap();
        // SAFETY: not empty.
        assert!(unsafe { m.alloc(small) }.is_null());
        for p in pages {
            // SAFETY: allocated above.
            unsafe { m.dealloc(p, page) };
        }
        // SAFETY: not empty.
        assert!(!unsafe { m.alloc(small) }.is_null());
        // SAFETY: not empty.
        assert!(unsafe { m.alloc(Layout::from_size_align(usize::MAX / 4, 8).unwrap()) }.is_null());
    }
}
