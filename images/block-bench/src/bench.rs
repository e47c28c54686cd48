//! The measurements.

use crate::job::Job;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use embedded_io_async::{Read, Write};
use fata_block::{Disk, number};
use fata_disk::{BlockDevice, Buffer, Error, SECTOR};
use fata_kit::{Gone, Terminal, pattern, words};
use fata_rt::Rt;
use xen_hyp::{Platform, Xen};

/// Does the command line's work and says what it took; then waits for `stay` to end, if it is there.
pub async fn app<P: Platform, C: Read + Write>(
    rt: Rt,
    xen: Rc<Xen<P>>,
    console: C,
    cmdline: &str,
) -> Result<(), Gone> {
    let mut terminal = Terminal::new(console);
    match run(&rt, &xen, &mut terminal, cmdline).await? {
        Ok(()) => terminal.say("SUCCESS\n").await,
        Err(reason) => terminal.print(&|out| writeln!(out, "FAILURE: {reason}")).await,
    }
}

async fn run<P: Platform, C: Read + Write>(
    rt: &Rt,
    xen: &Rc<Xen<P>>,
    terminal: &mut Terminal<C>,
    cmdline: &str,
) -> Result<Result<(), String>, Gone> {
    let (mut jobs, mut id, mut options) = (Vec::new(), 51712, fata_block::Options::default());
    for (name, value) in words(cmdline) {
        let understood = match name {
            "bench" => value.split(';').try_for_each(|job| Job::parse(job).map(|job| jobs.push(job))),
            "disk" => number(value).map(|number| id = number),
            _ => options.word(name, value),
        };
        if understood.is_none() {
            return Ok(Err(format!("the command line makes no sense at {name:?}")));
        }
    }
    let store = match fata_devices::store(rt, xen) {
        Ok(Some(store)) => store,
        Ok(None) => return Ok(Err("this domain has no Xenstore".into())),
        Err(error) => return Ok(Err(format!("{error}"))),
    };
    let disk = fata_devices::disk(rt, xen, &store, id, options);
    if let Err(error) = disk.ready().await {
        return Ok(Err(format!("{error}")));
    }
    let connected_ns = rt.now_ns();
    terminal.print(&|out| writeln!(out, "blk connected ns {connected_ns}")).await?;
    for job in jobs {
        match measure(rt, &disk, job).await {
            Ok(ns) => terminal.print(&|out| writeln!(out, "{job} total {} ns {ns}", job.total)).await?,
            Err(error) => return Ok(Err(format!("{job}: {error}"))),
        }
    }
    Ok(Ok(()))
}

/// What tasks of one job share.
struct Shared<P: Platform> {
    disk: Disk<P>,
    job: Job,
    /// Blocks on the disk.
    blocks: u64,
    /// Blocks that have been begun.
    next: Cell<u64>,
    error: Cell<Option<Error>>,
}

async fn measure<P: Platform>(rt: &Rt, disk: &Disk<P>, job: Job) -> Result<u64, Error> {
    let blocks = disk.geometry().sectors * SECTOR as u64 / job.block as u64;
    if blocks == 0 {
        return Err(Error::OutOfRange);
    }
    let shared =
        Rc::new(Shared { disk: disk.clone(), job, blocks, next: Cell::new(0), error: Cell::new(None) });
    let buffers: Option<Vec<Buffer>> = (0..job.depth).map(|_| Buffer::new(job.block)).collect();
    let buffers = buffers.ok_or(Error::NoMemory)?;
    let start_ns = rt.now_ns();
    let work = |buffer| rt.spawn(work(shared.clone(), buffer));
    let tasks: Vec<_> = buffers.into_iter().map(work).collect();
    for task in tasks {
        let _ = task.await;
    }
    let ns = rt.now_ns() - start_ns;
    shared.error.get().map_or(Ok(ns), Err)
}

async fn work<P: Platform>(shared: Rc<Shared<P>>, mut buffer: Buffer) {
    let Shared { disk, job, blocks, next, error } = &*shared;
    let wanted = job.total.div_ceil(job.block as u64);
    while next.get() < wanted && error.get().is_none() {
        let index = next.replace(next.get() + 1);
        let block = if job.random { pattern::mix(1, index) % blocks } else { index % blocks };
        let sector = block * (job.block / SECTOR) as u64;
        let done = if job.write { disk.write(sector, buffer).await } else { disk.read(sector, buffer).await };
        match done {
            Ok(back) => buffer = back,
            Err(failed) => return error.set(Some(failed.error)),
        }
    }
}
