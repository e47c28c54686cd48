//! The grant table: pages lent to other domains, and taken back.
//!
//! Granting and revoking are a few stores and a compare-and-swap in memory shared with Xen; neither needs a
//! hypercall. A page that the peer does not let go of is never reused: it is kept, with a limit per peer, until it
//! does.

use crate::abi::grant::{GTF_PERMIT_ACCESS, GTF_READING, GTF_READONLY, GTF_WRITING, RESERVED_ENTRIES};
use crate::mem::{Region, shared_mem_of_region};
use crate::pages::Pages;
use crate::platform::{GrantEntry, PAGE_SIZE, Platform};
use crate::xen::{DomId, Xen};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

/// The end of a chain: entry 0 is reserved for the console, so no chain has it.
const NONE: u32 = 0;

/// Pages that a peer may keep before it is granted nothing more.
const KEPT_MAX: usize = 1024;

/// Tries at one entry whose flags change under us: each change is the peer mapping or unmapping.
const TRIES: usize = 16;

/// The name of a grant, for the domain it was made for (`grant_ref_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantRef(pub u32);

/// What a peer may do with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only read it.
    Read,
    /// Read and write it.
    Write,
}

/// Why a page cannot be shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantError {
    /// The grant table is full, and Xen does not let it grow.
    TableFull,
    /// This domain still has pages that were taken back from it long ago, and gets no more until it lets go.
    Withheld(DomId),
    /// The page lies beyond what version 1 of the table can name: above 16 TiB.
    TooHigh,
    /// This entry of the table is in use, or can never be.
    Taken(GrantRef),
    /// There is no page to grant.
    Nothing,
    /// There is no address space to map it in.
    NoWindow,
    /// Xen refused this page, with this status (`GNTST_*`, `xen/include/public/grant_table.h`).
    Status(i16),
    /// Xen refused the whole call.
    Xen(crate::XenError),
}

impl fmt::Display for GrantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TableFull => f.write_str("the grant table is full"),
            Self::Withheld(dom) => write!(f, "{dom} does not let go of pages it was lent"),
            Self::TooHigh => f.write_str("the page is above 16 TiB"),
            Self::Taken(gref) => write!(f, "grant reference {} is taken", gref.0),
            Self::Nothing => f.write_str("there is no page to grant"),
            Self::NoWindow => f.write_str("no address space for another domain's pages"),
            Self::Status(status) => match status_name(*status) {
                Some(name) => write!(f, "Xen refused the grant: {name}"),
                None => write!(f, "Xen refused the grant: status {status}"),
            },
            Self::Xen(error) => write!(f, "Xen refused: {error}"),
        }
    }
}

impl core::error::Error for GrantError {}

impl GrantError {
    /// `GNTST_permission_denied`: a policy forbids it, where a grant for somebody else is a general error.
    pub const PERMISSION_DENIED: i16 = -8;
    /// `GNTST_no_space`: we have as many mappings as Xen lets us have.
    pub const NO_SPACE: i16 = -13;
}

/// `GNTTABOP_error_msgs` in other words.
fn status_name(status: i16) -> Option<&'static str> {
    Some(match status {
        -1 => "general error",
        -2 => "no such domain",
        -3 => "no such grant",
        -4 => "no such mapping",
        -5 => "bad virtual address",
        -6 => "bad device address",
        -7 => "no space in the IOMMU",
        -8 => "permission denied",
        -9 => "bad page",
        -10 => "a copy across a page's end",
        -11 => "address too big",
        -12 => "busy",
        -13 => "no space for more mappings",
        _ => return None,
    })
}

/// Pages that could not be granted, given back.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub error: GrantError,
    /// Unchanged.
    pub pages: Pages,
}

/// Counts of the grant table, in entries, which are pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GrantTotals {
    /// How long the table is.
    pub entries: usize,
    /// Lent at this moment, those that are kept included.
    pub lent: usize,
    /// Taken back by us but not let go of by the peer.
    pub kept: usize,
}

