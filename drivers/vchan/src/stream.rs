//! An open vchan: bytes written, bytes read, and the end of both.

use crate::error::Error;
use crate::layout::{CONS, FLAGS, NOTIFY_READ, NOTIFY_WRITE, PROD, Role, live};
use crate::memory::Memory;
use core::cell::Cell;
use core::fmt;
use embedded_io_async::{ErrorType, Read, Write};
use fata_ring::Corrupt;
use xen_hyp::{Channel, Platform, PortStatus, SharedBits, SharedMem, Xen};

/// A vchan. Any number of tasks may use it; usually one reads and one writes.
///
/// Dropping it closes it: the other end reads what was written, and then the end.
pub struct Vchan<P: Platform> {
    role: Role,
    control: Memory<P>,
    out: Ring<P>,
    into: Ring<P>,
    channel: Channel<P>,
    /// Why it cannot be used any more.
    failed: Cell<Option<Error>>,
    /// Our writing has ended.
    finished: Cell<bool>,
    xen: alloc::rc::Rc<Xen<P>>,
}

/// One direction.
pub(crate) struct Ring<P: Platform> {
    /// Where the bytes are, unless in the control page.
    memory: Option<Memory<P>>,
    base: usize,
    size: u32,
    /// Where in the control page its indices are.
    indices: usize,
    /// Our index, and the other end's as we know it.
    ours: Cell<u32>,
    theirs: Cell<u32>,
}

impl<P: Platform> Ring<P> {
    /// A ring of this order, whose indices are at `indices` in the control page; both are what was read there.
    pub(crate) fn new(memory: Option<Memory<P>>, order: u16, indices: usize, ours: u32, theirs: u32) -> Self {
        let (ours, theirs) = (Cell::new(ours), Cell::new(theirs));
        Self { memory, base: crate::layout::offset(order), size: 1 << order, indices, ours, theirs }
    }

    /// Applies `copy` to the one or two runs of memory that hold `len` bytes from `index`.
    #[inline]
    fn runs(
        &self,
        control: &Memory<P>,
        len: usize,
        mut copy: impl FnMut(&Memory<P>, usize, core::ops::Range<usize>),
    ) {
        let memory = self.memory.as_ref().unwrap_or(control);
        let start = (self.ours.get() & (self.size - 1)) as usize;
        let first = len.min(self.size as usize - start);
        copy(memory, self.base + start, 0..first);
        if first < len {
            copy(memory, self.base, first..len);
        }
    }
}

impl<P: Platform> Vchan<P> {
    pub(crate) fn new(
        role: Role,
        control: Memory<P>,
        out: Ring<P>,
        into: Ring<P>,
        channel: Channel<P>,
        xen: &alloc::rc::Rc<Xen<P>>,
    ) -> Self {
        let (failed, finished) = (Cell::new(None), Cell::new(false));
        Self { role, control, out, into, channel, failed, finished, xen: xen.clone() }
    }

    /// Bytes that the ring we write holds.
    pub fn capacity(&self) -> usize {
        self.out.size as usize
    }

    /// Writes as much as there is room for, at least a byte. Waits if there is none.
    pub async fn write(&self, bytes: &[u8]) -> Result<usize, Error> {
        if bytes.is_empty() {
            return Ok(0);
        }
        match self.put(bytes)? {
            0 => {
                let written = self.until(NOTIFY_READ, || Ok(Some(self.put(bytes)?).filter(|&len| len > 0)));
                written.await
            }
            written => Ok(written),
        }
    }

    /// Writes all of a message or, if that cannot be, nothing; waits until there is room for it.
    pub async fn send(&self, message: &[u8]) -> Result<(), Error> {
        if message.len() > self.capacity() {
            return Err(Error::TooLong);
        }
        let put = || Ok((self.room(message.len())? >= message.len()).then_some(()));
        if put()?.is_none() {
            self.until(NOTIFY_READ, put).await?;
        }
        self.put(message).map(|_| ())
    }

    /// Reads what there is, at least a byte. Waits if there is nothing; at the end gives none.
    pub async fn read(&self, into: &mut [u8]) -> Result<usize, Error> {
        if into.is_empty() {
            return Ok(0);
        }
        match self.take(into)? {
            0 => {
                let look = || match self.take(into)? {
                    // Nothing came after what said that nothing will.
                    0 if self.has_ended() && self.unread()? == 0 => Ok(Some(0)),
                    0 => Ok(None),
                    len => Ok(Some(len)),
                };
                self.until(NOTIFY_WRITE, look).await
            }
            read => Ok(read),
        }
    }

    /// Reads exactly so many bytes, once they are all there. Without any before the end it is [`Error::Closed`].
    pub async fn recv(&self, into: &mut [u8]) -> Result<(), Error> {
        if into.len() > self.into.size as usize {
            return Err(Error::TooLong);
        }
        let wanted = into.len() as u32;
        let there = || match self.unread()? {
            unread if unread >= wanted => Ok(Some(())),
            _ if self.has_ended() && self.unread()? < wanted => Err(Error::Closed),
            _ => Ok(None),
        };
        if there()?.is_none() {
            self.until(NOTIFY_WRITE, there).await?;
        }
        self.take(into).map(|_| ())
    }

    /// Says that we write no more; the other end may go on writing. One that is not of this implementation does not
    /// hear of it before we close.
    pub fn finish(&self) {
        self.finished.set(true);
        self.say(live::FINISHED);
    }

    /// Whether the other end is known to be there.
    pub fn is_open(&self) -> bool {
        self.failed.get().is_none() && !matches!(self.peer_live(), live::CLOSED)
    }

