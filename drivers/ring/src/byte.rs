//! Rings of bytes, as in console, Xenstore and vchan.

use crate::Corrupt;
use core::cell::Cell;
use xen_hyp::SharedMem;

/// Where in shared memory a ring of bytes lies.
///
/// Its indices run freely from 0 to 2^32 - 1 and around; the difference of the two is what is unread.
#[derive(Clone, Copy, Debug)]
pub struct ByteRing {
    /// Offset of the bytes.
    pub buffer: usize,
    /// How many: a power of two.
    pub size: u32,
    /// Offset of the producer's index.
    pub prod: usize,
    /// Offset of the consumer's index.
    pub cons: usize,
}

impl ByteRing {
    /// The unread bytes between two indices, one of which the peer wrote.
    fn unread(self, prod: u32, cons: u32) -> Result<u32, Corrupt> {
        let unread = prod.wrapping_sub(cons);
        if unread <= self.size { Ok(unread) } else { Err(Corrupt) }
    }

    /// Applies `copy` to the one or two runs of memory that hold `len` bytes from `index`: its arguments are
    /// an offset in memory and a range of the caller's buffer.
    fn runs(self, index: u32, len: usize, mut copy: impl FnMut(usize, core::ops::Range<usize>)) {
        let start = (index & (self.size - 1)) as usize;
        let first = len.min(self.size as usize - start);
        copy(self.buffer + start, 0..first);
        if first < len {
            copy(self.buffer, first..len);
        }
    }
}

/// The end that writes.
#[derive(Debug)]
pub struct Producer<M> {
    mem: M,
    ring: ByteRing,
    prod: Cell<u32>,
    /// What `prod` was when the peer was last told of it.
    told: Cell<u32>,
}

impl<M: SharedMem> Producer<M> {
    /// Takes the ring as it is, which after a reconnect need not be empty.
    ///
    /// # Panics
    ///
    /// If the layout does not fit the memory: it is a constant of the protocol, not the peer's word.
    pub fn new(mem: M, ring: ByteRing) -> Result<Self, Corrupt> {
        check(&mem, ring);
        let (prod, cons) = (mem.load(ring.prod), mem.load(ring.cons));
        ring.unread(prod, cons)?;
        // As if told of what has been consumed only: whatever is there will be announced.
        Ok(Self { mem, ring, prod: Cell::new(prod), told: Cell::new(cons) })
    }

    /// Writes as much of `bytes` as there is room for and publishes it. Gives how much that was.
    pub fn write(&self, bytes: &[u8]) -> Result<usize, Corrupt> {
        let len = bytes.len().min(self.room()?);
        let prod = self.prod.get();
        self.ring.runs(prod, len, |offset, part| self.mem.copy_out(offset, &bytes[part]));
        self.prod.set(prod.wrapping_add(len as u32));
        self.mem.store(self.ring.prod, self.prod.get());
        Ok(len)
    }

    /// How many bytes would fit.
    pub fn room(&self) -> Result<usize, Corrupt> {
        Ok(self.ring.size as usize - self.unread()?)
    }

    /// How many bytes the peer has still to read.
    pub fn unread(&self) -> Result<usize, Corrupt> {
        // Our own stores come first: if the peer stopped reading before it saw them, we see here that it did.
        self.mem.fence();
        Ok(self.ring.unread(self.prod.get(), self.mem.load(self.ring.cons))? as usize)
    }

    /// Whether the peer must be notified now; if so the caller does it.
    ///
    /// It must if there is something to read and it has read all it was told of, for then it may be asleep.
    /// Otherwise it has a turn still to come or under way. A peer may end its turn without looking for what came
    /// meanwhile (xenconsoled does), but it notifies us when it has read, so ask again after each of its events.
    #[must_use = "a peer that is not notified sleeps on"]
    pub fn must_notify(&self) -> Result<bool, Corrupt> {
        let unread = self.unread()? as u32;
        let untold = self.prod.get().wrapping_sub(self.told.get());
        let caught_up = unread <= untold;
        if caught_up {
            self.told.set(self.prod.get());
        }
        Ok(caught_up && unread > 0)
    }

    /// Forgets that the peer was told, so that [`must_notify`](Self::must_notify) tells it again: for a last
    /// attempt at a peer that makes no progress.
    pub fn forget_told(&self) -> Result<(), Corrupt> {
        self.told.set(self.prod.get().wrapping_sub(self.unread()? as u32));
        Ok(())
    }
}

/// The end that reads.
#[derive(Debug)]
pub struct Consumer<M> {
    mem: M,
    ring: ByteRing,
    cons: Cell<u32>,
}

impl<M: SharedMem> Consumer<M> {
    /// Takes the ring as it is; unread bytes will be read.
    ///
    /// # Panics
    ///
    /// If the layout does not fit the memory: it is a constant of the protocol, not the peer's word.
    pub fn new(mem: M, ring: ByteRing) -> Result<Self, Corrupt> {
        check(&mem, ring);
        let (prod, cons) = (mem.load(ring.prod), mem.load(ring.cons));
        ring.unread(prod, cons)?;
        Ok(Self { mem, ring, cons: Cell::new(cons) })
    }

    /// Reads what there is, up to the length of `into`. Gives how much that was, and whether the peer must be
    /// notified: it must if the ring was full, for then it may be asleep until there is room.
    pub fn read(&self, into: &mut [u8]) -> Result<(usize, bool), Corrupt> {
        let cons = self.cons.get();
        let unread = self.ring.unread(self.mem.load(self.ring.prod), cons)?;
        let len = into.len().min(unread as usize);
        if len == 0 {
            return Ok((0, false));
        }
        self.ring.runs(cons, len, |offset, part| self.mem.copy_in(offset, &mut into[part]));
        self.cons.set(cons.wrapping_add(len as u32));
        self.mem.store(self.ring.cons, self.cons.get());
        // The peer may have filled the ring while we read, so its index is looked at again, after our own is out.
        self.mem.fence();
        let had = self.mem.load(self.ring.prod).wrapping_sub(cons);
        Ok((len, had >= self.ring.size))
    }
}

fn check(mem: &impl SharedMem, ring: ByteRing) {
    let fits = |offset: usize, len: usize| offset <= mem.size() && len <= mem.size() - offset;
    assert!(ring.size.is_power_of_two() && fits(ring.buffer, ring.size as usize));
    assert!(fits(ring.prod, 4) && fits(ring.cons, 4));
}

#[cfg(all(test, not(loom)))]
#[path = "byte_tests.rs"]
mod tests;

#[cfg(all(test, loom))]
#[path = "byte_loom.rs"]
mod model;
