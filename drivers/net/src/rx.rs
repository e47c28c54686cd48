//! The ring in which frames come, and how they are put together.

use crate::nic::Totals;
use crate::pool::{Pool, lend};
use crate::wire::{self, RX_SLOT_BYTES, RxRequest, RxResponse, rx_flag};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use fata_ring::{Corrupt, Front};
use fata_trace::{Device, Kind, Layout};
use xen_hyp::{Access, DomId, GrantError, GrantRef, Granted, PAGE_SIZE, Platform, Xen};
use zerocopy::IntoBytes;

/// Buffers that the backend gets at first. It gets more when it uses half of what it has at once.
const BUFFERS_MIN: usize = 64;
/// Pages of the longest frame: 64 KiB and headers, wherever they begin.
const FRAME_PAGES: usize = 17;
/// Bytes of an Ethernet header, without which it is no frame.
const ETHERNET: usize = crate::features::ETHERNET;

pub(crate) struct Rx<P: Platform> {
    ring: Front<Granted<P>>,
    gref: GrantRef,
    pool: Pool<P>,
    /// Pages in the ring, oldest first. Answers come in the order of requests (`netif.h`), the more so as one that
    /// is an extra info does not say which request it answers.
    posted: VecDeque<u16>,
    free: Vec<u16>,
    /// How many buffers the backend shall have.
    target: usize,
    /// How many it may have.
    most: usize,
    part: Part,
    /// The frame that is being put together. Taken out while somebody looks at it.
    frame: Vec<u8>,
}

/// What is known of a frame that has not ended.
#[derive(Default)]
struct Part {
    len: usize,
    flags: u16,
    slots: u32,
    /// The next answer is an extra info.
    extra: bool,
    /// There is more after this slot.
    more: bool,
    /// It was not cut into segments.
    large: bool,
    flaw: Option<Flaw>,
}

/// Why a frame is dropped.
#[derive(Clone, Copy)]
enum Flaw {
    /// The backend says that it failed.
    Failed,
    TooLong,
    /// An extra info of a kind that does not exist.
    Extra,
}

/// A frame.
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    pub(crate) len: usize,
    /// Somebody vouches for its checksum.
    pub(crate) trusted: bool,
    /// It has none.
    pub(crate) blank: bool,
    /// It was not cut into segments.
    pub(crate) large: bool,
}

impl<P: Platform> Rx<P> {
    /// Lays the ring out, with buffers in it. With `sg` frames may have several pages.
    pub(crate) fn new(xen: &Rc<Xen<P>>, peer: DomId, sg: bool) -> Result<Self, GrantError> {
        let memory = lend(xen, peer, 1, Access::Write)?;
        let (gref, at) = (memory.gref(), memory.address());
        let ring = Front::new(memory, RX_SLOT_BYTES);
        let layout = Layout::Messages { slots: ring.size(), slot_bytes: RX_SLOT_BYTES as u32 };
        fata_trace::ring(at, layout, Device::card_in(gref.0));
        let mut pool = Pool::new(xen, peer, Access::Write);
        pool.grow(BUFFERS_MIN)?;
        let most = ring.size() as usize;
        let pages = if sg { FRAME_PAGES } else { 1 };
        let mut rx = Self {
            ring,
            gref,
            pool,
            posted: VecDeque::with_capacity(most),
            free: (0..BUFFERS_MIN as u16).rev().collect(),
            target: BUFFERS_MIN,
            most,
            part: Part::default(),
            frame: vec![0; pages * PAGE_SIZE],
        };
        // The backend finds them when it comes.
        let _ = rx.fill();
        Ok(rx)
    }

    /// What the backend calls the ring.
    pub(crate) fn gref(&self) -> GrantRef {
        self.gref
    }

