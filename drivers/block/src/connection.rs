//! A connection to one backend: its rings, and how requests are written into them.

use crate::features::Agreed;
use crate::queue::{Answer, Queue, Slot};
use crate::request::{Piece, Request, Task};
use crate::wire::{self, DIRECT_SEGMENTS, Head, Indirect, Op, PAGE_SECTORS, Segment};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;
use fata_disk::{Error, SECTOR};
use fata_ring::Corrupt;
use fata_trace::{Device, Kind, Layout};
use xen_hyp::{Access, Channel, DomId, GrantError, Granted, Pages, Platform, SharedMem, Xen};
use zerocopy::IntoBytes;

/// `XEN_IO_PROTO_ABI_NATIVE` (`xen/include/public/io/protocols.h`).
const PROTOCOL: &str = if cfg!(target_arch = "x86_64") { "x86_64-abi" } else { "arm-abi" };

/// What became of a piece that was to be sent.
pub(crate) enum Issued {
    /// So many of its sectors are under way.
    Sent(u64),
    /// It has to wait until something else is done.
    Later,
    /// It is done: there is nothing to do.
    Nothing,
    /// It cannot be done.
    Failed(Error),
}

pub(crate) struct Connection<P: Platform> {
    xen: Rc<Xen<P>>,
    peer: DomId,
    pub(crate) agreed: Agreed,
    handle: u16,
    queues: Vec<Queue<P>>,
    pub(crate) channels: Rc<[Channel<P>]>,
    next_queue: usize,
    in_flight: usize,
    /// A barrier, or a flush in the place of one, is under way; nothing may overtake it.
    exclusive: bool,
    zeroes: Option<Granted<P>>,
}

impl<P: Platform> Connection<P> {
    /// Lays out rings for `peer`, and gives the nodes that tell it where they are.
    pub(crate) fn new(
        xen: &Rc<Xen<P>>,
        peer: DomId,
        id: u32,
        agreed: Agreed,
    ) -> Result<(Self, Vec<(String, String)>), Error> {
        let mut nodes = Vec::new();
        let mut node = |name: String, value: String| nodes.push((name, value));
        node("protocol".into(), PROTOCOL.into());
        node("feature-persistent".into(), u32::from(agreed.persistent).to_string());
        let pages = 1usize << agreed.ring_order;
        let if_several = |count: usize, value: u32| if count > 1 { value.to_string() } else { String::new() };
        node("ring-page-order".into(), if_several(pages, agreed.ring_order));
        // The same as older backends know it.
        node("num-ring-pages".into(), if_several(pages, pages as u32));
        node("multi-queue-num-queues".into(), if_several(agreed.queues as usize, agreed.queues));
        let (mut queues, mut channels) = (Vec::new(), Vec::new());
        for queue in 0..agreed.queues {
            let prefix = if agreed.queues > 1 { format!("queue-{queue}/") } else { String::new() };
            let memory = lend(xen, peer, pages, Access::Write).map_err(|_| Error::NoMemory)?;
            let mut page = 0;
            memory.each_ref(0..pages, |gref| {
                let name =
                    if pages > 1 { format!("{prefix}ring-ref{page}") } else { format!("{prefix}ring-ref") };
                node(name, gref.0.to_string());
                page += 1;
            });
            let channel = xen.listen(peer).map_err(|_| Error::NoMemory)?;
            node(format!("{prefix}event-channel"), channel.port().0.to_string());
            let at = memory.address();
            let queue = Queue::new(memory);
            let layout = Layout::Messages { slots: queue.front.size(), slot_bytes: wire::SLOT_BYTES as u32 };
            fata_trace::ring(at, layout, Device::disk(id as u16));
            queues.push(queue);
            channels.push(channel);
        }
        let connection = Self {
            xen: xen.clone(),
            peer,
            agreed,
            // "same as virtual-device", of which the field holds the low half.
            handle: id as u16,
            queues,
            channels: channels.into(),
            next_queue: 0,
            in_flight: 0,
            exclusive: false,
            zeroes: None,
        };
        Ok((connection, nodes))
    }

