//! A part of a disk as a disk of its own.

use crate::buffer::Buffer;
use crate::device::{BlockDevice, Error, Failed, Geometry};
use core::ops::Range;

/// A range of a disk's sectors. No request leaves it.
#[derive(Clone, Copy, Debug)]
pub struct Partition<D> {
    disk: D,
    first: u64,
    end: u64,
}

impl<D: BlockDevice> Partition<D> {
    /// These sectors of `disk`, which must be on it and whole logical ones.
    pub fn new(disk: D, sectors: Range<u64>) -> Result<Self, Error> {
        disk.geometry().check(&sectors)?;
        Ok(Self { disk, first: sectors.start, end: sectors.end })
    }

    /// Which of the disk's sectors they are.
    pub fn sectors(&self) -> Range<u64> {
        self.first..self.end
    }

    /// The disk.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    /// The disk's numbers for `count` sectors from `sector` of ours on.
    fn locate(&self, sector: u64, count: u64) -> Result<u64, Error> {
        let end = sector.checked_add(count).ok_or(Error::OutOfRange)?;
        if end > self.end - self.first {
            return Err(Error::OutOfRange);
        }
        Ok(self.first + sector)
    }

    fn locate_range(&self, sectors: &Range<u64>) -> Result<Range<u64>, Error> {
        let count = sectors.end.checked_sub(sectors.start).ok_or(Error::OutOfRange)?;
        let first = self.locate(sectors.start, count)?;
        Ok(first..first + count)
    }
}

impl<D: BlockDevice> BlockDevice for Partition<D> {
    /// The disk's, but as long as the partition, or as much of it as is left if the disk was made shorter.
    fn geometry(&self) -> Geometry {
        let disk = self.disk.geometry();
        Geometry { sectors: self.end.min(disk.sectors).saturating_sub(self.first), ..disk }
    }

    async fn read(&self, sector: u64, buffer: Buffer) -> Result<Buffer, Failed> {
        match self.locate(sector, buffer.sectors()) {
            Ok(sector) => self.disk.read(sector, buffer).await,
            Err(error) => Err(Failed { error, buffer }),
        }
    }

    async fn write(&self, sector: u64, buffer: Buffer) -> Result<Buffer, Failed> {
        match self.locate(sector, buffer.sectors()) {
            Ok(sector) => self.disk.write(sector, buffer).await,
            Err(error) => Err(Failed { error, buffer }),
        }
    }

    async fn flush(&self) -> Result<(), Error> {
        self.disk.flush().await
    }

    async fn barrier(&self) -> Result<(), Error> {
        self.disk.barrier().await
    }

    async fn discard(&self, sectors: Range<u64>, secure: bool) -> Result<(), Error> {
        self.disk.discard(self.locate_range(&sectors)?, secure).await
    }

    async fn write_zeroes(&self, sectors: Range<u64>) -> Result<(), Error> {
        self.disk.write_zeroes(self.locate_range(&sectors)?).await
    }
}
