//! One ring and what is under way in it.

use crate::request::{Piece, Request};
use crate::wire::{DIRECT_SEGMENTS, Response, SLOT_BYTES, Segment};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::ops::Range;
use fata_ring::{Corrupt, Front};
use xen_hyp::{Granted, PAGE_SIZE, Platform, SharedMem};

/// A slot, and the request that is in it. Filled and emptied in place, since requests come and go quickly.
pub(crate) struct Slot<P: Platform> {
    /// What the request is called in the ring; another at each use, so that an answer given twice is noticed.
    id: u64,
    request: Option<Rc<Request<P>>>,
    range: Range<u64>,
    order: u64,
    /// Pages of its own, if pages are lent for good.
    pub(crate) own: Lent<P>,
    /// The page with a request's segments, if they are too many for the ring.
    pub(crate) table: Option<Granted<P>>,
    /// Segments in the table that name pages of `own`, whole ones.
    pub(crate) in_table: usize,
}

/// Pages that stay lent for as long as the connection lasts, one piece after the other.
pub(crate) struct Lent<P: Platform> {
    pieces: Vec<Granted<P>>,
    /// Of each page, as a segment names it.
    pub(crate) segments: Vec<Segment>,
}

impl<P: Platform> Lent<P> {
    /// Adds a piece.
    pub(crate) fn add(&mut self, piece: Granted<P>) {
        piece.each_ref(0..piece.count(), |gref| self.segments.push(Segment::whole(gref)));
        self.pieces.push(piece);
    }

    /// Copies bytes out to the pages, from the first on.
    pub(crate) fn copy_out(&self, mut bytes: &[u8]) {
        for piece in &self.pieces {
            let (here, rest) = bytes.split_at(bytes.len().min(piece.size()));
            piece.copy_out(0, here);
            bytes = rest;
        }
    }

    /// Zeroes the first so many pages.
    pub(crate) fn clear(&self, pages: usize) {
        let zeroes = [0; PAGE_SIZE];
        let mut left = pages;
        for piece in &self.pieces {
            let here = left.min(piece.count());
            (0..here).for_each(|page| piece.copy_out(page * PAGE_SIZE, &zeroes));
            left -= here;
        }
    }

    /// Copies bytes in from the pages.
    pub(crate) fn copy_in(&self, mut bytes: &mut [u8]) {
        for piece in &self.pieces {
            let (here, rest) = bytes.split_at_mut(bytes.len().min(piece.size()));
            piece.copy_in(0, here);
            bytes = rest;
        }
    }
}

/// What the backend answered.
pub(crate) struct Answer<'a, P: Platform> {
    pub(crate) id: u64,
    pub(crate) piece: Piece<P>,
    pub(crate) status: i16,
    /// Where the request was; it is free again.
    pub(crate) slot: &'a mut Slot<P>,
}

/// A ring.
pub(crate) struct Queue<P: Platform> {
    pub(crate) front: Front<Granted<P>>,
    slots: Vec<Slot<P>>,
    free: Vec<u16>,
    round: u32,
}

impl<P: Platform> Queue<P> {
    pub(crate) fn new(memory: Granted<P>) -> Self {
        let front = Front::new(memory, SLOT_BYTES);
        // At most 512: sixteen pages.
        let size = front.size() as u16;
        let slot = |_| Slot {
            id: 0,
            request: None,
            range: 0..0,
            order: 0,
            own: Lent { pieces: Vec::new(), segments: Vec::new() },
            table: None,
            in_table: 0,
        };
        Self { slots: (0..size).map(slot).collect(), free: (0..size).rev().collect(), round: 0, front }
    }

    /// The next slot to be used, and the id of the request that will be in it. `None` if all are in use.
    pub(crate) fn next(&mut self) -> Option<(&mut Slot<P>, u64)> {
        let slot = *self.free.last()?;
        Some((&mut self.slots[usize::from(slot)], u64::from(self.round) << 32 | u64::from(slot)))
    }

    /// Makes the free slot with the most pages of its own the next one, and gives how many it can use.
    pub(crate) fn richest(&mut self) -> usize {
        let Self { free, slots, .. } = self;
        let pages = |slot: &Slot<P>| {
            let most = if slot.table.is_some() { usize::MAX } else { DIRECT_SEGMENTS };
            slot.own.segments.len().min(most)
        };
        let Some(best) = (0..free.len()).max_by_key(|&n| pages(&slots[usize::from(free[n])])) else {
            return 0;
        };
        let last = free.len() - 1;
        free.swap(best, last);
        pages(&slots[usize::from(free[last])])
    }

    /// Puts a request for the first `sectors` of `piece` into the ring, in the slot that was [`next`](Self::next).
    pub(crate) fn push(&mut self, parts: &[&[u8]], piece: &Piece<P>, sectors: u64) {
        self.front.push_parts(parts);
        self.begun(piece, sectors);
    }

    fn begun(&mut self, piece: &Piece<P>, sectors: u64) {
        let Some((slot, id)) = self.next() else { return };
        slot.id = id;
        slot.request = Some(piece.request.clone());
        slot.range = piece.range.start..piece.range.start + sectors;
        slot.order = piece.order;
        self.free.pop();
        self.round = self.round.wrapping_add(1);
    }

    /// Takes the next answer. One to nothing that is under way is [`Corrupt`].
    pub(crate) fn take(&mut self) -> Result<Option<Answer<'_, P>>, Corrupt> {
        let Some(response) = self.front.take::<Response>()? else { return Ok(None) };
        let index = response.id as u32 as usize;
        let slot = self.slots.get_mut(index).filter(|slot| slot.id == response.id).ok_or(Corrupt)?;
        let request = slot.request.take().ok_or(Corrupt)?;
        self.free.push(index as u16);
        let piece = Piece { request, range: slot.range.clone(), order: slot.order };
        Ok(Some(Answer { id: response.id, piece, status: response.status, slot }))
    }

    /// Whether a part of this is under way.
    pub(crate) fn has(&self, request: &Rc<Request<P>>) -> bool {
        self.slots.iter().any(|slot| slot.request.as_ref().is_some_and(|known| Rc::ptr_eq(known, request)))
    }

    /// What is under way.
    pub(crate) fn into_pieces(self) -> impl Iterator<Item = Piece<P>> {
        self.slots
            .into_iter()
            .filter_map(|slot| Some(Piece { request: slot.request?, range: slot.range, order: slot.order }))
    }
}
