//! `xtask bench block`: what a disk costs, beside a Linux guest with the same disk in the same run.

mod cpu_time;
mod life;
mod variants;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use fata_lab::{Contents, Disk, DiskWish, Lab, Optimise, Progress, Span, XlDomU};

use super::chart;
use super::report::Report;
use super::work::{Guest, IN_ALL, OWN, WAITS, WITH_XEN, Wish, Workshop};

/// Measure requests to a disk, and its coming and going, beside a Linux guest on the same backend
#[derive(Args)]
pub(crate) struct Options {
    /// How often each is measured; jobs, after once to warm up
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// What is measured
    #[arg(long, value_delimiter = ',', default_value = "jobs")]
    only: Vec<Group>,
    /// Only this guest
    #[arg(long)]
    guest: Option<Guest>,
    /// Only jobs with this in their names
    #[arg(long, default_value = "")]
    filter: String,
    /// More of block-bench's command line (persistent=0)
    #[arg(long, value_name = "STR", default_value = "")]
    args: String,
    /// Compile the image to be small, fast or both, whatever it asks for itself
    #[arg(long, value_name = "size|balance|speed")]
    optimise: Option<Optimise>,
    /// Interrupt controller of the board
    #[arg(long, default_value = "3", value_parser = ["2", "3"])]
    gic: String,
    /// Print JSON with all samples instead of a table
    #[arg(long)]
    json: bool,
    /// Draw the jobs here
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    /// Requests of several sizes and depths
    Jobs,
    /// The same with other options of the driver; Fata only
    Variants,
    /// From xl create until the disk can be used
    Create,
    /// From a backend's return until the next request is done
    Recovery,
    /// Some jobs by Xen's own account of CPU time
    CpuTime,
}

/// A pattern of requests.
#[derive(Clone, Copy)]
struct Job {
    name: &'static str,
    /// What both guests take: `READ_OR_WRITE,SEQ_OR_RAND,BLOCK_BYTES,TOTAL_BYTES,DEPTH`.
    words: &'static str,
    requests: u64,
    /// Instructions for a request that are to be enough: in the guest with Xen's work for it, and in all.
    aims: Option<(u64, u64)>,
}

const fn job(name: &'static str, words: &'static str, requests: u64, aims: Option<(u64, u64)>) -> Job {
    Job { name, words, requests, aims }
}

/// The totals are such that a job takes some seconds where instructions are counted.
const JOBS: [Job; 12] = [
    job("read 4 KiB, depth 1", "read,rand,4096,8388608,1", 2048, Some((6_000, 42_000))),
    job("read 4 KiB, depth 32", "read,rand,4096,16777216,32", 4096, Some((2_000, 12_000))),
    job("write 4 KiB, depth 1", "write,rand,4096,8388608,1", 2048, Some((6_000, 42_000))),
    job("write 4 KiB, depth 32", "write,rand,4096,16777216,32", 4096, Some((2_000, 12_000))),
    job("read 128 KiB, depth 1", "read,seq,131072,33554432,1", 256, Some((12_000, 95_000))),
    job("read 128 KiB, depth 8", "read,seq,131072,33554432,8", 256, None),
    job("write 128 KiB, depth 1", "write,seq,131072,33554432,1", 256, Some((12_000, 95_000))),
    job("write 128 KiB, depth 8", "write,seq,131072,33554432,8", 256, None),
    job("read 1 MiB, depth 1", "read,seq,1048576,33554432,1", 32, None),
    job("read 1 MiB, depth 8", "read,seq,1048576,33554432,8", 32, None),
    job("write 1 MiB, depth 1", "write,seq,1048576,33554432,1", 32, None),
    job("write 1 MiB, depth 8", "write,seq,1048576,33554432,8", 32, None),
];

/// The disk's size.
const DISK_MIB: u64 = 64;
/// A job is under way for some seconds.
const AT_WORK: &str = "at work";

