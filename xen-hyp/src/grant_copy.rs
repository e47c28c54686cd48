//! Copies to and from another domain's pages, made by Xen: for a backend that need not map them.

use crate::abi::DOMID_SELF;
use crate::abi::grant::{COPY_DEST_GREF, COPY_SOURCE_GREF, Copy, CopyEnd};
use crate::grant::{GrantError, GrantRef};
use crate::platform::{PAGE_SIZE, Platform};
use crate::xen::{DomId, Xen};
use core::ptr::NonNull;

/// Copies in one hypercall: a page at any offset takes two.
const AT_ONCE: usize = 8;

impl<P: Platform> Xen<P> {
    /// Copies bytes out of a page that `peer` granted to us, from `offset` on (`GNTTABOP_copy`).
    pub fn copy_from(
        &self,
        peer: DomId,
        gref: GrantRef,
        offset: usize,
        into: &mut [u8],
    ) -> Result<(), GrantError> {
        let base = NonNull::from(&mut *into).cast();
        // SAFETY: `into` is ours alone, and all of it may be written.
        unsafe { self.copy(base, into.len(), CopyEnd::of(peer, gref), offset, COPY_SOURCE_GREF) }
    }

    /// Copies bytes into a page that `peer` granted to us for writing, to `offset` and on (`GNTTABOP_copy`).
    pub fn copy_to(&self, peer: DomId, gref: GrantRef, offset: usize, from: &[u8]) -> Result<(), GrantError> {
        let base = NonNull::from(from).cast();
        // SAFETY: with this flag `from` is the source, which Xen reads.
        unsafe { self.copy(base, from.len(), CopyEnd::of(peer, gref), offset, COPY_DEST_GREF) }
    }

    /// # Safety
    ///
    /// The `len` bytes from `base` are ours; if `flags` says that the peer's page is the source, they may be written.
    unsafe fn copy(
        &self,
        base: NonNull<u8>,
        len: usize,
        peer: CopyEnd,
        offset: usize,
        flags: u16,
    ) -> Result<(), GrantError> {
        if offset > PAGE_SIZE || len > PAGE_SIZE - offset {
            return Err(GrantError::Status(-10));
        }
        // Frames are found by address.
        let start = base.as_ptr().expose_provenance();
        let mut done = 0;
        while done < len {
            let mut ops = [Copy::default(); AT_ONCE];
            let mut count = 0;
            while done < len && count < AT_ONCE {
                let at = (start + done) % PAGE_SIZE;
                let part = (PAGE_SIZE - at).min(len - done);
                let va = NonNull::new(base.as_ptr().wrapping_add(done)).unwrap_or(base);
                let ours =
                    CopyEnd { at: self.platform().frame_of(va).0, domid: DOMID_SELF, offset: at as u16 };
                let theirs = CopyEnd { offset: (offset + done) as u16, ..peer };
                let (source, dest) = if flags == COPY_SOURCE_GREF { (theirs, ours) } else { (ours, theirs) };
                ops[count] = Copy { source, dest, len: part as u16, flags, status: i16::MIN };
                count += 1;
                done += part;
            }
            // SAFETY: our end of each copy lies within the caller's bytes.
            unsafe { self.grant_op(&mut ops[..count]) }.map_err(GrantError::Xen)?;
            if let Some(op) = ops[..count].iter().find(|op| op.status != 0) {
                return Err(GrantError::Status(op.status));
            }
        }
        Ok(())
    }
}

impl CopyEnd {
    fn of(peer: DomId, gref: GrantRef) -> Self {
        Self { at: gref.0.into(), domid: peer.0, offset: 0 }
    }
}
