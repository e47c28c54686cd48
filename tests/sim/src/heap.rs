//! How much memory a test takes: an allocator that counts, for tests that say so.
//!
//! ```ignore
//! #[global_allocator]
//! static HEAP: fata_sim::Counted = fata_sim::Counted;
//! ```

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, which counts for each thread.
pub struct Counted;

impl Counted {
    /// Bytes that this thread has asked for and not given back.
    pub fn held() -> isize {
        HELD.get()
    }

    /// How much `f` takes at a time, beyond what was held before.
    pub fn most<T>(f: impl FnOnce() -> T) -> (T, isize) {
        let before = HELD.get();
        MOST.set(before);
        let value = f();
        (value, MOST.get() - before)
    }

    fn changed(by: isize) {
        HELD.set(HELD.get() + by);
        MOST.set(MOST.get().max(HELD.get()));
    }
}

// SAFETY: everything is done by `System`, as it is asked of this.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::changed(layout.size() as isize);
        // SAFETY: the caller promises what `System` wants to be promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        Self::changed(-(layout.size() as isize));
        // SAFETY: it came from `System`, by the caller's promise with this layout.
        unsafe { System.dealloc(memory, layout) }
    }
}
