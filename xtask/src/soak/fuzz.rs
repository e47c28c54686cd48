//! Fuzz targets, each for some minutes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fata_lab::{Lab, Progress};

use super::{Line, Outcome};

/// For each target.
pub(super) const MINUTES: u64 = 10;

/// How a target is run, as tests/fuzz/README.md says.
struct Manner {
    corpus: String,
    /// Without it most are many times as fast; what it sees is mistakes in unsafe code.
    sanitizer: &'static str,
    arguments: &'static [&'static str],
}

impl Manner {
    fn of(target: &str) -> Self {
        let corpus = target.replace('_', "-");
        match target.split('_').next() {
            Some("dt") => Self {
                corpus: "device-trees".to_owned(),
                sanitizer: "address",
                arguments: &["-max_len=4096", "-timeout=5"],
            },
            Some("disk") => Self {
                corpus,
                sanitizer: "address",
                arguments: &["-max_len=256", "-malloc_limit_mb=48", "-timeout=20"],
            },
            Some("ring") => {
                Self { corpus: "rings".to_owned(), sanitizer: "none", arguments: &["-timeout=20"] }
            }
            Some("deploy") if target.ends_with("tree") => {
                Self { corpus: "device-trees".to_owned(), sanitizer: "none", arguments: &["-timeout=20"] }
            }
            _ => Self { corpus, sanitizer: "none", arguments: &["-timeout=20"] },
        }
    }
}

/// Runs every target with this in its name for so many minutes.
pub(super) fn run(lab: &Lab, filter: &str, minutes: u64, ui: &Progress) -> Result<Vec<Line>> {
    let dir = lab.workspace().join("tests/fuzz");
    let targets = match targets(&dir) {
        Ok(targets) => targets,
        Err(reason) => return Ok(vec![line("fuzz", Outcome::Skipped(reason))]),
    };
    let wanted: Vec<_> = targets.iter().filter(|target| target.contains(filter)).collect();
    ensure!(!wanted.is_empty(), "no fuzz target has {filter:?} in its name");
    wanted.into_iter().map(|target| one(lab, &dir, target, minutes, ui)).collect()
}

/// The names of all targets; or why there is nothing to run them with.
fn targets(dir: &Path) -> Result<Vec<String>, String> {
    let output = cargo_fuzz(dir).arg("list").arg("--fuzz-dir").arg(dir).output();
    match output {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
        }
        _ => Err("cargo-fuzz is not installed: cargo install cargo-fuzz".to_owned()),
    }
}

fn one(lab: &Lab, dir: &Path, target: &str, minutes: u64, ui: &Progress) -> Result<Line> {
    let manner = Manner::of(target);
    let step = ui.step(&format!("fuzz {target}"));
    // What is found grows from run to run, and stays out of the source tree.
    let folder = lab.dir().join("runs/soak/fuzz").join(target);
    let (found, broken) = (folder.join("corpus"), folder.join("broken"));
    for path in [&found, &broken] {
        fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
    }
    let before = files(&broken)?;
    let log = folder.join("log");
    let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let command = |what: &str| {
        let mut cargo = cargo_fuzz(dir);
        // Or what is built with one sanitizer would be built again for another.
        let built = lab.workspace().join(format!("target/fuzz-{}", manner.sanitizer));
        cargo.arg(what).args(["--fuzz-dir", "."]).args(["--sanitizer", manner.sanitizer]);
        cargo.arg("--target-dir").arg(built).arg(target);
        cargo
    };
    step.busy("building");
    let built = command("build").stdout(output.try_clone()?).stderr(output.try_clone()?).status()?;
    if !built.success() {
        step.done("skipped");
        let reason = format!("it cannot be built here; see {}", log.display());
        return Ok(line(&format!("fuzz {target}"), Outcome::Skipped(reason)));
    }
    step.busy(&format!("{minutes} minutes"));
    let began = Instant::now();
    let mut fuzz = command("run");
    fuzz.arg(&found).arg(dir.join("corpus").join(&manner.corpus)).arg("--").args(manner.arguments).args([
        format!("-max_total_time={}", minutes * 60),
        format!("-artifact_prefix={}/", broken.display()),
        "-print_final_stats=1".to_owned(),
    ]);
    let status = fuzz.stdout(output.try_clone()?).stderr(output).status().context("starting cargo fuzz")?;
    let took = began.elapsed();
    let text = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
    let text = String::from_utf8_lossy(&text);
    let executions = number(&text, "stat::number_of_executed_units:");
    let new: Vec<PathBuf> = files(&broken)?.into_iter().filter(|file| !before.contains(file)).collect();
    let outcome = match (status.success(), new.first()) {
        (_, Some(file)) => Outcome::Failed(format!("{} breaks it", file.display())),
        (true, None) => Outcome::Passed,
        (false, None) => Outcome::Failed(format!("cargo fuzz {status}")),
    };
    step.done(outcome.word());
    let executions = executions.unwrap_or_default();
    Ok(Line {
        figures: vec![
            ("executions", executions),
            ("a second", executions / took.as_secs().max(1)),
            ("inputs kept", files(&found)?.len() as u64),
            ("findings", new.len() as u64),
        ],
        took,
        log: Some(log),
        ..line(&format!("fuzz {target}"), outcome)
    })
}

fn line(name: &str, outcome: Outcome) -> Line {
    Line { name: name.to_owned(), outcome, figures: Vec::new(), took: Duration::ZERO, log: None, seed: None }
}

/// Stable Rust has the sanitizer, but lets only those use it who say so.
fn cargo_fuzz(dir: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(dir).arg("fuzz").env("RUSTC_BOOTSTRAP", "1").stdin(Stdio::null());
    cargo
}

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// The number behind the last of these words.
fn number(text: &str, words: &str) -> Option<u64> {
    let (_, rest) = text.rsplit_once(words)?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_corpus() {
        let dir = Lab::open().unwrap().workspace().join("tests/fuzz");
        for file in files(&dir.join("fuzz_targets")).unwrap() {
            let target = file.file_stem().unwrap().to_string_lossy().into_owned();
            let corpus = dir.join("corpus").join(Manner::of(&target).corpus);
            assert!(corpus.is_dir(), "{target} wants {}", corpus.display());
        }
    }

    #[test]
    fn the_last_number_counts() {
        let text = "stat::number_of_executed_units: 12\nstat::x: 3\nstat::number_of_executed_units: 345\n";
        assert_eq!(number(text, "stat::number_of_executed_units:"), Some(345));
        assert_eq!(number("", "stat:"), None);
    }
}
