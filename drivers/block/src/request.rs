//! What a user asked for, and how far it has come.

use crate::wire::PAGE_SECTORS;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ops::Range;
use core::task::{Context, Poll, Waker};
use fata_disk::{Buffer, Error};
use xen_hyp::{Access, DomId, GrantError, GrantRef, Granted, Platform, SharedMem, StillMapped, Xen};

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Read,
    Write,
    WriteZeroes,
    Discard { secure: bool },
    Flush,
    Barrier,
}

impl Task {
    pub(crate) fn has_data(self) -> bool {
        matches!(self, Self::Read | Self::Write)
    }
}

/// A user's request. It is done when each of its parts is.
pub(crate) struct Request<P: Platform> {
    pub(crate) task: Task,
    /// Where on the disk, in sectors of 512 bytes. Of a flush or a barrier, one sector that means nothing.
    pub(crate) sectors: Range<u64>,
    /// Whether it fails when the disk is away, or waits.
    pub(crate) impatient: bool,
    data: RefCell<Data<P>>,
    /// Sectors whose parts have not been answered.
    left: Cell<u64>,
    error: Cell<Option<Error>>,
    done: Cell<bool>,
    /// The backend answered it and has not let go of its pages.
    kept: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

enum Data<P: Platform> {
    /// There is none, or it has been taken away.
    None,
    Ours(Buffer),
    Lent {
        granted: Granted<P>,
        bytes: usize,
    },
}

impl<P: Platform> Request<P> {
    /// A new request, in one of `spare` that nobody has any more, if there is one.
    pub(crate) fn new(
        task: Task,
        sectors: Range<u64>,
        buffer: Option<Buffer>,
        impatient: bool,
        spare: &RefCell<Vec<Rc<Self>>>,
    ) -> Rc<Self> {
        let request = Self {
            task,
            left: Cell::new(sectors.end - sectors.start),
            sectors,
            impatient,
            data: RefCell::new(buffer.map_or(Data::None, Data::Ours)),
            error: Cell::new(None),
            done: Cell::new(false),
            kept: Cell::new(false),
            waker: Cell::new(None),
        };
        if let Some(mut used) = spare.borrow_mut().pop()
            && let Some(place) = Rc::get_mut(&mut used)
        {
            *place = request;
            return used;
        }
        Rc::new(request)
    }

    /// Lends its buffer to the backend, unless it has been. What is only read into goes empty if it is not trusted.
    pub(crate) fn lend(&self, xen: &Rc<Xen<P>>, peer: DomId, trusted: bool) -> Result<(), GrantError> {
        let mut data = self.data.borrow_mut();
        match core::mem::replace(&mut *data, Data::None) {
            Data::Ours(mut buffer) => {
                buffer.clear_tail();
                // Unless some of it has been read by now, before a reconnect; then it was lent so before.
                let untouched = self.left.get() == self.sectors.end - self.sectors.start;
                if self.task == Task::Read && !trusted && untouched {
                    buffer.fill(0);
                }
                let (pages, bytes) = buffer.into_pages();
                let access = if self.task == Task::Read { Access::Write } else { Access::Read };
                match pages.grant(xen, peer, access) {
                    Ok(granted) => *data = Data::Lent { granted, bytes },
                    Err(refused) => {
                        *data = Buffer::from_pages(refused.pages, bytes).map_or(Data::None, Data::Ours);
                        return Err(refused.error);
                    }
                }
            }
            other => *data = other,
        }
        Ok(())
    }

    /// Passes the references of the pages from this sector of the request on to `each`.
    pub(crate) fn each_ref(&self, from: u64, pages: usize, each: impl FnMut(GrantRef)) {
        if let Data::Lent { granted, .. } = &*self.data.borrow() {
            let first = (from / PAGE_SECTORS) as usize;
            granted.each_ref(first..first + pages, each);
        }
    }

    /// Its buffer, as long as it is not lent.
    pub(crate) fn with_buffer(&self, use_it: impl FnOnce(&mut Buffer)) {
        if let Data::Ours(buffer) = &mut *self.data.borrow_mut() {
            use_it(buffer);
        }
    }

    /// Takes the buffer back. Gives whether the backend had let go of it; if not, what is in it goes on in other
    /// pages, if there are any.
    fn take_back(&self) -> bool {
        let mut data = self.data.borrow_mut();
        let (granted, bytes) = match core::mem::replace(&mut *data, Data::None) {
            Data::Lent { granted, bytes } => (granted, bytes),
            other => {
                *data = other;
                return true;
            }
        };
        match granted.revoke() {
            Ok(pages) => {
                *data = Buffer::from_pages(pages, bytes).map_or(Data::None, Data::Ours);
                true
            }
            Err(StillMapped(granted)) => {
                if let Some(mut copy) = Buffer::new(bytes) {
                    granted.copy_in(0, &mut copy);
                    *data = Data::Ours(copy);
                }
                false
            }
        }
    }

    /// Takes the buffer back from a backend that is no more, so that the request can be sent to another.
    pub(crate) fn reclaim(&self) -> Result<(), Error> {
        self.take_back();
        let lost = self.task.has_data() && matches!(*self.data.borrow(), Data::None) && !self.done.get();
        if lost { Err(Error::NoMemory) } else { Ok(()) }
    }

    /// These many more sectors have been answered. Gives whether all have.
    pub(crate) fn answered(&self, sectors: u64, error: Option<Error>) -> bool {
        if let Some(error) = error {
            self.error.set(self.error.get().or(Some(error)));
        }
        self.left.set(self.left.get().saturating_sub(sectors));
        self.left.get() == 0
    }

    /// It is over; `error` is one that concerns it as a whole. Gives whether it went well.
    pub(crate) fn finish(&self, error: Option<Error>) -> bool {
        if !self.take_back() {
            self.kept.set(true);
            self.error.set(Some(Error::Corrupt));
        } else if let Some(error) = error {
            self.error.set(self.error.get().or(Some(error)));
        }
        self.done.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        self.error.get().is_none()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done.get()
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.kept.get()
    }

    /// Whether it is over, and how it ended; wakes the one who asked last. To be asked no more once it is.
    pub(crate) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<(Option<Buffer>, Result<(), Error>)> {
        if !self.done.get() {
            self.waker.set(Some(cx.waker().clone()));
            return Poll::Pending;
        }
        let buffer = match core::mem::replace(&mut *self.data.borrow_mut(), Data::None) {
            Data::Ours(buffer) => Some(buffer),
            _ => self.task.has_data().then(Buffer::lost),
        };
        Poll::Ready((buffer, self.error.get().map_or(Ok(()), Err)))
    }
}

/// The part of a request that has not been sent, or must be sent again.
pub(crate) struct Piece<P: Platform> {
    pub(crate) request: Rc<Request<P>>,
    /// In sectors from the request's start.
    pub(crate) range: Range<u64>,
    /// Where it stands among all that was asked for.
    pub(crate) order: u64,
}
