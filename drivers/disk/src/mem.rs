//! A disk in memory.

use crate::buffer::Buffer;
use crate::device::{BlockDevice, Error, Failed, Geometry, SECTOR};
use crate::pause::pause;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ops::Range;
use xen_hyp::PAGE_SIZE;

const CHUNK: u64 = (PAGE_SIZE / SECTOR) as u64;

/// A disk in memory, which takes memory only for what was written and is not zero.
///
/// It is a RAM disk, and with its faults and counts it is what tests put in the place of a real disk.
#[derive(Debug)]
pub struct MemDisk {
    geometry: Cell<Geometry>,
    chunks: RefCell<BTreeMap<u64, Buffer>>,
    faults: RefCell<Faults>,
    counts: Cell<Counts>,
    lazy: bool,
}

#[derive(Debug, Default)]
struct Faults {
    sectors: Range<u64>,
    countdown: Option<(u64, Error)>,
}

/// What a [`MemDisk`] was asked to do so far, refused requests included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reads.
    pub reads: u64,
    /// Writes, discards and writes of zeroes.
    pub writes: u64,
    /// Flushes and barriers.
    pub flushes: u64,
    /// Sectors of [`SECTOR`] bytes that were read.
    pub sectors_read: u64,
    /// Sectors of [`SECTOR`] bytes that were written.
    pub sectors_written: u64,
}

impl MemDisk {
    /// A disk of zeroes with sectors of [`SECTOR`] bytes.
    pub fn new(sectors: u64) -> Self {
        let geometry = Geometry {
            sectors,
            logical_bytes: SECTOR as u32,
            physical_bytes: PAGE_SIZE as u32,
            read_only: false,
            removable: false,
            flush: true,
            discard_bytes: Some(SECTOR as u32),
            request_bytes: 1 << 20,
        };
        Self {
            geometry: Cell::new(geometry),
            chunks: RefCell::default(),
            faults: RefCell::default(),
            counts: Cell::default(),
            lazy: false,
        }
    }

