//! Jobs for a disk, as `images/block-bench` knows them.

use core::fmt;

/// What to measure: `READ_OR_WRITE,SEQ_OR_RAND,BLOCK_BYTES,TOTAL_BYTES,DEPTH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Writes; else reads.
    pub write: bool,
    /// In any order; else one after the other.
    pub random: bool,
    /// Bytes in a request.
    pub block: u64,
    /// Bytes in all.
    pub total: u64,
    /// Requests at the same time.
    pub depth: usize,
}

impl Job {
    /// The greatest depth.
    pub const DEEPEST: usize = 64;
    /// The longest request.
    pub const LARGEST: u64 = 1 << 20;

    /// Reads one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(',');
        let write = one_of(words.next()?, "read", "write")?;
        let random = one_of(words.next()?, "seq", "rand")?;
        let mut number = || words.next()?.parse().ok();
        let (block, total, depth): (u64, u64, u64) = (number()?, number()?, number()?);
        let fits = block.is_multiple_of(512) && (512..=Self::LARGEST).contains(&block);
        let deep = (1..=Self::DEEPEST as u64).contains(&depth);
        let job = Self { write, random, block, total, depth: depth as usize };
        (words.next().is_none() && fits && deep).then_some(job)
    }

    /// How many requests that makes.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.total.div_ceil(self.block)
    }

    /// Where on a disk of so many bytes the request of this number goes; the disk has room for one at least.
    #[must_use]
    pub fn offset(&self, number: u64, disk: u64) -> u64 {
        let place = if self.random { mix(number) } else { number };
        place % (disk / self.block) * self.block
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { write, random, block, total, depth } = self;
        let (verb, order) = (if *write { "write" } else { "read" }, if *random { "rand" } else { "seq" });
        write!(f, "blk {verb} {order} bs {block} qd {depth} total {total}")
    }
}

/// Whether it is the second of two words.
fn one_of(word: &str, no: &str, yes: &str) -> Option<bool> {
    (word == no || word == yes).then_some(word == yes)
}

/// SplitMix64, with the seed that block-bench uses.
fn mix(index: u64) -> u64 {
    let z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_understood_or_refused() {
        let job = Job::parse("read,rand,4096,1048576,32").unwrap();
        assert_eq!(job, Job { write: false, random: true, block: 4096, total: 1 << 20, depth: 32 });
        assert_eq!(job.to_string(), "blk read rand bs 4096 qd 32 total 1048576");
        for text in
            ["", "read", "read,seq,100,1,1", "read,seq,512,1,65", "read,seq,512,1,0", "copy,seq,512,1,1"]
        {
            assert_eq!(Job::parse(text), None, "{text}");
        }
    }

    #[test]
    fn requests_lie_on_the_disk() {
        let job = Job::parse("read,rand,4096,1048576,1").unwrap();
        assert!(
            (0..1000).all(
                |n| job.offset(n, 100 << 10) <= 96 << 10 && job.offset(n, 100 << 10).is_multiple_of(4096)
            )
        );
        let job = Job { random: false, ..job };
        assert_eq!(
            (job.requests(), job.offset(24, 100 << 10), job.offset(25, 100 << 10)),
            (256, 24 * 4096, 0)
        );
    }
}
