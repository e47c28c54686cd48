//! `xtask bench net`: what a network costs, beside a Linux guest on the same bridge in the same run.
//!
//! The load comes from dom0, the same for both (tests/peer/src/load.rs), which marks when a job begins and ends.

mod recovery;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use fata_lab::{Counts, Lab, Optimise, Progress, Span, Vif, VifWish, XlDomU, address};

use super::chart;
use super::report::Report;
use super::work::{FIRST_MARK, Guest, IN_ALL, OWN, PEER, WAITS, WITH_XEN, Wish, Workshop, mark};

/// Measure packets and streams, beside a Linux guest on the same bridge
#[derive(Args)]
pub(crate) struct Options {
    /// How often each is measured; jobs, after once to warm up
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// What is measured
    #[arg(long, value_delimiter = ',', default_value = "jobs,plain")]
    only: Vec<Group>,
    /// Only this guest
    #[arg(long)]
    guest: Option<Guest>,
    /// Only jobs with this in their names
    #[arg(long, default_value = "")]
    filter: String,
    /// More of net-bench's command line
    #[arg(long, value_name = "STR", default_value = "")]
    args: String,
    /// Compile the image to be small or fast, whatever it asks for itself
    #[arg(long, value_name = "size|speed")]
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
    /// Packets and streams
    Jobs,
    /// Streams without sums and segmentation by the device
    Plain,
    /// From a backend's return until the guest answers again
    Recovery,
}