/// The table's free entries, and the pages that wait for their peers.
#[derive(Default)]
pub(crate) struct Grants {
    /// For each entry the next in its chain: that of the free, or that of one [`Granted`].
    next: RefCell<Vec<u32>>,
    first_free: Cell<u32>,
    free: Cell<usize>,
    kept: RefCell<Vec<Kept>>,
    kept_pages: Cell<usize>,
}

struct Kept {
    peer: DomId,
    first: u32,
    pages: Pages,
}

impl Grants {
    /// Makes sure that `count` entries are free, and gives the table.
    fn reserve<'a>(&self, platform: &'a impl Platform, count: usize) -> Option<&'a [GrantEntry]> {
        let missing = count.saturating_sub(self.free.get());
        let known = self.next.borrow().len();
        if missing == 0 {
            return Some(platform.grant_entries(known));
        }
        let entries = platform.grant_entries(known.max(RESERVED_ENTRIES as usize).checked_add(missing)?);
        let mut next = self.next.borrow_mut();
        next.try_reserve_exact(entries.len().saturating_sub(known)).ok()?;
        for entry in known..entries.len() {
            if entry < RESERVED_ENTRIES as usize {
                next.push(NONE);
            } else {
                next.push(self.first_free.replace(entry as u32));
                self.free.set(self.free.get() + 1);
            }
        }
        (self.free.get() >= count).then_some(entries)
    }

    /// Makes this free entry the one that is used next.
    fn bring_forward(&self, platform: &impl Platform, entry: u32) -> Result<(), GrantError> {
        let taken = GrantError::Taken(GrantRef(entry));
        let known = self.next.borrow().len();
        if entry as usize >= known {
            // Of as many as make the table that long.
            self.reserve(platform, self.free.get() + entry as usize + 1 - known.min(entry as usize))
                .ok_or(taken)?;
        }
        let mut next = self.next.borrow_mut();
        let first = self.first_free.get();
        if entry == first && first != NONE {
            return Ok(());
        }
        let before = match first {
            NONE => None,
            first => chain(&next, first).find(|&at| next[at as usize] == entry),
        };
        // The chain's end is not an entry.
        let Some(before) = before.filter(|_| entry != NONE) else { return Err(taken) };
        next[before as usize] = next[entry as usize];
        next[entry as usize] = first;
        self.first_free.set(entry);
        Ok(())
    }

    /// Ends all grants of a chain and frees it, unless one of them is in use. Those before and after that one are
    /// ended all the same.
    fn close(&self, entries: &[GrantEntry], first: u32) -> bool {
        let mut next = self.next.borrow_mut();
        let (mut count, mut all, mut at) = (0, true, first);
        let last = loop {
            all &= end(&entries[at as usize]);
            count += 1;
            match next[at as usize] {
                NONE => break at,
                following => at = following,
            }
        };
        if all {
            next[last as usize] = self.first_free.replace(first);
            self.free.set(self.free.get() + count);
        }
        all
    }

    fn kept_by(&self, peer: DomId) -> usize {
        self.kept.borrow().iter().filter(|kept| kept.peer == peer).map(|kept| kept.pages.count()).sum()
    }
}

/// Ends a grant; gives whether nobody uses it any more. One that has ended stays so.
fn end(entry: &GrantEntry) -> bool {
    let mut flags = entry.flags.load(Ordering::Relaxed);
    for _ in 0..TRIES {
        if flags & (GTF_READING | GTF_WRITING) != 0 {
            return false;
        }
        // Acquire: what the peer wrote before it let go is seen by us from now on.
        match entry.flags.compare_exchange(flags, 0, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(now) => flags = now,
        }
    }
    false
}

impl Pages {
    /// Lends the pages to `peer`. Until they are taken back they are not ordinary memory.
    pub fn grant<P: Platform>(
        self,
        xen: &Rc<Xen<P>>,
        peer: DomId,
        access: Access,
    ) -> Result<Granted<P>, Refused> {
        match lend(xen, &self, peer, access) {
            Ok(first) => Ok(Granted { first, peer, pages: Some(self), xen: xen.clone() }),
            Err(error) => Err(Refused { error, pages: self }),
        }
    }
}

