//! Directories. They are read from end to end: an index, if there is one, is passed over.

use super::super::FileError;
use super::{Ext, Inode};
use crate::bytes::{le16, le32};
use crate::cache::Cache;
use crate::crc::sums_match;
use crate::device::BlockDevice;
use alloc::vec::Vec;
use core::ops::Range;

/// The longest directory that is read: more than a million names.
const MAX_BYTES: u64 = 64 << 20;
/// Bytes of an entry without its name.
const ENTRY: usize = 8;
/// Bytes of what looks like an entry at the end of a block, and has its checksum.
const TAIL: usize = 12;

/// Goes through a directory.
pub(in crate::fs) struct Cursor {
    /// The block that is read, and where in it.
    block: Vec<u8>,
    at: usize,
    /// Where in the directory the next block begins.
    next: u64,
    name: Range<usize>,
}

impl Cursor {
    pub(in crate::fs) fn new(inode: &Inode) -> Result<Self, FileError> {
        inode.check_readable()?;
        if inode.bytes > MAX_BYTES {
            return Err(FileError::Unsupported("a directory of more than 64 MiB"));
        }
        Ok(Self { block: Vec::new(), at: 0, next: 0, name: 0..0 })
    }

    pub(in crate::fs) fn name(&self) -> &[u8] {
        self.block.get(self.name.clone()).unwrap_or_default()
    }

    /// The number of the next entry's inode.
    pub(in crate::fs) async fn next<D: BlockDevice>(
        &mut self,
        ext: &Ext,
        cache: &Cache<D>,
        inode: &Inode,
    ) -> Result<Option<u32>, FileError> {
        loop {
            if self.at >= self.block.len() {
                if self.next >= inode.bytes {
                    return Ok(None);
                }
                let start = self.next;
                self.next += u64::from(ext.block_bytes);
                self.block = ext.read_dir_block(cache, inode, start).await?;
                self.at = 0;
            }
            let entry = &self.block[self.at..];
            let (number, len) = (le32(entry, 0), le16(entry, 4));
            // Blocks of 64 KiB cannot have their length in 16 bits.
            let len = if matches!(len, 0 | 0xffff) { 1 << 16 } else { usize::from(len) };
            let name_len = entry.get(6).copied().map_or(0, usize::from);
            let room = ENTRY + name_len;
            if len < room || len < ENTRY || len > entry.len() || !len.is_multiple_of(4) {
                self.at = self.block.len();
                return Err(FileError::Corrupt("an entry of a directory"));
            }
            self.name = self.at + ENTRY..self.at + room;
            self.at += len;
            if number != 0 && name_len != 0 {
                return Ok(Some(number));
            }
        }
    }
}

impl Ext {
    async fn read_dir_block<D: BlockDevice>(
        &self,
        cache: &Cache<D>,
        inode: &Inode,
        start: u64,
    ) -> Result<Vec<u8>, FileError> {
        let run = self.map(cache, inode, start).await?;
        let at = run.at.ok_or(FileError::Corrupt("a hole in a directory"))?;
        let mut block = alloc::vec![0; self.block_bytes as usize];
        cache.read(at, &mut block).await?;
        let tail = block.len() - TAIL;
        let has_sum = le32(&block, tail) == 0 && le16(&block, tail + 4) == 12 && block[tail + 7] == 0xde;
        if has_sum {
            if self
                .sum(inode.seed, &block[..tail])
                .is_some_and(|sum| !sums_match(sum, le32(&block, tail + 8)))
            {
                return Err(FileError::Corrupt("a directory's checksum"));
            }
        } else if inode.seed.is_some() && !inode.is_indexed() {
            return Err(FileError::Corrupt("a directory without a checksum"));
        }
        Ok(block)
    }
}