/// What is sent, and by whom.
#[derive(Clone, Copy)]
struct Job {
    name: &'static str,
    /// For `fata-peer load`: `KIND,SIZE,COUNT`.
    words: &'static str,
    /// What a figure is of: a packet, or so many bytes of a stream.
    per: Per,
    /// Instructions in the guest, with Xen's for it, that are to be enough.
    aim: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Per {
    /// A packet, or one there and one back.
    Packet,
    /// A thousand bytes.
    KB,
}

const fn job(name: &'static str, words: &'static str, per: Per, aim: Option<u64>) -> Job {
    Job { name, words, per, aim }
}

const JOBS: [Job; 9] = [
    job("UDP in, 64 bytes", "udp-in,64,4000", Per::Packet, Some(2_000)),
    job("UDP out, 64 bytes", "udp-out,64,4000", Per::Packet, Some(2_000)),
    job("UDP in, 1472 bytes", "udp-in,1472,4000", Per::Packet, None),
    job("UDP out, 1472 bytes", "udp-out,1472,4000", Per::Packet, None),
    job("UDP 64 bytes, there and back", "udp-echo,64,1000", Per::Packet, Some(12_000)),
    job("ping, 56 bytes", "ping,56,1000", Per::Packet, None),
    job("TCP 1 byte, there and back", "tcp-echo,1,1000", Per::Packet, None),
    job("TCP in, 1000 bytes", "tcp-in,65536,256", Per::KB, Some(440)),
    job("TCP out, 1000 bytes", "tcp-out,65536,256", Per::KB, Some(320)),
];
const PLAIN_JOBS: [Job; 2] = [
    job("TCP in, 1000 bytes, no offloads", "tcp-in,65536,128", Per::KB, Some(2_950)),
    job("TCP out, 1000 bytes, no offloads", "tcp-out,65536,128", Per::KB, Some(1_350)),
];

/// How many hypercalls the domain made, for a thousand packets.
const CALLS: &str = "calls/1000";
/// The same for a million bytes of a stream, and how often it slept.
const WAITS_MB: &str = "WFI/MB";
const CALLS_MB: &str = "calls/MB";
/// The last byte of the address of who is measured.
const NUMBER: u8 = 2;
/// What the guest is asked to do without, and what Linux's backend in dom0 no longer offers.
const NO_OFFLOADS: &str = "offloads=off";
const NOT_OFFERED: [(&str, &str); 4] = [
    ("feature-gso-tcpv4", "0"),
    ("feature-gso-tcpv6", "0"),
    ("feature-ipv6-csum-offload", "0"),
    ("feature-no-csum-offload", "1"),
];
/// By the guest's clock, which passes at once where nothing is to be done.
const PATIENCE_MS: u64 = 30_000;
/// By ours.
const TIMEOUT: Duration = Duration::from_secs(1200);
const AT_WORK: &str = "at work";

pub(crate) fn run(options: &Options) -> Result<()> {
    let lab = Lab::open()?;
    let ui = Progress::new();
    let Options { gic, optimise, guest, .. } = options;
    let wish =
        Wish { image: "net-bench", work: "serve", result: "net ", gic, optimise: *optimise, only: *guest };
    let shop = Workshop::new(&lab, &wish, &ui)?;
    let setting = format!(
        "{}{}{}; a bridge with dom0, MTU 1500; instructions for a packet, or for 1000 bytes of a stream",
        if options.args.is_empty() { "" } else { &options.args },
        if options.args.is_empty() { "" } else { ": " },
        shop.setting
    );
    let mut run = Run { options, shop, ui, report: Report::new(setting) };
    if run.wants(Group::Jobs) {
        run.jobs(&JOBS, Offloads::On)?;
    }
    if run.wants(Group::Plain) {
        run.jobs(&PLAIN_JOBS, Offloads::Off)?;
    }
    if run.wants(Group::Recovery) {
        run.recovery()?;
    }
    ensure!(!run.report.is_empty(), "no job has {:?} in its name", options.filter);
    if let Some(file) = &options.svg {
        let drawing = chart::draw(
            "Instructions for a packet or 1000 bytes, Linux = 100 %",
            &run.report,
            [OWN, WITH_XEN, IN_ALL],
        );
        fs::write(file, drawing).with_context(|| format!("writing {}", file.display()))?;
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&run.report)?);
    } else {
        print!("{}", run.report.to_table());
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offloads {
    On,
    Off,
}

struct Run<'a> {
    options: &'a Options,
    shop: Workshop,
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

    /// What some jobs take, as often as asked.
    fn jobs(&mut self, jobs: &[Job], offloads: Offloads) -> Result<()> {
        let jobs: Vec<_> = jobs.iter().filter(|job| job.name.contains(&self.options.filter)).collect();
        if jobs.is_empty() {
            return Ok(());
        }
        // Once more than is counted.
        let rounds = self.options.repeat as usize + 1;
        let words: Vec<_> = jobs.iter().map(|job| job.words).collect();
        let words = vec![words.join(";"); rounds].join(";");
        for guest in self.guests() {
            let step = self.ui.step(&format!("offloads {offloads:?}, {guest:?}"));
            step.busy(AT_WORK);
            let (domu, _) = self.start(guest, offloads)?;
            let said = self.load(&words)?;
            let counts = Counts::of(&self.shop.dom0.folder)?;
            let lines: Vec<_> = said.lines().filter(|line| line.starts_with("net ")).collect();
            for (n, job) in jobs.iter().cycle().enumerate().take(jobs.len() * rounds).skip(jobs.len()) {
                let mark = FIRST_MARK + 2 * n as u32;
                let span = counts.span_of_marks(mark, mark + 1);
                let span = span.with_context(|| format!("{} was not counted", job.name))?;
                let (sent, through) = job.numbers(lines.get(n).copied().unwrap_or_default())?;
                if through < sent {
                    self.report.note(&format!("{guest:?}, {}: {through} of {sent} came through", job.name));
                }
                self.add(guest, job, &span, through);
            }
            self.shop.dom0.destroy(&domu.name)?;
            step.done("measured");
        }
        Ok(())
    }

    /// A guest with one network card, that has answered and come to rest.
    fn start(&self, guest: Guest, offloads: Offloads) -> Result<(XlDomU, Vif)> {
        let mut words = format!("{} {}", address(NUMBER), self.options.args);
        if offloads == Offloads::Off {
            words = format!("{words} {NO_OFFLOADS}");
        }
        let domu = XlDomU {
            vifs: vec![VifWish::new(NUMBER).spec()],
            paused: true,
            ..self.shop.server(guest, words.trim())
        };
        let domain = self.shop.dom0.create_after(&domu, &mark(1))?;
        let vif = Vif { domain, device: 0 };
        let mut script = String::new();
        if offloads == Offloads::Off {
            for (node, value) in NOT_OFFERED {
                script += &format!("xenstore-write {}/{node} {value}\n", vif.backend());
            }
            script += &format!("{PEER} offloads {} off\n", vif.interface());
        }
        self.shop.dom0.sh(&format!("{script}xl unpause {domain}"))?;
        self.await_answer()?;
        self.shop.dom0.sh("sleep 3")?;
        Ok((domu, vif))
    }

    /// Waits until the guest answers.
    fn await_answer(&self) -> Result<()> {
        self.peer(&format!("await {} {PATIENCE_MS}", target())).map(drop)
    }

    fn load(&self, jobs: &str) -> Result<String> {
        let said = self.peer(&format!("load {} '{jobs}'", target()))?;
        ensure!(said.contains("SUCCESS"), "the load ended with:\n{said}");
        Ok(said)
    }

    fn peer(&self, arguments: &str) -> Result<String> {
        let output = self.shop.dom0.run(&format!("{PEER} {arguments}"), TIMEOUT)?;
        ensure!(output.code == 0, "{arguments}: {}", output.text());
        Ok(output.text())
    }

    fn add(&mut self, guest: Guest, job: &Job, span: &Span, through: u64) {
        let through = through.max(1);
        // Waits and calls of a stream are few, and so for more of it.
        let (instructions, waits, calls) = match job.per {
            Per::Packet => (1, WAITS, CALLS),
            Per::KB => (1000, WAITS_MB, CALLS_MB),
        };
        let more = 1000 * instructions;
        for (unit, aim, number, by) in [
            (OWN, None, span.own, instructions),
            (WITH_XEN, job.aim, span.total(), instructions),
            (IN_ALL, None, span.all, instructions),
            (waits, None, span.waits, more),
            (calls, None, span.calls, more),
        ] {
            self.report.add(guest, job.name, unit, aim, number * by / through);
        }
    }
}