impl Pages {
    /// Lends a single page by a reference that was agreed on with the peer beforehand, where nobody can tell it.
    pub fn grant_at<P: Platform>(
        self,
        xen: &Rc<Xen<P>>,
        peer: DomId,
        access: Access,
        gref: GrantRef,
    ) -> Result<Granted<P>, Refused> {
        xen.reclaim_grants();
        let free = match self.count() {
            1 => xen.grants.bring_forward(xen.platform(), gref.0),
            _ => Err(GrantError::Nothing),
        };
        if let Err(error) = free {
            return Err(Refused { error, pages: self });
        }
        let granted = self.grant(xen, peer, access)?;
        if granted.gref() == gref {
            return Ok(granted);
        }
        // A page came back from somebody just now, and its entry went first.
        match granted.revoke() {
            Ok(pages) => Err(Refused { error: GrantError::Taken(gref), pages }),
            Err(StillMapped(_)) => Err(Refused { error: GrantError::Taken(gref), pages: Self::none() }),
        }
    }
}

/// Writes the entries for `pages`, and gives the first.
fn lend<P: Platform>(xen: &Xen<P>, pages: &Pages, peer: DomId, access: Access) -> Result<u32, GrantError> {
    let (platform, grants) = (xen.platform(), &xen.grants);
    if pages.count() == 0 {
        return Err(GrantError::Nothing);
    }
    if grants.kept_pages.get() > 0 {
        xen.reclaim_grants();
        if grants.kept_by(peer) >= KEPT_MAX {
            return Err(GrantError::Withheld(peer));
        }
    }
    let entries = grants.reserve(platform, pages.count()).ok_or(GrantError::TableFull)?;
    let flags = match access {
        Access::Read => GTF_PERMIT_ACCESS | GTF_READONLY,
        Access::Write => GTF_PERMIT_ACCESS,
    };
    let mut next = grants.next.borrow_mut();
    let first = grants.first_free.get();
    let (mut at, mut last) = (first, first);
    for page in 0..pages.count() {
        let va = pages.base().as_ptr().wrapping_add(page * PAGE_SIZE);
        // No page is at address 0.
        let frame = platform.frame_of(NonNull::new(va).unwrap_or_else(|| pages.base()));
        let Ok(frame) = u32::try_from(frame.0) else {
            // Nobody knows the references yet, so nobody uses them.
            chain(&next, first)
                .take(page)
                .for_each(|at| entries[at as usize].flags.store(0, Ordering::Relaxed));
            return Err(GrantError::TooHigh);
        };
        let entry = &entries[at as usize];
        entry.frame.store(frame, Ordering::Relaxed);
        entry.domid.store(peer.0, Ordering::Relaxed);
        // Release: frame and domain first, and what is in the page.
        entry.flags.store(flags, Ordering::Release);
        (last, at) = (at, next[at as usize]);
    }
    next[last as usize] = NONE;
    grants.first_free.set(at);
    grants.free.set(grants.free.get() - pages.count());
    Ok(first)
}

/// The entries of a chain.
fn chain(next: &[u32], first: u32) -> impl Iterator<Item = u32> {
    core::iter::successors(Some(first), |&at| Some(next[at as usize]).filter(|&n| n != NONE))
}

impl<P: Platform> Xen<P> {
    /// Looks whether peers have let go of pages that were taken back from them, and frees those. Gives how many
    /// pages are still kept.
    pub fn reclaim_grants(&self) -> usize {
        let grants = &self.grants;
        if grants.kept_pages.get() > 0 {
            let entries = self.platform().grant_entries(0);
            grants.kept.borrow_mut().retain(|kept| {
                let free = grants.close(entries, kept.first);
                if free {
                    grants.kept_pages.set(grants.kept_pages.get() - kept.pages.count());
                }
                !free
            });
        }
        grants.kept_pages.get()
    }

    /// What the grant table holds.
    pub fn grant_totals(&self) -> GrantTotals {
        let entries = self.grants.next.borrow().len();
        let usable = entries.saturating_sub(RESERVED_ENTRIES as usize);
        GrantTotals { entries, lent: usable - self.grants.free.get(), kept: self.grants.kept_pages.get() }
    }
}

