//! The memory that blocks travel in.

use crate::device::SECTOR;
use core::ops::{Deref, DerefMut};
use xen_hyp::{PAGE_SIZE, Pages};

/// Whole sectors in whole pages: what a device reads into and writes from without a copy.
///
/// It derefs to its bytes. While a device has it, nobody else does, and it comes back with every result.
#[derive(Debug)]
pub struct Buffer {
    pages: Pages,
    bytes: usize,
}

impl Buffer {
    /// A zeroed buffer of this many bytes. `None` if that is zero, no multiple of [`SECTOR`], or more than there is
    /// memory for.
    pub fn new(bytes: usize) -> Option<Self> {
        Self::from_pages(Pages::new(bytes.div_ceil(PAGE_SIZE))?, bytes).ok()
    }

    /// The first `bytes` of `pages`; gives the pages back if they are not that many whole sectors.
    pub fn from_pages(pages: Pages, bytes: usize) -> Result<Self, Pages> {
        if bytes == 0 || !bytes.is_multiple_of(SECTOR) || bytes > pages.len() {
            return Err(pages);
        }
        Ok(Self { pages, bytes })
    }

    /// No bytes at all: what comes back if a device does not let go of the pages it was lent.
    pub const fn lost() -> Self {
        Self { pages: Pages::none(), bytes: 0 }
    }

    /// Its pages, and how many of their bytes count.
    pub fn into_pages(self) -> (Pages, usize) {
        (self.pages, self.bytes)
    }

    /// Zeroes what its last page has beyond its end, so that lending it shows nothing else.
    pub fn clear_tail(&mut self) {
        if self.bytes < self.pages.len() {
            self.pages[self.bytes..].fill(0);
        }
    }

    /// The same pages, another number of bytes. `None`, and the pages are gone, if that is zero, no multiple of
    /// [`SECTOR`], or more than the pages hold: ask [`capacity`](Self::capacity).
    pub(crate) fn resized(self, bytes: usize) -> Option<Self> {
        Self::from_pages(self.pages, bytes).ok()
    }

    /// The most bytes that its pages hold.
    pub fn capacity(&self) -> usize {
        self.pages.len()
    }

    /// Its length in sectors of [`SECTOR`] bytes.
    pub fn sectors(&self) -> u64 {
        (self.bytes / SECTOR) as u64
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.pages[..self.bytes]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.pages[..self.bytes]
    }
}
