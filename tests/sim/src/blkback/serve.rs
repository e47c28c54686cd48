//! Requests, from the ring to the disk and back (`xen-blkback/blkback.c`).

use super::request::{
    BARRIER, DISCARD, ERROR, FLUSH, OKAY, READ, Request, SLOT, Seen, Segment, UNSUPPORTED, WRITE,
};
use super::{Blkback, Inner, Order};
use crate::grants::MappedPage;
use std::rc::Rc;
use xen_hyp::{PAGE_SIZE, SharedMem};

const SECTOR: usize = super::medium::SECTOR;

/// A request that has been taken and not answered.
pub(super) struct Pending {
    queue: usize,
    request: Request,
    segments: Vec<Segment>,
    pub(super) pages: Vec<Rc<MappedPage>>,
    /// The pages that its segments were found in.
    pub(super) tables: Vec<Rc<MappedPage>>,
    sectors: u64,
    due_ns: u64,
    /// How it ended, if it has.
    status: Option<i16>,
}

impl Blkback {
    /// Takes requests, and does and answers what its order has it do; gives whether there was anything.
    pub(super) fn serve(&self, inner: &mut Inner) -> bool {
        let mut any = false;
        if inner.connecting > 0 {
            return any;
        }
        for queue in 0..inner.queues.len() {
            let state = &mut inner.queues[queue];
            state.awake |= state.take_event();
            if core::mem::take(&mut state.awake) && !state.dead {
                any = true;
                self.take_all(inner, queue);
            }
        }
        any |= self.progress(inner);
        for queue in &mut inner.queues {
            queue.publish(&self.world);
            if inner.storm {
                queue.notify(&self.world);
            }
        }
        any
    }

    /// Ends everything that is under way.
    pub(super) fn finish_pending(&self, inner: &mut Inner) {
        while let Some(index) = inner.startable().first().copied() {
            self.perform(inner, index);
            self.answer(inner, index);
        }
        inner.queues.iter_mut().for_each(|queue| queue.publish(&self.world));
    }

    fn take_all(&self, inner: &mut Inner, queue: usize) {
        loop {
            match inner.queues[queue].back.take::<[u8; SLOT]>() {
                Ok(Some(slot)) => self.accept(inner, queue, &slot),
                Ok(None) => return,
                Err(_) => {
                    inner.complaints.push("bogus ring requests".into());
                    inner.queues[queue].dead = true;
                    return;
                }
            }
        }
    }

    /// `dispatch_rw_block_io`, `dispatch_other_io`: a request that makes no sense is answered at once.
    fn accept(&self, inner: &mut Inner, queue: usize, slot: &[u8; SLOT]) {
        let id = u64::from_ne_bytes(*slot[8..].first_chunk().expect("in the slot"));
        match Request::parse(slot).map_err(String::from).and_then(|request| self.map(inner, queue, request)) {
            Ok(mut pending) => {
                let seen = Seen {
                    op: pending.request.op,
                    nth: inner.log.len() as u64,
                    sectors: pending.request.sector..pending.request.sector.saturating_add(pending.sectors),
                    queue,
                    segments: pending.segments.len(),
                };
                pending.status = inner.judge.as_mut().and_then(|judge| judge(&seen));
                self.world.trace(format_args!("blkback {seen:?}"));
                if let Some(peek) = &mut inner.peek {
                    peek(&seen, &contents(&pending.pages), &contents(&pending.tables));
                }
                inner.log.push(seen);
                if let Order::After(ns) = inner.order {
                    pending.due_ns = self.world.now_ns() + ns;
                    self.world.alarm(pending.due_ns);
                }
                inner.pending.push(pending);
            }
            Err(why) => {
                inner.complaints.push(why);
                inner.queues[queue].respond(&Request::bare(slot[0], id), ERROR);
            }
        }
    }

    /// Checks a request and maps its pages.
    fn map(&self, inner: &mut Inner, queue: usize, request: Request) -> Result<Pending, String> {
        let most = inner.features.segments as usize;
        let (world, guest) = (&self.world, &self.guest);
        if request.handle != self.id as u16 {
            return Err(format!("handle {:#x}", request.handle));
        }
        let (segments, tables) = inner.queues[queue].segments(world, guest, &request, most)?;
        let bad = |segment: &Segment| segment.last >= 8 || segment.last < segment.first;
        if segments.iter().any(bad) {
            return Err("a segment outside of its page".into());
        }
        let length = |segment: &Segment| u64::from(segment.last - segment.first) + 1;
        let data: u64 = segments.iter().map(length).sum();
        let sectors = if request.op == DISCARD { request.sectors } else { data };
        match request.op {
            READ | WRITE if data == 0 => return Err("no segments".into()),
            BARRIER | FLUSH if data > 0 => return Err("data where there is none in this simulator".into()),
            READ | WRITE | DISCARD => self.check(inner, &request, sectors, &segments)?,
            _ => {}
        }
        let write = request.op == READ;
        let page = |segment: &Segment| inner.queues[queue].page(world, guest, segment.gref, write);
        let pages = segments.iter().map(page).collect::<Result<_, _>>()?;
        Ok(Pending { queue, request, segments, pages, tables, sectors, due_ns: 0, status: None })
    }

