//! `xtask bench vchan`: what bytes between domains cost, beside a Linux guest with libxenvchan in the same run.
//!
//! The load comes from libxenvchan in dom0, the same for both guests (tests/peer/src/libxenvchan), which marks when a job
//! begins and ends. Two images with nobody else on the machine count by their own clock.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use fata_lab::{
    BuildRequest, Config, Counts, Dom0less, DomU, Lab, Optimise, Progress, Span, StaticEvent, Worker, XlDomU,
};

use super::report::Report;
use super::work::{FIRST_MARK, Guest, IN_ALL, OWN, VCHAN_PEER, WAITS, WITH_XEN, Wish, Workshop, mark};

/// Measure vchans, beside a Linux guest with libxenvchan
#[derive(Args)]
pub(crate) struct Options {
    /// How often each is measured, after once to warm up
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Who talks to whom
    #[arg(long, value_delimiter = ',', default_value = "dom0,pair")]
    only: Vec<Group>,
    /// Only this guest
    #[arg(long)]
    guest: Option<Guest>,
    /// Only jobs with this in their names
    #[arg(long, default_value = "")]
    filter: String,
    /// Sizes of the rings, as powers of two; the one that the client writes is of 11 where the other is of 10
    #[arg(long, value_delimiter = ',', default_value = "16", value_parser = clap::value_parser!(u32).range(11..=20))]
    orders: Vec<u32>,
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

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    /// A guest and dom0
    Dom0,
    /// Two images that Xen starts alone
    Pair,
}

/// What the client does.
struct Job {
    name: &'static str,
    kind: &'static str,
    block: u64,
    count: u64,
    /// What a figure is of: a write, or so many bytes of a stream.
    per: Per,
    /// The domain's own instructions that are to be enough.
    aim: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Per {
    /// A write, or a round trip.
    Write,
    /// A thousand bytes.
    KB,
}

const fn job(name: &'static str, (kind, block, count): (&'static str, u64, u64), per: Per, aim: u64) -> Job {
    Job { name, kind, block, count, per, aim: if aim == 0 { None } else { Some(aim) } }
}

const JOBS: [Job; 10] = [
    job("in, writes of 64 bytes", ("send", 64, 40_000), Per::Write, 40),
    job("out, writes of 64 bytes", ("receive", 64, 40_000), Per::Write, 40),
    job("in, writes of 4 KiB, 1000 bytes", ("send", 4096, 4_000), Per::KB, 0),
    job("out, writes of 4 KiB, 1000 bytes", ("receive", 4096, 4_000), Per::KB, 0),
    job("in, writes of 64 KiB, 1000 bytes", ("send", 65536, 256), Per::KB, 150),
    job("out, writes of 64 KiB, 1000 bytes", ("receive", 65536, 256), Per::KB, 150),
    job("1 byte there and back", ("echo", 1, 500), Per::Write, 10_000),
    job("64 bytes there and back", ("echo", 64, 500), Per::Write, 10_000),
    job("4 KiB there and back", ("echo", 4096, 500), Per::Write, 0),
    job("64 KiB there and back", ("echo", 65536, 100), Per::Write, 0),
];

const TIMEOUT: Duration = Duration::from_secs(1500);
/// Where nobody but dom0 may be shared with, two images would not find each other.
const ANYBODY: &str = "xsm=dummy";
const PORT: u32 = 10;
const MIB: u32 = 32;

pub(crate) fn run(options: &Options) -> Result<()> {
    let lab = Lab::open()?;
    let ui = Progress::new();
    let jobs: Vec<_> = JOBS.iter().filter(|job| job.name.contains(&options.filter)).collect();
    ensure!(!jobs.is_empty(), "no job has {:?} in its name", options.filter);
    let mut report = Report::new(String::new());
    if options.only.contains(&Group::Dom0) {
        with_dom0(options, &lab, &jobs, &mut report, &ui)?;
    }
    if options.only.contains(&Group::Pair) && options.guest != Some(Guest::Linux) {
        pair(options, &lab, &jobs, &mut report, &ui)?;
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.to_table());
    }
    Ok(())
}

/// Each job once more than it is counted, as either program knows them.
fn words(options: &Options, jobs: &[&Job]) -> String {
    let words: Vec<_> = jobs.iter().map(|job| format!("{},{},{}", job.kind, job.block, job.count)).collect();
    vec![words.join(";"); options.repeat as usize + 1].join(";")
}

/// The client's ring and the server's. libxenvchan has the smallest only beside one of twice the size.
fn orders(order: u32) -> (u32, u32) {
    if order == 11 { (11, 10) } else { (order, order) }
}

