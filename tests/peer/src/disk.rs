//! Measures `/dev/xvda`: direct I/O, nothing in between.
//!
//! A request at a time goes by `pread64` or `pwrite64`; several go by `io_submit`, and as many are submitted at once
//! as have ended.

use core::fmt::Write as _;

use fata_peer::block::Job;

use crate::sys::{self, Buffers, Event, Failed, File, O_DIRECT, Out, Queue, Request};
use crate::{FIRST_MARK, each_job, fail};

/// What is read while an outage is waited for.
const BYTES: usize = 4096;
/// A read that takes so long was held up by one.
const LONG_NS: u64 = 20_000_000;

pub(crate) fn run(jobs: &str) -> Result<(), Failed> {
    let device = File::open(c"/dev/xvda", O_DIRECT)?;
    let bytes = device.end()?;
    let buffers = Buffers::new(Job::DEEPEST * Job::LARGEST as usize)?;
    each_job(jobs, Job::parse, |job| {
        if bytes < job.block {
            fail(format_args!("the disk has {bytes} bytes"));
        }
        match job.depth {
            1 => one_at_a_time(&device, bytes, buffers, job),
            _ => several(&device, bytes, buffers, job),
        }
    })
}

/// Reads until the backend was away, and says for how long.
pub(crate) fn outage() -> Result<(), Failed> {
    let device = File::open(c"/dev/xvda", O_DIRECT)?;
    let buffers = Buffers::new(BYTES)?;
    let _ = writeln!(Out, "blk reads");
    loop {
        let start_ns = sys::now_ns()?;
        device.transfer(false, buffers, BYTES, 0)?;
        let ns = sys::now_ns()? - start_ns;
        if ns > LONG_NS {
            sys::is_process(FIRST_MARK);
            let _ = writeln!(Out, "blk back ns {ns}");
            return Ok(());
        }
    }
}

fn one_at_a_time(device: &File, bytes: u64, buffers: Buffers, job: &Job) -> Result<(), Failed> {
    for n in 0..job.requests() {
        let offset = job.offset(n, bytes);
        if device.transfer(job.write, buffers, job.block as usize, offset)? as u64 != job.block {
            fail(format_args!("the request at {offset} was cut short"));
        }
    }
    Ok(())
}

fn several(device: &File, bytes: u64, buffers: Buffers, job: &Job) -> Result<(), Failed> {
    let queue = Queue::new(job.depth)?;
    let mut requests = [Request::default(); Job::DEEPEST];
    let mut events = [Event::default(); Job::DEEPEST];
    for n in 0..job.depth {
        requests[n] = device.request(job.write, buffers, n, job.block);
        events[n].data = n as u64;
    }
    let (mut begun, mut done, mut free) = (0, 0, job.depth);
    while done < job.requests() {
        let count = free.min((job.requests() - begun) as usize);
        for event in &events[..count] {
            requests[event.data as usize].offset = job.offset(begun, bytes);
            begun += 1;
        }
        let mut next = [&requests[0]; Job::DEEPEST];
        for (next, event) in next.iter_mut().zip(&events[..count]) {
            *next = &requests[event.data as usize];
        }
        if count > 0 && queue.submit(&next[..count])? != count {
            fail(format_args!("Linux takes less than {count} requests"));
        }
        free = queue.wait(&mut events[..job.depth])?;
        if let Some(event) = events[..free].iter().find(|event| event.result != job.block as i64) {
            fail(format_args!("a request ended with {}", event.result));
        }
        done += free as u64;
    }
    Ok(())
}
