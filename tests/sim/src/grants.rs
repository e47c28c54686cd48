//! Grant tables as the hypervisor keeps them (`xen/common/grant_table.c`), and what backends do with them.

use crate::domain::Domain;
use crate::world::World;
use std::collections::BTreeMap;
use std::ptr::{NonNull, with_exposed_provenance_mut};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use xen_hyp::abi::grant::{GTF_PERMIT_ACCESS, GTF_READING, GTF_READONLY, GTF_WRITING};
use xen_hyp::mem::Region;
use xen_hyp::{DomId, GrantRef, PAGE_SIZE, SharedBits, SharedMem};

/// `GNTST_general_error`.
const GENERAL_ERROR: i16 = -1;
/// `GNTST_bad_domain`.
const BAD_DOMAIN: i16 = -2;
/// `GNTST_bad_gntref`.
const BAD_GNTREF: i16 = -3;
/// `GNTST_bad_handle`.
const BAD_HANDLE: i16 = -4;
/// `GNTST_bad_copy_arg`.
const BAD_COPY_ARG: i16 = -10;

/// How many use one grant, for reading and in all (`struct active_grant_entry`).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Uses {
    readers: u32,
    writers: u32,
}

/// Everything a domain has mapped, by handle.
#[derive(Default)]
pub(crate) struct Maptrack {
    last: u32,
    maps: BTreeMap<u32, (u64, MappedPage)>,
}

/// A page of a guest that somebody else has mapped. Dropping it unmaps the page.
pub struct MappedPage {
    of: Rc<Domain>,
    gref: GrantRef,
    write: bool,
    base: NonNull<u8>,
    region: Region,
}

impl Domain {
    /// Takes a grant into use: the page's address, if `by` may have it.
    fn activate(&self, by: DomId, gref: GrantRef, write: bool) -> Result<NonNull<u8>, i16> {
        let entry = self.grants().get(gref.0 as usize).ok_or(BAD_GNTREF)?;
        let flags = entry.flags.load(Ordering::SeqCst);
        let allowed = flags & 3 == GTF_PERMIT_ACCESS && entry.domid.load(Ordering::SeqCst) == by.0;
        if !allowed {
            return Err(BAD_GNTREF);
        }
        if write && flags & GTF_READONLY != 0 {
            return Err(GENERAL_ERROR);
        }
        let address = self.address_of(entry.frame.load(Ordering::SeqCst).into());
        let base = NonNull::new(with_exposed_provenance_mut(address)).ok_or(BAD_GNTREF)?;
        let mut active = self.active.borrow_mut();
        let uses = active.entry(gref.0).or_default();
        uses.readers += u32::from(!write);
        uses.writers += u32::from(write);
        let using = GTF_READING | if write { GTF_WRITING } else { 0 };
        entry.flags.fetch_or(using, Ordering::SeqCst);
        Ok(base)
    }

    fn deactivate(&self, gref: GrantRef, write: bool) {
        let mut active = self.active.borrow_mut();
        let Some(uses) = active.get_mut(&gref.0) else { return };
        if write {
            uses.writers -= 1
        } else {
            uses.readers -= 1
        }
        let mut over = if uses.writers == 0 { GTF_WRITING } else { 0 };
        if uses.writers + uses.readers == 0 {
            over |= GTF_READING;
            active.remove(&gref.0);
        }
        self.grants()[gref.0 as usize].flags.fetch_and(!over, Ordering::SeqCst);
    }

    /// The references of its grants that have not been ended.
    pub fn granted(&self) -> Vec<GrantRef> {
        let open = |&gref: &u32| self.grants()[gref as usize].flags.load(Ordering::SeqCst) != 0;
        (0..self.grants().len() as u32).filter(open).map(GrantRef).collect()
    }

    /// Pages of others that it has mapped.
    pub fn mapped(&self) -> usize {
        self.maptrack.borrow().maps.len()
    }

    /// What is mapped at this guest address.
    pub(crate) fn mapped_at(&self, host_addr: u64) -> Option<NonNull<u8>> {
        let maptrack = self.maptrack.borrow();
        maptrack.maps.values().find(|(at, _)| *at == host_addr).map(|(_, page)| page.base)
    }
}

impl World {
    /// Maps a page that `of` granted to `by`, as a backend in a process does.
    pub fn map_grant(
        &self,
        by: DomId,
        of: &Rc<Domain>,
        gref: GrantRef,
        write: bool,
    ) -> Result<MappedPage, i16> {
        let base = of.activate(by, gref, write)?;
        // SAFETY: a page that its owner lent, so nobody has references to it, and that it cannot take back before
        // `MappedPage` is dropped.
        let region = unsafe { Region::new(base, PAGE_SIZE) };
        Ok(MappedPage { of: of.clone(), gref, write, base, region })
    }