fn with_dom0(options: &Options, lab: &Lab, jobs: &[&Job], report: &mut Report, ui: &Progress) -> Result<()> {
    let Options { gic, optimise, guest, .. } = options;
    let wish = Wish {
        image: "vchan-bench",
        work: "vchan",
        result: "vchan ",
        gic,
        optimise: *optimise,
        only: *guest,
        ..Wish::default()
    };
    let shop = Workshop::new(lab, &wish, ui)?;
    shop.push_vchan_peer()?;
    report.set(format!("{}; libxenvchan in dom0; instructions for a write, or for 1000 bytes", shop.setting));
    let guests = Guest::BOTH.into_iter().filter(|guest| options.guest.is_none_or(|only| only == *guest));
    for (guest, order) in guests.flat_map(|guest| options.orders.iter().map(move |order| (guest, *order))) {
        let step = ui.step(&format!("{guest:?}, rings of order {order}"));
        step.busy("at work");
        let (left, right) = orders(order);
        let args = match guest {
            Guest::Fata => format!("orders={left},{right}"),
            Guest::Linux => Worker::vchan_server(1 << left, 1 << right),
        };
        let domu = XlDomU { args, ..shop.with_args(guest) };
        let domain = shop.dom0.create_after(&domu, &mark(1))?;
        shop.dom0.console_of(&domu.name, "vchan ready", Duration::from_secs(60))?;
        let path = format!("/local/domain/{domain}/data/vchan");
        let script = format!("sleep 3; {VCHAN_PEER} load {domain} {path} '{}'", words(options, jobs));
        let output = shop.dom0.run(&script, TIMEOUT)?;
        ensure!(output.text().contains("SUCCESS"), "{guest:?}: the load ended with:\n{}", output.text());
        let counts = Counts::of(&shop.dom0.folder)?;
        let all = (0..).zip(jobs.iter().cycle()).take(jobs.len() * (options.repeat as usize + 1));
        for (n, job) in all.skip(jobs.len()) {
            let mark = FIRST_MARK + 2 * n;
            let span = counts.span_of_marks(mark, mark + 1);
            let span = span.with_context(|| format!("{} was not counted", job.name))?;
            add(report, guest, job, order, &span);
        }
        shop.dom0.destroy(&domu.name)?;
        step.done("measured");
    }
    Ok(())
}

fn add(report: &mut Report, guest: Guest, job: &Job, order: u32, span: &Span) {
    let name = format!("dom0, order {order}: {}", job.name);
    // Waits of a stream are few, and so for more of it.
    let (waits, more) = if job.per == Per::KB { ("WFI/MB", 1_000) } else { (WAITS, 1_000) };
    let aim = job.aim.filter(|_| order == 16);
    for (unit, aim, number) in [
        (OWN, aim, span.own),
        (WITH_XEN, None, span.total()),
        (IN_ALL, None, span.all),
        (waits, None, span.waits * more),
    ] {
        report.add(guest, &name, unit, aim, job.one(number));
    }
}

impl Job {
    /// What one write or a thousand bytes took of this.
    fn one(&self, number: u64) -> u64 {
        match self.per {
            Per::Write => number / self.count,
            Per::KB => number * 1000 / (self.count * self.block),
        }
    }
}

/// Two images alone on a machine: an instruction is a nanosecond there.
fn pair(options: &Options, lab: &Lab, jobs: &[&Job], report: &mut Report, ui: &Progress) -> Result<()> {
    let built =
        lab.build(&BuildRequest { optimise: options.optimise, ..BuildRequest::new("vchan-bench") }, ui)?;
    for &order in &options.orders {
        let step = ui.step(&format!("two images, rings of order {order}"));
        step.busy("at work");
        let config = Config {
            name: "bench-vchan-pair".to_owned(),
            gic: options.gic.parse().map_err(anyhow::Error::msg)?,
            icount: true,
            timeout: TIMEOUT,
            xen_args: vec![ANYBODY.to_owned()],
            ..Config::default()
        };
        let (left, right) = orders(order);
        let domu = |args: String| DomU {
            bootargs: format!("{args} port={PORT} orders={left},{right}"),
            events: vec![StaticEvent { port: PORT, channel: 0 }],
            ..DomU::new(built.image.clone(), MIB)
        };
        let load = format!("connect=1 bench={}", words(options, jobs));
        let machine = Dom0less::boot(lab, &config, &[domu("serve=2".to_owned()), domu(load)], ui)?;
        let said = machine.guests[1].console.expect("SUCCESS", TIMEOUT)?;
        let lines: Vec<_> = said.lines().filter(|line| line.contains(" ns ")).collect();
        for (job, line) in jobs.iter().cycle().zip(&lines).skip(jobs.len()) {
            let ns = line.trim().split(' ').next_back().and_then(|ns| ns.parse::<u64>().ok());
            let ns = ns.with_context(|| format!("the load says {line:?}"))?;
            report.fata(&format!("two images, order {order}: {}", job.name), IN_ALL, None, job.one(ns));
        }
        step.done("measured");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_named_after_what_they_do() {
        for job in JOBS {
            let way = match job.kind {
                "send" => "in, ",
                "receive" => "out, ",
                _ => "",
            };
            assert!(job.name.starts_with(way), "{}", job.name);
            assert_eq!(job.per == Per::KB, job.name.contains("1000 bytes"), "{}", job.name);
        }
        assert_eq!(JOBS[4].one(65536 * 256), 1000);
        assert_eq!(JOBS[0].one(80_000), 2);
    }
}
