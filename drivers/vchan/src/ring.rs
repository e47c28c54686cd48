//! One direction: where its bytes are, and how far both ends have come.

use crate::layout::offset;
use crate::memory::Memory;
use core::cell::Cell;
use xen_hyp::{Platform, SharedMem};

pub(crate) struct Ring<P: Platform> {
    /// Where the bytes are, unless in the control page.
    pub(crate) memory: Option<Memory<P>>,
    base: usize,
    pub(crate) size: u32,
    /// Where in the control page its indices are.
    pub(crate) indices: usize,
    /// Our index, and the other end's as we know it.
    ours: Cell<u32>,
    pub(crate) theirs: Cell<u32>,
}

impl<P: Platform> Ring<P> {
    /// A ring of this order, whose indices are at `indices` in the control page; both are what was read there.
    pub(crate) fn new(memory: Option<Memory<P>>, order: u16, indices: usize, ours: u32, theirs: u32) -> Self {
        let (ours, theirs) = (Cell::new(ours), Cell::new(theirs));
        Self { memory, base: offset(order), size: 1 << order, indices, ours, theirs }
    }

    /// Bytes in it, if we are who writes.
    pub(crate) fn used_out(&self) -> u32 {
        self.ours.get().wrapping_sub(self.theirs.get())
    }

    /// Bytes in it, if we are who reads.
    pub(crate) fn used_in(&self) -> u32 {
        self.theirs.get().wrapping_sub(self.ours.get())
    }

    /// Moves our index on, and gives it.
    pub(crate) fn advance(&self, len: usize) -> u32 {
        let index = self.ours.get().wrapping_add(len as u32);
        self.ours.set(index);
        index
    }

    /// Copies in what is at our index, of which there is as much.
    #[inline]
    pub(crate) fn copy_in(&self, control: &Memory<P>, into: &mut [u8]) {
        let (memory, start, first) = self.place(control, into.len());
        let (first, rest) = into.split_at_mut(first);
        memory.copy_in(start, first);
        if !rest.is_empty() {
            memory.copy_in(self.base, rest);
        }
    }

    /// Copies to where our index is, where there is room for it.
    #[inline]
    pub(crate) fn copy_out(&self, control: &Memory<P>, from: &[u8]) {
        let (memory, start, first) = self.place(control, from.len());
        let (first, rest) = from.split_at(first);
        memory.copy_out(start, first);
        if !rest.is_empty() {
            memory.copy_out(self.base, rest);
        }
    }

    /// The memory, the place of our index in it, and how many of `len` bytes fit there before its end.
    #[inline]
    fn place<'a>(&'a self, control: &'a Memory<P>, len: usize) -> (&'a Memory<P>, usize, usize) {
        let at = (self.ours.get() & (self.size - 1)) as usize;
        (self.memory.as_ref().unwrap_or(control), self.base + at, len.min(self.size as usize - at))
    }
}
