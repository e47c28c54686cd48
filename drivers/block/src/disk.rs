//! A virtual disk as its users see it.

use crate::connection::{Connection, Issued, outcome};
use crate::features::Options;
use crate::request::{Piece, Request, Task};
use crate::transfer::Transfer;
use crate::wire;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::{Future, poll_fn};
use core::ops::Range;
use fata_disk::{BlockDevice, Buffer, Error, Failed, Geometry, SECTOR};
use fata_ring::Corrupt;
use xen_hyp::{Platform, Signal, Xen};

/// How it stands with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// There is no disk there, or its backend is away for the moment. Requests wait.
    Paused,
    /// It works.
    Ready,
    /// It cannot be used, for this reason; requests fail. Pulling it and plugging in another helps.
    Dead(Error),
}

/// Counts of one disk since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that succeeded, of any kind.
    pub requests: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Sectors of 512 bytes read.
    pub sectors_read: u64,
    /// Sectors of 512 bytes written.
    pub sectors_written: u64,
    /// Times the disk came to work.
    pub connects: u64,
    /// Requests in a ring that were sent again because the backend went away.
    pub resent: u64,
}

/// A virtual disk; clones are the same one.
pub struct Disk<P: Platform>(pub(crate) Rc<Inner<P>>);

pub(crate) struct Inner<P: Platform> {
    pub(crate) xen: Rc<Xen<P>>,
    pub(crate) id: u32,
    pub(crate) options: Options,
    line: RefCell<Line<P>>,
    link: Cell<Link>,
    geometry: Cell<Option<Geometry>>,
    /// Fires when the link or the geometry changes.
    changed: Signal,
    totals: Cell<Totals>,
    /// Fires when the backend has broken the protocol.
    pub(crate) broken: Signal,
    is_broken: Cell<bool>,
    /// Requests that are over, to be used again.
    spare: RefCell<Vec<Rc<Request<P>>>>,
}

/// More than so many are not kept.
const SPARE: usize = 64;

/// Requests on their way to the backend.
struct Line<P: Platform> {
    connection: Option<Connection<P>>,
    /// Not sent yet, first come first served.
    waiting: VecDeque<Piece<P>>,
    order: u64,
}

impl<P: Platform> Disk<P> {
    /// The disk with this number, which in Xenstore is the name of its directory (`vbd-interface`): 51712 is `xvda`.
    pub fn new(xen: &Rc<Xen<P>>, id: u32, options: Options) -> Self {
        Self(Rc::new(Inner {
            xen: xen.clone(),
            id,
            options,
            line: RefCell::new(Line { connection: None, waiting: VecDeque::new(), order: 0 }),
            link: Cell::new(Link::Paused),
            geometry: Cell::new(None),
            changed: Signal::new(),
            totals: Cell::default(),
            broken: Signal::new(),
            is_broken: Cell::new(false),
            spare: RefCell::default(),
        }))
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.0.id
    }

    /// How it stands with it.
    pub fn link(&self) -> Link {
        self.0.link.get()
    }

    /// Waits until [`link`](Self::link) is another than this, and gives it.
    pub async fn link_after(&self, link: Link) -> Link {
        self.0.changed.until(|| Some(self.link()).filter(|&now| now != link)).await
    }

    /// Waits until it works, or is known not to.
    pub async fn ready(&self) -> Result<(), Error> {
        let settled = self.0.changed.until(|| match self.link() {
            Link::Paused => None,
            Link::Ready => Some(Ok(())),
            Link::Dead(error) => Some(Err(error)),
        });
        settled.await
    }

    /// Waits until it has another geometry than this: the first, or that of a disk that was resized or exchanged.
    pub async fn geometry_after(&self, geometry: Option<Geometry>) -> Geometry {
        self.0.changed.until(|| self.0.geometry.get().filter(|&now| Some(now) != geometry)).await
    }

    /// The same disk for users who would rather have an error than wait.
    pub fn impatient(&self) -> Impatient<P> {
        Impatient(self.clone())
    }

    /// What it did so far.
    pub fn totals(&self) -> Totals {
        self.0.totals.get()
    }

    /// Requests that have been asked for and not answered: those in the rings, and those that wait.
    pub fn outstanding(&self) -> (usize, usize) {
        let line = self.0.line.borrow();
        (line.connection.as_ref().map_or(0, Connection::in_flight), line.waiting.len())
    }

    async fn order(&self, task: Task, sectors: Range<u64>, impatient: bool) -> Result<(), Error> {
        self.check(task, &sectors, impatient)?;
        if sectors.is_empty() {
            self.ready().await?;
            return self.check(task, &sectors, impatient);
        }
        let request = self.0.ask(task, sectors, None, impatient);
        let (_, result) = poll_fn(|cx| request.poll_end(cx)).await;
        self.0.reuse(request);
        result
    }

