//! Inodes: all there is to know about a file but its name.

use super::super::{FileError, Kind, Metadata};
use super::Ext;
use crate::bytes::{le16, le32};
use crate::cache::Cache;
use crate::crc::{crc32c, sums_match};
use crate::device::BlockDevice;
use alloc::vec::Vec;

const ROOT: u32 = 2;
/// A shorter symbolic link is in its inode.
const FAST_LINK: u64 = 60;
/// A path has no more.
const MAX_LINK: u64 = 4096;

const ENCRYPTED: u32 = 0x800;
const INDEXED: u32 = 0x1000;
const EXTENTS: u32 = 0x8_0000;
const INLINE_DATA: u32 = 0x1000_0000;

/// An inode.
#[derive(Clone)]
pub(in crate::fs) struct Inode {
    kind: Kind,
    pub(super) bytes: u64,
    flags: u32,
    /// The root of the tree that says where its blocks are, or a short symbolic link.
    pub(super) root: [u8; 60],
    /// What the checksums of its blocks begin with.
    pub(super) seed: Option<u32>,
}

impl Inode {
    pub(in crate::fs) fn metadata(&self) -> Metadata {
        Metadata { kind: self.kind, bytes: self.bytes }
    }

    pub(super) fn has_extents(&self) -> bool {
        self.flags & EXTENTS != 0
    }

    /// Whether it is a directory with an index, which is in blocks that hold nothing else.
    pub(super) fn is_indexed(&self) -> bool {
        self.flags & INDEXED != 0
    }

    /// Whether we can read what is in it.
    pub(super) fn check_readable(&self) -> Result<(), FileError> {
        if self.flags & ENCRYPTED != 0 {
            return Err(FileError::Unsupported("an encrypted file"));
        }
        if self.flags & INLINE_DATA != 0 {
            return Err(FileError::Unsupported("a file inside its inode"));
        }
        Ok(())
    }
}

impl Ext {
    pub(in crate::fs) async fn root<D: BlockDevice>(&self, cache: &Cache<D>) -> Result<Inode, FileError> {
        let root = self.inode(cache, ROOT).await?;
        if root.kind != Kind::Directory {
            return Err(FileError::Corrupt("the root is not a directory"));
        }
        Ok(root)
    }

    pub(in crate::fs) async fn inode<D: BlockDevice>(
        &self,
        cache: &Cache<D>,
        number: u32,
    ) -> Result<Inode, FileError> {
        let wrong = FileError::Corrupt("the number of an inode");
        let index = number.checked_sub(1).ok_or(wrong)?;
        let group = index / self.inodes_per_group;
        let groups =
            (self.blocks - u64::from(self.first_data_block)).div_ceil(u64::from(self.blocks_per_group));
        if number > self.inodes || u64::from(group) >= groups {
            return Err(wrong);
        }
        let table = self.inode_table(cache, group).await?;
        let at = u64::from(index % self.inodes_per_group) * u64::from(self.inode_bytes);
        let block = table.checked_add(at / u64::from(self.block_bytes)).ok_or(wrong)?;
        let mut raw = [0; 1024];
        // What is behind the checksummed part of a longer inode than anybody makes is of no interest.
        let raw =
            raw.get_mut(..usize::from(self.inode_bytes)).ok_or(FileError::Unsupported("long inodes"))?;
        cache.read(self.place(block)? + at % u64::from(self.block_bytes), raw).await?;
        self.parse_inode(number, raw)
    }

    /// The first block of a group's inodes.
    async fn inode_table<D: BlockDevice>(&self, cache: &Cache<D>, group: u32) -> Result<u64, FileError> {
        // The descriptors follow the superblock's block.
        let first = if self.block_bytes == 1024 { 2 } else { 1 };
        let at = u64::from(group) * u64::from(self.descriptor_bytes);
        let block = first + at / u64::from(self.block_bytes);
        let mut raw = [0; 1024];
        let raw = &mut raw[..usize::from(self.descriptor_bytes).min(1024)];
        cache.read(self.place(block)? + at % u64::from(self.block_bytes), raw).await?;
        let sum = self.sum(self.seed, &group.to_le_bytes()).map(|sum| without(sum, raw, &[0x1e]));
        if sum.is_some_and(|sum| !sums_match(sum & 0xffff, u32::from(le16(raw, 0x1e)))) {
            return Err(FileError::Corrupt("a group's checksum"));
        }
        let high = if raw.len() >= 64 { le32(raw, 0x28) } else { 0 };
        Ok(u64::from(high) << 32 | u64::from(le32(raw, 8)))
    }

    fn parse_inode(&self, number: u32, raw: &[u8]) -> Result<Inode, FileError> {
        let seed = self.sum(self.seed, &number.to_le_bytes());
        let seed = self.sum(seed, &raw[0x64..0x68]);
        if let Some(seed) = seed {
            // Only longer inodes have room for the upper half of the sum.
            let is_long = raw.len() > 128 && le16(raw, 0x80) >= 4;
            let (high, mask) = if is_long { (le16(raw, 0x82), !0) } else { (0, 0xffff) };
            let found = u32::from(high) << 16 | u32::from(le16(raw, 0x7c));
            let made = without(seed, raw, if is_long { &[0x7c, 0x82] } else { &[0x7c] });
            if !sums_match(made & mask, found) {
                return Err(FileError::Corrupt("an inode's checksum"));
            }
        }
        let kind = match le16(raw, 0) >> 12 {
            0x8 => Kind::File,
            0x4 => Kind::Directory,
            0xa => Kind::Link,
            0x1 | 0x2 | 0x6 | 0xc => Kind::Other,
            _ => return Err(FileError::Corrupt("an inode that is not in use")),
        };
        let high = if kind == Kind::File { le32(raw, 0x6c) } else { 0 };
        let bytes = u64::from(high) << 32 | u64::from(le32(raw, 4));
        // Block numbers inside a file have 32 bits.
        if bytes.div_ceil(u64::from(self.block_bytes)) > 1 << 32 {
            return Err(FileError::Corrupt("the length of a file"));
        }
        let root = *raw[0x28..].first_chunk().unwrap_or(&[0; 60]);
        Ok(Inode { kind, bytes, flags: le32(raw, 0x20), root, seed })
    }

    /// Where a symbolic link leads to.
    pub(in crate::fs) async fn target<D: BlockDevice>(
        &self,
        cache: &Cache<D>,
        inode: &Inode,
    ) -> Result<Vec<u8>, FileError> {
        let wrong = FileError::Corrupt("a symbolic link");
        inode.check_readable()?;
        if inode.bytes == 0 || inode.bytes > MAX_LINK {
            return Err(wrong);
        }
        if inode.bytes < FAST_LINK {
            return Ok(inode.root[..inode.bytes as usize].to_vec());
        }
        let mut target = alloc::vec![0; inode.bytes as usize];
        let mut done = 0;
        while done < target.len() {
            let run = self.map(cache, inode, done as u64).await?;
            let len = run.bytes.min((target.len() - done) as u64) as usize;
            let at = run.at.filter(|_| len > 0).ok_or(wrong)?;
            cache.read(at, &mut target[done..done + len]).await?;
            done += len;
        }
        Ok(target)
    }
}

/// The checksum of all that but for 16-bit holes at these places, which count as zeroes.
fn without(sum: u32, bytes: &[u8], holes: &[usize]) -> u32 {
    let mut done = 0;
    let sum = holes.iter().fold(sum, |sum, &hole| {
        let sum = crc32c(crc32c(sum, &bytes[done..hole]), &[0; 2]);
        done = hole + 2;
        sum
    });
    crc32c(sum, &bytes[done..])
}
