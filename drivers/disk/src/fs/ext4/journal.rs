//! The journal. What was promised to be written is read from there, as Linux would have written it back
//! (`fs/jbd2/recovery.c`); nothing is written. All its numbers are big-endian.

use super::super::{FileError, Run};
use super::{Ext, Inode};
use crate::cache::Cache;
use crate::crc::{crc32c, sums_match};
use crate::device::BlockDevice;
use alloc::vec::Vec;

const MAGIC: u32 = 0xc03b_3998;
/// The most blocks that a journal may have to replay, and to revoke. Linux replays in units of a few thousand.
const MAX_BLOCKS: usize = 32 << 10;
/// The most blocks that are looked at: a journal of 1 GiB with the shortest blocks.
const MAX_STEPS: u32 = 1 << 20;

const REVOKE: u32 = 0x1;
const BIT64: u32 = 0x2;
const CSUM_V2: u32 = 0x8;
const CSUM_V3: u32 = 0x10;

const TOO_MUCH: FileError = FileError::Unsupported("a journal with that much in it");

/// Bytes of the header of each of the journal's own blocks.
const HEADER: usize = 12;

/// Which blocks have later contents in the journal.
pub(super) struct Journal {
    /// The blocks, in order, each with the one that has its contents.
    copies: Vec<(u64, u64)>,
}

impl Journal {
    /// The block that has the contents of this one.
    pub(super) fn copy_of(&self, block: u64) -> Option<u64> {
        let &(found, copy) = self.copies.get(self.position(block))?;
        (found == block).then_some(copy)
    }

    /// How many of `count` blocks from `first` on are where the first is: all in their places, or only the first,
    /// which is in the journal.
    pub(super) fn alike(&self, first: u64, count: u64) -> u64 {
        match self.copies.get(self.position(first)) {
            Some(&(block, _)) if block == first => 1,
            Some(&(block, _)) => count.min(block - first),
            None => count,
        }
    }

    fn position(&self, block: u64) -> usize {
        self.copies.partition_point(|&(other, _)| other < block)
    }
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    crate::bytes::le32(bytes, at).swap_bytes()
}

/// What the journal's own superblock says.
struct Log {
    features: u32,
    /// Its blocks are `first..end`, and after the last comes the first.
    first: u32,
    end: u32,
    /// Where to begin, and with which transaction.
    start: u32,
    sequence: u32,
    seed: u32,
}

/// Goes through the journal.
struct Reader<'a, D> {
    ext: &'a Ext,
    cache: &'a Cache<D>,
    inode: Inode,
    log: Log,
    /// Where the journal's blocks are.
    run: Run,
    /// The next block, and how many are left until all were seen.
    at: u32,
    left: u32,
    steps: u32,
}

/// A block that was written in a transaction.
struct Copy {
    block: u64,
    in_journal: u64,
    sequence: u32,
    sum: u32,
}

/// What is in the transactions that were committed.
#[derive(Default)]
struct Contents {
    copies: Vec<Copy>,
    /// Which blocks were revoked, and in which transaction.
    revoked: Vec<(u64, u32)>,
}

impl Contents {
    fn check_size(&self) -> Result<(), FileError> {
        if self.copies.len().max(self.revoked.len()) > MAX_BLOCKS { Err(TOO_MUCH) } else { Ok(()) }
    }

    /// The last copy of each block. What was revoked in a transaction is void in that and in those before.
    fn into_journal(mut self, first: u32) -> Journal {
        // Sequence numbers may wrap around.
        let age = |sequence: u32| sequence.wrapping_sub(first);
        self.revoked.sort_unstable_by_key(|&(block, sequence)| (block, age(sequence)));
        // Later in the journal means later.
        let mut order: Vec<usize> = (0..self.copies.len()).collect();
        order.sort_unstable_by_key(|&at| (self.copies[at].block, at));
        let mut copies: Vec<(u64, u64)> = Vec::new();
        for (at, next) in order.iter().zip(order.iter().skip(1).map(Some).chain([None])) {
            let copy = &self.copies[*at];
            if next.is_some_and(|&next| self.copies[next].block == copy.block) {
                continue;
            }
            let after = self.revoked.partition_point(|&(block, _)| block <= copy.block);
            let revoked = after.checked_sub(1).and_then(|last| self.revoked.get(last));
            let is_void =
                revoked.is_some_and(|&(block, gone)| block == copy.block && age(copy.sequence) <= age(gone));
            if !is_void {
                copies.push((copy.block, copy.in_journal));
            }
        }
        Journal { copies }
    }
}