pub(crate) fn run(options: &Options) -> Result<()> {
    let lab = Lab::open()?;
    let ui = Progress::new();
    let jobs: Vec<_> = JOBS.iter().filter(|job| job.name.contains(&options.filter)).copied().collect();
    ensure!(!jobs.is_empty(), "no job has {:?} in its name", options.filter);
    let Options { gic, optimise, .. } = options;
    let wish = Wish {
        image: "block-bench",
        work: "block",
        result: "blk ",
        gic,
        optimise: *optimise,
        only: options.guest,
        ..Wish::default()
    };
    let shop = Workshop::new(&lab, &wish, &ui)?;
    let wish = DiskWish { contents: Contents::Random, ..DiskWish::new("bench", DISK_MIB) };
    let disk = shop.dom0.make_disk(&wish)?;
    let setting = format!(
        "{}{}{}; a disk of {DISK_MIB} MiB on loop on tmpfs; instructions for a request",
        if options.args.is_empty() { "" } else { &options.args },
        if options.args.is_empty() { "" } else { ": " },
        shop.setting
    );
    let mut run = Run { options, jobs, shop, disk, ui, report: Report::new(setting) };
    if run.wants(Group::Jobs) {
        run.jobs()?;
    }
    if run.wants(Group::Create) {
        run.create()?;
    }
    if run.wants(Group::Recovery) {
        run.recovery()?;
    }
    if run.wants(Group::CpuTime) {
        run.cpu_time()?;
    }
    let variants = if run.wants(Group::Variants) { Some(run.variants()?) } else { None };
    if let Some(file) = &options.svg {
        let drawing =
            chart::draw("Instructions for a request, Linux = 100 %", &run.report, [OWN, WITH_XEN, IN_ALL]);
        fs::write(file, drawing).with_context(|| format!("writing {}", file.display()))?;
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&run.report)?);
    } else if !run.report.is_empty() {
        print!("{}", run.report.to_table());
    }
    if let Some(variants) = variants {
        print!("\n{variants}");
    }
    Ok(())
}

struct Run<'a> {
    options: &'a Options,
    jobs: Vec<Job>,
    shop: Workshop,
    disk: Disk,
    ui: Progress,
    report: Report,
}

impl Run<'_> {
    fn wants(&self, group: Group) -> bool {
        self.options.only.contains(&group)
    }

    fn guests(&self) -> impl Iterator<Item = Guest> + use<> {
        let only = self.options.guest;
        Guest::BOTH.into_iter().filter(move |guest| only.is_none_or(|only| only == *guest))
    }

    fn with_disk(&self, domu: XlDomU) -> XlDomU {
        XlDomU { disks: vec![self.disk.spec("xvda")], ..domu }
    }

    fn jobs(&mut self) -> Result<()> {
        let Options { repeat, args, .. } = self.options;
        for guest in self.guests() {
            let step = self.ui.step(&format!("jobs of {guest:?}"));
            step.busy(AT_WORK);
            for (job, span) in self.spans(guest, &self.jobs, args, *repeat)? {
                self.add(guest, &job, &span);
            }
            step.done("measured");
        }
        Ok(())
    }

    /// What each of some jobs took, as often as asked.
    fn spans(&self, guest: Guest, jobs: &[Job], args: &str, repeat: u32) -> Result<Vec<(Job, Span)>> {
        let words: Vec<_> = jobs.iter().map(|job| job.words).collect();
        // Once more than is counted.
        let rounds = repeat as usize + 1;
        let words = vec![words.join(";"); rounds].join(";");
        let domu = self.with_disk(self.shop.domain(guest, &words, args));
        let done = self.shop.run(&domu, |_| Ok(()))?;
        let spans = self.shop.spans(guest, &done, jobs.len() * rounds)?;
        self.shop.dom0.destroy(&domu.name)?;
        Ok(jobs.iter().copied().cycle().zip(spans).skip(jobs.len()).collect())
    }

    fn add(&mut self, guest: Guest, job: &Job, span: &Span) {
        let (aim, aim_in_all) = job.aims.unzip();
        for (unit, aim, sum) in [
            (OWN, None, span.own),
            (WITH_XEN, aim, span.total()),
            (IN_ALL, aim_in_all, span.all),
            (WAITS, None, span.waits * 1000),
        ] {
            self.report.add(guest, job.name, unit, aim, sum / job.requests);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_say_how_many_requests_they_are() {
        for Job { name, words, requests, .. } in JOBS {
            let numbers: Vec<u64> = words.split(',').skip(2).map(|n| n.parse().unwrap()).collect();
            let [block, total, depth] = numbers[..] else { panic!("{words}") };
            assert_eq!(total, block * requests, "{name}");
            assert!(name.ends_with(&format!("depth {depth}")), "{name}");
            assert!(total <= DISK_MIB << 20 && name.split(' ').next() == words.split(',').next(), "{name}");
        }
    }
}
