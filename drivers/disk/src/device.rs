//! The trait every disk implements.

use crate::buffer::Buffer;
use alloc::rc::Rc;
use core::fmt;
use core::future::Future;
use core::ops::Range;
use embedded_io_async::ErrorKind;

/// Bytes in a sector, the unit of every sector number here whatever the disk's own sector size is, as in
/// `xen/include/public/io/blkif.h`.
pub const SECTOR: usize = 512;

/// What a disk is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Its length in sectors of [`SECTOR`] bytes. It may change while the disk is in use.
    pub sectors: u64,
    /// What reads and writes must be multiples of, in bytes: the logical sector size.
    pub logical_bytes: u32,
    /// The size of the medium's own blocks, in bytes: smaller writes cost it a read.
    pub physical_bytes: u32,
    /// Writes fail.
    pub read_only: bool,
    /// The medium can be exchanged.
    pub removable: bool,
    /// `flush` has something to do.
    pub flush: bool,
    /// `discard` works; in units of so many bytes.
    pub discard_bytes: Option<u32>,
    /// The most bytes that go to the device in one request; longer ones are divided.
    pub request_bytes: u32,
}

impl Geometry {
    /// Sectors of [`SECTOR`] bytes in a logical one; never zero.
    pub fn logical_sectors(&self) -> u64 {
        (u64::from(self.logical_bytes) / SECTOR as u64).max(1)
    }

    /// Whether these sectors are on the disk, and whole logical ones.
    pub fn check(&self, sectors: &Range<u64>) -> Result<(), Error> {
        if sectors.end < sectors.start || sectors.end > self.sectors {
            return Err(Error::OutOfRange);
        }
        let logical = self.logical_sectors();
        if !sectors.start.is_multiple_of(logical) || !sectors.end.is_multiple_of(logical) {
            return Err(Error::Unaligned);
        }
        Ok(())
    }
}

/// Why a disk did not do what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Beyond the disk's end.
    OutOfRange,
    /// Not a multiple of the logical sector size.
    Unaligned,
    /// The disk is read-only.
    ReadOnly,
    /// The disk cannot do this at all.
    Unsupported,
    /// The disk tried and failed.
    Io,
    /// The disk went away, and may be back; only told to those who asked not to wait.
    Paused,
    /// The disk was taken away for good.
    Gone,
    /// The other end broke the protocol; the disk is dead.
    Corrupt,
    /// There is no memory, or nothing left to lend it with.
    NoMemory,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfRange => "beyond the end of the disk",
            Self::Unaligned => "not a multiple of the disk's sectors",
            Self::ReadOnly => "the disk is read-only",
            Self::Unsupported => "the disk cannot do this",
            Self::Io => "the disk failed",
            Self::Paused => "the disk is away for the moment",
            Self::Gone => "the disk was taken away",
            Self::Corrupt => "the disk's backend broke the protocol",
            Self::NoMemory => "no memory",
        })
    }
}

impl core::error::Error for Error {}

impl embedded_io_async::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::OutOfRange | Self::Unaligned => ErrorKind::InvalidInput,
            Self::ReadOnly => ErrorKind::PermissionDenied,
            Self::Unsupported => ErrorKind::Unsupported,
            Self::Io => ErrorKind::Other,
            Self::Paused => ErrorKind::Interrupted,
            Self::Gone => ErrorKind::NotConnected,
            Self::Corrupt => ErrorKind::InvalidData,
            Self::NoMemory => ErrorKind::OutOfMemory,
        }
    }
}

/// An error, and the buffer that had been given along.
#[derive(Debug)]
pub struct Failed {
    /// Why.
    pub error: Error,
    /// What came of it is undefined after a failed read. Empty if the device does not let go of its pages, which is
    /// [`Error::Corrupt`].
    pub buffer: Buffer,
}

/// A disk. Any number of requests may be under way at once; they may complete in any order.
///
/// Dropping a request's future does not stop the request: its buffer is freed when the device lets go of it.
pub trait BlockDevice {
    /// What it is like at this moment.
    fn geometry(&self) -> Geometry;

    /// Fills `buffer` from `sector` on.
    fn read(&self, sector: u64, buffer: Buffer) -> impl Future<Output = Result<Buffer, Failed>>;

    /// Writes `buffer` to `sector` and on. It is durable after the next [`flush`](Self::flush).
    fn write(&self, sector: u64, buffer: Buffer) -> impl Future<Output = Result<Buffer, Failed>>;

    /// Makes everything durable whose write had completed before.
    fn flush(&self) -> impl Future<Output = Result<(), Error>>;

    /// Orders writes: those asked for before it are durable before any asked for after it begins.
    fn barrier(&self) -> impl Future<Output = Result<(), Error>>;

    /// Says that these sectors' contents are no longer needed. With `secure`, they must become unreadable.
    fn discard(&self, sectors: Range<u64>, secure: bool) -> impl Future<Output = Result<(), Error>>;

    /// Makes these sectors read as zeroes.
    fn write_zeroes(&self, sectors: Range<u64>) -> impl Future<Output = Result<(), Error>>;
}

impl<D: BlockDevice> BlockDevice for &D {
    fn geometry(&self) -> Geometry {
        (**self).geometry()
    }
    fn read(&self, sector: u64, buffer: Buffer) -> impl Future<Output = Result<Buffer, Failed>> {
        (**self).read(sector, buffer)
    }
    fn write(&self, sector: u64, buffer: Buffer) -> impl Future<Output = Result<Buffer, Failed>> {
        (**self).write(sector, buffer)
    }
    fn flush(&self) -> impl Future<Output = Result<(), Error>> {
        (**self).flush()
    }
    fn barrier(&self) -> impl Future<Output = Result<(), Error>> {
        (**self).barrier()
    }
    fn discard(&self, sectors: Range<u64>, secure: bool) -> impl Future<Output = Result<(), Error>> {
        (**self).discard(sectors, secure)
    }
    fn write_zeroes(&self, sectors: Range<u64>) -> impl Future<Output = Result<(), Error>> {
        (**self).write_zeroes(sectors)
    }
}

impl<D: BlockDevice> BlockDevice for Rc<D> {
    fn geometry(&self) -> Geometry {
        (**self).geometry()
    }
    fn read(&self, sector: u64, buffer: Buffer) -> impl Future<Output = Result<Buffer, Failed>> {
        (**self).read(sector, buffer)
    }
    fn write(&self, sector: u64, buffer: Buffer) -> impl Future<Output = Result<Buffer, Failed>> {
        (**self).write(sector, buffer)
    }
    fn flush(&self) -> impl Future<Output = Result<(), Error>> {
        (**self).flush()
    }
    fn barrier(&self) -> impl Future<Output = Result<(), Error>> {
        (**self).barrier()
    }
    fn discard(&self, sectors: Range<u64>, secure: bool) -> impl Future<Output = Result<(), Error>> {
        (**self).discard(sectors, secure)
    }
    fn write_zeroes(&self, sectors: Range<u64>) -> impl Future<Output = Result<(), Error>> {
        (**self).write_zeroes(sectors)
    }
}