/// Pages lent to a peer, which may be changing them: there are no bytes to borrow, only to copy.
///
/// Dropping it takes the pages back, or keeps them out of use until the peer lets go.
pub struct Granted<P: Platform> {
    first: u32,
    peer: DomId,
    /// `None` only when they have been taken back.
    pages: Option<Pages>,
    xen: Rc<Xen<P>>,
}

/// The peer still has some of the pages mapped; try again later, or drop them to have them kept.
pub struct StillMapped<P: Platform>(pub Granted<P>);

impl<P: Platform> Granted<P> {
    /// Takes the pages back, if the peer has let go of them. Costs no hypercall.
    pub fn revoke(mut self) -> Result<Pages, StillMapped<P>> {
        if let Some(pages) = self.close() { Ok(pages) } else { Err(StillMapped(self)) }
    }

    /// Whether the peer has any of the pages mapped at this moment.
    pub fn is_held(&self) -> bool {
        let (entries, next) = (self.xen.platform().grant_entries(0), self.xen.grants.next.borrow());
        let flags = |at: u32| entries[at as usize].flags.load(Ordering::Acquire);
        chain(&next, self.first).any(|at| flags(at) & (GTF_READING | GTF_WRITING) != 0)
    }

    /// The reference of the first page.
    pub fn gref(&self) -> GrantRef {
        GrantRef(self.first)
    }

    /// Passes the references of these pages to `each`, in their order.
    pub fn each_ref(&self, pages: Range<usize>, mut each: impl FnMut(GrantRef)) {
        let next = self.xen.grants.next.borrow();
        let these = chain(&next, self.first).skip(pages.start).take(pages.len());
        these.for_each(|at| each(GrantRef(at)));
    }

    /// How many pages they are.
    pub fn count(&self) -> usize {
        self.pages.as_ref().map_or(0, Pages::count)
    }

    /// The pages. Whoever keeps that must not outlive what is lent.
    pub(crate) fn region(&self) -> Region {
        let pages = self.pages.as_ref().unwrap_or(const { &Pages::none() });
        // SAFETY: the pages live as long as `self`, which the region is only used for the time of a call on, or together
        // with which it is kept (`Joint`), and nobody makes a reference to them before they are taken out of it.
        unsafe { Region::new(pages.base(), pages.count() * PAGE_SIZE) }
    }

    /// Where they are, for whoever debugs.
    pub fn address(&self) -> usize {
        self.region().address()
    }

    /// Whom they are lent to.
    pub fn peer(&self) -> DomId {
        self.peer
    }

    fn close(&mut self) -> Option<Pages> {
        let entries = self.xen.platform().grant_entries(0);
        if !self.xen.grants.close(entries, self.first) {
            return None;
        }
        self.pages.take()
    }
}

impl<P: Platform> Drop for Granted<P> {
    fn drop(&mut self) {
        if self.pages.is_some() {
            fata_trace::no_ring(self.address());
        }
        if self.pages.is_none() || self.close().is_some() {
            return;
        }
        let Some(pages) = self.pages.take() else { return };
        let grants = &self.xen.grants;
        grants.kept_pages.set(grants.kept_pages.get() + pages.count());
        let mut kept = grants.kept.borrow_mut();
        if kept.try_reserve(1).is_ok() {
            kept.push(Kept { peer: self.peer, first: self.first, pages });
        } else {
            // No memory to remember them in: they stay lent for good.
            core::mem::forget(pages);
        }
    }
}

impl Drop for Grants {
    fn drop(&mut self) {
        // A peer may still write to them.
        self.kept.take().into_iter().for_each(|kept| core::mem::forget(kept.pages));
    }
}

shared_mem_of_region!(Granted, region());

impl<P: Platform> fmt::Debug for Granted<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Granted");
        debug.field("first", &self.first).field("pages", &self.count()).field("peer", &self.peer).finish()
    }
}

impl<P: Platform> fmt::Debug for StillMapped<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StillMapped").field(&self.0).finish()
    }
}
