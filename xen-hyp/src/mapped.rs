//! Pages of another domain, mapped here: what backends and vchan clients work on.

use crate::abi::grant::{GNTMAP_HOST_MAP, MapGrantRef, UnmapGrantRef};
use crate::grant::{GrantError, GrantRef};
use crate::mem::{Region, SharedBits, SharedMem};
use crate::platform::{PAGE_SIZE, Platform, Window};
use crate::xen::{DomId, Xen};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::Ordering;

/// Pages that a peer granted to us for writing, seen as one piece of shared memory.
///
/// Dropping it unmaps them. A peer that goes away meanwhile takes nothing from under us: Xen keeps a page as long as
/// it is mapped.
pub struct Mapped<P: Platform> {
    /// One for all pages where they lie one after the other, as they do on boards; else one for each.
    regions: Vec<Region>,
    handles: Vec<u32>,
    /// `None` only while it is being dropped.
    window: Option<Window>,
    xen: Rc<Xen<P>>,
}

impl<P: Platform> Xen<P> {
    /// Maps pages that `peer` granted to us for reading and writing (`GNTTABOP_map_grant_ref`).
    pub fn map(self: &Rc<Self>, peer: DomId, grefs: &[GrantRef]) -> Result<Mapped<P>, GrantError> {
        let window = self.platform().window(grefs.len()).ok_or(GrantError::NoWindow)?;
        let address = |page: usize| window.host_addr + (page * PAGE_SIZE) as u64;
        let map = |(page, gref): (usize, &GrantRef)| MapGrantRef {
            host_addr: address(page),
            flags: GNTMAP_HOST_MAP,
            gref: gref.0,
            dom: peer.0,
            // Xen sets it; if it did not come so far, it is not zero.
            status: i16::MIN,
            ..Default::default()
        };
        let mut ops: Vec<MapGrantRef> = grefs.iter().enumerate().map(map).collect();
        // SAFETY: the addresses are the window's, where nothing is mapped and which nobody else uses.
        let called = unsafe { self.grant_op(&mut ops) };
        let status = ops.iter().map(|op| op.status).find(|&status| status != 0).unwrap_or(0);
        let done = ops.iter().enumerate().filter(|(_, op)| op.status == 0);
        let done: Vec<(u64, u32)> = done.map(|(page, op)| (address(page), op.handle)).collect();
        let error = match (called, status) {
            (Err(error), _) => Some(GrantError::Xen(error)),
            (Ok(()), 0) => None,
            (Ok(()), status) => Some(GrantError::Status(status)),
        };
        if let Some(error) = error {
            if self.unmap(&done) {
                self.platform().release_window(window);
            }
            return Err(error);
        }
        let regions = self.regions(&window);
        let handles = done.into_iter().map(|(_, handle)| handle).collect();
        Ok(Mapped { regions, handles, window: Some(window), xen: self.clone() })
    }

    fn regions(&self, window: &Window) -> Vec<Region> {
        let page = |index| self.platform().window_page(window, index);
        let base = page(0);
        let follows = |index: &usize| page(*index).as_ptr() == base.as_ptr().wrapping_add(index * PAGE_SIZE);
        if (0..window.pages).all(|index| follows(&index)) {
            // SAFETY: mapped just now, for as long as the window is ours; the platform says that it is no ordinary
            // memory.
            return alloc::vec![unsafe { Region::new(base, window.pages * PAGE_SIZE) }];
        }
        // SAFETY: as above, for each page.
        (0..window.pages).map(|index| unsafe { Region::new(page(index), PAGE_SIZE) }).collect()
    }

    /// Gives whether all are unmapped.
    fn unmap(&self, pages: &[(u64, u32)]) -> bool {
        let unmap = |&(host_addr, handle): &(u64, u32)| UnmapGrantRef {
            host_addr,
            handle,
            status: i16::MIN,
            ..Default::default()
        };
        let mut ops: Vec<UnmapGrantRef> = pages.iter().map(unmap).collect();
        // SAFETY: each is a mapping of ours, and whoever had access to it is being dropped, or never was.
        let called = ops.is_empty() || unsafe { self.grant_op(&mut ops) }.is_ok();
        called && ops.iter().all(|op| op.status == 0)
    }
}

impl<P: Platform> Mapped<P> {
    /// All of it, if it is in one piece; else an empty region. Whoever keeps that must not outlive the mapping.
    pub(crate) fn whole(&self) -> Region {
        match &self.regions[..] {
            [all] => all.alias(),
            _ => Region::EMPTY,
        }
    }

    fn region(&self, offset: usize) -> (&Region, usize) {
        match &self.regions[..] {
            [all] => (all, offset),
            pages => (&pages[offset / PAGE_SIZE], offset % PAGE_SIZE),
        }
    }

    /// Divides an access at the ends of pages, where they do not follow one another.
    fn pieces(
        &self,
        offset: usize,
        len: usize,
        mut piece: impl FnMut(&Region, usize, core::ops::Range<usize>),
    ) {
        if let [all] = &self.regions[..] {
            return piece(all, offset, 0..len);
        }
        let mut done = 0;
        while done < len {
            let (region, at) = self.region(offset + done);
            let part = (PAGE_SIZE - at).min(len - done);
            piece(region, at, done..done + part);
            done += part;
        }
    }
}

impl<P: Platform> SharedMem for Mapped<P> {
    fn size(&self) -> usize {
        self.handles.len() * PAGE_SIZE
    }
    fn load(&self, offset: usize) -> u32 {
        let (region, at) = self.region(offset);
        region.load(at)
    }
    fn store(&self, offset: usize, value: u32) {
        let (region, at) = self.region(offset);
        region.store(at, value);
    }
    fn copy_in(&self, offset: usize, into: &mut [u8]) {
        self.pieces(offset, into.len(), |region, at, part| region.copy_in(at, &mut into[part]));
    }
    fn copy_out(&self, offset: usize, from: &[u8]) {
        self.pieces(offset, from.len(), |region, at, part| region.copy_out(at, &from[part]));
    }
}

impl<P: Platform> SharedBits for Mapped<P> {
    fn update(&self, offset: usize, clear: u32, set: u32) -> Option<u32> {
        let (region, at) = self.region(offset);
        region.update(at, clear, set)
    }
}

impl<P: Platform> Drop for Mapped<P> {
    fn drop(&mut self) {
        let Some(window) = self.window.take() else { return };
        self.regions.clear();
        let address = |page: usize| window.host_addr + (page * PAGE_SIZE) as u64;
        let pages: Vec<_> = self.handles.iter().enumerate().map(|(page, &h)| (address(page), h)).collect();
        // What we wrote is out before the peer learns that we let go.
        core::sync::atomic::fence(Ordering::Release);
        if self.xen.unmap(&pages) {
            self.xen.platform().release_window(window);
        }
        // A window with something left in it is not used again.
    }
}

impl<P: Platform> fmt::Debug for Mapped<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapped").field("pages", &self.handles.len()).finish_non_exhaustive()
    }
}
