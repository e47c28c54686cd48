//! Memory that is shared, whichever end it belongs to.

use xen_hyp::{Granted, Mapped, Platform, SharedBits, SharedMem};

pub(crate) enum Memory<P: Platform> {
    /// Ours.
    Lent(Granted<P>),
    /// Theirs.
    Mapped(Mapped<P>),
}

impl<P: Platform> Memory<P> {
    /// Whether it is ours and the other end has it mapped.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self, Self::Lent(memory) if memory.is_held())
    }
}

impl<P: Platform> SharedMem for Memory<P> {
    fn size(&self) -> usize {
        match self {
            Self::Lent(memory) => memory.size(),
            Self::Mapped(memory) => memory.size(),
        }
    }
    fn load(&self, offset: usize) -> u32 {
        match self {
            Self::Lent(memory) => memory.load(offset),
            Self::Mapped(memory) => memory.load(offset),
        }
    }
    fn store(&self, offset: usize, value: u32) {
        match self {
            Self::Lent(memory) => memory.store(offset, value),
            Self::Mapped(memory) => memory.store(offset, value),
        }
    }
    fn copy_in(&self, offset: usize, into: &mut [u8]) {
        match self {
            Self::Lent(memory) => memory.copy_in(offset, into),
            Self::Mapped(memory) => memory.copy_in(offset, into),
        }
    }
    fn copy_out(&self, offset: usize, from: &[u8]) {
        match self {
            Self::Lent(memory) => memory.copy_out(offset, from),
            Self::Mapped(memory) => memory.copy_out(offset, from),
        }
    }
}

impl<P: Platform> SharedBits for Memory<P> {
    fn update(&self, offset: usize, clear: u32, set: u32) -> Option<u32> {
        match self {
            Self::Lent(memory) => memory.update(offset, clear, set),
            Self::Mapped(memory) => memory.update(offset, clear, set),
        }
    }
}
