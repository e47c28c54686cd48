//! An open vchan: bytes written, bytes read, and the end of both.

use crate::end::{Control, Line};
use crate::error::Error;
use crate::layout::{CONS, FLAGS, NOTIFY_READ, NOTIFY_WRITE, PROD, live};
use crate::ring::Ring;
use alloc::rc::Rc;
use core::cell::Cell;
use core::fmt;
use embedded_io_async::{ErrorType, Read, Write};
use xen_hyp::{Platform, SharedBits, SharedMem, Xen};

/// A vchan. Any number of tasks may use it; usually one reads and one writes.
///
/// Dropping it closes it: the other end reads what was written, and then the end. A server should rather
/// [`close`](Self::close) it.
pub struct Vchan<P: Platform> {
    // In this order they are dropped: memory of rings, then the word that we have closed, then the news of it.
    pub(crate) out: Ring<P>,
    pub(crate) into: Ring<P>,
    pub(crate) control: Control<P>,
    pub(crate) line: Line<P>,
    /// Why it cannot be used any more.
    failed: Cell<Option<Error>>,
    /// The other end has closed, which it cannot take back.
    closed: Cell<bool>,
    /// Our writing has ended, for one reason or another.
    ended: Cell<bool>,
    pub(crate) xen: Rc<Xen<P>>,
}

impl<P: Platform> Vchan<P> {
    pub(crate) fn new(
        control: Control<P>,
        out: Ring<P>,
        into: Ring<P>,
        line: Line<P>,
        xen: &Rc<Xen<P>>,
    ) -> Self {
        let (failed, closed, ended) = (Cell::new(None), Cell::new(false), Cell::new(false));
        Self { out, into, control, line, failed, closed, ended, xen: xen.clone() }
    }

    /// Bytes that the ring we write holds.
    pub fn capacity(&self) -> usize {
        self.out.size as usize
    }

    /// Writes as much as there is room for, at least a byte. Waits if there is none.
    #[inline]
    pub async fn write(&self, bytes: &[u8]) -> Result<usize, Error> {
        if self.put_all(bytes) { Ok(bytes.len()) } else { self.write_some(bytes).await }
    }

    async fn write_some(&self, bytes: &[u8]) -> Result<usize, Error> {
        if bytes.is_empty() {
            return Ok(0);
        }
        match self.put(bytes)? {
            0 => self.until(NOTIFY_READ, || Ok(Some(self.put(bytes)?).filter(|&len| len > 0))).await,
            written => Ok(written),
        }
    }

    /// Writes all of it, if it is known to fit in one piece; gives whether it has. Most writes come to this, so it is short.
    #[inline]
    fn put_all(&self, bytes: &[u8]) -> bool {
        let (ring, memory) = (&self.out, &self.control.memory);
        if !ring.take_quick(bytes.len()) {
            return false;
        }
        ring.memory(memory).copy_out(ring.place(), bytes);
        memory.store(ring.indices + PROD, ring.advance(bytes.len()));
        !self.tell(NOTIFY_WRITE)
    }

