//! Has dom0 load a guest that is on a bridge with it, Fata's and then Linux, and counts what that takes.
//!
//! The load is the same for both (tests/peer/src/load.rs), and marks when a job begins and ends.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use fata_lab::{Counts, Lab, Optimise, Progress, Span, XlDomU};

use super::chart;
use super::report::Report;
use super::work::{FIRST_MARK, Guest, IN_ALL, OWN, PEER, WAITS, WITH_XEN, Wish, Workshop, mark};

/// What all such benches have in common.
#[derive(Args)]
pub(crate) struct Common {
    /// How often each is measured; jobs, after once to warm up
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repeat: u32,
    /// Only this guest
    #[arg(long)]
    pub(crate) guest: Option<Guest>,
    /// Only jobs with this in their names
    #[arg(long, default_value = "")]
    pub(crate) filter: String,
    /// More of the image's command line
    #[arg(long, value_name = "STR", default_value = "")]
    pub(crate) args: String,
    /// Compile the image to be small, fast or both, whatever it asks for itself
    #[arg(long, value_name = "size|balance|speed")]
    pub(crate) optimise: Option<Optimise>,
    /// Interrupt controller of the board
    #[arg(long, default_value = "3", value_parser = ["2", "3"])]
    pub(crate) gic: String,
    /// Print JSON with all samples instead of a table
    #[arg(long)]
    json: bool,
    /// Draw the jobs here
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// What is sent, and by whom.
#[derive(Clone, Copy)]
pub(crate) struct Job {
    pub(crate) name: &'static str,
    /// For `fata-peer load`: `KIND,SIZE,COUNT`.
    pub(crate) words: &'static str,
    /// What a figure is of: a packet, or so many bytes of a stream.
    pub(crate) per: Per,
    /// Instructions in the guest, with Xen's for it, that are to be enough.
    pub(crate) aim: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Per {
    /// A packet, or one there and one back.
    Packet,
    /// A thousand bytes.
    KB,
}

/// Dom0 with Xen's work for it.
const DOM0: &str = "dom0's";
/// Virtual time: instructions, and whatever time nobody had anything to do.
pub(crate) const TIME: &str = "µs";
/// How many hypercalls the domain made, for a thousand packets.
const CALLS: &str = "calls/1000";
/// The same for a million bytes of a stream, and how often it slept.
const WAITS_MB: &str = "WFI/MB";
const CALLS_MB: &str = "calls/MB";
/// The last byte of the address of who is measured.
pub(crate) const NUMBER: u8 = 2;
/// By the guest's clock, which passes at once where nothing is to be done.
pub(crate) const PATIENCE_MS: u64 = 30_000;
/// By ours.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(1200);

/// A machine to load guests on, and what it took so far.
pub(crate) struct Load<'a> {
    pub(crate) common: &'a Common,
    pub(crate) shop: Workshop,
    pub(crate) ui: Progress,
    pub(crate) report: Report,
}

impl<'a> Load<'a> {
    /// `wish` says what is measured, apart from what was asked for on the command line; `unit`, what figures are of.
    pub(crate) fn new(lab: &Lab, common: &'a Common, wish: &Wish<'_>, unit: &str) -> Result<Self> {
        let ui = Progress::new();
        let Common { gic, optimise, guest, args, .. } = common;
        let shop = Workshop::new(lab, &Wish { gic, optimise: *optimise, only: *guest, ..wish.clone() }, &ui)?;
        let setting = format!(
            "{args}{}{}; a bridge with dom0, MTU 1500; instructions for {unit}",
            if args.is_empty() { "" } else { ": " },
            shop.setting
        );
        Ok(Self { common, shop, ui, report: Report::new(setting) })
    }

    pub(crate) fn guests(&self) -> impl Iterator<Item = Guest> + use<> {
        let only = self.common.guest;
        Guest::BOTH.into_iter().filter(move |guest| only.is_none_or(|only| only == *guest))
    }

