//! One piece of work, as the command line says it.

use core::fmt;

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Writes; else reads.
    pub write: bool,
    /// In any order; else one after the other.
    pub random: bool,
    /// Bytes in a request.
    pub block: usize,
    /// Bytes in all.
    pub total: u64,
    /// Requests at the same time.
    pub depth: usize,
}

impl Job {
    /// Reads one: `read,rand,4096,1048576,32`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(',');
        let write = match words.next()? {
            "read" => false,
            "write" => true,
            _ => return None,
        };
        let random = match words.next()? {
            "seq" => false,
            "rand" => true,
            _ => return None,
        };
        let block: usize = words.next()?.parse().ok()?;
        let total = words.next()?.parse().ok()?;
        let depth = words.next()?.parse().ok()?;
        let whole = block > 0 && block.is_multiple_of(512) && block <= 64 << 20;
        let job = Self { write, random, block, total, depth };
        (words.next().is_none() && whole && (1..=4096).contains(&depth)).then_some(job)
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { write, random, block, depth, .. } = self;
        let (verb, order) = (if *write { "write" } else { "read" }, if *random { "rand" } else { "seq" });
        write!(f, "blk {verb} {order} bs {block} qd {depth}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_understood_or_refused() {
        let job = Job::parse("read,rand,4096,1048576,32").unwrap();
        assert_eq!(job, Job { write: false, random: true, block: 4096, total: 1 << 20, depth: 32 });
        assert_eq!(job.to_string(), "blk read rand bs 4096 qd 32");
        for text in
            ["", "read", "read,seq,100,1,1", "read,seq,512,1,0", "copy,seq,512,1,1", "read,seq,512,1,1,1"]
        {
            assert_eq!(Job::parse(text), None, "{text}");
        }
    }
}