/// Reads the journal of a volume that was not unmounted.
pub(super) async fn replay<D: BlockDevice>(ext: &Ext, cache: &Cache<D>) -> Result<Journal, FileError> {
    let inode = ext.inode(cache, ext.journal_inode).await?;
    let log = Log { features: 0, first: 1, end: 1, start: 0, sequence: 0, seed: 0 };
    let mut reader = Reader { ext, cache, inode, log, run: Run::default(), at: 0, left: 1, steps: 0 };
    let (raw, _) = reader.block(0).await?;
    reader.log = Log::parse(&raw, ext.block_bytes)?;
    reader.at = reader.log.start;
    reader.left = reader.log.end - reader.log.first;
    if reader.log.start == 0 {
        return Ok(Journal { copies: Vec::new() });
    }
    reader.replay().await
}

impl Log {
    fn parse(raw: &[u8], block_bytes: u32) -> Result<Self, FileError> {
        let wrong = FileError::Corrupt("the journal's superblock");
        if be32(raw, 0) != MAGIC || !matches!(be32(raw, 4), 3 | 4) || be32(raw, 12) != block_bytes {
            return Err(wrong);
        }
        // The first version has no features.
        let features = if be32(raw, 4) == 4 { be32(raw, 0x28) } else { 0 };
        if features & !(REVOKE | BIT64 | CSUM_V2 | CSUM_V3) != 0 {
            return Err(FileError::Unsupported("features of the journal"));
        }
        let log = Self {
            features,
            first: be32(raw, 0x14),
            end: be32(raw, 0x10),
            start: be32(raw, 0x1c),
            sequence: be32(raw, 0x18),
            seed: crc32c(!0, &crate::bytes::bytes16(raw, 0x30)),
        };
        let has_start = log.start == 0 || (log.first..log.end).contains(&log.start);
        if log.first == 0 || log.first >= log.end || !has_start {
            return Err(wrong);
        }
        let sum = |raw: &[u8]| crc32c(crc32c(crc32c(!0, &raw[..0xfc]), &[0; 4]), &raw[0x100..0x400]);
        if log.has_sums() && !sums_match(sum(raw), be32(raw, 0xfc)) {
            return Err(FileError::Corrupt("the checksum of the journal's superblock"));
        }
        Ok(log)
    }

    fn has_sums(&self) -> bool {
        self.features & (CSUM_V2 | CSUM_V3) != 0
    }

    fn is_64(&self) -> bool {
        self.features & BIT64 != 0
    }

    /// Whether a block of the journal's own ends with its right checksum, or need not.
    fn tail_matches(&self, block: &[u8]) -> bool {
        let tail = block.len() - 4;
        !self.has_sums() || sums_match(crc32c(crc32c(self.seed, &block[..tail]), &[0; 4]), be32(block, tail))
    }

    fn commit_matches(&self, block: &[u8]) -> bool {
        let sum = crc32c(crc32c(crc32c(self.seed, &block[..16]), &[0; 4]), &block[20..]);
        !self.has_sums() || sums_match(sum, be32(block, 16))
    }

    fn data_matches(&self, sequence: u32, data: &[u8], sum: u32) -> bool {
        let made = crc32c(crc32c(self.seed, &sequence.to_be_bytes()), data);
        let mask = if self.features & CSUM_V3 != 0 { !0 } else { 0xffff };
        !self.has_sums() || sums_match(made & mask, sum)
    }
}

