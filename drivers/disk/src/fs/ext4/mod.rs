//! ext2, ext3 and ext4, after "Data Structures and Algorithms" in Linux's documentation (`filesystems/ext4`), and
//! where that leaves room, after what Linux does (`fs/ext4`, `fs/jbd2`).
//!
//! Checksums are checked where there are any. A journal that was not replayed is replayed in memory.

mod block;
mod dir;
mod inode;
mod journal;

pub(super) use dir::Cursor;
pub(super) use inode::Inode;

use super::FileError;
use crate::bytes::{bytes16, le16, le32};
use crate::cache::Cache;
use crate::crc::{crc32c, sums_match};
use crate::device::BlockDevice;
use alloc::string::String;
use alloc::vec::Vec;
use journal::Journal;

/// Where the superblock is, and how long it is.
const SUPERBLOCK: u64 = 1024;
const SUPERBLOCK_BYTES: usize = 1024;

/// Features without whose knowledge one must not read (`s_feature_incompat`).
mod incompat {
    pub(super) const FILETYPE: u32 = 0x2;
    pub(super) const RECOVER: u32 = 0x4;
    pub(super) const EXTENTS: u32 = 0x40;
    pub(super) const BIT64: u32 = 0x80;
    pub(super) const MMP: u32 = 0x100;
    pub(super) const FLEX_BG: u32 = 0x200;
    pub(super) const EA_INODE: u32 = 0x400;
    pub(super) const CSUM_SEED: u32 = 0x2000;
    pub(super) const LARGEDIR: u32 = 0x4000;
    /// Data in inodes and encryption are refused file by file.
    pub(super) const INLINE_DATA: u32 = 0x8000;
    pub(super) const ENCRYPT: u32 = 0x10000;
    /// In such a directory we tell upper case from lower case all the same.
    pub(super) const CASEFOLD: u32 = 0x20000;
    pub(super) const KNOWN: u32 = FILETYPE
        | RECOVER
        | EXTENTS
        | BIT64
        | MMP
        | FLEX_BG
        | EA_INODE
        | CSUM_SEED
        | LARGEDIR
        | INLINE_DATA
        | ENCRYPT
        | CASEFOLD;
}

const HAS_JOURNAL: u32 = 0x4;
const METADATA_CSUM: u32 = 0x400;

/// What the superblock says.
pub(super) struct Ext {
    block_bytes: u32,
    /// How many blocks there are.
    blocks: u64,
    blocks_per_group: u32,
    first_data_block: u32,
    inodes: u32,
    inodes_per_group: u32,
    inode_bytes: u16,
    descriptor_bytes: u16,
    incompat: u32,
    /// What checksums begin with, if there are any.
    seed: Option<u32>,
    journal: Option<Journal>,
    journal_inode: u32,
    label: [u8; 16],
    name: &'static str,
}

impl Ext {
    /// `None` if there is no superblock.
    pub(super) async fn detect<D: BlockDevice>(cache: &Cache<D>) -> Result<Option<Self>, FileError> {
        let mut raw = [0; SUPERBLOCK_BYTES];
        if cache.bytes() < SUPERBLOCK + SUPERBLOCK_BYTES as u64 {
            return Ok(None);
        }
        cache.read(SUPERBLOCK, &mut raw).await?;
        let Some(mut ext) = Self::parse(&raw, cache.bytes())? else { return Ok(None) };
        if ext.incompat & incompat::RECOVER == 0 || ext.journal_inode == 0 {
            return Ok(Some(ext));
        }
        let journal = journal::replay(&ext, cache).await?;
        // The superblock is a block like others.
        let block_bytes = u64::from(ext.block_bytes);
        if let Some(at) = journal.copy_of(SUPERBLOCK / block_bytes) {
            cache.read(at * block_bytes + SUPERBLOCK % block_bytes, &mut raw).await?;
            let block_bytes = ext.block_bytes;
            ext = Self::parse(&raw, cache.bytes())?
                .ok_or(FileError::Corrupt("the superblock in the journal"))?;
            if ext.block_bytes != block_bytes {
                return Err(FileError::Corrupt("the superblock in the journal"));
            }
        }
        ext.journal = Some(journal);
        Ok(Some(ext))
    }