    /// Whether the disk can do this at all, as far as is known. If it is away, it is looked at again when its turn
    /// comes: until then it stands in line, so that it keeps its place among all that was asked for.
    pub(crate) fn check(&self, task: Task, sectors: &Range<u64>, impatient: bool) -> Result<(), Error> {
        match self.link() {
            Link::Dead(error) => Err(error),
            Link::Paused if impatient => Err(Error::Paused),
            Link::Paused => Ok(()),
            Link::Ready => self.0.fits(task, sectors),
        }
    }
}

impl<P: Platform> Inner<P> {
    /// Puts a request in line that was [checked](Disk::check) just now.
    pub(crate) fn ask(
        &self,
        task: Task,
        sectors: Range<u64>,
        buffer: Option<Buffer>,
        impatient: bool,
    ) -> Rc<Request<P>> {
        let range = 0..sectors.end - sectors.start;
        let request = Request::new(task, sectors, buffer, impatient, &self.spare);
        let is_first = {
            let mut line = self.line.borrow_mut();
            let order = line.order;
            line.order += 1;
            line.waiting.push_back(Piece { request: request.clone(), range, order });
            line.waiting.len() == 1
        };
        self.pump(is_first);
        request
    }

    /// Keeps a request that is over, to be used again.
    pub(crate) fn reuse(&self, request: Rc<Request<P>>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE {
            spare.push(request);
        }
    }

    /// Whether the disk, as it is now, can do this.
    fn fits(&self, task: Task, sectors: &Range<u64>) -> Result<(), Error> {
        if matches!(task, Task::Flush | Task::Barrier) {
            return Ok(());
        }
        let geometry = self.geometry.get().unwrap_or(NOTHING);
        geometry.check(sectors)?;
        if geometry.read_only && task != Task::Read {
            return Err(Error::ReadOnly);
        }
        Ok(())
    }

    /// Sends what can be sent, the first of which may have been checked.
    fn pump(&self, mut is_checked: bool) {
        let mut line = self.line.borrow_mut();
        let Line { connection: Some(connection), waiting, .. } = &mut *line else { return };
        // While paused, what is under way comes to its end and nothing follows.
        if waiting.is_empty() || self.link.get() != Link::Ready {
            return;
        }
        while let Some(piece) = waiting.front_mut() {
            let fits = match core::mem::take(&mut is_checked) {
                true => Ok(()),
                false => self.fits(piece.request.task, &piece.request.sectors),
            };
            let (sectors, error) = match fits.map_or_else(Issued::Failed, |()| connection.issue(piece)) {
                Issued::Sent(sectors) => {
                    piece.range.start += sectors;
                    if piece.range.is_empty() {
                        waiting.pop_front();
                    }
                    continue;
                }
                Issued::Later => break,
                Issued::Nothing => (piece.range.end - piece.range.start, None),
                Issued::Failed(error) => (piece.range.end - piece.range.start, Some(error)),
            };
            if let Some(piece) = waiting.pop_front() {
                self.answered(&piece.request, sectors, error);
            }
        }
        connection.publish();
    }

    /// Takes all answers there are, and sends what they made room for. At each event of the backend, before the tasks
    /// that wait for answers have a turn.
    fn service(&self) {
        if self.take_answers().is_err() {
            self.is_broken.set(true);
            self.broken.fire();
        } else {
            self.pump(false);
        }
    }

    fn take_answers(&self) -> Result<(), Corrupt> {
        let mut line = self.line.borrow_mut();
        let Line { connection: Some(connection), waiting, .. } = &mut *line else { return Ok(()) };
        if self.is_broken.get() {
            return Ok(());
        }
        while let Some((piece, status)) = connection.take()? {
            if status == wire::EOPNOTSUPP && piece.request.task == Task::Barrier && connection.agreed.barrier
            {
                // It had said that it could. There is another way.
                connection.agreed.barrier = false;
                waiting.push_front(piece);
                continue;
            }
            let error = outcome(&piece.request, status);
            self.answered(&piece.request, piece.range.end - piece.range.start, error);
            if piece.request.is_kept() {
                return Err(Corrupt);
            }
        }
        if connection.in_flight() == 0 && self.link.get() != Link::Ready {
            self.changed.fire();
        }
        Ok(())
    }

    /// Waits until nothing is under way.
    pub(crate) async fn drained(&self) {
        let in_flight = || self.line.borrow().connection.as_ref().map_or(0, Connection::in_flight);
        self.changed.until(|| (in_flight() == 0 || self.is_broken.get()).then_some(())).await;
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken.get()
    }

    fn answered(&self, request: &Request<P>, sectors: u64, error: Option<Error>) {
        if !request.answered(sectors, error) {
            return;
        }
        let ok = request.finish(None);
        let mut totals = self.totals.get();
        let sectors = request.sectors.end - request.sectors.start;
        match (ok, request.task) {
            (false, _) => totals.errors += 1,
            (true, Task::Read) => totals.sectors_read += sectors,
            (true, Task::Write | Task::WriteZeroes) => totals.sectors_written += sectors,
            _ => {}
        }
        totals.requests += u64::from(ok);
        self.totals.set(totals);
    }

