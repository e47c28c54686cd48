//! The measurements.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use embedded_io_async::{Read, Write};
use fata_block::number;
use fata_kit::bench::{Job, measure};
use fata_kit::{Gone, Terminal, words};
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
