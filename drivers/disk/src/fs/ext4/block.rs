//! Where a file's blocks are: in trees of extents, or in lists of lists of numbers.

use super::super::{FileError, Run};
use super::{Ext, Inode};
use crate::bytes::{le16, le32};
use crate::cache::Cache;
use crate::crc::sums_match;
use crate::device::BlockDevice;
use alloc::vec::Vec;

/// Deeper trees are not needed for any file.
const MAX_DEPTH: u16 = 5;
/// How many numbers an inode has of blocks themselves; it has three more, of lists, of lists of those, and so on.
const DIRECT: u64 = 12;

/// Blocks of a file that follow one another on the disk.
struct Blocks {
    /// The first; none of a hole.
    first: Option<u64>,
    /// How many, one at least.
    count: u64,
}

impl Ext {
    /// See [`Volume::map`](super::super::Volume::map).
    pub(in crate::fs) async fn map<D: BlockDevice>(
        &self,
        cache: &Cache<D>,
        inode: &Inode,
        offset: u64,
    ) -> Result<Run, FileError> {
        inode.check_readable()?;
        let block_bytes = u64::from(self.block_bytes);
        let block = offset / block_bytes;
        let blocks = if inode.has_extents() {
            self.map_extents(cache, inode, block).await?
        } else {
            self.map_lists(cache, inode, block).await?
        };
        let mut count = blocks.count;
        let at = match blocks.first {
            Some(first) => {
                if first.checked_add(count).is_none_or(|end| end > self.blocks) {
                    return Err(FileError::Corrupt("where a file is"));
                }
                if let Some(journal) = &self.journal {
                    count = count.min(journal.alike(first, count));
                }
                Some(self.place(first)? + offset % block_bytes)
            }
            None => None,
        };
        let bytes = (block + count) * block_bytes - offset;
        Ok(Run {
            from: offset,
            bytes,
            at,
            #[cfg(feature = "fat")]
            hint: (0, 0),
        })
    }

    /// Goes down a tree of extents. Each step goes one level down, whatever is on the disk.
    async fn map_extents<D: BlockDevice>(
        &self,
        cache: &Cache<D>,
        inode: &Inode,
        block: u64,
    ) -> Result<Blocks, FileError> {
        let mut node = inode.root.to_vec();
        let mut depth = None;
        // Where at the latest something else begins.
        let mut end = 1 << 32;
        loop {
            let (entries, height) = header(&node, depth)?;
            depth = Some(height);
            let first = |index: usize| u64::from(le32(&node, 12 * index + 12));
            // The entries before `low` begin at the block or before it.
            let (mut low, mut high) = (0, entries);
            while low < high {
                let middle = low.midpoint(high);
                if first(middle) <= block {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            if low < entries {
                end = end.min(first(low));
            }
            let hole = Blocks { first: None, count: end.saturating_sub(block).max(1) };
            let Some(index) = low.checked_sub(1) else { return Ok(hole) };
            let at = 12 * index + 12;
            if height > 0 {
                let child = u64::from(le16(&node, at + 8)) << 32 | u64::from(le32(&node, at + 4));
                node = self.read_node(cache, inode, child).await?;
                continue;
            }
            let len = u64::from(le16(&node, at + 4));
            let start = u64::from(le16(&node, at + 6)) << 32 | u64::from(le32(&node, at + 8));
            // Longer ones are set aside but not written yet, and read as zeroes.
            let (len, is_written) = if len > 0x8000 { (len - 0x8000, false) } else { (len, true) };
            let skip = block - first(index);
            return Ok(match len.checked_sub(skip) {
                None | Some(0) => hole,
                Some(count) => {
                    let count = count.min(hole.count);
                    Blocks { first: is_written.then_some(start + skip), count }
                }
            });
        }
    }

    /// Reads a node of a tree of extents and checks its sum, which follows what there is room for.
    async fn read_node<D: BlockDevice>(
        &self,
        cache: &Cache<D>,
        inode: &Inode,
        block: u64,
    ) -> Result<Vec<u8>, FileError> {
        let node = self.read_block(cache, block).await?;
        let tail = 12 + 12 * usize::from(le16(&node, 4));
        let summed = node.get(..tail).ok_or(FileError::Corrupt("a node of a tree of extents"))?;
        if self.sum(inode.seed, summed).is_some_and(|sum| !sums_match(sum, le32(&node, tail))) {
            return Err(FileError::Corrupt("the checksum of a node of a tree of extents"));
        }
        Ok(node)
    }

    /// Goes down lists of lists, as many levels as the block's number says.
    async fn map_lists<D: BlockDevice>(
        &self,
        cache: &Cache<D>,
        inode: &Inode,
        block: u64,
    ) -> Result<Blocks, FileError> {
        if block < DIRECT {
            return Ok(alike(&inode.root[..4 * DIRECT as usize], block as usize));
        }
        let per_list = u64::from(self.block_bytes / 4);
        let mut block = block - DIRECT;
        let mut reach = per_list;
        let mut levels = 1;
        while block >= reach {
            block -= reach;
            reach *= per_list;
            levels += 1;
            if levels > 3 {
                return Err(FileError::Corrupt("the length of a file"));
            }
        }
        let mut number = le32(&inode.root, 4 * (DIRECT as usize + levels - 1));
        loop {
            if number == 0 {
                return Ok(Blocks { first: None, count: reach - block });
            }
            let list = self.read_block(cache, u64::from(number)).await?;
            reach /= per_list;
            if reach == 1 {
                return Ok(alike(&list, block as usize));
            }
            number = le32(&list, 4 * (block / reach) as usize);
            block %= reach;
        }
    }
}

/// How many entries a node of a tree of extents has, and how many levels there are below it, one less than above.
fn header(node: &[u8], above: Option<u16>) -> Result<(usize, u16), FileError> {
    let (entries, depth) = (usize::from(le16(node, 2)), le16(node, 6));
    let fits = le16(node, 0) == 0xf30a
        && 12 + 12 * entries <= node.len()
        && depth <= MAX_DEPTH
        && above.is_none_or(|above| above.checked_sub(1) == Some(depth));
    if !fits {
        return Err(FileError::Corrupt("a node of a tree of extents"));
    }
    Ok((entries, depth))
}

/// What a list of numbers says at `index`, and how far it goes on like that.
fn alike(list: &[u8], index: usize) -> Blocks {
    let mut numbers = list.chunks_exact(4).skip(index).map(|number| u64::from(le32(number, 0)));
    let first = numbers.next().unwrap_or(0);
    let step = u64::from(first != 0);
    let more = numbers.zip(1..).take_while(|&(number, at)| number == first + step * at).count();
    Blocks { first: (first != 0).then_some(first), count: 1 + more as u64 }
}
