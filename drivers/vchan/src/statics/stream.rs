//! An open one: bytes written, bytes read, and the end of both.

use super::End;
use super::layout::{CONS, LIFE, LIVE, PROD, TELL_CONS, TELL_PROD, reaches};
use crate::error::Error;
use crate::layout::live;
use alloc::rc::Rc;
use core::cell::Cell;
use core::fmt;
use embedded_io_async::{ErrorType, Read, Write};
use xen_hyp::{Passed, Platform, PortStatus, SharedMem, Xen};

/// A vchan at a [`StaticPlace`](super::StaticPlace). Any number of tasks may use it; usually one reads and one writes.
///
/// Dropping it closes it: the other end reads what was written, and then the end, unless this domain opens it again before:
/// [`part`](Self::part) first.
pub struct StaticVchan<P: Platform> {
    end: End<P>,
    /// The life of the other end.
    with: u32,
    out: Side,
    into: Side,
    failed: Cell<Option<Error>>,
    /// We have said that we write no more.
    finished: Cell<bool>,
    xen: Rc<Xen<P>>,
}

/// One direction: where its bytes are, and how far both ends have come.
pub(crate) struct Side {
    base: usize,
    size: u32,
    /// Our index, and the other end's as we know it.
    ours: Cell<u32>,
    theirs: Cell<u32>,
}

impl Side {
    pub(crate) fn new(base: usize, order: u16) -> Self {
        Self { base, size: 1 << order, ours: Cell::new(0), theirs: Cell::new(0) }
    }

    /// Bytes in it, if we are who writes.
    fn used_out(&self) -> u32 {
        self.ours.get().wrapping_sub(self.theirs.get())
    }

    /// Bytes in it, if we are who reads.
    fn used_in(&self) -> u32 {
        self.theirs.get().wrapping_sub(self.ours.get())
    }

    /// Where our index is, and how many of `len` bytes lie there in one piece.
    fn piece(&self, len: usize) -> (usize, usize) {
        let at = self.ours.get() & (self.size - 1);
        (self.base + at as usize, len.min((self.size - at) as usize))
    }

    fn copy_in<P: Platform>(&self, memory: &Passed<P>, into: &mut [u8]) {
        let (at, straight) = self.piece(into.len());
        let (first, rest) = into.split_at_mut(straight);
        memory.copy_in(at, first);
        memory.copy_in(self.base, rest);
    }

    fn copy_out<P: Platform>(&self, memory: &Passed<P>, from: &[u8]) {
        let (at, straight) = self.piece(from.len());
        let (first, rest) = from.split_at(straight);
        memory.copy_out(at, first);
        memory.copy_out(self.base, rest);
    }
}

impl<P: Platform> StaticVchan<P> {
    pub(crate) fn new(end: End<P>, with: u32, xen: &Rc<Xen<P>>) -> Self {
        let [out, into] = end.sides();
        Self { end, with, out, into, failed: Cell::new(None), finished: Cell::new(false), xen: xen.clone() }
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
        self.until_room(bytes.len(), 1).await?;
        self.put(bytes)
    }

    /// Writes all of a message or, if that cannot be, nothing; waits until there is room for it.
    pub async fn send(&self, message: &[u8]) -> Result<(), Error> {
        if message.len() > self.capacity() {
            return Err(Error::TooLong);
        }
        self.until_room(message.len(), message.len()).await?;
        self.put(message).map(|_| ())
    }

    /// Reads what there is, at least a byte. Waits if there is nothing; at the end gives none.
    pub async fn read(&self, into: &mut [u8]) -> Result<usize, Error> {
        if into.is_empty() {
            return Ok(0);
        }
        self.until_there(into.len(), 1).await?;
        Ok(self.take(into))
    }

    /// Reads exactly so many bytes, once they are all there. Without any before the end it is [`Error::Closed`].
    pub async fn recv(&self, into: &mut [u8]) -> Result<(), Error> {
        if into.len() > self.into.size as usize {
            return Err(Error::TooLong);
        }
        self.until_there(into.len(), into.len()).await?;
        // What there is of it is not enough, and no more will come.
        if (self.into.used_in() as usize) < into.len() {
            return Err(Error::Closed);
        }
        self.take(into);
        Ok(())
    }

    /// Says that we write no more; the other end may go on writing.
    pub fn finish(&self) {
        if !self.finished.replace(true) {
            self.end.put(LIVE, live::FINISHED);
            self.end.tell();
        }
    }

    /// Says that we write no more, and waits until the other end has read it all and says the same, or is gone. Who then drops
    /// this and opens it again takes nothing from it. One that has crashed says nothing: whoever is not patient drops the
    /// future.
    pub async fn part(&self) {
        self.finish();
        let out = &self.out;
        let look = || {
            let live = self.live()?;
            out.theirs.set(self.theirs(CONS)?);
            Ok(live == live::CLOSED || live == live::FINISHED && out.used_out() == 0)
        };
        // An error is an end, too.
        let _ = self.until(TELL_CONS, out, look).await;
    }

    /// Whether the other end is known to be there.
    pub fn is_open(&self) -> bool {
        self.live() == Ok(live::OPEN) || self.live() == Ok(live::FINISHED)
    }

    /// Waits for the end of the vchan: until the other end has closed, or has begun another life. Says which. One that has
    /// crashed does neither.
    pub async fn ended(&self) -> Error {
        let look = || match self.live() {
            Ok(live::CLOSED) => Some(Error::Closed),
            Ok(_) => None,
            Err(error) => Some(error),
        };
        self.end.channel.until(look).await
    }

