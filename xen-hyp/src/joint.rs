//! Memory that two domains have in common, whichever of them lent it.

use crate::grant::Granted;
use crate::mapped::Mapped;
use crate::mem::{Region, SharedBits, SharedMem};
use crate::platform::Platform;
use core::fmt;

/// Memory that was lent or that is mapped, for who does not care which and wants to be quick about it.
///
/// Dropping it lets go of it, as [`Granted`] and [`Mapped`] do.
pub struct Joint<P: Platform> {
    /// All of it, where it is in one piece; else nothing. So one comparison says whether an access is in bounds and
    /// where it goes.
    region: Region,
    owner: Owner<P>,
}

enum Owner<P: Platform> {
    Lent(Granted<P>),
    Mapped(Mapped<P>),
}

impl<P: Platform> Joint<P> {
    /// Whether it is ours and the other domain has it mapped.
    pub fn is_held(&self) -> bool {
        matches!(&self.owner, Owner::Lent(lent) if lent.is_held())
    }

    /// The slow way, and the one that says what is wrong.
    #[cold]
    fn owner(&self) -> &dyn SharedBits {
        match &self.owner {
            Owner::Lent(lent) => lent,
            Owner::Mapped(mapped) => mapped,
        }
    }

    #[inline]
    fn has(&self, offset: usize, len: usize) -> bool {
        // As the region asks it, so that it need not ask again.
        let size = self.region.size();
        offset <= size && len <= size - offset
    }
}

impl<P: Platform> From<Granted<P>> for Joint<P> {
    fn from(lent: Granted<P>) -> Self {
        Self { region: lent.region(), owner: Owner::Lent(lent) }
    }
}

impl<P: Platform> From<Mapped<P>> for Joint<P> {
    fn from(mapped: Mapped<P>) -> Self {
        Self { region: mapped.whole(), owner: Owner::Mapped(mapped) }
    }
}

impl<P: Platform> SharedMem for Joint<P> {
    fn size(&self) -> usize {
        self.owner().size()
    }
    #[inline]
    fn load(&self, offset: usize) -> u32 {
        if self.has(offset, size_of::<u32>()) { self.region.load(offset) } else { self.owner().load(offset) }
    }
    #[inline]
    fn store(&self, offset: usize, value: u32) {
        if self.has(offset, size_of::<u32>()) {
            self.region.store(offset, value);
        } else {
            self.owner().store(offset, value);
        }
    }
    #[inline]
    fn copy_in(&self, offset: usize, into: &mut [u8]) {
        if self.has(offset, into.len()) {
            self.region.copy_in(offset, into);
        } else {
            self.owner().copy_in(offset, into);
        }
    }
    #[inline]
    fn copy_out(&self, offset: usize, from: &[u8]) {
        if self.has(offset, from.len()) {
            self.region.copy_out(offset, from);
        } else {
            self.owner().copy_out(offset, from);
        }
    }
}

impl<P: Platform> SharedBits for Joint<P> {
    fn update(&self, offset: usize, clear: u32, set: u32) -> Option<u32> {
        self.owner().update(offset, clear, set)
    }
}

impl<P: Platform> fmt::Debug for Joint<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.owner {
            Owner::Lent(lent) => lent.fmt(f),
            Owner::Mapped(mapped) => mapped.fmt(f),
        }
    }
}
