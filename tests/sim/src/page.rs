//! Pages that more than one domain reaches.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use xen_hyp::mem::Region;
use xen_hyp::{PAGE_SIZE, SharedMem};

/// A zeroed page, or a few consecutive ones, as the hypervisor and backends see it.
pub struct Page {
    base: NonNull<u8>,
    region: Region,
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, PAGE_SIZE).expect("pages have a layout")
}

impl Page {
    pub(crate) fn new() -> Self {
        Self::many(1)
    }

    pub(crate) fn many(pages: usize) -> Self {
        assert!(pages > 0, "no page");
        let size = pages * PAGE_SIZE;
        // SAFETY: the layout is not empty.
        let base = NonNull::new(unsafe { alloc_zeroed(layout(size)) }).expect("a page of memory");
        // SAFETY: allocated and zeroed; freed with `self`, which owns the region; no reference to it is made.
        let region = unsafe { Region::new(base, size) };
        Self { base, region }
    }

    /// Where a guest that maps the page sees it.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout in `many`.
        unsafe { dealloc(self.base.as_ptr(), layout(self.region.size())) };
    }
}

impl SharedMem for Page {
    fn size(&self) -> usize {
        self.region.size()
    }
    fn load(&self, offset: usize) -> u32 {
        self.region.load(offset)
    }
    fn store(&self, offset: usize, value: u32) {
        self.region.store(offset, value);
    }
    fn copy_in(&self, offset: usize, into: &mut [u8]) {
        self.region.copy_in(offset, into);
    }
    fn copy_out(&self, offset: usize, from: &[u8]) {
        self.region.copy_out(offset, from);
    }
}