    fn parse(raw: &[u8; SUPERBLOCK_BYTES], disk_bytes: u64) -> Result<Option<Self>, FileError> {
        if le16(raw, 0x38) != 0xef53 {
            return Ok(None);
        }
        let incompat = le32(raw, 0x60);
        if incompat & !incompat::KNOWN != 0 {
            return Err(FileError::Unsupported("features that one must know to read"));
        }
        let seed = if le32(raw, 0x64) & METADATA_CSUM == 0 {
            None
        } else if !sums_match(crc32c(!0, &raw[..0x3fc]), le32(raw, 0x3fc)) {
            return Err(FileError::Corrupt("the superblock's checksum"));
        } else if incompat & incompat::CSUM_SEED != 0 {
            Some(le32(raw, 0x270))
        } else {
            Some(crc32c(!0, &bytes16(raw, 0x68)))
        };
        let has_journal = le32(raw, 0x5c) & HAS_JOURNAL != 0;
        let log_block = le32(raw, 0x18);
        if log_block > 6 {
            return Err(FileError::Corrupt("the length of blocks"));
        }
        let is_64 = incompat & incompat::BIT64 != 0;
        let blocks = if is_64 { u64::from(le32(raw, 0x150)) << 32 } else { 0 } | u64::from(le32(raw, 4));
        let ext = Self {
            block_bytes: 1024 << log_block,
            blocks,
            blocks_per_group: le32(raw, 0x20),
            first_data_block: le32(raw, 0x14),
            inodes: le32(raw, 0),
            inodes_per_group: le32(raw, 0x28),
            inode_bytes: if le32(raw, 0x4c) == 0 { 128 } else { le16(raw, 0x58) },
            descriptor_bytes: if is_64 { le16(raw, 0xfe) } else { 32 },
            incompat,
            seed,
            journal: None,
            journal_inode: if has_journal { le32(raw, 0xe0) } else { 0 },
            label: bytes16(raw, 0x78),
            name: match (incompat & incompat::EXTENTS != 0, has_journal) {
                (true, _) => "ext4",
                (false, true) => "ext3",
                (false, false) => "ext2",
            },
        };
        ext.check(disk_bytes)?;
        Ok(Some(ext))
    }

    /// Whether the numbers can be.
    fn check(&self, disk_bytes: u64) -> Result<(), FileError> {
        let block = self.block_bytes;
        if self.blocks > disk_bytes / u64::from(block) {
            return Err(FileError::Corrupt("the volume is longer than its disk"));
        }
        if u64::from(self.first_data_block) >= self.blocks
            || self.first_data_block > 1
            || self.blocks_per_group == 0
        {
            return Err(FileError::Corrupt("the number of blocks"));
        }
        if self.inodes_per_group == 0 || self.inodes == 0 {
            return Err(FileError::Corrupt("the number of inodes"));
        }
        if !self.inode_bytes.is_power_of_two()
            || self.inode_bytes < 128
            || u32::from(self.inode_bytes) > block
        {
            return Err(FileError::Corrupt("the length of inodes"));
        }
        let descriptor = self.descriptor_bytes;
        let least = if self.incompat & incompat::BIT64 != 0 { 64 } else { 32 };
        if !descriptor.is_power_of_two() || !(least..=1024).contains(&descriptor) {
            return Err(FileError::Corrupt("the length of group descriptors"));
        }
        Ok(())
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn label(&self) -> String {
        let len = self.label.iter().position(|&byte| byte == 0).unwrap_or(self.label.len());
        String::from_utf8_lossy(&self.label[..len]).into_owned()
    }

    /// Where on the disk a block is, in bytes.
    fn place(&self, block: u64) -> Result<u64, FileError> {
        if block < u64::from(self.first_data_block) || block >= self.blocks {
            return Err(FileError::Corrupt("the number of a block"));
        }
        let copy = self.journal.as_ref().and_then(|journal| journal.copy_of(block));
        Ok(copy.unwrap_or(block) * u64::from(self.block_bytes))
    }

    async fn read_block<D: BlockDevice>(&self, cache: &Cache<D>, block: u64) -> Result<Vec<u8>, FileError> {
        let at = self.place(block)?;
        let mut bytes = alloc::vec![0; self.block_bytes as usize];
        cache.read(at, &mut bytes).await?;
        Ok(bytes)
    }

    /// Continues a checksum, if there are any. `sum` is where it begins.
    fn sum(&self, sum: Option<u32>, bytes: &[u8]) -> Option<u32> {
        sum.map(|sum| crc32c(sum, bytes))
    }
}