    /// A disk with these contents, the last sector filled up with zeroes. `None` if there is no memory.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let disk = Self::new(bytes.len().div_ceil(SECTOR) as u64);
        for (chunk, bytes) in bytes.chunks(PAGE_SIZE).enumerate() {
            disk.store(chunk as u64, 0, bytes).ok()?;
        }
        Some(disk)
    }

    /// The same with logical sectors of so many bytes, and as many of them as are whole.
    pub fn with_logical_bytes(self, bytes: u32) -> Self {
        let mut geometry = self.geometry.get();
        geometry.logical_bytes = bytes;
        geometry.physical_bytes = geometry.physical_bytes.max(bytes);
        geometry.sectors -= geometry.sectors % geometry.logical_sectors();
        self.geometry.set(geometry);
        self
    }

    /// The same, but writes are refused.
    pub fn read_only(self) -> Self {
        self.geometry.set(Geometry { read_only: true, ..self.geometry.get() });
        self
    }

    /// The same, but each request takes a second poll, so that others come between.
    pub fn lazy(self) -> Self {
        Self { lazy: true, ..self }
    }

    /// Makes it longer, with zeroes, or shorter.
    pub fn resize(&self, sectors: u64) {
        let mut chunks = self.chunks.borrow_mut();
        chunks.split_off(&sectors.div_ceil(CHUNK));
        if let Some(last) = chunks.get_mut(&(sectors / CHUNK)) {
            last[(sectors % CHUNK) as usize * SECTOR..].fill(0);
        }
        self.geometry.set(Geometry { sectors, ..self.geometry.get() });
    }

    /// From now on requests that touch these sectors fail with [`Error::Io`]; none do if the range is empty.
    pub fn fail_sectors(&self, sectors: Range<u64>) {
        self.faults.borrow_mut().sectors = sectors;
    }

    /// The request after so many others fails like this, and only that.
    pub fn fail_after(&self, requests: u64, error: Error) {
        self.faults.borrow_mut().countdown = Some((requests, error));
    }

    /// What it was asked to do so far.
    pub fn counts(&self) -> Counts {
        self.counts.get()
    }

    /// Bytes of memory that its contents take.
    pub fn memory_bytes(&self) -> usize {
        self.chunks.borrow().len() * PAGE_SIZE
    }

    /// A copy of its contents.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = alloc::vec![0; self.geometry.get().sectors as usize * SECTOR];
        for (chunk, from) in self.chunks.borrow().iter() {
            let at = *chunk as usize * PAGE_SIZE;
            let len = PAGE_SIZE.min(bytes.len() - at);
            bytes[at..at + len].copy_from_slice(&from[..len]);
        }
        bytes
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
    }

    /// Waits its turn, then says whether a request for these sectors may go ahead.
    async fn admit(&self, sectors: &Range<u64>, writes: bool) -> Result<(), Error> {
        if self.lazy {
            pause().await;
        }
        let geometry = self.geometry.get();
        geometry.check(sectors)?;
        if writes && geometry.read_only {
            return Err(Error::ReadOnly);
        }
        let mut faults = self.faults.borrow_mut();
        match &mut faults.countdown {
            Some((0, error)) => {
                let error = *error;
                faults.countdown = None;
                return Err(error);
            }
            Some((left, _)) => *left -= 1,
            None => {}
        }
        let bad = &faults.sectors;
        if sectors.start.max(bad.start) < sectors.end.min(bad.end) {
            return Err(Error::Io);
        }
        Ok(())
    }

    /// Puts bytes into a chunk. Zeroes take no chunk of their own.
    fn store(&self, chunk: u64, at: usize, bytes: &[u8]) -> Result<(), Error> {
        let mut chunks = self.chunks.borrow_mut();
        let chunk = match chunks.entry(chunk) {
            Entry::Occupied(chunk) => chunk.into_mut(),
            Entry::Vacant(_) if are_zero(bytes) => return Ok(()),
            Entry::Vacant(room) => room.insert(Buffer::new(PAGE_SIZE).ok_or(Error::NoMemory)?),
        };
        chunk[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn zero(&self, sectors: Range<u64>) {
        let mut chunks = self.chunks.borrow_mut();
        let mut empty = Vec::new();
        for (&chunk, bytes) in chunks.range_mut(sectors.start / CHUNK..sectors.end.div_ceil(CHUNK)) {
            let first = sectors.start.saturating_sub(chunk * CHUNK) as usize;
            let end = (sectors.end - chunk * CHUNK).min(CHUNK) as usize;
            bytes[first * SECTOR..end * SECTOR].fill(0);
            if are_zero(bytes) {
                empty.push(chunk);
            }
        }
        for chunk in empty {
            chunks.remove(&chunk);
        }
    }
}

/// The pieces of `bytes` that lie in one chunk each: the chunk, where in it, and where in `bytes`.
fn pieces(sector: u64, bytes: usize) -> impl Iterator<Item = (u64, usize, Range<usize>)> {
    let mut done = 0;
    core::iter::from_fn(move || {
        let sector = sector + (done / SECTOR) as u64;
        let at = (sector % CHUNK) as usize * SECTOR;
        let len = (PAGE_SIZE - at).min(bytes - done);
        done += len;
        (len > 0).then_some((sector / CHUNK, at, done - len..done))
    })
}

/// Compares longer pieces, which is quick in a debug build too.
fn are_zero(bytes: &[u8]) -> bool {
    bytes.chunks(64).all(|bytes| *bytes == [0; 64][..bytes.len()])
}

fn span(sector: u64, buffer: &Buffer) -> Range<u64> {
    sector..sector.saturating_add(buffer.sectors())
}

impl BlockDevice for MemDisk {
    fn geometry(&self) -> Geometry {
        self.geometry.get()
    }

    async fn read(&self, sector: u64, mut buffer: Buffer) -> Result<Buffer, Failed> {
        self.count(|counts| counts.reads += 1);
        if let Err(error) = self.admit(&span(sector, &buffer), false).await {
            buffer.fill(0xee);
            return Err(Failed { error, buffer });
        }
        self.count(|counts| counts.sectors_read += buffer.sectors());
        let chunks = self.chunks.borrow();
        for (chunk, at, piece) in pieces(sector, buffer.len()) {
            let len = piece.len();
            match chunks.get(&chunk) {
                Some(from) => buffer[piece].copy_from_slice(&from[at..at + len]),
                None => buffer[piece].fill(0),
            }
        }
        Ok(buffer)
    }

    async fn write(&self, sector: u64, buffer: Buffer) -> Result<Buffer, Failed> {
        self.count(|counts| counts.writes += 1);
        if let Err(error) = self.admit(&span(sector, &buffer), true).await {
            return Err(Failed { error, buffer });
        }
        self.count(|counts| counts.sectors_written += buffer.sectors());
        for (chunk, at, piece) in pieces(sector, buffer.len()) {
            if let Err(error) = self.store(chunk, at, &buffer[piece]) {
                return Err(Failed { error, buffer });
            }
        }
        Ok(buffer)
    }

    async fn flush(&self) -> Result<(), Error> {
        self.count(|counts| counts.flushes += 1);
        self.admit(&(0..0), false).await
    }

    async fn barrier(&self) -> Result<(), Error> {
        self.flush().await
    }

    async fn discard(&self, sectors: Range<u64>, _secure: bool) -> Result<(), Error> {
        self.write_zeroes(sectors).await
    }

    async fn write_zeroes(&self, sectors: Range<u64>) -> Result<(), Error> {
        self.count(|counts| counts.writes += 1);
        self.admit(&sectors, true).await?;
        self.count(|counts| counts.sectors_written += sectors.end - sectors.start);
        self.zero(sectors);
        Ok(())
    }
}
