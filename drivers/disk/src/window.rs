//! A buffer, and which part of a disk is in it.

use crate::buffer::Buffer;
use crate::device::{BlockDevice, Error, Failed, SECTOR};
use core::ops::Range;

/// The least that is read ahead, in bytes.
const LEAST: usize = 4096;

/// A piece of a disk, of bounded size, in memory. Positions are in bytes.
#[derive(Debug)]
pub(crate) struct Window {
    /// Not here while the device has it. Should our future be dropped then, it is lost, and another takes its place.
    buffer: Option<Buffer>,
    most: usize,
    start: u64,
    valid: usize,
    ahead: usize,
}

impl Window {
    /// One of at most so many bytes. It takes memory only when it is used.
    pub(crate) fn new(most: usize) -> Self {
        Self { buffer: None, most: most.max(LEAST).next_multiple_of(LEAST), start: 0, valid: 0, ahead: 0 }
    }

    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// How many bytes from its start on are those of the disk, or are to be.
    pub(crate) fn valid(&self) -> usize {
        self.valid
    }

    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// What there is from `at` on; empty if that is not in the window.
    pub(crate) fn from(&self, at: u64) -> &[u8] {
        let bytes = self.buffer.as_deref().unwrap_or_default();
        let bytes = &bytes[..self.valid.min(bytes.len())];
        let skip = at.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        skip.and_then(|skip| bytes.get(skip..)).unwrap_or_default()
    }

    /// How much to read at `at` if `want` bytes are asked for: the more, the longer reading has been going straight on.
    pub(crate) fn ahead(&mut self, at: u64, want: usize) -> usize {
        let straight_on = self.valid > 0 && at == self.start + self.valid as u64;
        self.ahead = if straight_on { (self.ahead * 2).min(self.most) } else { LEAST };
        self.ahead.max(want).min(self.most)
    }

    /// Reads these bytes, and what else is in their logical sectors, or as much from the first on as there is room for.
    pub(crate) async fn load<D: BlockDevice>(&mut self, disk: &D, bytes: Range<u64>) -> Result<(), Error> {
        let logical = logical(disk);
        let start = bytes.start - bytes.start % logical;
        let end = bytes.end.checked_next_multiple_of(logical).ok_or(Error::OutOfRange)?;
        let most = (self.most as u64).next_multiple_of(logical);
        let len = (end - start).min(most) as usize;
        let buffer = self.take(len)?;
        let result = disk.read(start / SECTOR as u64, buffer).await;
        self.give_back(result.map(|buffer| (buffer, start, len)))
    }

    /// Begins anew at `start`, with nothing in it yet.
    pub(crate) fn restart(&mut self, start: u64) {
        self.start = start;
        self.valid = 0;
    }

    /// Puts bytes in at `skip` from the start, which must be in what is valid or right behind; gives how many it took.
    pub(crate) fn put(&mut self, skip: usize, from: &[u8]) -> Result<usize, Error> {
        let valid = self.valid;
        let mut buffer = self.take(self.most)?;
        let room = buffer.get_mut(skip..).unwrap_or_default();
        let len = room.len().min(from.len());
        room[..len].copy_from_slice(&from[..len]);
        self.buffer = Some(buffer);
        self.valid = valid.max(skip + len);
        Ok(len)
    }

    /// Moves what begins at `skip` to the start.
    pub(crate) fn drop_front(&mut self, skip: usize) {
        if skip > 0
            && skip <= self.valid
            && let Some(buffer) = &mut self.buffer
        {
            buffer.copy_within(skip..self.valid, 0);
            self.start += skip as u64;
            self.valid -= skip;
        }
    }

    /// Writes the first `len` bytes, whole logical sectors, and keeps them and no others.
    pub(crate) async fn store<D: BlockDevice>(&mut self, disk: &D, len: usize) -> Result<(), Error> {
        let start = self.start;
        let buffer = self.take(len)?;
        match disk.write(start / SECTOR as u64, buffer).await {
            Ok(buffer) => self.give_back(Ok((buffer, start, len))),
            Err(Failed { error, buffer }) => {
                // A failed write leaves the bytes as they were, unless the device does not let go of them.
                let len = len.min(buffer.len());
                self.give_back(Ok((buffer, start, len)))?;
                Err(error)
            }
        }
    }

    /// Our buffer at that length, or a new one. Until something is put back, nothing is valid.
    fn take(&mut self, len: usize) -> Result<Buffer, Error> {
        self.valid = 0;
        let fitting = self.buffer.take().filter(|buffer| buffer.capacity() >= len);
        let buffer = fitting.or_else(|| Buffer::new(len.max(self.most))).ok_or(Error::NoMemory)?;
        buffer.resized(len).ok_or(Error::Unaligned)
    }

    fn give_back(&mut self, result: Result<(Buffer, u64, usize), Failed>) -> Result<(), Error> {
        match result {
            Ok((buffer, start, valid)) => {
                self.buffer = Some(buffer);
                self.start = start;
                self.valid = valid;
                Ok(())
            }
            Err(failed) => {
                self.buffer = Some(failed.buffer);
                Err(failed.error)
            }
        }
    }
}

/// Bytes in a logical sector.
pub(crate) fn logical<D: BlockDevice>(disk: &D) -> u64 {
    disk.geometry().logical_sectors() * SECTOR as u64
}