    /// Requests in the rings.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether a part of this is in a ring.
    pub(crate) fn has(&self, request: &Rc<Request<P>>) -> bool {
        self.queues.iter().any(|queue| queue.has(request))
    }

    /// Puts as much of `piece` into a ring as one request takes.
    pub(crate) fn issue(&mut self, piece: &Piece<P>) -> Issued {
        if self.exclusive {
            return Issued::Later;
        }
        let request = &piece.request;
        match request.task {
            Task::Barrier => {
                let native = self.agreed.barrier && self.queues.len() == 1;
                // Nothing overtakes it while it waits for all before it to be done, since it stays first in line.
                if !native && self.in_flight > 0 {
                    return Issued::Later;
                }
                let issued =
                    if native { self.issue_bare(piece, Op::WriteBarrier) } else { self.issue_flush(piece) };
                // Linux's backend waits for what is before a barrier, but does not have what follows wait for it.
                self.exclusive = matches!(issued, Issued::Sent(_));
                issued
            }
            Task::Flush => self.issue_flush(piece),
            Task::Discard { secure } => self.issue_discard(piece, secure),
            Task::Read | Task::Write | Task::WriteZeroes => self.issue_data(piece),
        }
    }

    /// Publishes what was put into the rings, and notifies the backend if it waits for that.
    pub(crate) fn publish(&mut self) {
        for (queue, channel) in self.queues.iter_mut().zip(self.channels.iter()) {
            if queue.front.publish() {
                channel.notify();
            }
        }
    }

    /// The ring whose turn it is, if any has room.
    fn queue(&mut self) -> Option<usize> {
        let count = self.queues.len();
        if count == 1 {
            return self.queues[0].next().map(|_| 0);
        }
        let found =
            (0..count).map(|n| (self.next_queue + n) % count).find(|&n| self.queues[n].next().is_some())?;
        self.next_queue = (found + 1) % count;
        Some(found)
    }

    /// Sends a request without data for all of a piece. It consists of a head, and maybe a number.
    fn send(&mut self, piece: &Piece<P>, head: impl FnOnce(u64) -> Head, rest: &[u8]) -> Issued {
        let Some(queue) = self.queue() else { return Issued::Later };
        let queue = &mut self.queues[queue];
        let Some((_, id)) = queue.next() else { return Issued::Later };
        let sectors = piece.range.end - piece.range.start;
        queue.push(&[head(id).as_bytes(), rest], piece, sectors);
        fata_trace::mark(Kind::RequestOut, Device::disk(self.handle).0, id);
        self.in_flight += 1;
        Issued::Sent(sectors)
    }

    fn issue_flush(&mut self, piece: &Piece<P>) -> Issued {
        if self.agreed.flush {
            self.issue_bare(piece, Op::Flush)
        } else if self.agreed.barrier {
            self.issue_bare(piece, Op::WriteBarrier)
        } else {
            Issued::Nothing
        }
    }

    fn issue_bare(&mut self, piece: &Piece<P>, op: Op) -> Issued {
        let handle = self.handle;
        self.send(piece, |id| Head::new(op, 0, handle, id, 0), &[])
    }

    fn issue_discard(&mut self, piece: &Piece<P>, secure: bool) -> Issued {
        if !self.agreed.discard || (secure && !self.agreed.discard_secure) {
            return Issued::Failed(Error::Unsupported);
        }
        let handle = self.handle;
        let sector = piece.request.sectors.start + piece.range.start;
        let sectors = piece.range.end - piece.range.start;
        let flag = if secure { wire::DISCARD_SECURE } else { 0 };
        self.send(piece, |id| Head::new(Op::Discard, flag, handle, id, sector), &sectors.to_le_bytes())
    }