    /// Gives the backend buffers, and tells whether it must be notified of that.
    #[must_use = "a peer that is not notified sleeps on"]
    pub(crate) fn post(&mut self) -> bool {
        if self.free.is_empty() {
            return false;
        }
        if self.posted.len() < self.target / 2 && self.target < self.most && self.pool.len() == self.target {
            self.grow();
        }
        self.fill()
    }

    fn fill(&mut self) -> bool {
        while let Some(page) = self.free.pop() {
            let request = RxRequest { id: page, pad: 0, gref: self.pool.gref(page) };
            self.ring.push(request.as_bytes());
            self.posted.push_back(page);
        }
        self.ring.publish()
    }

    fn grow(&mut self) {
        let wanted = (2 * self.target).min(self.most);
        let (from, more) = (self.target as u16, wanted - self.target);
        if self.pool.grow(more).is_ok() {
            self.free.extend(from..wanted as u16);
            self.target = wanted;
        } else {
            // What there is has to do.
            self.most = self.target;
        }
    }

    /// The next frame. `None` means that there is none, and that an event will come when there is.
    pub(crate) fn take(&mut self, totals: &mut Totals, sums: bool) -> Result<Option<Frame>, Corrupt> {
        // Somebody still looks at the last one.
        if self.frame.is_empty() {
            return Ok(None);
        }
        while let Some(response) = self.ring.take::<RxResponse>()? {
            let page = self.posted.pop_front().ok_or(Corrupt)?;
            fata_trace::mark(Kind::AnswerIn, Device::card_in(self.gref.0).0, page.into());
            self.add(response, page)?;
            self.free.push(page);
            if self.part.extra || self.part.more {
                continue;
            }
            let Part { len, flags, large, flaw, .. } = core::mem::take(&mut self.part);
            match flaw {
                Some(Flaw::Failed) => totals.rx_failed += 1,
                Some(Flaw::TooLong) => totals.rx_too_long += 1,
                Some(Flaw::Extra) => totals.rx_unknown += 1,
                None if len < ETHERNET => totals.rx_too_short += 1,
                None => {
                    let trusted = sums && flags & (rx_flag::CSUM_BLANK | rx_flag::DATA_VALIDATED) != 0;
                    let blank = flags & rx_flag::CSUM_BLANK != 0;
                    let bytes = core::mem::take(&mut self.frame);
                    return Ok(Some(Frame { bytes, len, trusted, blank, large }));
                }
            }
        }
        Ok(None)
    }

    /// Adds an answer, which used this page, to the frame.
    fn add(&mut self, response: RxResponse, page: u16) -> Result<(), Corrupt> {
        let part = &mut self.part;
        if part.extra {
            let (kind, flags) = response.as_extra();
            if !(wire::extra::GSO..=wire::extra::HASH).contains(&kind) {
                part.flaw = Some(Flaw::Extra);
            }
            part.large |= kind == wire::extra::GSO;
            part.extra = flags & wire::extra::MORE != 0;
            return Ok(());
        }
        if response.id != page {
            return Err(Corrupt);
        }
        if part.slots == 0 {
            part.flags = response.flags;
            part.extra = response.flags & rx_flag::EXTRA_INFO != 0;
        }
        part.slots = part.slots.saturating_add(1);
        part.more = response.flags & rx_flag::MORE_DATA != 0;
        let Ok(bytes) = usize::try_from(response.status) else {
            part.flaw = Some(Flaw::Failed);
            return Ok(());
        };
        let offset = usize::from(response.offset);
        if offset + bytes > PAGE_SIZE {
            return Err(Corrupt);
        }
        match self.frame.get_mut(part.len..part.len + bytes) {
            Some(place) if part.flaw.is_none() => {
                self.pool.copy_in(page, offset, place);
                part.len += bytes;
            }
            Some(_) => {}
            None => part.flaw = Some(Flaw::TooLong),
        }
        Ok(())
    }

    /// Takes a frame's memory back.
    pub(crate) fn give_back(&mut self, bytes: Vec<u8>) {
        self.frame = bytes;
    }
}