    /// Looks whether Xen still has the other end of the event channel; gives whether it does. That goes when its domain is
    /// destroyed, not when it crashes and stays as it is.
    pub fn probe(&self) -> bool {
        let connected = matches!(self.xen.status(self.end.channel.port()), Ok(PortStatus::Interdomain(..)));
        if !connected {
            self.fail(Error::Gone);
        }
        connected
    }

    fn fail(&self, error: Error) -> Error {
        let error = self.failed.get().unwrap_or(error);
        self.failed.set(Some(error));
        // Whoever waits looks again.
        self.end.channel.signal().fire();
        error
    }

    /// One of the other end's words, of the life that we talk to. That is looked at afterwards: a new life says that it has
    /// begun before it says anything else.
    fn theirs(&self, field: usize) -> Result<u32, Error> {
        if let Some(error) = self.failed.get() {
            return Err(error);
        }
        let value = self.end.theirs(field);
        if self.end.theirs(LIFE) == self.with { Ok(value) } else { Err(self.fail(Error::Gone)) }
    }

    /// What the other end says of itself. One that says nothing known is open.
    fn live(&self) -> Result<u32, Error> {
        self.theirs(LIVE)
    }

    /// Waits until there is room for at least `least` bytes, having looked whether there is for `wanted`.
    async fn until_room(&self, wanted: usize, least: usize) -> Result<(), Error> {
        let out = &self.out;
        let room = || (out.size - out.used_out()) as usize;
        let look = || {
            if self.finished.get() || self.live()? == live::CLOSED {
                return Err(Error::Closed);
            }
            if room() < wanted {
                let theirs = self.theirs(CONS)?;
                // An index that goes back would take away room that is known to be there.
                if out.ours.get().wrapping_sub(theirs) > out.used_out() {
                    return Err(self.fail(Error::Corrupt));
                }
                out.theirs.set(theirs);
            }
            Ok(room() >= least)
        };
        if look()? { Ok(()) } else { self.until(TELL_CONS, out, look).await }
    }

    /// Waits until there are at least `least` bytes, having looked whether there are `wanted`, or until no more will come.
    async fn until_there(&self, wanted: usize, least: usize) -> Result<(), Error> {
        let into = &self.into;
        let there = || into.used_in() as usize;
        let look = || {
            if there() >= wanted {
                return Ok(true);
            }
            // First: nothing came after what said that nothing will.
            let has_ended = matches!(self.live()?, live::CLOSED | live::FINISHED);
            let theirs = self.theirs(PROD)?;
            let unread = theirs.wrapping_sub(into.ours.get());
            // Nor can what was there not be there any more.
            if unread > into.size || unread < into.used_in() {
                return Err(self.fail(Error::Corrupt));
            }
            into.theirs.set(theirs);
            Ok(there() >= least || has_ended)
        };
        if look()? { Ok(()) } else { self.until(TELL_PROD, into, look).await }
    }

    /// Waits until `look` finds what it wants, having asked to be told when the other end's index of a ring moves on.
    async fn until(
        &self,
        wish: usize,
        side: &Side,
        look: impl Fn() -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let look = || {
            loop {
                let known = side.theirs.get();
                self.end.put(wish, known.wrapping_add(1));
                // Asked first and looked then: what happens in between is seen, and what happens later is told.
                self.end.memory.fence();
                match look() {
                    Err(error) => return Some(Err(error)),
                    Ok(true) => return Some(Ok(())),
                    Ok(false) if side.theirs.get() == known => return None,
                    // It has moved on, but not far enough: what was asked for may have been told already. It cannot move
                    // on for ever, since the ring has an end.
                    Ok(false) => {}
                }
            }
        };
        self.end.channel.until(look).await
    }

    /// Writes what there is room for.
    fn put(&self, bytes: &[u8]) -> Result<usize, Error> {
        let len = bytes.len().min((self.out.size - self.out.used_out()) as usize);
        self.out.copy_out(&self.end.memory, &bytes[..len]);
        self.advance(&self.out, len, PROD, TELL_PROD);
        // What was written to one that has closed is lost.
        if self.live()? == live::CLOSED { Err(Error::Closed) } else { Ok(len) }
    }

    /// Reads what is known to be there.
    fn take(&self, into: &mut [u8]) -> usize {
        let len = into.len().min(self.into.used_in() as usize);
        self.into.copy_in(&self.end.memory, &mut into[..len]);
        self.advance(&self.into, len, CONS, TELL_CONS);
        len
    }

    /// Moves our index of a ring on, and tells the other end if it asked for that.
    fn advance(&self, side: &Side, len: usize, index: usize, wish: usize) {
        let old = side.ours.get();
        let new = old.wrapping_add(len as u32);
        side.ours.set(new);
        self.end.put(index, new);
        // Our index is out before we look for what they asked: they ask first and then look for our index.
        self.end.memory.fence();
        if reaches(self.end.theirs(wish), old, new) {
            self.end.channel.notify();
        }
    }
}

impl<P: Platform> fmt::Debug for StaticVchan<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("StaticVchan");
        debug.field("role", &self.end.role).field("size", &self.out.size).finish()
    }
}

impl<P: Platform> ErrorType for StaticVchan<P> {
    type Error = Error;
}

impl<P: Platform> ErrorType for &StaticVchan<P> {
    type Error = Error;
}

impl<P: Platform> Read for StaticVchan<P> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        Self::read(self, into).await
    }
}

impl<P: Platform> Write for StaticVchan<P> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        Self::write(self, bytes).await
    }
    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

impl<P: Platform> Read for &StaticVchan<P> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        StaticVchan::read(self, into).await
    }
}

impl<P: Platform> Write for &StaticVchan<P> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        StaticVchan::write(self, bytes).await
    }
    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}
