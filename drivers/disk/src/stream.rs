//! A disk as a stream of bytes.

use crate::device::{BlockDevice, Error, SECTOR};
use crate::window::{Window, logical};
use core::ops::Range;
use embedded_io_async::{BufRead, ErrorType, Read, Seek, SeekFrom, Write};

/// How many bytes of a disk a [`Stream`] has in memory at most, unless it is told otherwise.
const CAPACITY: usize = 64 << 10;

/// A position on a disk, to read and write any number of bytes at; give it a [`Partition`](crate::Partition) for a
/// part of a disk.
///
/// It has a piece of the disk in memory: reading goes ahead, the further the longer it has been straight on, and
/// what was written goes to the disk when the position moves on or at `flush`. Dropping it without `flush` loses what
/// has not gone yet. Sectors that are written only in part are read first.
///
/// After an error nothing is lost that was written, and one may try again, unless the disk is dead and has kept it. If a
/// future is dropped, what was on its
/// way to the disk then may or may not arrive, and is not told about.
#[derive(Debug)]
pub struct Stream<D> {
    disk: D,
    position: u64,
    window: Window,
    /// Which bytes of the window the disk does not have yet.
    dirty: Range<usize>,
}

impl<D: BlockDevice> Stream<D> {
    /// At the beginning of a disk.
    pub fn new(disk: D) -> Self {
        Self::with_capacity(disk, CAPACITY)
    }

    /// The same, with at most about so many bytes of the disk in memory.
    pub fn with_capacity(disk: D, bytes: usize) -> Self {
        Self { disk, position: 0, window: Window::new(bytes), dirty: 0..0 }
    }

    /// The disk, at this moment without what was not flushed.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    /// Where the next byte is read or written.
    pub fn position(&self) -> u64 {
        self.position
    }

    fn end(&self) -> u64 {
        self.disk.geometry().sectors.saturating_mul(SECTOR as u64)
    }

    /// Sees to it that the window has what is at the position, if there is anything.
    async fn fill(&mut self, want: usize) -> Result<&[u8], Error> {
        let end = self.end();
        let at = self.position;
        if at >= end {
            return Ok(&[]);
        }
        if self.window.from(at).is_empty() {
            self.write_back().await?;
            let want = self.window.ahead(at, want) as u64;
            self.window.load(&self.disk, at..at.saturating_add(want).min(end)).await?;
        }
        let left = end - at;
        let bytes = self.window.from(at);
        Ok(&bytes[..bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX))])
    }

    /// Moves the window to where the next byte is to be written.
    async fn make_room(&mut self) -> Result<(), Error> {
        let at = self.position;
        let start = self.window.start();
        let valid = self.window.valid();
        if at >= start && at <= start + valid as u64 && at < start + self.window.most() as u64 {
            return Ok(());
        }
        self.write_back().await?;
        let logical = logical(&self.disk);
        let start = at - at % logical;
        if start == at {
            self.window.restart(start);
            Ok(())
        } else {
            self.window.load(&self.disk, start..start + logical).await
        }
    }

    /// Gives the disk what it does not have yet.
    async fn write_back(&mut self) -> Result<(), Error> {
        if self.dirty.is_empty() {
            return Ok(());
        }
        let logical = logical(&self.disk) as usize;
        let end = self.dirty.end.next_multiple_of(logical);
        if end > self.window.valid() {
            // The last sector was not written to its end: the rest of it is as on the disk.
            let mut sector = Window::new(logical);
            let start = self.window.start() + (end - logical) as u64;
            sector.load(&self.disk, start..start + logical as u64).await?;
            let valid = self.window.valid();
            self.window.put(valid, sector.from(self.window.start() + valid as u64))?;
        }
        let front = self.dirty.start - self.dirty.start % logical;
        self.window.drop_front(front);
        let dirty = self.dirty.start - front..self.dirty.end - front;
        self.dirty = 0..0;
        let result = self.window.store(&self.disk, end - front).await;
        if result.is_err() && dirty.end <= self.window.valid() {
            self.dirty = dirty;
        }
        result
    }
}

impl<D> ErrorType for Stream<D> {
    type Error = Error;
}

impl<D: BlockDevice> Read for Stream<D> {
    /// Dropping the future loses nothing but the piece read ahead.
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        let bytes = self.fill(into.len()).await?;
        let len = bytes.len().min(into.len());
        into[..len].copy_from_slice(&bytes[..len]);
        self.position += len as u64;
        Ok(len)
    }
}

impl<D: BlockDevice> BufRead for Stream<D> {
    async fn fill_buf(&mut self) -> Result<&[u8], Error> {
        self.fill(1).await
    }

    fn consume(&mut self, bytes: usize) {
        self.position = self.position.saturating_add(bytes as u64);
    }
}

impl<D: BlockDevice> Write for Stream<D> {
    /// Beyond the disk's end this is [`Error::OutOfRange`].
    async fn write(&mut self, from: &[u8]) -> Result<usize, Error> {
        if from.is_empty() {
            return Ok(0);
        }
        if self.disk.geometry().read_only {
            return Err(Error::ReadOnly);
        }
        let left = self.end().saturating_sub(self.position);
        if left == 0 {
            return Err(Error::OutOfRange);
        }
        self.make_room().await?;
        let from = &from[..from.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        let skip = (self.position - self.window.start()) as usize;
        let len = self.window.put(skip, from)?;
        let written = skip..skip + len;
        self.dirty = if self.dirty.is_empty() {
            written
        } else {
            self.dirty.start.min(written.start)..self.dirty.end.max(written.end)
        };
        self.position += len as u64;
        Ok(len)
    }

    async fn flush(&mut self) -> Result<(), Error> {
        self.write_back().await?;
        self.disk.flush().await
    }
}

impl<D: BlockDevice> Seek for Stream<D> {
    /// One may go beyond the end; there is nothing to read there.
    async fn seek(&mut self, to: SeekFrom) -> Result<u64, Error> {
        self.position = seek(self.position, self.end(), to).ok_or(Error::OutOfRange)?;
        Ok(self.position)
    }
}

/// Where a seek leads to.
pub(crate) fn seek(position: u64, end: u64, to: SeekFrom) -> Option<u64> {
    match to {
        SeekFrom::Start(at) => Some(at),
        SeekFrom::Current(by) => position.checked_add_signed(by),
        SeekFrom::End(by) => end.checked_add_signed(by),
    }
}
