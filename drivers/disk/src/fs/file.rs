//! An open file.

use super::{FileError, Node, Run, Volume};
use crate::device::BlockDevice;
use crate::stream::seek;
use crate::window::Window;
use embedded_io_async::{ErrorType, Read, Seek, SeekFrom};

/// How much of a file is in memory at most.
const CAPACITY: u64 = 64 << 10;

/// A file that is read from a position on. The longer it is read straight on, the further it is read ahead.
pub struct File<'v, D> {
    volume: &'v Volume<D>,
    node: Node,
    position: u64,
    /// Where the file's bytes are around the position.
    run: Run,
    window: Window,
}

impl<'v, D: BlockDevice> File<'v, D> {
    pub(super) fn new(volume: &'v Volume<D>, node: Node) -> Self {
        let capacity = node.metadata().bytes.min(CAPACITY) as usize;
        Self { volume, node, position: 0, run: Run::default(), window: Window::new(capacity) }
    }

    /// Its length.
    pub fn bytes(&self) -> u64 {
        self.node.metadata().bytes
    }

    /// Where the next byte is read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Reads from byte `offset` on until the room is full or the file ends; gives how many bytes there were.
    pub async fn read_at(&mut self, offset: u64, into: &mut [u8]) -> Result<usize, FileError> {
        self.position = offset;
        let mut done = 0;
        while done < into.len() {
            match self.read(&mut into[done..]).await? {
                0 => break,
                len => done += len,
            }
        }
        Ok(done)
    }
}

impl<D> ErrorType for File<'_, D> {
    type Error = FileError;
}

impl<D: BlockDevice> Read for File<'_, D> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, FileError> {
        let left = self.bytes().saturating_sub(self.position);
        if left == 0 || into.is_empty() {
            return Ok(0);
        }
        let skip = self.position.wrapping_sub(self.run.from);
        let skip = if skip < self.run.bytes {
            skip
        } else {
            self.run = self.volume.map(&self.node, self.position, self.run).await?;
            0
        };
        let left = left.min(self.run.bytes.saturating_sub(skip));
        let len = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let into = &mut into[..len];
        let Some(at) = self.run.at else {
            into.fill(0);
            self.position += len as u64;
            return Ok(len);
        };
        let at = at + skip;
        if self.window.from(at).is_empty() {
            let ahead = self.window.ahead(at, len) as u64;
            self.window.load(self.volume.cache.disk(), at..at + ahead.min(left)).await?;
        }
        let bytes = self.window.from(at);
        let len = len.min(bytes.len());
        into[..len].copy_from_slice(&bytes[..len]);
        self.position += len as u64;
        Ok(len)
    }
}

impl<D: BlockDevice> Seek for File<'_, D> {
    /// One may go beyond the end; there is nothing to read there.
    async fn seek(&mut self, to: SeekFrom) -> Result<u64, FileError> {
        self.position = seek(self.position, self.bytes(), to).ok_or(FileError::BadPosition)?;
        Ok(self.position)
    }
}