impl<D: BlockDevice> Reader<'_, D> {
    /// Transaction by transaction, until one was not finished.
    async fn replay(&mut self) -> Result<Journal, FileError> {
        let mut contents = Contents::default();
        let mut sequence = self.log.sequence;
        loop {
            let (copies, revoked) = (contents.copies.len(), contents.revoked.len());
            if !self.transaction(sequence, &mut contents).await? {
                contents.copies.truncate(copies);
                contents.revoked.truncate(revoked);
                return Ok(contents.into_journal(self.log.sequence));
            }
            for copy in &contents.copies[copies..] {
                let data = self.ext.read_block(self.cache, copy.in_journal).await?;
                if !self.log.data_matches(sequence, &data, copy.sum) {
                    return Err(FileError::Corrupt("the checksum of a block in the journal"));
                }
            }
            sequence = sequence.wrapping_add(1);
        }
    }

    /// Adds what a transaction writes and revokes. Whether it was committed.
    async fn transaction(&mut self, sequence: u32, contents: &mut Contents) -> Result<bool, FileError> {
        while let Some((_, at)) = self.step().await? {
            let (block, _) = self.block(at).await?;
            if be32(&block, 0) != MAGIC || be32(&block, 8) != sequence {
                break;
            }
            match be32(&block, 4) {
                1 if self.log.tail_matches(&block) => {
                    if !self.descriptor(&block, sequence, &mut contents.copies).await? {
                        break;
                    }
                }
                2 if self.log.commit_matches(&block) => return Ok(true),
                5 if self.log.tail_matches(&block) => {
                    self.revocations(&block, sequence, &mut contents.revoked)
                }
                // A block that was not written to its end is like one that was not written.
                _ => break,
            }
            contents.check_size()?;
        }
        Ok(false)
    }

    /// Notes which blocks follow a descriptor. Whether they are all there.
    async fn descriptor(
        &mut self,
        block: &[u8],
        sequence: u32,
        copies: &mut Vec<Copy>,
    ) -> Result<bool, FileError> {
        let is_v3 = self.log.features & CSUM_V3 != 0;
        let has_v2 = self.log.features & CSUM_V2 != 0;
        // `journal_tag_bytes` in Linux.
        let tag_bytes = match (is_v3, self.log.is_64()) {
            (true, _) => 16,
            (false, true) => 12 + if has_v2 { 2 } else { 0 },
            (false, false) => 8 + if has_v2 { 2 } else { 0 },
        };
        let end = block.len() - if self.log.has_sums() { 4 } else { 0 };
        let mut at = HEADER;
        while at + tag_bytes <= end {
            let tag = &block[at..at + tag_bytes];
            let low = u64::from(be32(tag, 0));
            let high = if self.log.is_64() { u64::from(be32(tag, 8)) } else { 0 };
            let halves = be32(tag, 4);
            let (flags, sum) = if is_v3 { (halves, be32(tag, 12)) } else { (halves & 0xffff, halves >> 16) };
            let Some((in_journal, _)) = self.step().await? else { return Ok(false) };
            if flags & 1 != 0 {
                // Its first bytes are the journal's magic number, and are kept elsewhere.
                return Err(FileError::Unsupported("an escaped block in the journal"));
            }
            let number = high << 32 | low;
            self.ext.place(number)?;
            copies.push(Copy { block: number, in_journal, sequence, sum });
            if flags & 8 != 0 {
                break;
            }
            // Unless it is the same as before, an identifier follows.
            at += tag_bytes + if flags & 2 == 0 { 16 } else { 0 };
        }
        Ok(true)
    }

    fn revocations(&self, block: &[u8], sequence: u32, revoked: &mut Vec<(u64, u32)>) {
        let end = (be32(block, 12) as usize).min(block.len());
        let raw = block.get(HEADER + 4..end).unwrap_or_default();
        let len = if self.log.is_64() { 8 } else { 4 };
        revoked.extend(raw.chunks_exact(len).map(|raw| {
            let number =
                if len == 8 { u64::from(be32(raw, 0)) << 32 } else { 0 } | u64::from(be32(raw, len - 4));
            (number, sequence)
        }));
    }

    /// Where the next block is, on the disk and in the journal.
    async fn step(&mut self) -> Result<Option<(u64, u32)>, FileError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(TOO_MUCH);
        }
        let at = self.at;
        self.at = if at + 1 >= self.log.end { self.log.first } else { at + 1 };
        Ok(Some((self.locate(at).await?, at)))
    }

    async fn block(&mut self, at: u32) -> Result<(Vec<u8>, u64), FileError> {
        let block = self.locate(at).await?;
        Ok((self.ext.read_block(self.cache, block).await?, block))
    }

    /// Which of the disk's blocks is the journal's `at`th.
    async fn locate(&mut self, at: u32) -> Result<u64, FileError> {
        let wrong = FileError::Corrupt("where the journal is");
        let block_bytes = u64::from(self.ext.block_bytes);
        let offset = u64::from(at) * block_bytes;
        if offset >= self.inode.bytes {
            return Err(wrong);
        }
        let mut skip = offset.wrapping_sub(self.run.from);
        if skip >= self.run.bytes {
            self.run = self.ext.map(self.cache, &self.inode, offset).await?;
            skip = 0;
        }
        Ok(self.run.at.ok_or(wrong)? / block_bytes + skip / block_bytes)
    }
}
