//! `xtask bench block`: what requests to a disk cost, beside a Linux guest with the same disk in the same run.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use fata_lab::{
    BuildRequest, Config, Contents, Counter, Counts, Disk, DiskWish, Dom0, End, Folder, Gic, Lab, Peer,
    Progress, Span, XenVersion, XlDomU,
};

use super::report::Report;

/// Measure requests to a disk, beside a Linux guest on the same backend
#[derive(Args)]
pub(crate) struct Options {
    /// How often each job is measured, after once to warm up
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Only this guest
    #[arg(long)]
    only: Option<Guest>,
    /// Only jobs with this in their names
    #[arg(long, default_value = "")]
    filter: String,
    /// More of block-bench's command line (persistent=0)
    #[arg(long, value_name = "STR", default_value = "")]
    args: String,
    /// Interrupt controller of the board
    #[arg(long, default_value = "3", value_parser = ["2", "3"])]
    gic: String,
    /// Print JSON with all samples instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Guest {
    /// images/block-bench
    Fata,
    /// Debian's cloud kernel
    Linux,
}

/// A pattern of requests.
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
/// Every line of results begins so, and the one before the first of them too.
const RESULT: &str = "blk ";
/// The peer's first mark (tests/peer).
const FIRST_MARK: usize = 100;
const OWN: &str = "own instr.";
const WITH_XEN: &str = "with Xen's";
const IN_ALL: &str = "in all";
const WAITS: &str = "WFI/1000";
/// Counting takes its time.
const TIMEOUT: Duration = Duration::from_secs(1200);

pub(crate) fn run(options: &Options) -> Result<()> {
    let lab = Lab::open()?;
    let ui = Progress::new();
    let jobs: Vec<_> = JOBS.iter().filter(|job| job.name.contains(&options.filter)).collect();
    ensure!(!jobs.is_empty(), "no job has {:?} in its name", options.filter);
    let (qemu, parts) = (lab.qemu(&ui)?, lab.xen(XenVersion::V4_20, &ui)?);
    // Copies, so that a build meanwhile does not change what is measured.
    let folder = Folder::take(&lab, "bench-images")?;
    let copy = |from: PathBuf, name: &str| -> Result<PathBuf> {
        fs::copy(&from, folder.file(name)).with_context(|| format!("copying {}", from.display()))?;
        Ok(folder.file(name))
    };
    let fata = copy(lab.build(&BuildRequest::new("block-bench"), &ui)?.image, "block-bench")?;
    let peer = Peer::block(&lab, &parts, &ui)?;
    let ramdisk = copy(peer.ramdisk.clone(), "initrd")?;
    let words: Vec<_> = jobs.iter().map(|job| job.words).collect();
    // Once more than is counted.
    let bench = format!("bench={}", vec![words.join(";"); options.repeat as usize + 1].join(";"));

    let mut config = Config {
        name: "bench-block".to_owned(),
        gic: options.gic.parse::<Gic>().map_err(anyhow::Error::msg)?,
        icount: true,
        timeout: TIMEOUT,
        ..Config::default()
    };
    Counter::build(&lab, &ui)?.attach(&mut config, None);
    let dom0 = Dom0::start(&lab, &config, &ui)?;
    let disk =
        dom0.make_disk(&DiskWish { contents: Contents::Random, ..DiskWish::new("bench", DISK_MIB) })?;
    let setting = format!(
        "block-bench {} (64 MiB) and Linux {} (256 MiB) on Xen {}, QEMU {}; a disk of {DISK_MIB} MiB on loop on \
         tmpfs; one vCPU each; instructions for a request",
        options.args,
        parts.kernel_release,
        parts.version,
        qemu.version.map(|n| n.to_string()).join("."),
    );
    let mut report = Report::new(setting);
    for guest in [Guest::Fata, Guest::Linux] {
        if options.only.is_some_and(|only| only != guest) {
            continue;
        }
        let step = ui.step(if guest == Guest::Fata { "block-bench" } else { "Linux" });
        step.busy("at work");
        let domu = match guest {
            Guest::Fata => {
                XlDomU { args: format!("{bench} {}", options.args), ..XlDomU::new("fata", fata.clone(), 64) }
            }
            Guest::Linux => XlDomU {
                args: format!("{} {bench}", Peer::command_line("hvc0")),
                ramdisk: Some(ramdisk.clone()),
                ..XlDomU::new("linux", peer.kernel.clone(), 256)
            },
        };
        let count = jobs.len() * (options.repeat as usize + 1);
        let spans = measure(&dom0, domu, &disk, guest, count)?;
        for (job, span) in jobs.iter().cycle().zip(&spans).skip(jobs.len()) {
            add(&mut report, guest, job, span);
        }
        step.done("measured");
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.to_table());
    }
    Ok(())
}

/// Has a guest do its jobs; gives what each took.
fn measure(dom0: &Dom0, domu: XlDomU, disk: &Disk, guest: Guest, jobs: usize) -> Result<Vec<Span>> {
    let name = domu.name.clone();
    let domain = dom0.create_alone(&XlDomU { disks: vec![disk.spec("xvda")], ..domu })?;
    let end = dom0.ended(domain, TIMEOUT);
    let said = dom0.console_of(&name, "", Duration::from_secs(10))?;
    ensure!(
        end == Some(End::PowerOff) && said.contains("SUCCESS"),
        "{name} ended with {end:?} after:\n{said}"
    );
    let counts = Counts::of(&dom0.folder)?;
    let results: Vec<_> = (0..).zip(said.lines()).filter(|(_, line)| line.starts_with(RESULT)).collect();
    let spans = (0..jobs).map(|n| {
        let span = match guest {
            // A job begins where the line before its own ends.
            Guest::Fata => {
                let line = results.get(n + 1).context("a result is missing")?.0;
                counts.span(&format!("line {line}"), &format!("line {}", line + 1))
            }
            Guest::Linux => {
                let mark = FIRST_MARK + 2 * n;
                counts.span(&format!("mark {mark}"), &format!("mark {}", mark + 1))
            }
        };
        span.with_context(|| format!("job {n} was not counted; see {}", dom0.folder.path.display()))
    });
    let spans = spans.collect::<Result<_>>()?;
    dom0.destroy(&name)?;
    Ok(spans)
}

fn add(report: &mut Report, guest: Guest, job: &Job, span: &Span) {
    let (aim, aim_in_all) = job.aims.unzip();
    for (unit, aim, sum) in [
        (OWN, None, span.own),
        (WITH_XEN, aim, span.total()),
        (IN_ALL, aim_in_all, span.all),
        (WAITS, None, span.waits * 1000),
    ] {
        let sample = sum / job.requests;
        match guest {
            Guest::Fata => report.fata(job.name, unit, aim, sample),
            Guest::Linux => report.linux(job.name, unit, sample),
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
