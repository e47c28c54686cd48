//! `xtask test`: the host suite, the loom models, then the lab's cases on real Xen.

mod host;
mod junit;
mod report;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use fata_lab::{Case, Lab, Progress};

use report::{Outcome, Report, Test};

/// Run every test: on this machine, then on real Xen
#[derive(Args)]
pub(crate) struct Options {
    /// Only tests with this in their names
    #[arg(long, default_value = "")]
    filter: String,
    /// Only names the tests
    #[arg(long)]
    list: bool,
    /// Print one JSON document instead of lines
    #[arg(long)]
    json: bool,
    /// Write a JUnit report as well
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Leave out what needs Xen
    #[arg(long, conflicts_with = "lab_only")]
    host_only: bool,
    /// Only what needs Xen
    #[arg(long)]
    lab_only: bool,
    /// Lab cases at the same time; each keeps one CPU busy
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let lab = Lab::open()?;
    let ui = Progress::new();
    let cases = fata_lab::cases();
    let chosen: Vec<_> =
        cases.iter().filter(|case| !options.host_only && case.name.contains(&options.filter)).collect();
    let suites = if options.lab_only { Vec::new() } else { host::build(&lab, &options.filter, &ui)? };
    if options.list {
        let names =
            suites.iter().flat_map(host::Suite::names).chain(chosen.iter().map(|case| case.name.clone()));
        return list(&names.collect::<Vec<_>>(), options.json);
    }

    let total = suites.iter().map(|suite| suite.names().count()).sum::<usize>() + chosen.len();
    let report = Report::new(total, options.json, &ui);
    for suite in &suites {
        suite.run(&report)?;
    }
    if !chosen.is_empty() {
        run_cases(&lab, &chosen, options.jobs, &report, &ui)?;
    }
    let tests = report.finish();
    if let Some(file) = &options.junit {
        junit::write(file, &tests)?;
    }
    report::summary(&tests, options.json);
    let failed = tests.iter().filter(|test| matches!(test.outcome, Outcome::Failed(_))).count();
    if failed > 0 {
        std::process::exit(1);
    }
    if tests.is_empty() {
        bail!("no test has {:?} in its name; --list names them", options.filter);
    }
    Ok(())
}

fn run_cases(lab: &Lab, cases: &[&Case], jobs: Option<usize>, report: &Report, ui: &Progress) -> Result<()> {
    let images = fata_lab::build_images(lab, cases, ui)?;
    fata_lab::prepare(lab, cases, ui)?;
    let jobs = jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    fata_lab::run_cases(lab, &images, cases, jobs, |case, outcome| {
        let failure = outcome.failure.map(|failure| {
            let mut words = failure.reason;
            if !failure.last_lines.is_empty() {
                words += "\nthe last it said:";
                failure.last_lines.iter().for_each(|line| words += &format!("\n    {line}"));
            }
            format!("{words}\nlogs: {}", failure.folder.display())
        });
        report.add(Test {
            name: case.name.clone(),
            outcome: failure.map_or(Outcome::Passed, Outcome::Failed),
            took: outcome.took,
        });
    })
}

fn list(names: &[String], json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(names)?);
    } else {
        names.iter().for_each(|name| println!("{name}"));
    }
    Ok(())
}
