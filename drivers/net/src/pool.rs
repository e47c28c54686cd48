//! Pages that stay lent to the backend for as long as a connection lasts, and bytes copied in and out of them.

use alloc::rc::Rc;
use alloc::vec::Vec;
use xen_hyp::{Access, DomId, GrantError, Granted, PAGE_SIZE, Pages, Platform, SharedMem, Xen};

/// Pages, by numbers that begin at 0.
pub(crate) struct Pool<P: Platform> {
    xen: Rc<Xen<P>>,
    peer: DomId,
    access: Access,
    pieces: Vec<Granted<P>>,
    pages: Vec<Page>,
}

struct Page {
    gref: u32,
    piece: u16,
    offset: u32,
}

impl<P: Platform> Pool<P> {
    /// No page.
    pub(crate) fn new(xen: &Rc<Xen<P>>, peer: DomId, access: Access) -> Self {
        Self { xen: xen.clone(), peer, access, pieces: Vec::new(), pages: Vec::new() }
    }

    /// Adds `count` pages.
    pub(crate) fn grow(&mut self, count: usize) -> Result<(), GrantError> {
        let lent = lend(&self.xen, self.peer, count, self.access)?;
        let (piece, mut offset) = (self.pieces.len() as u16, 0);
        let pages = &mut self.pages;
        lent.each_ref(0..count, |gref| {
            pages.push(Page { gref: gref.0, piece, offset });
            offset += PAGE_SIZE as u32;
        });
        self.pieces.push(lent);
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.pages.len()
    }

    /// What the backend calls a page.
    pub(crate) fn gref(&self, page: u16) -> u32 {
        self.pages[usize::from(page)].gref
    }

    /// Copies bytes in. Those beyond the page's end are the caller's mistake.
    pub(crate) fn copy_in(&self, page: u16, offset: usize, into: &mut [u8]) {
        assert!(offset + into.len() <= PAGE_SIZE, "more than a page");
        let page = &self.pages[usize::from(page)];
        self.pieces[usize::from(page.piece)].copy_in(page.offset as usize + offset, into);
    }

    /// Copies bytes out, to the beginning of the page.
    pub(crate) fn copy_out(&self, page: u16, from: &[u8]) {
        assert!(from.len() <= PAGE_SIZE, "more than a page");
        let page = &self.pages[usize::from(page)];
        self.pieces[usize::from(page.piece)].copy_out(page.offset as usize, from);
    }
}

/// Lends new pages.
pub(crate) fn lend<P: Platform>(
    xen: &Rc<Xen<P>>,
    peer: DomId,
    pages: usize,
    access: Access,
) -> Result<Granted<P>, GrantError> {
    let pages = Pages::new(pages).ok_or(GrantError::TableFull)?;
    pages.grant(xen, peer, access).map_err(|refused| refused.error)
}
