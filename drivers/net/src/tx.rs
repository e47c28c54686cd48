//! The ring in which frames go.

use crate::nic::Totals;
use crate::pool::{Pool, lend};
use crate::wire::{Extra, SLOTS_MIN, TX_SLOT_BYTES, TxRequest, TxResponse, status, tx_flag};
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use fata_ring::{Corrupt, Front};
use fata_trace::{Device, Kind, Layout};
use xen_hyp::{Access, DomId, GrantError, GrantRef, Granted, PAGE_SIZE, Platform, Xen};
use zerocopy::IntoBytes;

/// Pages that are lent at a time.
const PIECE: usize = 32;

pub(crate) struct Tx<P: Platform> {
    ring: Front<Granted<P>>,
    gref: GrantRef,
    /// A page for each request, by its id.
    pool: Pool<P>,
    slots: Vec<Slot>,
    free: Vec<u16>,
    /// Extra infos that have not been answered.
    extras: u32,
    /// Pages that a frame may have.
    most: usize,
    /// Something was answered.
    heard: bool,
    /// There was room when last looked, and nothing has been sent since. Each frame is asked for room three times.
    has_room: bool,
}

/// What becomes of a request's page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slot {
    Free,
    /// The first of a frame, whose status is the frame's.
    First,
    Further,
}

impl<P: Platform> Tx<P> {
    /// Lays the ring out. With `sg` frames may have several pages.
    pub(crate) fn new(xen: &Rc<Xen<P>>, peer: DomId, sg: bool) -> Result<Self, GrantError> {
        let memory = lend(xen, peer, 1, Access::Write)?;
        let (gref, at) = (memory.gref(), memory.address());
        let mut tx = Self {
            ring: Front::new(memory, TX_SLOT_BYTES),
            gref,
            pool: Pool::new(xen, peer, Access::Read),
            slots: Vec::new(),
            free: Vec::new(),
            extras: 0,
            // Another is for an extra info.
            most: if sg { SLOTS_MIN - 1 } else { 1 },
            heard: false,
            has_room: false,
        };
        let layout = Layout::Messages { slots: tx.ring.size(), slot_bytes: TX_SLOT_BYTES as u32 };
        fata_trace::ring(at, layout, Device::card_out(gref.0));
        tx.grow()?;
        Ok(tx)
    }

    /// What the backend calls the ring.
    pub(crate) fn gref(&self) -> GrantRef {
        self.gref
    }

    fn grow(&mut self) -> Result<(), GrantError> {
        let have = self.pool.len();
        let more = PIECE.min(self.ring.size() as usize - have);
        self.pool.grow(more)?;
        self.slots.extend(vec![Slot::Free; more]);
        self.free.extend((have as u16..(have + more) as u16).rev());
        Ok(())
    }

    /// Whether there is room for the longest frame. If not, an event will come when there is.
    #[inline]
    pub(crate) fn has_room(&mut self, totals: &mut Totals) -> Result<bool, Corrupt> {
        if !self.has_room {
            self.has_room = self.makes_room(totals)?;
        }
        Ok(self.has_room)
    }

    fn makes_room(&mut self, totals: &mut Totals) -> Result<bool, Corrupt> {
        loop {
            if self.fits() {
                return Ok(true);
            }
            while let Some(response) = self.ring.try_take::<TxResponse>()? {
                self.answered(response, totals)?;
            }
            if self.fits() {
                return Ok(true);
            }
            // Half of what is under way, so that there is one event for many.
            let due = self.ring.size() - self.ring.room();
            if !self.ring.ask(due.div_ceil(2).max(1))? {
                return Ok(false);
            }
        }
    }

    fn fits(&mut self) -> bool {
        if self.ring.room() as usize <= self.most {
            return false;
        }
        // What cannot be had now is asked for again next time; what is under way comes back.
        self.free.len() >= self.most
            || (self.pool.len() < self.ring.size() as usize
                && self.grow().is_ok()
                && self.free.len() >= self.most)
    }

    /// Sends a frame. There has to be [room](Self::has_room).
    pub(crate) fn send(&mut self, frame: &[u8], flags: u16, extra: Option<Extra>) {
        let mut extra = extra;
        let mut flags = flags | if extra.is_some() { tx_flag::EXTRA_INFO } else { 0 };
        // The first one's size is that of the frame.
        let (mut size, mut slot) = (frame.len(), Slot::First);
        let mut left = frame;
        while let Some(id) = self.free.pop() {
            let (here, rest) = left.split_at(left.len().min(PAGE_SIZE));
            self.pool.copy_out(id, here);
            if slot == Slot::Further {
                size = here.len();
            }
            if !rest.is_empty() {
                flags |= tx_flag::MORE_DATA;
            }
            self.push(id, flags, size, slot);
            if let Some(extra) = extra.take() {
                self.ring.push(extra.as_bytes());
                self.extras += 1;
            }
            if rest.is_empty() {
                return;
            }
            (left, flags, slot) = (rest, 0, Slot::Further);
        }
        debug_assert!(false, "more pages than there is room for");
    }

    /// Tells the backend something without sending a frame.
    pub(crate) fn tell(&mut self, extra: &Extra) {
        if let Some(id) = self.free.pop() {
            self.push(id, tx_flag::EXTRA_INFO, 0, Slot::Further);
            self.ring.push(extra.as_bytes());
            self.extras += 1;
        }
    }

    fn push(&mut self, id: u16, flags: u16, size: usize, slot: Slot) {
        let request = TxRequest { gref: self.pool.gref(id), offset: 0, flags, id, size: size as u16 };
        self.has_room = false;
        self.ring.push(request.as_bytes());
        fata_trace::mark(Kind::RequestOut, Device::card_out(self.gref.0).0, id.into());
        self.slots[usize::from(id)] = slot;
    }

    /// Whether something was sent, and nothing has ever been answered.
    pub(crate) fn is_unheard(&self) -> bool {
        !self.heard && self.ring.is_silent()
    }

    fn answered(&mut self, response: TxResponse, totals: &mut Totals) -> Result<(), Corrupt> {
        self.heard = true;
        if response.status == status::NULL {
            self.extras = self.extras.checked_sub(1).ok_or(Corrupt)?;
            return Ok(());
        }
        let slot = self.slots.get_mut(usize::from(response.id)).ok_or(Corrupt)?;
        let was = core::mem::replace(slot, Slot::Free);
        if was == Slot::Free {
            return Err(Corrupt);
        }
        fata_trace::mark(Kind::AnswerIn, Device::card_out(self.gref.0).0, response.id.into());
        self.free.push(response.id);
        match response.status {
            status::OKAY => {}
            _ if was != Slot::First => {}
            status::DROPPED => totals.tx_dropped += 1,
            _ => totals.tx_failed += 1,
        }
        Ok(())
    }

    /// Publishes what was sent, and tells whether the backend must be notified.
    #[must_use = "a peer that is not notified sleeps on"]
    pub(crate) fn publish(&mut self) -> bool {
        self.ring.publish()
    }
}
