//! `xtask bench tcp`: the streams of `xtask bench net`, and whether a packet costs more when there are many connections.

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use super::load::{Common, Job, Per, target};
use super::net::{JOBS, Offloads, PLAIN_JOBS, Run};
use super::work::{Guest, PEER};

/// Measure streams, and what idle connections cost, beside a Linux guest on the same bridge
#[derive(Args)]
pub(crate) struct Options {
    /// What is measured
    #[arg(long, value_delimiter = ',', default_value = "streams,sockets")]
    only: Vec<Group>,
    /// How many connections are idle meanwhile, in ascending order
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000,5000")]
    idle: Vec<u32>,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    /// Streams, with and without offloads
    Streams,
    /// Packets while other connections are idle
    Sockets,
}

const GROWTH_JOBS: [Job; 2] = [
    Job::new("UDP 64 bytes, there and back", "udp-echo,64,1000", Per::Packet, None),
    Job::new("TCP 64 bytes, there and back", "tcp-echo,64,1000", Per::Packet, None),
];
/// Buffers of a connection, so that there is memory for all of them.
const ROOM: &str = "room=2048";
/// Linux has a process for each, and no memory for more.
const MOST_OF_LINUX: u32 = 1000;
/// What one program of dom0 opens at most (tests/peer/src/many.rs), and what it may.
const MOST_AT_ONCE: u32 = 4000;
const FILES: u32 = 5000;

pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(options.idle.is_sorted(), "--idle: the numbers are to ascend");
    let mut run = Run::new(&options.common)?;
    if options.only.contains(&Group::Streams) {
        for (jobs, offloads) in [(&JOBS[..], Offloads::On), (&PLAIN_JOBS[..], Offloads::Off)] {
            let jobs: Vec<_> = jobs.iter().filter(|job| job.name.starts_with("TCP")).copied().collect();
            run.jobs(&jobs, offloads)?;
        }
    }
    if options.only.contains(&Group::Sockets) {
        sockets(&mut run, &options.idle)?;
    }
    run.load.finish("Instructions for 1000 bytes, or for some there and back, Linux = 100 %")
}

/// The same packets, with more and more connections that nobody uses.
fn sockets(run: &mut Run<'_>, idle: &[u32]) -> Result<()> {
    let jobs = run.load.chosen(&GROWTH_JOBS);
    for guest in run.load.guests().filter(|_| !jobs.is_empty()) {
        let step = run.load.ui.step(&format!("idle connections, {guest:?}"));
        let (domu, _) = run.start(guest, Offloads::On, ROOM)?;
        let mut held = 0;
        for &count in idle.iter().filter(|count| guest == Guest::Fata || **count <= MOST_OF_LINUX) {
            step.busy(&format!("{count} connections"));
            while held < count {
                let more = (count - held).min(MOST_AT_ONCE);
                hold(run, more)?;
                held += more;
            }
            run.load.measure(guest, &jobs, &format!(", {count} idle"))?;
        }
        run.load.shop.dom0.sh("kill $(cat /tmp/idle.pids); rm /tmp/idle.pids")?;
        run.load.shop.dom0.destroy(&domu.name)?;
        step.done("measured");
    }
    Ok(())
}

/// Opens so many connections more, and waits until they are there and all is quiet.
fn hold(run: &Run<'_>, count: u32) -> Result<()> {
    let script = format!(
        "rm -f /tmp/idle; ulimit -n {FILES}; setsid {PEER} idle {} {count} </dev/null >/tmp/idle 2>&1 &\n\
         echo $! >>/tmp/idle.pids; until [ -s /tmp/idle ]; do usleep 100000; done; sleep 3; cat /tmp/idle",
        target()
    );
    let said = run.load.shop.dom0.sh(&script)?;
    ensure!(said.contains("SUCCESS"), "holding {count} connections: {said}");
    Ok(())
}