    /// Those of some jobs that were asked for.
    pub(crate) fn chosen<'j>(&self, jobs: &'j [Job]) -> Vec<&'j Job> {
        jobs.iter().filter(|job| job.name.contains(&self.common.filter)).collect()
    }

    /// What some jobs take of a guest that serves, as often as asked. `more` goes to the end of their names.
    pub(crate) fn measure(&mut self, guest: Guest, jobs: &[&Job], more: &str) -> Result<()> {
        // Once more than is counted.
        let rounds = self.common.repeat as usize + 1;
        let words: Vec<_> = jobs.iter().map(|job| job.words).collect();
        let words = vec![words.join(";"); rounds].join(";");
        let said = self.peer(&format!("load {} '{words}'", target()))?;
        ensure!(said.contains("SUCCESS"), "the load ended with:\n{said}");
        let counts = Counts::of(&self.shop.dom0.folder)?;
        let lines: Vec<_> = said.lines().filter(|line| line.starts_with("net ")).collect();
        for (n, job) in jobs.iter().cycle().enumerate().take(jobs.len() * rounds).skip(jobs.len()) {
            let mark = FIRST_MARK + 2 * n as u32;
            let name = format!("{}{more}", job.name);
            let span = counts.span_of_marks(mark, mark + 1);
            let span = span.with_context(|| format!("{name} was not counted"))?;
            let (sent, through) = job.numbers(lines.get(n).copied().unwrap_or_default())?;
            if through < sent {
                self.report.note(&format!("{guest:?}, {name}: {through} of {sent} came through"));
            }
            self.add(guest, job, &name, &span, through);
        }
        Ok(())
    }

    /// Creates a guest that serves, waits as `ask` says until it does, and measures some jobs.
    pub(crate) fn serve(&mut self, guest: Guest, domu: &XlDomU, ask: &str, jobs: &[&Job]) -> Result<()> {
        let step = self.ui.step(&format!("{guest:?}"));
        step.busy("at work");
        self.shop.dom0.create_after(domu, &mark(1))?;
        self.answering(domu, self.peer(&format!("{ask} {} {PATIENCE_MS}", target())))?;
        self.shop.dom0.sh("sleep 3")?;
        let measured = self.measure(guest, jobs, "");
        self.answering(domu, measured)?;
        self.shop.dom0.destroy(&domu.name)?;
        step.done("measured");
        Ok(())
    }

    /// Adds to an error what the guest has said.
    fn answering<T>(&self, domu: &XlDomU, result: Result<T>) -> Result<T> {
        result.with_context(|| {
            let said = self.shop.dom0.console_of(&domu.name, "", Duration::from_secs(10));
            format!("{} says {}", domu.name, said.unwrap_or_else(|error| error.to_string()))
        })
    }

    /// From before `xl create` until the first answer has come to dom0, which asks all the time as `ask` says.
    pub(crate) fn creation(
        &mut self,
        name: &str,
        ask: &str,
        domu: impl Fn(&Self, Guest) -> XlDomU,
    ) -> Result<()> {
        for guest in self.guests() {
            let step = self.ui.step(&format!("{name} of {guest:?}"));
            for n in 1..=self.common.repeat {
                step.busy(&format!("{n} of {}", self.common.repeat));
                let domu = domu(self, guest);
                let dom0 = &self.shop.dom0;
                let ask = format!("{PEER} {ask} {} {PATIENCE_MS}", target());
                let first = format!(
                    "sleep 1; {}; {PEER} clock >/tmp/began; ({ask}; {PEER} clock) >/tmp/ended 2>&1 &",
                    mark(1)
                );
                dom0.create_between(&domu, &first, "wait")?;
                let said = dom0.sh("cat /tmp/began /tmp/ended")?;
                let mut times = said.lines().filter_map(|line| line.strip_prefix("ns ")?.parse::<u64>().ok());
                let times = times.next().zip(times.next());
                let (began, ended) = times.with_context(|| format!("{guest:?}: {said}"))?;
                let span = Counts::of(&dom0.folder)?.span_of_birth(1, FIRST_MARK);
                let span = span.context("there was an answer, but that was not counted")?;
                for (unit, sample) in [
                    (OWN, span.own),
                    (WITH_XEN, span.total()),
                    (DOM0, span.others),
                    (IN_ALL, span.all),
                    (TIME, (ended - began) / 1000),
                ] {
                    self.report.add(guest, name, unit, None, sample);
                }
                self.shop.dom0.destroy(&domu.name)?;
            }
            step.done("measured");
        }
        Ok(())
    }

    /// Waits until the guest answers.
    pub(crate) fn await_answer(&self) -> Result<()> {
        self.peer(&format!("await {} {PATIENCE_MS}", target())).map(drop)
    }

    pub(crate) fn peer(&self, arguments: &str) -> Result<String> {
        let output = self.shop.dom0.run(&format!("{PEER} {arguments}"), TIMEOUT)?;
        ensure!(output.code == 0, "{arguments}: {}", output.text());
        Ok(output.text())
    }

    fn add(&mut self, guest: Guest, job: &Job, name: &str, span: &Span, through: u64) {
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
            self.report.add(guest, name, unit, aim, number * by / through);
        }
    }

    /// Shows what there is, as was asked for; `title` is the drawing's.
    pub(crate) fn finish(self, title: &str) -> Result<()> {
        let Self { common, report, .. } = self;
        ensure!(!report.is_empty(), "no job has {:?} in its name", common.filter);
        if let Some(file) = &common.svg {
            let drawing = chart::draw(title, &report, [OWN, WITH_XEN, IN_ALL]);
            fs::write(file, drawing).with_context(|| format!("writing {}", file.display()))?;
        }
        if common.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print!("{}", report.to_table());
        }
        Ok(())
    }
}

impl Job {
    pub(crate) const fn new(name: &'static str, words: &'static str, per: Per, aim: Option<u64>) -> Self {
        Self { name, words, per, aim }
    }

    /// How many packets, or bytes of a stream, the load sent, and how many came through, by its own words.
    pub(crate) fn numbers(&self, line: &str) -> Result<(u64, u64)> {
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

pub(crate) fn target() -> String {
    format!("10.0.0.{NUMBER}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loads_words_are_understood() {
        let job = |words, per| Job::new("", words, per, None);
        let numbers = |job: Job, line: &str| job.numbers(line).unwrap();
        let udp = job("udp-in,64,4000", Per::Packet);
        assert_eq!(numbers(udp, "net udp-in size 64 count 4000 through 3999 ns 1"), (4000, 3999));
        let echo = job("tcp-echo,1,1000", Per::Packet);
        assert_eq!(numbers(echo, "net tcp-echo size 1 count 1000 through 1000 ns 1"), (1000, 1000));
        let stream = job("tcp-in,65536,2", Per::KB);
        assert_eq!(numbers(stream, "net tcp-in size 65536 count 2 through 131072 ns 1"), (131_072, 131_072));
        assert!(udp.numbers("FAILURE").is_err());
    }
}