    fn issue_data(&mut self, piece: &Piece<P>) -> Issued {
        let Some(queue) = self.queue() else { return Issued::Later };
        let most = u64::from(self.agreed.segments) * PAGE_SECTORS;
        let mut sectors = (piece.range.end - piece.range.start).min(most);
        let mut count = sectors.div_ceil(PAGE_SECTORS) as usize;
        if let Err(error) = self.lend_pages(piece, queue, sectors, count) {
            let fewer = self.fewer_pages(queue, count);
            if fewer == 0 {
                return self.no_grant(error);
            }
            (sectors, count) = (sectors.min(fewer as u64 * PAGE_SECTORS), fewer);
            if let Err(error) = self.lend_pages(piece, queue, sectors, count) {
                return self.no_grant(error);
            }
        }
        let (handle, persistent, zeroes) = (self.handle, self.agreed.persistent, self.zeroes.as_ref());
        let Some((slot, id)) = self.queues[queue].next() else { return Issued::Later };
        let sector = piece.request.sectors.start + piece.range.start;
        let op = if piece.request.task == Task::Read { Op::Read } else { Op::Write };
        // What is in the last page.
        let tail = sectors - (count as u64 - 1) * PAGE_SECTORS;
        // Passes each page's number and segment on.
        let each = |slot: &Slot<P>, pages: Range<usize>, each: &mut dyn FnMut(usize, Segment)| {
            if persistent {
                pages.clone().zip(&slot.own.segments[pages]).for_each(|(page, segment)| each(page, *segment));
            } else if let (Some(zeroes), Task::WriteZeroes) = (zeroes, piece.request.task) {
                pages.for_each(|page| each(page, Segment::whole(zeroes.gref())));
            } else {
                let mut page = 0;
                piece.request.each_ref(piece.range.start, count, |gref| {
                    each(page, Segment::whole(gref));
                    page += 1;
                });
            }
        };
        if count <= DIRECT_SEGMENTS {
            let mut segments = [Segment::default(); DIRECT_SEGMENTS];
            each(slot, 0..count, &mut |page, segment| segments[page] = segment);
            segments[count - 1] = segments[count - 1].up_to(tail);
            let head = Head::new(op, count as u8, handle, id, sector);
            self.queues[queue].push(&[head.as_bytes(), segments[..count].as_bytes()], piece, sectors);
        } else if let Some(table) = &slot.table {
            // Pages of the slot's own are in the table already, but for the new ones, and for one that was not whole.
            let known = if persistent { slot.in_table.min(count - 1) } else { 0 };
            let place = |page: usize| page * size_of::<Segment>();
            each(slot, known..count, &mut |page, segment| {
                let segment = if page + 1 == count { segment.up_to(tail) } else { segment };
                table.write(place(page), &segment);
            });
            slot.in_table = if tail == PAGE_SECTORS { slot.in_table.max(count) } else { count - 1 };
            let mut grefs = [0; wire::INDIRECT_PAGES];
            grefs[0] = table.gref().0;
            let request = Indirect {
                operation: Op::Indirect as u8,
                indirect_op: op as u8,
                nr_segments: count as u16,
                pad: 0,
                id,
                sector,
                handle,
                pad2: 0,
                grefs,
                pad3: 0,
            };
            self.queues[queue].push(&[request.as_bytes()], piece, sectors);
        }
        fata_trace::mark(Kind::RequestOut, Device::disk(handle).0, id);
        self.in_flight += 1;
        Issued::Sent(sectors)
    }

