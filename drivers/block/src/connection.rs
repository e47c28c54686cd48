//! A connection to one backend: its rings, and how requests are written into them.

use crate::features::Agreed;
use crate::queue::{Flight, Queue};
use crate::request::{Piece, Request, Task};
use crate::wire::{self, DIRECT_SEGMENTS, Direct, Discard, Indirect, Op, PAGE_SECTORS, Segment};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use fata_disk::{Error, SECTOR};
use fata_ring::Corrupt;
use xen_hyp::{
    Access, Channel, DomId, GrantError, GrantRef, Granted, PAGE_SIZE, Pages, Platform, SharedMem, Xen,
};
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
    /// The disk can discard beyond recovery.
    pub(crate) secure: bool,
    handle: u16,
    queues: Vec<Queue<P>>,
    pub(crate) channels: Rc<[Channel<P>]>,
    next_queue: usize,
    in_flight: usize,
    /// A flush in the place of a barrier is under way; nothing may overtake it.
    exclusive: bool,
    /// Pages lent for good and not in use; the last one used is the first to be used again.
    pool: Vec<Granted<P>>,
    tables: Vec<Granted<P>>,
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
        if pages > 1 {
            node("ring-page-order".into(), agreed.ring_order.to_string());
            // The same as older backends know it.
            node("num-ring-pages".into(), pages.to_string());
        }
        if agreed.queues > 1 {
            node("multi-queue-num-queues".into(), agreed.queues.to_string());
        }
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
            queues.push(Queue::new(memory));
            channels.push(channel);
        }
        let connection = Self {
            xen: xen.clone(),
            peer,
            agreed,
            secure: false,
            // "same as virtual-device", of which the field holds the low half.
            handle: id as u16,
            queues,
            channels: channels.into(),
            next_queue: 0,
            in_flight: 0,
            exclusive: false,
            pool: Vec::new(),
            tables: Vec::new(),
            zeroes: None,
        };
        Ok((connection, nodes))
    }

    /// Requests in the rings.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Puts as much of `piece` into a ring as one request takes.
    pub(crate) fn issue(&mut self, piece: &Piece<P>) -> Issued {
        if self.exclusive {
            return Issued::Later;
        }
        let request = &piece.request;
        match request.task {
            Task::Barrier if !self.agreed.barrier || self.queues.len() > 1 => {
                // Nothing overtakes it while it waits for all before it to be done, since it stays first in line.
                if self.in_flight > 0 {
                    return Issued::Later;
                }
                let issued = self.issue_flush(piece);
                self.exclusive = matches!(issued, Issued::Sent(_));
                issued
            }
            Task::Barrier => self.issue_bare(piece, Op::WriteBarrier),
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

    fn queue(&mut self) -> Option<usize> {
        let count = self.queues.len();
        let found = (0..count).map(|n| (self.next_queue + n) % count).find(|&n| self.queues[n].has_room())?;
        self.next_queue = (found + 1) % count;
        Some(found)
    }

    fn push(
        &mut self,
        queue: usize,
        bytes: &[u8],
        piece: &Piece<P>,
        sectors: u64,
        pages: Vec<Granted<P>>,
        table: Option<Granted<P>>,
    ) -> Issued {
        let start = piece.range.start;
        let piece =
            Piece { request: piece.request.clone(), range: start..start + sectors, order: piece.order };
        self.queues[queue].push(bytes, Flight { piece, pages, table });
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

    /// A request of no data.
    fn issue_bare(&mut self, piece: &Piece<P>, op: Op) -> Issued {
        let Some(queue) = self.queue() else { return Issued::Later };
        let id = self.queues[queue].next_id();
        let request = Direct { operation: op as u8, handle: self.handle, id, ..Direct::default() };
        let sectors = piece.range.end - piece.range.start;
        self.push(queue, request.bytes(), piece, sectors, Vec::new(), None)
    }

    fn issue_discard(&mut self, piece: &Piece<P>, secure: bool) -> Issued {
        if !self.agreed.discard || (secure && !self.secure) {
            return Issued::Failed(Error::Unsupported);
        }
        let Some(queue) = self.queue() else { return Issued::Later };
        let sectors = piece.range.end - piece.range.start;
        let request = Discard {
            operation: Op::Discard as u8,
            flag: if secure { wire::DISCARD_SECURE } else { 0 },
            handle: self.handle,
            pad: 0,
            id: self.queues[queue].next_id(),
            sector: piece.request.sectors.start + piece.range.start,
            sectors,
        };
        self.push(queue, request.as_bytes(), piece, sectors, Vec::new(), None)
    }

    fn issue_data(&mut self, piece: &Piece<P>) -> Issued {
        let Some(queue) = self.queue() else { return Issued::Later };
        let most = u64::from(self.agreed.segments) * PAGE_SECTORS;
        let sectors = (piece.range.end - piece.range.start).min(most);
        let count = sectors.div_ceil(PAGE_SECTORS) as usize;
        let table = match count > DIRECT_SEGMENTS {
            true => match self.tables.pop().map_or_else(|| lend(&self.xen, self.peer, 1, Access::Read), Ok) {
                Ok(table) => Some(table),
                Err(error) => return self.no_grant(error),
            },
            false => None,
        };
        let pages = match self.pages(piece, sectors, count) {
            Ok(pages) => pages,
            Err(error) => {
                self.tables.extend(table);
                return self.no_grant(error);
            }
        };
        let last = ((sectors - 1) % PAGE_SECTORS) as u8;
        let segment = |index: usize, gref: GrantRef| {
            let last = if index + 1 == count { last } else { PAGE_SECTORS as u8 - 1 };
            Segment { gref: gref.0, first: 0, last, pad: 0 }
        };
        let sector = piece.request.sectors.start + piece.range.start;
        let op = if piece.request.task == Task::Read { Op::Read } else { Op::Write };
        let (id, handle) = (self.queues[queue].next_id(), self.handle);
        match table {
            None => {
                let mut request = Direct {
                    operation: op as u8,
                    nr_segments: count as u8,
                    handle,
                    id,
                    sector,
                    ..Direct::default()
                };
                self.each_ref(piece, &pages, count, |index, gref| {
                    request.segments[index] = segment(index, gref)
                });
                self.push(queue, request.bytes(), piece, sectors, pages, None)
            }
            Some(table) => {
                self.each_ref(piece, &pages, count, |index, gref| {
                    table.write(index * size_of::<Segment>(), &segment(index, gref));
                });
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
                self.push(queue, request.as_bytes(), piece, sectors, pages, Some(table))
            }
        }
    }

    /// Makes `count` pages with the piece's data available to the backend: those of the pool, which are given, or
    /// the request's own.
    fn pages(&mut self, piece: &Piece<P>, sectors: u64, count: usize) -> Result<Vec<Granted<P>>, GrantError> {
        let request = &piece.request;
        if !self.agreed.persistent {
            if request.task != Task::WriteZeroes {
                return request.lend(&self.xen, self.peer).map(|()| Vec::new());
            }
            if self.zeroes.is_none() {
                self.zeroes = Some(lend(&self.xen, self.peer, 1, Access::Read)?);
            }
            return Ok(Vec::new());
        }
        while self.pool.len() < count {
            self.pool.push(lend(&self.xen, self.peer, 1, Access::Write)?);
        }
        let pages = self.pool.split_off(self.pool.len() - count);
        if request.task == Task::WriteZeroes {
            pages.iter().for_each(|page| page.copy_out(0, &[0; PAGE_SIZE]));
        } else if request.task == Task::Write {
            request.with_buffer(|buffer| {
                let data = &buffer[bytes(piece.range.start)..bytes(piece.range.start + sectors)];
                data.chunks(PAGE_SIZE).zip(&pages).for_each(|(data, page)| page.copy_out(0, data));
            });
        }
        Ok(pages)
    }

    /// Passes each page's number and reference on.
    fn each_ref(
        &self,
        piece: &Piece<P>,
        pages: &[Granted<P>],
        count: usize,
        mut each: impl FnMut(usize, GrantRef),
    ) {
        if let (Some(zeroes), Task::WriteZeroes) = (&self.zeroes, piece.request.task) {
            (0..count).for_each(|index| each(index, zeroes.gref()));
        } else if pages.is_empty() {
            let mut index = 0;
            piece.request.each_ref(piece.range.start, count, |gref| {
                each(index, gref);
                index += 1;
            });
        } else {
            pages.iter().enumerate().for_each(|(index, page)| each(index, page.gref()));
        }
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
            let Some((flight, status)) = queue.take()? else { continue };
            self.in_flight -= 1;
            let Flight { piece, pages, table } = flight;
            if piece.request.task == Task::Barrier {
                self.exclusive = false;
            }
            if status == wire::OKAY && piece.request.task == Task::Read && !pages.is_empty() {
                piece.request.with_buffer(|buffer| {
                    let data = &mut buffer[bytes(piece.range.start)..bytes(piece.range.end)];
                    data.chunks_mut(PAGE_SIZE).zip(&pages).for_each(|(data, page)| page.copy_in(0, data));
                });
            }
            self.pool.extend(pages);
            self.tables.extend(table);
            return Ok(Some((piece, status)));
        }
        Ok(None)
    }

    /// Ends it, and gives what was under way, in the order in which it was asked for.
    pub(crate) fn into_unfinished(self) -> Vec<Piece<P>> {
        let flights = self.queues.into_iter().flat_map(Queue::into_flights);
        let mut pieces: Vec<_> = flights.map(|flight| flight.piece).collect();
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
