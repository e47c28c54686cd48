//! `xtask bench events` and `xtask bench xenstore`: what every device stands on, beside a Linux guest that does the
//! same to the same domain 0.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use fata_lab::{Lab, Optimise, Progress};

use super::report::Report;
use super::work::{Guest, IN_ALL, OWN, PEER, WAITS, WITH_XEN, Wish, Workshop};

#[derive(Args)]
pub(crate) struct Options {
    /// How often each is measured, after once to warm up
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Only this guest
    #[arg(long)]
    guest: Option<Guest>,
    /// Compile the image to be small, fast or both, whatever it asks for itself
    #[arg(long, value_name = "size|balance|speed")]
    optimise: Option<Optimise>,
    /// Interrupt controller of the board
    #[arg(long, default_value = "3", value_parser = ["2", "3"])]
    gic: String,
    /// Print JSON with all samples instead of a table
    #[arg(long)]
    json: bool,
}

/// Something to do often.
struct Job {
    name: &'static str,
    /// What both guests call it.
    kind: &'static str,
    count: u64,
}

const EVENTS: [Job; 1] = [Job { name: "event to dom0 and one back", kind: "event", count: 2000 }];
const XENSTORE: [Job; 5] = [
    Job { name: "read", kind: "read", count: 500 },
    Job { name: "read, 16 at once", kind: "read16", count: 1600 },
    Job { name: "write", kind: "write", count: 500 },
    Job { name: "transaction with a read and a write", kind: "transaction", count: 200 },
    Job { name: "write to a watched node, and the event", kind: "watch", count: 500 },
];

pub(crate) fn events(options: &Options) -> Result<()> {
    run(options, &EVENTS)
}

pub(crate) fn xenstore(options: &Options) -> Result<()> {
    run(options, &XENSTORE)
}

fn run(options: &Options, jobs: &[Job]) -> Result<()> {
    let lab = Lab::open()?;
    let ui = Progress::new();
    let Options { gic, optimise, .. } = options;
    let wish = Wish {
        image: "base-bench",
        work: "base",
        result: "base ",
        gic,
        optimise: *optimise,
        only: options.guest,
        ..Wish::default()
    };
    let shop = Workshop::new(&lab, &wish, &ui)?;
    let mut report = Report::new(format!("{}; instructions for one", shop.setting));
    // Once more than is counted.
    let rounds = options.repeat as usize + 1;
    let words: Vec<_> = jobs.iter().map(|job| format!("{},{}", job.kind, job.count)).collect();
    let words = vec![words.join(";"); rounds].join(";");
    for guest in Guest::BOTH.into_iter().filter(|guest| options.guest.is_none_or(|only| only == *guest)) {
        let step = ui.step(&format!("{guest:?}"));
        step.busy("at work");
        let domu = shop.domain(guest, &words, "");
        let done = shop.run(&domu, |domain| {
            if jobs.iter().any(|job| job.kind == "event") { echo(&shop, domain) } else { Ok(()) }
        })?;
        let spans = shop.spans(guest, &done, jobs.len() * rounds)?;
        for (job, span) in jobs.iter().cycle().zip(&spans).skip(jobs.len()) {
            for (unit, sum) in
                [(OWN, span.own), (WITH_XEN, span.total()), (IN_ALL, span.all), (WAITS, span.waits * 1000)]
            {
                report.add(guest, job.name, unit, None, sum / job.count);
            }
        }
        shop.dom0.destroy(&domu.name)?;
        step.done("measured");
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.to_table());
    }
    Ok(())
}

/// Has a program in dom0 answer the guest's events, as soon as the guest has said at which port.
fn echo(shop: &Workshop, domain: u16) -> Result<()> {
    let node = format!("/local/domain/{domain}/data/port");
    let script = format!(
        "n=500\nuntil port=$(xenstore-read {node} 2>/dev/null); do\n\
         n=$((n - 1)); [ $n -gt 0 ] || exit 1; usleep 20000\ndone\n\
         setsid {PEER} echo {domain} $port </dev/null >/tmp/echo 2>&1 &"
    );
    let output = shop.dom0.run(&script, Duration::from_secs(60))?;
    ensure!(output.code == 0, "domain {domain} does not say at which port it waits: {}", output.text());
    Ok(())
}