    /// Makes `count` pages with the piece's data available to the backend: the slot's own, or the request's. And the
    /// page for their segments, if there are many.
    fn lend_pages(
        &mut self,
        piece: &Piece<P>,
        queue: usize,
        sectors: u64,
        count: usize,
    ) -> Result<(), GrantError> {
        let Self { xen, peer, agreed, queues, zeroes, .. } = self;
        let Some((slot, _)) = queues[queue].next() else { return Ok(()) };
        if count > DIRECT_SEGMENTS && slot.table.is_none() {
            // What is mapped for good is mapped for writing (`blkif.h`, note 8), this page too.
            let access = if agreed.persistent { Access::Write } else { Access::Read };
            slot.table = Some(lend(xen, *peer, 1, access)?);
        }
        let request = &piece.request;
        if !agreed.persistent {
            if request.task != Task::WriteZeroes {
                return request.lend(xen, *peer, agreed.trusted);
            }
            if zeroes.is_none() {
                *zeroes = Some(lend(xen, *peer, 1, Access::Read)?);
            }
            return Ok(());
        }
        let missing = count.saturating_sub(slot.own.segments.len());
        if missing > 0 {
            slot.own.add(lend(xen, *peer, missing, Access::Write)?);
        }
        match request.task {
            Task::WriteZeroes => slot.own.clear(count),
            Task::Write => request.with_buffer(|buffer| {
                slot.own.copy_out(&buffer[bytes(piece.range.start)..bytes(piece.range.start + sectors)]);
            }),
            _ => {}
        }
        Ok(())
    }

    /// With how many pages a request can be sent for which not all are to be had: those of a slot that has some, or as
    /// many as can be lent. None if it is better to wait for a slot that has more.
    fn fewer_pages(&mut self, queue: usize, count: usize) -> usize {
        if !self.agreed.persistent {
            return 0;
        }
        let have = self.queues[queue].richest().min(count);
        if have > 0 {
            return if self.in_flight == 0 || have >= count / 2 { have } else { 0 };
        }
        let mut fewer = count.min(2 * DIRECT_SEGMENTS) / 2;
        while self.in_flight == 0 && fewer > 0 {
            if let Ok(pages) = lend(&self.xen, self.peer, fewer, Access::Write)
                && let Some((slot, _)) = self.queues[queue].next()
            {
                slot.own.add(pages);
                return fewer;
            }
            fewer /= 2;
        }
        0
    }

    /// What becomes of a request for which there is no grant: it waits, if there will be one.
    fn no_grant(&self, error: GrantError) -> Issued {
        match error {
            _ if self.in_flight > 0 => Issued::Later,
            GrantError::Withheld(_) => Issued::Failed(Error::Corrupt),
            _ => Issued::Failed(Error::NoMemory),
        }
    }

    /// Takes the next answer: to what, and with which status.
    pub(crate) fn take(&mut self) -> Result<Option<(Piece<P>, i16)>, Corrupt> {
        for queue in &mut self.queues {
            let Some(Answer { id, piece, status, slot }) = queue.take()? else { continue };
            fata_trace::mark(Kind::AnswerIn, Device::disk(self.handle).0, id);
            self.in_flight -= 1;
            if piece.request.task == Task::Barrier {
                self.exclusive = false;
            }
            if self.agreed.persistent && status == wire::OKAY && piece.request.task == Task::Read {
                piece.request.with_buffer(|buffer| {
                    slot.own.copy_in(&mut buffer[bytes(piece.range.start)..bytes(piece.range.end)]);
                });
            }
            return Ok(Some((piece, status)));
        }
        Ok(None)
    }

    /// Ends it, and gives what was under way, in the order in which it was asked for.
    pub(crate) fn into_unfinished(self) -> Vec<Piece<P>> {
        let mut pieces: Vec<_> = self.queues.into_iter().flat_map(Queue::into_pieces).collect();
        pieces.sort_by_key(|piece| (piece.order, piece.range.start));
        pieces
    }
}

fn lend<P: Platform>(
    xen: &Rc<Xen<P>>,
    peer: DomId,
    pages: usize,
    access: Access,
) -> Result<Granted<P>, GrantError> {
    let pages = Pages::new(pages).ok_or(GrantError::TableFull)?;
    pages.grant(xen, peer, access).map_err(|refused| refused.error)
}

fn bytes(sectors: u64) -> usize {
    sectors as usize * SECTOR
}

/// What a status means for a request.
pub(crate) fn outcome<P: Platform>(request: &Request<P>, status: i16) -> Option<Error> {
    match status {
        wire::OKAY => None,
        wire::EOPNOTSUPP if !request.task.has_data() => Some(Error::Unsupported),
        _ => Some(Error::Io),
    }
}
