//! Memory that is ours alone, in whole pages, so that it can be lent.

use crate::platform::PAGE_SIZE;
use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

/// Consecutive pages that nobody else can reach: ordinary memory, which derefs to its bytes.
///
/// To share them with another domain, they are granted to it; the bytes are out of reach until they have been
/// taken back.
pub struct Pages {
    base: NonNull<u8>,
    count: usize,
}

impl Pages {
    /// Allocates `count` zeroed pages. `None` if there is no memory, or `count` is zero.
    pub fn new(count: usize) -> Option<Self> {
        if count == 0 {
            return None;
        }
        let layout = layout(count)?;
        // SAFETY: the layout's size is not zero.
        let base = unsafe { alloc_zeroed(layout) };
        Some(Self { base: NonNull::new(base)?, count })
    }

    /// No page at all: what is left where pages were lost.
    pub const fn none() -> Self {
        const NOWHERE: NonNull<u8> = match NonNull::new(core::ptr::without_provenance_mut(PAGE_SIZE)) {
            Some(nowhere) => nowhere,
            None => panic!("a page's size is not zero"),
        };
        Self { base: NOWHERE, count: 0 }
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The first byte, for those below the wall.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }
}

fn layout(count: usize) -> Option<Layout> {
    Layout::from_size_align(count.checked_mul(PAGE_SIZE)?, PAGE_SIZE).ok()
}

impl Deref for Pages {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: allocated and zeroed in `new`, and reached by nobody else: granting takes the `Pages` away.
        unsafe { core::slice::from_raw_parts(self.base.as_ptr(), self.count * PAGE_SIZE) }
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `deref`.
        unsafe { core::slice::from_raw_parts_mut(self.base.as_ptr(), self.count * PAGE_SIZE) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if let Some(layout) = layout(self.count)
            && self.count > 0
        {
            // SAFETY: allocated in `new` with the same layout; nobody else reaches them.
            unsafe { dealloc(self.base.as_ptr(), layout) }
        }
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("base", &self.base).field("count", &self.count).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_aligned_zeroed_and_writable() {
        let mut pages = Pages::new(3).unwrap();
        assert_eq!((pages.count(), pages.len()), (3, 3 * PAGE_SIZE));
        assert!(pages.base.as_ptr().addr().is_multiple_of(PAGE_SIZE));
        assert!(pages.iter().all(|&b| b == 0));
        pages[3 * PAGE_SIZE - 1] = 7;
        assert_eq!(pages.iter().map(|&b| u32::from(b)).sum::<u32>(), 7);
        assert_eq!(Pages::none().len(), 0);
        assert!(Pages::new(0).is_none());
        assert!(Pages::new(usize::MAX).is_none());
    }
}