    /// `GNTTABOP_map_grant_ref`, of one page: its handle.
    pub(crate) fn map_for(&self, by: &Domain, of: DomId, gref: GrantRef, host_addr: u64) -> Result<u32, i16> {
        if by.mapped_at(host_addr).is_some() {
            return Err(GENERAL_ERROR);
        }
        let of = self.find(of).ok_or(BAD_DOMAIN)?;
        let page = self.map_grant(by.id, &of, gref, true)?;
        let mut maptrack = by.maptrack.borrow_mut();
        maptrack.last += 1;
        let handle = maptrack.last;
        maptrack.maps.insert(handle, (host_addr, page));
        Ok(handle)
    }

    /// `GNTTABOP_unmap_grant_ref`, of one page.
    pub(crate) fn unmap_for(&self, by: &Domain, handle: u32, host_addr: u64) -> Result<(), i16> {
        let mut maptrack = by.maptrack.borrow_mut();
        match maptrack.maps.get(&handle) {
            Some((at, _)) if *at == host_addr => {
                maptrack.maps.remove(&handle);
                Ok(())
            }
            _ => Err(BAD_HANDLE),
        }
    }

    /// `GNTTABOP_copy`, where the peer's end is a grant: `out` says whether it is the source.
    ///
    /// # Safety
    ///
    /// `ours` must be valid for reads, or writes if `out`, of `len` bytes.
    pub(crate) unsafe fn copy_grant(
        &self,
        by: &Domain,
        (of, gref, offset): (DomId, GrantRef, usize),
        ours: *mut u8,
        len: usize,
        out: bool,
    ) -> Result<(), i16> {
        if offset + len > PAGE_SIZE {
            return Err(BAD_COPY_ARG);
        }
        let of = self.find(of).ok_or(BAD_DOMAIN)?;
        let page = self.map_grant(by.id, &of, gref, !out)?;
        if out {
            let mut bytes = vec![0; len];
            page.copy_in(offset, &mut bytes);
            // SAFETY: the caller vouches for it.
            unsafe { ours.copy_from_nonoverlapping(bytes.as_ptr(), len) };
        } else {
            let bytes: Vec<u8> = (0..len)
                // SAFETY: the caller vouches for it.
                .map(|i| unsafe { ours.wrapping_add(i).read() })
                .collect();
            page.copy_out(offset, &bytes);
        }
        Ok(())
    }
}

impl MappedPage {
    /// The name it was mapped by.
    pub fn gref(&self) -> GrantRef {
        self.gref
    }
}

/// Pages of a guest that somebody else has mapped one after the other, as for a ring of several pages.
pub struct MappedPages(pub Vec<MappedPage>);

impl MappedPages {
    /// Divides an access at the ends of pages: which page, where in it, and which part of the whole.
    fn pieces(offset: usize, len: usize, mut piece: impl FnMut(usize, usize, std::ops::Range<usize>)) {
        let mut done = 0;
        while done < len {
            let at = offset + done;
            let part = (PAGE_SIZE - at % PAGE_SIZE).min(len - done);
            piece(at / PAGE_SIZE, at % PAGE_SIZE, done..done + part);
            done += part;
        }
    }
}

impl SharedMem for MappedPages {
    fn size(&self) -> usize {
        self.0.len() * PAGE_SIZE
    }
    fn load(&self, offset: usize) -> u32 {
        self.0[offset / PAGE_SIZE].load(offset % PAGE_SIZE)
    }
    fn store(&self, offset: usize, value: u32) {
        self.0[offset / PAGE_SIZE].store(offset % PAGE_SIZE, value);
    }
    fn copy_in(&self, offset: usize, into: &mut [u8]) {
        Self::pieces(offset, into.len(), |page, at, part| self.0[page].copy_in(at, &mut into[part]));
    }
    fn copy_out(&self, offset: usize, from: &[u8]) {
        Self::pieces(offset, from.len(), |page, at, part| self.0[page].copy_out(at, &from[part]));
    }
}

impl SharedBits for MappedPages {
    fn update(&self, offset: usize, clear: u32, set: u32) -> Option<u32> {
        self.0[offset / PAGE_SIZE].update(offset % PAGE_SIZE, clear, set)
    }
}

impl SharedBits for MappedPage {
    fn update(&self, offset: usize, clear: u32, set: u32) -> Option<u32> {
        self.region.update(offset, clear, set)
    }
}

impl Drop for MappedPage {
    fn drop(&mut self) {
        self.of.deactivate(self.gref, self.write);
    }
}

impl SharedMem for MappedPage {
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