    /// `xen_vbd_translate`, and what follows it.
    fn check(
        &self,
        inner: &Inner,
        request: &Request,
        sectors: u64,
        segments: &[Segment],
    ) -> Result<(), String> {
        let end = request.sector.checked_add(sectors);
        if end.is_none_or(|end| end > self.medium().sectors()) {
            return Err(format!("access denied: {sectors} sectors at {}", request.sector));
        }
        if request.op != READ && inner.features.read_only {
            return Err("access denied: read-only".into());
        }
        let unit = u64::from(inner.features.sector_bytes) / SECTOR as u64;
        let whole = |n: u64| n.is_multiple_of(unit);
        let segment = |segment: &Segment| whole(u64::from(segment.last - segment.first) + 1);
        if !whole(request.sector) || !segments.iter().all(segment) {
            return Err("misaligned I/O request".into());
        }
        Ok(())
    }

    /// Does and answers requests as its order says.
    fn progress(&self, inner: &mut Inner) -> bool {
        let mut any = false;
        let (mut steps, now_ns) = (
            match &mut inner.order {
                Order::Arrival | Order::After(_) => usize::MAX,
                Order::OneATurn => 1,
                Order::Held => inner.released,
                Order::Random(rng) => rng.within(0..9),
            },
            self.world.now_ns(),
        );
        while steps > 0 {
            let ready = inner.startable();
            let due = ready.into_iter().filter(|&n| inner.pending[n].due_ns <= now_ns).collect::<Vec<_>>();
            let Some(&first) = due.first() else { break };
            (any, steps) = (true, steps - 1);
            match &mut inner.order {
                Order::Random(rng) => {
                    let index = due[rng.within(0..due.len())];
                    if inner.pending[index].is_done() {
                        self.answer(inner, index);
                    } else {
                        self.perform(inner, index);
                    }
                }
                Order::Held | Order::Arrival | Order::OneATurn | Order::After(_) => {
                    self.perform(inner, first);
                    self.answer(inner, first);
                    inner.released = inner.released.saturating_sub(1);
                }
            }
        }
        // A random number of steps may be none.
        any || matches!(inner.order, Order::Random(_)) && !inner.pending.is_empty()
    }

    /// What a request does to the disk and to its pages.
    fn perform(&self, inner: &mut Inner, index: usize) {
        let pending = &inner.pending[index];
        if pending.is_done() {
            return;
        }
        let medium = self.medium();
        let mut at = pending.request.sector;
        let mut status = OKAY;
        let features = &inner.features;
        match pending.request.op {
            READ | WRITE => {
                for (segment, page) in pending.segments.iter().zip(&pending.pages) {
                    let sectors = at..at + u64::from(segment.last - segment.first) + 1;
                    let offset = usize::from(segment.first) * SECTOR;
                    if sectors.end > medium.sectors() {
                        status = ERROR;
                        break;
                    }
                    at = sectors.end;
                    if pending.request.op == READ {
                        page.copy_out(offset, &medium.read(sectors));
                    } else {
                        let mut data = vec![0; (sectors.end - sectors.start) as usize * SECTOR];
                        page.copy_in(offset, &mut data);
                        medium.write(sectors.start, &data);
                    }
                }
            }
            FLUSH if features.flush => medium.flush(),
            BARRIER if features.barrier => medium.flush(),
            DISCARD if features.discard && (features.secure || !pending.request.secure) => {
                let sectors = pending.sectors.min(medium.sectors().saturating_sub(at));
                medium.write(at, &vec![0; sectors as usize * SECTOR]);
            }
            op => {
                status = UNSUPPORTED;
                let node = if op == BARRIER { "feature-barrier" } else { "feature-flush-cache" };
                if op != DISCARD {
                    self.write(inner, node, "0");
                }
            }
        }
        inner.pending[index].status = Some(status);
    }

    /// Lets go of its pages and answers it.
    fn answer(&self, inner: &mut Inner, index: usize) {
        let pending = inner.pending.remove(index);
        let status = pending.status.unwrap_or(ERROR);
        if inner.keeps {
            inner.kept.extend(pending.pages.iter().chain(&pending.tables).cloned());
        }
        drop((pending.pages, pending.tables));
        inner.queues[pending.queue].respond(&pending.request, status);
    }
}

fn contents(pages: &[Rc<MappedPage>]) -> Vec<Vec<u8>> {
    let content = |page: &Rc<MappedPage>| {
        let mut bytes = vec![0; PAGE_SIZE];
        page.copy_in(0, &mut bytes);
        bytes
    };
    pages.iter().map(content).collect()
}

impl Pending {
    pub(super) fn id(&self) -> u64 {
        self.request.id
    }

    fn is_done(&self) -> bool {
        self.status.is_some()
    }
}

impl Inner {
    /// Those of the requests under way that may go on: after a barrier that has begun. It begins when all before it
    /// in its ring are done (`xen_blk_drain_io`).
    fn startable(&self) -> Vec<usize> {
        let mut blocked = vec![false; self.queues.len()];
        let mut busy = blocked.clone();
        let mut startable = Vec::new();
        for (index, pending) in self.pending.iter().enumerate() {
            let barrier = pending.request.op == BARRIER;
            blocked[pending.queue] |= barrier && busy[pending.queue];
            if !blocked[pending.queue] {
                startable.push(index);
            }
            blocked[pending.queue] |= barrier && self.features.strict_barriers;
            busy[pending.queue] |= !pending.is_done();
        }
        startable
    }
}