impl Job {
    /// How many packets, or bytes of a stream, the load sent, and how many came through, by its own words.
    fn numbers(&self, line: &str) -> Result<(u64, u64)> {
        let number = |name: &str| -> Option<u64> {
            let mut words = line.split(' ');
            words.find(|word| *word == name)?;
            words.next()?.parse().ok()
        };
        let numbers = || {
            let (size, count, through) = (number("size")?, number("count")?, number("through")?);
            Some((if self.per == Per::KB { size * count } else { count }, through, size))
        };
        let (sent, through, size) =
            numbers().with_context(|| format!("the load says of {}: {line:?}", self.name))?;
        // Each write of one byte is one there and one back.
        let through = if self.words.starts_with("tcp-echo") { through / size } else { through };
        Ok((sent, through))
    }
}

fn target() -> String {
    format!("10.0.0.{NUMBER}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loads_words_are_understood() {
        let numbers = |n: usize, line: &str| JOBS[n].numbers(line).unwrap();
        assert_eq!(numbers(0, "net udp-in size 64 count 4000 through 3999 ns 1"), (4000, 3999));
        assert_eq!(numbers(6, "net tcp-echo size 1 count 1000 through 1000 ns 1"), (1000, 1000));
        assert_eq!(numbers(7, "net tcp-in size 65536 count 2 through 131072 ns 1"), (131_072, 131_072));
        assert!(JOBS[0].numbers("FAILURE").is_err());
    }

    #[test]
    fn jobs_are_named_after_what_they_do() {
        for Job { name, words, per, .. } in JOBS.into_iter().chain(PLAIN_JOBS) {
            let kind = words.split(',').next().unwrap_or_default();
            let (what, way) = kind.split_once('-').unwrap_or((kind, ""));
            assert!(name.to_lowercase().starts_with(what), "{name}");
            assert!(way.is_empty() || way == "echo" || name.contains(&format!(" {way},")), "{name}");
            assert_eq!(per == Per::KB, name.contains("1000 bytes"), "{name}");
        }
    }
}
