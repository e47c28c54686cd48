//! `xtask trace`: what an image's run time and drivers did last, as a picture and as lines.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result, bail};
use clap::Args;
use fata_lab::{Lab, Names, Progress, Trace, chrome, timeline, traces_of_run};

use crate::run as runner;

/// How long an image runs that nobody stops.
const SECONDS: u64 = 10;

/// Run an image that keeps what its run time and drivers do, until it ends or Ctrl-] or --timeout (10 s), and draw the
/// last of that for Perfetto (ui.perfetto.dev) or chrome://tracing
#[derive(Args)]
#[group(id = "traced")]
pub(crate) struct Options {
    #[command(flatten)]
    run: runner::Options,
    /// Do not run it, but look into the one that `cargo xtask run NAME --trace` runs elsewhere
    #[arg(long)]
    attach: bool,
    /// Do not run it, but read what one has written when it crashed or ended: a file of its console
    #[arg(long, value_name = "FILE", conflicts_with = "attach")]
    console: Option<PathBuf>,
    /// Where the drawing goes, instead of target/lab/traces/NAME.json
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the whole timeline to this file
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// How many lines of the timeline are shown, of each guest's last
    #[arg(long, value_name = "N", default_value_t = 40)]
    last: usize,
}

pub(crate) fn run(mut options: Options) -> Result<()> {
    let lab = Lab::open()?;
    let progress = Progress::new();
    options.run.trace = true;
    let image = options.run.image(&lab, &progress)?;
    let Some(elf) = &image.elf else { bail!("names are in ELF files: give the package below images/") };
    let names = Names::of(&fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?)?;
    let mut traces = Vec::new();
    if let Some(file) = &options.console {
        let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        traces = Trace::of_console(&text);
    } else if options.attach {
        traces = traces_of_run(&lab, &format!("run-{}", image.name))?;
    } else {
        options.run.timeout.get_or_insert(SECONDS);
        if let Some(signal) = runner::session(&options.run, &lab, &image, &progress, Some(&mut traces))? {
            // As a shell reports it.
            process::exit(128 + signal);
        }
    }
    if traces.is_empty() {
        bail!("nothing was found: did {} start, and was it built with its feature `trace`?", image.name);
    }
    let out = options.out.unwrap_or_else(|| lab.dir().join("traces").join(format!("{}.json", image.name)));
    write(&out, &chrome(&traces, &names, &image.name).to_string())?;
    let texts: Vec<_> = traces.iter().map(|trace| timeline(trace, &names)).collect();
    if let Some(file) = &options.text {
        write(file, &texts.join("\n"))?;
    }
    for text in &texts {
        // What the guest wrote last may have no end.
        print!("\n{}", shown(text, options.last));
    }
    println!("\n{} opens in https://ui.perfetto.dev or chrome://tracing", out.display());
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<()> {
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    }
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// The heading, the last records, and the tasks.
fn shown(text: &str, last: usize) -> String {
    let (records, tasks) = text.split_once("tasks\n").map_or((text, None), |(r, t)| (r, Some(t)));
    let lines: Vec<_> = records.lines().collect();
    let (heading, records) = lines.split_first().map_or(("", &[][..]), |(heading, rest)| (*heading, rest));
    let mut out = format!("{heading}\n");
    for line in &records[records.len().saturating_sub(last)..] {
        out += line;
        out.push('\n');
    }
    out + &tasks.map_or_else(String::new, |tasks| format!("tasks\n{tasks}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_records_are_shown_and_all_tasks() {
        let text = "3 records\n one\n two\n three\ntasks\n  a\n  b\n";
        assert_eq!(shown(text, 2), "3 records\n two\n three\ntasks\n  a\n  b\n");
        assert_eq!(shown("0 records\n", 2), "0 records\n");
    }
}