    /// Looks whether the other end still exists, which no event tells when its domain is destroyed. For whoever waits
    /// long and has a clock; gives whether it does.
    pub fn probe(&self) -> bool {
        let exists = matches!(self.xen.status(self.channel.port()), Ok(PortStatus::Interdomain(..)));
        if !exists && self.failed.get().is_none() {
            self.fail(Error::Gone);
        }
        exists
    }

    /// Makes whoever waits look again: that of the reader and that of the writer.
    fn fail(&self, error: Error) {
        self.failed.set(Some(error));
        self.channel.signal().fire();
    }

    /// Writes what there is room for, without waiting.
    fn put(&self, bytes: &[u8]) -> Result<usize, Error> {
        let len = bytes.len().min(self.room(bytes.len())?);
        if len == 0 {
            return Ok(0);
        }
        self.out.runs(&self.control, len, |memory, offset, part| memory.copy_out(offset, &bytes[part]));
        let prod = self.out.ours.get().wrapping_add(len as u32);
        self.out.ours.set(prod);
        self.control.store(self.out.indices + PROD, prod);
        self.tell(NOTIFY_WRITE);
        Ok(len)
    }

    /// How many bytes can be written. Only if `wanted` are not known to fit is the other end's index looked at.
    fn room(&self, wanted: usize) -> Result<usize, Error> {
        let ring = &self.out;
        let used = || ring.ours.get().wrapping_sub(ring.theirs.get());
        if ((ring.size - used()) as usize) < wanted {
            self.check()?;
            if self.finished.get() || self.peer_live() == live::CLOSED {
                return Err(Error::Closed);
            }
            ring.theirs.set(self.control.load(ring.indices + CONS));
            if used() > ring.size {
                return Err(self.corrupt());
            }
        }
        Ok((ring.size - used()) as usize)
    }

    /// Reads what there is, without waiting.
    fn take(&self, into: &mut [u8]) -> Result<usize, Error> {
        let len = into.len().min(self.known_unread(into.len())? as usize);
        if len == 0 {
            return Ok(0);
        }
        self.into.runs(&self.control, len, |memory, offset, part| memory.copy_in(offset, &mut into[part]));
        let cons = self.into.ours.get().wrapping_add(len as u32);
        self.into.ours.set(cons);
        self.control.store(self.into.indices + CONS, cons);
        self.tell(NOTIFY_READ);
        Ok(len)
    }

    /// Bytes that can be read. Only if they are not as many as wanted is the other end's index looked at.
    fn known_unread(&self, wanted: usize) -> Result<u32, Error> {
        let unread = self.into.theirs.get().wrapping_sub(self.into.ours.get());
        if unread as usize >= wanted { Ok(unread) } else { self.unread() }
    }

    fn unread(&self) -> Result<u32, Error> {
        let ring = &self.into;
        ring.theirs.set(self.control.load(ring.indices + PROD));
        let unread = ring.theirs.get().wrapping_sub(ring.ours.get());
        if unread > ring.size {
            return Err(self.corrupt());
        }
        // What is there can be read even if nothing more will come.
        if unread == 0 { self.check().map(|()| 0) } else { Ok(unread) }
    }

    /// The other end will write no more.
    fn has_ended(&self) -> bool {
        matches!(self.peer_live(), live::CLOSED | live::FINISHED)
    }

    fn peer_live(&self) -> u32 {
        self.control.load(FLAGS) >> self.role.peer().live_shift() & 0xff
    }

    /// Waits until `look` finds something, having asked to be notified of what could change that.
    async fn until<T>(
        &self,
        wish: u32,
        mut look: impl FnMut() -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        let look = || {
            // Asked first and looked then: what happens in between is seen, and what happens later is told.
            match self.control.update(FLAGS, 0, wish << self.role.wish_shift()) {
                Some(_) => look().transpose(),
                None => Some(Err(self.corrupt())),
            }
        };
        self.channel.until(look).await
    }

    /// Notifies the other end of what we did, if it wants to hear of it.
    #[inline]
    fn tell(&self, what: u32) {
        let wish = what << self.role.peer().wish_shift();
        // Our index is out before we look for what they asked: they ask first and then look for our index.
        self.control.fence();
        if self.control.load(FLAGS) & wish != 0 {
            self.told(wish);
        }
    }

    #[cold]
    fn told(&self, wish: u32) {
        // If it cannot be taken back now, it will be notified once too often.
        if self.control.update(FLAGS, wish, 0).is_none_or(|flags| flags & wish != 0) {
            self.channel.notify();
        }
    }

    fn say(&self, what: u32) {
        let shift = self.role.live_shift();
        // One that does not let us say so must find out by itself.
        let _ = self.control.update(FLAGS, 0xff << shift, what << shift);
        self.channel.notify();
    }

    fn check(&self) -> Result<(), Error> {
        self.failed.get().map_or(Ok(()), Err)
    }

    fn corrupt(&self) -> Error {
        self.fail(Corrupt.into());
        Error::Corrupt
    }
}

impl<P: Platform> Drop for Vchan<P> {
    fn drop(&mut self) {
        self.say(live::CLOSED);
    }
}

impl<P: Platform> fmt::Debug for Vchan<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Vchan");
        debug.field("role", &self.role).field("out", &self.out.size).field("into", &self.into.size).finish()
    }
}

impl<P: Platform> ErrorType for Vchan<P> {
    type Error = Error;
}

impl<P: Platform> ErrorType for &Vchan<P> {
    type Error = Error;
}

impl<P: Platform> Read for Vchan<P> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        Self::read(self, into).await
    }
}

impl<P: Platform> Write for Vchan<P> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        Self::write(self, bytes).await
    }
    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

impl<P: Platform> Read for &Vchan<P> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        Vchan::read(self, into).await
    }
}

impl<P: Platform> Write for &Vchan<P> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        Vchan::write(self, bytes).await
    }
    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}
