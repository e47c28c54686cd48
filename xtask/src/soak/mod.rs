//! `xtask soak`: does things over and over, for as long as wanted.

mod fuzz;

use std::cell::Cell;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::exit;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use fata_lab::{Effort, Figures, Lab, Progress, Soak, Soaked, in_words};
use serde_json::json;

use crate::table;

/// Do things over and over, to find what happens seldom or adds up
#[derive(Args)]
pub(crate) struct Options {
    /// create-destroy, fifty, detach, rebind, net-boots, net-rebind, echo-requests, website-requests, vchan-kills, vchan-stream,
    /// dns-diff, website-browser, fuzz; all of them if none is named
    #[arg(value_parser = names())]
    names: Vec<String>,
    /// How often: cycles, domains at once, requests, deaths, or MiB
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// For how long; each fuzz target, which gets ten otherwise
    #[arg(long, value_name = "N")]
    minutes: Option<u64>,
    /// Only fuzz targets with this in their names
    #[arg(long, default_value = "")]
    filter: String,
    /// Print one JSON document instead of a table
    #[arg(long)]
    json: bool,
}

const FUZZ: &str = "fuzz";
const DNS_DIFF: &str = "dns-diff";
/// Queries that are enough.
const QUERIES: u64 = 10_000;
const WEBSITE_BROWSER: &str = "website-browser";
/// Rounds that are enough to see all pages.
const ROUNDS: u64 = 1;

fn names() -> Vec<&'static str> {
    Soak::ALL.iter().map(|soak| soak.name()).chain([DNS_DIFF, WEBSITE_BROWSER, FUZZ]).collect()
}

/// What became of one of them.
enum Outcome {
    Passed,
    Failed(String),
    /// It cannot be done here, for this reason.
    Skipped(String),
}

/// A line of the table.
struct Line {
    name: String,
    outcome: Outcome,
    figures: Figures,
    took: Duration,
    /// Where to read more.
    log: Option<PathBuf>,
    seed: Option<u64>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    if options.count == Some(0) || options.minutes == Some(0) {
        bail!("nothing of it is not much of a soak");
    }
    let lab = Lab::open()?;
    let ui = Progress::new();
    let mut lines = Vec::new();
    let wanted = |name: &str| options.names.is_empty() || options.names.iter().any(|n| n == name);
    for soak in Soak::ALL.into_iter().filter(|soak| wanted(soak.name())) {
        let run = |effort, tell: &dyn Fn(u64)| soak.run(&lab, effort, tell, &ui);
        // However long it takes, there are not more at once.
        let usual = (options.minutes.is_none() || soak == Soak::Fifty).then(|| soak.usual());
        lines.push(one(soak.name(), usual, options, &ui, run)?);
    }
    if wanted(DNS_DIFF) {
        let run = |effort, tell: &dyn Fn(u64)| fata_lab::dns_diff(&lab, effort, tell, &ui);
        let usual = options.minutes.is_none().then_some(QUERIES);
        lines.push(one(DNS_DIFF, usual, options, &ui, run)?);
    }
    if wanted(WEBSITE_BROWSER) {
        let run = |effort, tell: &dyn Fn(u64)| fata_lab::website_browser(&lab, effort, tell, &ui);
        let usual = options.minutes.is_none().then_some(ROUNDS);
        lines.push(one(WEBSITE_BROWSER, usual, options, &ui, run)?);
    }
    if wanted(FUZZ) {
        let minutes = options.minutes.unwrap_or(fuzz::MINUTES);
        lines.extend(fuzz::run(&lab, &options.filter, minutes, &ui)?);
    }
    if options.json {
        let lines: Vec<_> = lines.iter().map(Line::to_json).collect();
        println!("{:#}", json!(lines));
    } else {
        let rows: Vec<_> = lines.iter().map(Line::row).collect();
        print!("{}", table::render(["soak", "outcome", "seconds", "figures"], &rows));
    }
    let mut failed = false;
    for line in &lines {
        if let Outcome::Failed(reason) = &line.outcome {
            failed = true;
            eprintln!("\n{} failed: {reason}", line.name);
            line.seed.iter().for_each(|seed| eprintln!("to do the same again: FATA_SEED={seed}"));
            line.log.iter().for_each(|log| eprintln!("logs: {}", log.display()));
        }
    }
    if failed {
        exit(1);
    }
    Ok(())
}