    /// Reads all that was asked for, as above.
    #[inline]
    fn take_all(&self, into: &mut [u8]) -> bool {
        let (ring, memory) = (&self.into, &self.control.memory);
        if !ring.take_quick(into.len()) {
            return false;
        }
        ring.memory(memory).copy_in(ring.place(), into);
        memory.store(ring.indices + CONS, ring.advance(into.len()));
        self.tell(NOTIFY_READ);
        true
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
    #[inline]
    pub async fn read(&self, into: &mut [u8]) -> Result<usize, Error> {
        if self.take_all(into) { Ok(into.len()) } else { self.read_some(into).await }
    }

    async fn read_some(&self, into: &mut [u8]) -> Result<usize, Error> {
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
            // What there is of it is not enough, and no more will come.
            _ if self.failed.get().is_some() => Err(self.why_ended()),
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
        self.end();
        self.control.say(live::FINISHED);
        self.line.notify();
    }

    /// Whether the other end is known to be there.
    pub fn is_open(&self) -> bool {
        self.failed.get().is_none() && self.peer_live() != live::CLOSED
    }

    /// Waits for the end of the vchan: until the other end has closed, or is known to be gone. Says which.
    pub async fn ended(&self) -> Error {
        let look = || self.failed.get().or_else(|| (!self.is_open()).then_some(Error::Closed));
        self.line.until(look).await
    }

    /// Looks whether the other end still exists, which no event tells when its domain is destroyed; gives whether it
    /// does. Costs a hypercall. [`Meeting::stirs`](crate::Meeting::stirs) says when there is reason to; where nothing
    /// tells, somebody with a clock has to look now and then.
    pub fn probe(&self) -> bool {
        let exists = self.line.is_connected(&self.xen);
        match exists {
            true => {}
            false if self.is_open() => self.fail(Error::Gone),
            // One that closed without an event, after which somebody may have begun to wait.
            false => self.line.signal().fire(),
        }
        exists
    }

    /// No more is written.
    fn end(&self) {
        self.ended.set(true);
        self.out.know(0);
    }

    /// Makes whoever waits look again: that of the reader and that of the writer.
    fn fail(&self, error: Error) {
        self.failed.set(Some(error));
        self.end();
        self.line.signal().fire();
    }

    /// Writes what there is room for, without waiting.
    fn put(&self, bytes: &[u8]) -> Result<usize, Error> {
        if self.ended.get() {
            return Err(self.why_ended());
        }
        let len = bytes.len().min(self.room(bytes.len())?);
        if len == 0 {
            return Ok(0);
        }
        self.out.copy_out(&self.control.memory, &bytes[..len]);
        self.control.memory.store(self.out.indices + PROD, self.out.advance(len));
        self.out.know(self.out.size - self.out.used_out());
        // What was written to one that has closed is lost.
        if self.tell(NOTIFY_WRITE) { Err(Error::Closed) } else { Ok(len) }
    }

    /// How many bytes can be written. Only if `wanted` are not known to fit is the other end's index looked at.
    fn room(&self, wanted: usize) -> Result<usize, Error> {
        let ring = &self.out;
        let room = ring.size.wrapping_sub(ring.used_out()) as usize;
        if room < wanted { self.new_room() } else { Ok(room) }
    }

    fn new_room(&self) -> Result<usize, Error> {
        if self.peer_live() == live::CLOSED || self.ended.get() {
            return Err(self.why_ended());
        }
        let ring = &self.out;
        let theirs = self.control.memory.load(ring.indices + CONS);
        // An index that goes back would take away room that is known to be there.
        if ring.ours.get().wrapping_sub(theirs) > ring.used_out() {
            return Err(self.corrupt());
        }
        ring.theirs.set(theirs);
        Ok((ring.size - ring.used_out()) as usize)
    }

    #[cold]
    fn why_ended(&self) -> Error {
        self.failed.get().unwrap_or(Error::Closed)
    }

    /// Reads what there is, without waiting.
    fn take(&self, into: &mut [u8]) -> Result<usize, Error> {
        let mut unread = self.into.used_in();
        if (unread as usize) < into.len() {
            unread = self.unread()?;
        }
        let len = into.len().min(unread as usize);
        if len == 0 {
            return Ok(0);
        }
        self.into.copy_in(&self.control.memory, &mut into[..len]);
        self.control.memory.store(self.into.indices + CONS, self.into.advance(len));
        self.into.know(self.into.used_in());
        self.tell(NOTIFY_READ);
        Ok(len)
    }

    /// Bytes that can be read.
    fn unread(&self) -> Result<u32, Error> {
        let ring = &self.into;
        let theirs = self.control.memory.load(ring.indices + PROD);
        match theirs.wrapping_sub(ring.ours.get()) {
            // Nor can what was there not be there any more.
            unread if unread > ring.size || unread < ring.used_in() => Err(self.corrupt()),
            // What is there can be read even if nothing more will come.
            0 => self.failed.get().map_or(Ok(0), Err),
            unread => {
                ring.theirs.set(theirs);
                Ok(unread)
            }
        }
    }

    /// The other end will write no more.
    fn has_ended(&self) -> bool {
        matches!(self.peer_live(), live::CLOSED | live::FINISHED)
    }

    fn peer_live(&self) -> u32 {
        self.note(self.control.memory.load(FLAGS))
    }

    /// What the flags say of the other end.
    fn note(&self, flags: u32) -> u32 {
        let now = flags >> self.control.role.peer().live_shift() & 0xff;
        if now == live::CLOSED {
            self.closed.set(true);
            self.end();
        }
        if self.closed.get() { live::CLOSED } else { now }
    }

    /// Waits until `look` finds something, having asked to be notified of what could change that.
    async fn until<T>(
        &self,
        wish: u32,
        mut look: impl FnMut() -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        let look = || {
            // Asked first and looked then: what happens in between is seen, and what happens later is told.
            match self.control.memory.update(FLAGS, 0, wish << self.control.role.wish_shift()) {
                Some(_) => look().transpose(),
                None => Some(Err(self.corrupt())),
            }
        };
        self.line.until(look).await
    }

    /// Notifies the other end of what we did, if it wants to hear of it. Gives whether it has closed.
    #[inline]
    fn tell(&self, what: u32) -> bool {
        let (memory, peer) = (&self.control.memory, self.control.role.peer());
        // Our index is out before we look for what they asked: they ask first and then look for our index.
        memory.fence();
        let flags = memory.load(FLAGS);
        let all_is_quiet = live::OPEN << peer.live_shift();
        let mask = 0xff << peer.live_shift() | what << peer.wish_shift();
        flags & mask != all_is_quiet && self.told(flags, what << peer.wish_shift())
    }

    #[cold]
    fn told(&self, flags: u32, wish: u32) -> bool {
        let asked = |flags: u32| flags & wish != 0;
        // If it cannot be taken back now, it will be notified once too often.
        if asked(flags) && self.control.memory.update(FLAGS, wish, 0).is_none_or(asked) {
            self.line.notify();
        }
        self.note(flags) == live::CLOSED
    }

    fn corrupt(&self) -> Error {
        self.fail(Error::Corrupt);
        Error::Corrupt
    }
}

impl<P: Platform> fmt::Debug for Vchan<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Vchan");
        debug
            .field("role", &self.control.role)
            .field("out", &self.out.size)
            .field("into", &self.into.size)
            .finish()
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
