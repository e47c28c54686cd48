//! The measurements.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use embedded_io_async::{Read, Write};
use fata_block::{Disk, number};
use fata_disk::{BlockDevice, Buffer, Error};
use fata_kit::bench::{Job, measure};
use fata_kit::{Gone, Terminal, words};
use fata_rt::Rt;
use xen_hyp::{Platform, Xen};

/// What is read while an outage is waited for.
const BYTES: usize = 4096;
/// A read that takes so long was held up by one.
const LONG_NS: u64 = 20_000_000;

/// Does the command line's work and says what it took.
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
    let (mut jobs, mut outages) = (Vec::new(), 0);
    let (mut id, mut options) = (51712, fata_block::Options::default());
    for (name, value) in words(cmdline) {
        let understood = match name {
            "bench" => value.split(';').try_for_each(|job| Job::parse(job).map(|job| jobs.push(job))),
            "outages" => value.parse().ok().map(|count| outages = count),
            "disk" => number(value).map(|number| id = number),
            _ => options.word(name, value),
        };
        if understood.is_none() {
            return Ok(Err(format!("the command line makes no sense at {name:?}")));
        }
    }
    let store = match fata_devices::needed_store(rt, xen) {
        Ok(store) => store,
        Err(error) => return Ok(Err(format!("{error}"))),
    };
    let disk = fata_devices::disk(rt, xen, &store, id, options);
    if let Err(error) = disk.ready().await {
        return Ok(Err(format!("{error}")));
    }
    let connected_ns = rt.now_ns();
    terminal.print(&|out| writeln!(out, "blk connected ns {connected_ns}")).await?;
    let mut spare = Vec::new();
    for job in jobs {
        match measure(rt, &disk, job, &mut spare).await {
            Ok(ns) => terminal.print(&|out| writeln!(out, "{job} total {} ns {ns}", job.total)).await?,
            Err(error) => return Ok(Err(format!("{job}: {error}"))),
        }
    }
    for _ in 0..outages {
        match outage(rt, &disk).await {
            Ok(ns) => terminal.print(&|out| writeln!(out, "blk back ns {ns}")).await?,
            Err(error) => return Ok(Err(format!("{error}"))),
        }
    }
    Ok(Ok(()))
}

/// Reads until the backend was away, and gives for how long.
async fn outage<P: Platform>(rt: &Rt, disk: &Disk<P>) -> Result<u64, Error> {
    let mut buffer = Buffer::new(BYTES).ok_or(Error::NoMemory)?;
    loop {
        let start_ns = rt.now_ns();
        buffer = disk.read(0, buffer).await.map_err(|failed| failed.error)?;
        let ns = rt.now_ns() - start_ns;
        if ns > LONG_NS {
            return Ok(ns);
        }
    }
}