/// Does one of them as often as is asked for, or as is `usual`; a time alone means as often as it takes.
fn one(
    name: &str,
    usual: Option<u64>,
    options: &Options,
    ui: &Progress,
    run: impl FnOnce(Effort, &dyn Fn(u64)) -> Result<Soaked>,
) -> Result<Line> {
    let time = options.minutes.map(|minutes| Duration::from_secs(minutes * 60));
    let count = options.count.or(usual);
    let step = ui.step(name);
    let began = Instant::now();
    let said = Cell::new(began);
    let tell = |done: u64| {
        // Where there are no bars, a line now and then.
        if !std::io::stderr().is_terminal() && said.get().elapsed() >= Duration::from_secs(60) {
            said.set(Instant::now());
            eprintln!("{name}: {done} after {} s", began.elapsed().as_secs());
        }
        let share = |part: f64, of: f64| (part / of * 100.0).min(100.0) as u64;
        let percent = match (count, time) {
            (Some(count), None) => share(done as f64, count as f64),
            (_, Some(time)) => share(began.elapsed().as_secs_f64(), time.as_secs_f64()),
            (None, None) => 0,
        };
        step.percent(&format!("{done}"), percent);
    };
    let soaked = run(Effort { count, time }, &tell)?;
    let (outcome, figures) = match soaked.result {
        Ok(figures) => (Outcome::Passed, figures),
        Err(error) => (Outcome::Failed(format!("{error:#}")), Figures::new()),
    };
    step.done(outcome.word());
    let (log, seed) = (Some(soaked.folder), Some(soaked.seed));
    Ok(Line { name: name.to_owned(), outcome, figures, took: began.elapsed(), log, seed })
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(_) => "FAILED",
            Self::Skipped(_) => "skipped",
        }
    }
}

impl Line {
    fn row(&self) -> [String; 4] {
        let words = match &self.outcome {
            Outcome::Skipped(reason) => reason.clone(),
            _ => in_words(&self.figures),
        };
        [self.name.clone(), self.outcome.word().to_owned(), self.took.as_secs().to_string(), words]
    }

    fn to_json(&self) -> serde_json::Value {
        let reason = match &self.outcome {
            Outcome::Passed => None,
            Outcome::Failed(reason) | Outcome::Skipped(reason) => Some(reason),
        };
        let figures: serde_json::Map<_, _> =
            self.figures.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        json!({
            "name": self.name,
            "outcome": self.outcome.word().to_lowercase(),
            "reason": reason,
            "seconds": self.took.as_secs(),
            "figures": figures,
            "log": self.log,
            "seed": self.seed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_came_of_it_and_why_not() {
        let line = |outcome| Line {
            name: "fuzz dt_parse".into(),
            outcome,
            figures: vec![("executions", 12), ("findings", 0)],
            took: Duration::from_millis(2500),
            log: None,
            seed: Some(7),
        };
        assert_eq!(
            line(Outcome::Passed).row(),
            ["fuzz dt_parse", "passed", "2", "executions 12, findings 0"].map(str::to_owned)
        );
        assert_eq!(line(Outcome::Skipped("no compiler".into())).row()[3], "no compiler");
        let json = line(Outcome::Failed("it broke".into())).to_json();
        assert_eq!((&json["outcome"], &json["reason"]), (&json!("failed"), &json!("it broke")));
        assert_eq!((&json["figures"]["executions"], &json["seed"]), (&json!(12), &json!(7)));
    }
}