    /// The backend works: sends what has waited for it.
    pub(crate) fn connect(self: &Rc<Self>, connection: Connection<P>, geometry: Geometry) {
        for channel in connection.channels.iter() {
            let disk = Rc::downgrade(self);
            channel.on_event(Rc::new(move || disk.upgrade().iter().for_each(|disk| disk.service())));
        }
        self.is_broken.set(false);
        self.line.borrow_mut().connection = Some(connection);
        let mut totals = self.totals.get();
        totals.connects += 1;
        self.totals.set(totals);
        self.geometry.set(Some(geometry));
        self.set_link(Link::Ready);
        self.pump(false);
        // What came before anybody listened.
        self.service();
    }

    /// The backend is going away. Requests that have not been sent fail if their users want that.
    pub(crate) fn pause(&self) {
        self.set_link(Link::Paused);
        let mut line = self.line.borrow_mut();
        let Line { connection, waiting, .. } = &mut *line;
        let sent = |request: &Rc<Request<P>>| connection.as_ref().is_some_and(|c| c.has(request));
        waiting.retain(|piece| {
            let fails = piece.request.impatient && !sent(&piece.request);
            if fails && !piece.request.is_done() {
                piece.request.finish(Some(Error::Paused));
            }
            !fails
        });
    }

    /// The backend has let go: what it answered last is taken, and what was under way is put first in line again, or fails if its user wants that.
    pub(crate) fn disconnect(&self) {
        // One that breaks the protocol has nothing to say any more.
        let _ = self.take_answers();
        let mut line = self.line.borrow_mut();
        let Some(connection) = line.connection.take() else { return };
        let unfinished = connection.into_unfinished();
        let mut totals = self.totals.get();
        totals.resent += unfinished.len() as u64;
        self.totals.set(totals);
        for piece in unfinished.into_iter().rev() {
            line.waiting.push_front(piece);
        }
        line.waiting.retain(|piece| {
            let request = &piece.request;
            // What the backend keeps goes on in other pages, unless there are none.
            let error = match request.reclaim() {
                Err(error) => Some(error),
                Ok(()) => request.impatient.then_some(Error::Paused),
            };
            if error.is_some() && !request.is_done() {
                request.finish(error);
            }
            !request.is_done()
        });
    }

    /// Fails everything that waits.
    pub(crate) fn fail_all(&self, error: Error) {
        let waiting = core::mem::take(&mut self.line.borrow_mut().waiting);
        for piece in waiting.iter().filter(|piece| !piece.request.is_done()) {
            piece.request.finish(Some(error));
        }
    }

    pub(crate) fn set_link(&self, link: Link) {
        if self.link.replace(link) != link || link == Link::Ready {
            self.changed.fire();
        }
    }

    pub(crate) fn set_geometry(&self, geometry: Geometry) {
        if self.geometry.replace(Some(geometry)) != Some(geometry) {
            self.changed.fire();
        }
    }
}

impl<P: Platform> Clone for Disk<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<P: Platform> fmt::Debug for Disk<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("id", &self.0.id).field("link", &self.link()).finish()
    }
}

/// A [`Disk`] for users who would rather have [`Error::Paused`] than wait for a backend that is away.
#[derive(Clone, Debug)]
pub struct Impatient<P: Platform>(Disk<P>);

/// No geometry is known of a disk that never was there.
const NOTHING: Geometry = Geometry {
    sectors: 0,
    logical_bytes: SECTOR as u32,
    physical_bytes: SECTOR as u32,
    read_only: true,
    removable: false,
    flush: false,
    discard_bytes: None,
    request_bytes: 0,
};

macro_rules! block_device {
    ($type:ident, $disk:ident => $inner:expr, $impatient:literal) => {
        impl<P: Platform> BlockDevice for $type<P> {
            fn geometry(&self) -> Geometry {
                let $disk = self;
                $inner.0.geometry.get().unwrap_or(NOTHING)
            }
            fn read(&self, sector: u64, buffer: Buffer) -> impl Future<Output = Result<Buffer, Failed>> {
                let $disk = self;
                Transfer::new(&$inner, Task::Read, sector, buffer, $impatient)
            }
            fn write(&self, sector: u64, buffer: Buffer) -> impl Future<Output = Result<Buffer, Failed>> {
                let $disk = self;
                Transfer::new(&$inner, Task::Write, sector, buffer, $impatient)
            }
            async fn flush(&self) -> Result<(), Error> {
                let $disk = self;
                $inner.order(Task::Flush, 0..1, $impatient).await
            }
            async fn barrier(&self) -> Result<(), Error> {
                let $disk = self;
                $inner.order(Task::Barrier, 0..1, $impatient).await
            }
            async fn discard(&self, sectors: Range<u64>, secure: bool) -> Result<(), Error> {
                let $disk = self;
                $inner.order(Task::Discard { secure }, sectors, $impatient).await
            }
            async fn write_zeroes(&self, sectors: Range<u64>) -> Result<(), Error> {
                let $disk = self;
                $inner.order(Task::WriteZeroes, sectors, $impatient).await
            }
        }
    };
}

block_device!(Disk, disk => *disk, false);
block_device!(Impatient, disk => disk.0, true);
