//! Measuring a disk.

use crate::pattern;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;
use fata_disk::{BlockDevice, Buffer, Error, SECTOR};
use fata_rt::Rt;

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

/// What tasks of one job share.
struct Shared<D> {
    disk: D,
    job: Job,
    /// Blocks on the disk.
    blocks: u64,
    /// Blocks that have been begun.
    next: Cell<u64>,
    error: Cell<Option<Error>>,
}

/// Stops a job that nobody waits for any more.
struct Stop<'a>(&'a Cell<u64>);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.set(u64::MAX);
    }
}

/// Does a job, and gives the nanoseconds that it took. Buffers are taken from `spare` and put back there, since making
/// them clears them, which is no part of the job when there are some.
pub async fn measure<D>(rt: &Rt, disk: &D, job: Job, spare: &mut Vec<Buffer>) -> Result<u64, Error>
where
    D: BlockDevice + Clone + 'static,
{
    let blocks = disk.geometry().sectors * SECTOR as u64 / job.block as u64;
    if blocks == 0 {
        return Err(Error::OutOfRange);
    }
    let shared =
        Rc::new(Shared { disk: disk.clone(), job, blocks, next: Cell::new(0), error: Cell::new(None) });
    let mut buffers: Vec<_> =
        spare.extract_if(.., |buffer| buffer.len() == job.block).take(job.depth).collect();
    while buffers.len() < job.depth {
        buffers.push(Buffer::new(job.block).ok_or(Error::NoMemory)?);
    }
    let _stop = Stop(&shared.next);
    let start_ns = rt.now_ns();
    let work = |buffer| rt.spawn(work(shared.clone(), buffer));
    let tasks: Vec<_> = buffers.into_iter().map(work).collect();
    for task in tasks {
        spare.extend(task.await.ok());
    }
    let ns = rt.now_ns() - start_ns;
    shared.error.get().map_or(Ok(ns), Err)
}

/// Gives the buffer back.
async fn work<D: BlockDevice>(shared: Rc<Shared<D>>, mut buffer: Buffer) -> Buffer {
    let Shared { disk, job, blocks, next, error } = &*shared;
    let wanted = job.total.div_ceil(job.block as u64);
    while next.get() < wanted && error.get().is_none() {
        let index = next.replace(next.get() + 1);
        let block = if job.random { pattern::mix(1, index) % blocks } else { index % blocks };
        let sector = block * (job.block / SECTOR) as u64;
        let done = if job.write { disk.write(sector, buffer).await } else { disk.read(sector, buffer).await };
        match done {
            Ok(back) => buffer = back,
            Err(failed) => {
                error.set(Some(failed.error));
                return failed.buffer;
            }
        }
    }
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use fata_disk::MemDisk;
    use fata_rt::yield_now;
    use fata_sim::World;

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

    #[test]
    fn a_job_asks_for_as_much_as_it_says_and_stops_when_it_is_dropped() {
        let xen = World::new().guest();
        let disk = Rc::new(MemDisk::new(64).lazy());
        let job = Job { write: false, random: true, block: 4096, total: 40_000, depth: 3 };
        fata_rt::run(&xen, async |rt| {
            let mut spare = Vec::new();
            measure(&rt, &disk, job, &mut spare).await.unwrap();
            assert_eq!(spare.iter().map(|buffer| buffer.len()).collect::<Vec<_>>(), [4096; 3]);
            assert_eq!((disk.counts().reads, disk.counts().sectors_read), (10, 80));
            let endless = Job { total: u64::MAX, ..job };
            let _ = rt.timeout(Duration::ZERO, measure(&rt, &disk, endless, &mut spare)).await;
            while rt.stats().tasks > 0 {
                yield_now().await;
            }
            let too_large = Job { block: 64 << 10, ..job };
            assert_eq!(measure(&rt, &disk, too_large, &mut spare).await, Err(Error::OutOfRange));
        });
    }
}
