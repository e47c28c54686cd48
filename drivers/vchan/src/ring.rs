//! One direction: where its bytes are, and how far both ends have come.

use crate::layout::offset;
use core::cell::Cell;
use xen_hyp::{Joint, Platform, SharedMem};

pub(crate) struct Ring<P: Platform> {
    /// Where the bytes are, unless in the control page.
    pub(crate) memory: Option<Joint<P>>,
    base: usize,
    pub(crate) size: u32,
    /// Where in the control page its indices are.
    pub(crate) indices: usize,
    /// Our index, and the other end's as we know it.
    pub(crate) ours: Cell<u32>,
    pub(crate) theirs: Cell<u32>,
    /// Bytes from our index on that are known to be there, or to be free, and lie in one piece.
    quick: Cell<u32>,
}

impl<P: Platform> Ring<P> {
    /// A ring of this order, whose indices are at `indices` in the control page; both are what was read there.
    pub(crate) fn new(memory: Option<Joint<P>>, order: u16, indices: usize, ours: u32, theirs: u32) -> Self {
        let (ours, theirs) = (Cell::new(ours), Cell::new(theirs));
        Self { memory, base: offset(order), size: 1 << order, indices, ours, theirs, quick: Cell::new(0) }
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

    /// Whether so many bytes can be copied without another look, in one piece; if so, they are counted off.
    #[inline]
    pub(crate) fn take_quick(&self, len: usize) -> bool {
        let quick = self.quick.get();
        let enough = len <= quick as usize;
        if enough {
            self.quick.set(quick - len as u32);
        }
        enough
    }

    /// Says how many bytes from our index on there are, or are free.
    pub(crate) fn know(&self, bytes: u32) {
        self.quick.set(self.straight(bytes) as u32);
    }

    /// How many of so many bytes at our index lie there in one piece.
    #[inline]
    pub(crate) fn straight(&self, len: u32) -> usize {
        len.min(self.size - (self.ours.get() & (self.size - 1))) as usize
    }

    /// Where in the memory our index is.
    #[inline]
    pub(crate) fn place(&self) -> usize {
        self.base + (self.ours.get() & (self.size - 1)) as usize
    }

    #[inline]
    pub(crate) fn memory<'a>(&'a self, control: &'a Joint<P>) -> &'a Joint<P> {
        self.memory.as_ref().unwrap_or(control)
    }

    /// Copies in what is at our index, of which there is as much.
    pub(crate) fn copy_in(&self, control: &Joint<P>, into: &mut [u8]) {
        let memory = self.memory(control);
        let (first, rest) = into.split_at_mut(into.len().min(self.straight(u32::MAX)));
        memory.copy_in(self.place(), first);
        if !rest.is_empty() {
            memory.copy_in(self.base, rest);
        }
    }

    /// Copies to where our index is, where there is room for it.
    pub(crate) fn copy_out(&self, control: &Joint<P>, from: &[u8]) {
        let memory = self.memory(control);
        let (first, rest) = from.split_at(from.len().min(self.straight(u32::MAX)));
        memory.copy_out(self.place(), first);
        if !rest.is_empty() {
            memory.copy_out(self.base, rest);
        }
    }
}
