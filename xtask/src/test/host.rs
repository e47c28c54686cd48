//! Tests that need no Xen: the workspace's own, its documentation's, and the loom models.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use fata_lab::{Lab, Progress};
use serde::Deserialize;

use super::report::{Outcome, Report, Test};

/// Crates with loom models, in their unit tests.
const LOOM: [&str; 2] = ["fata-rt", "fata-ring"];

/// One test program, and which of its tests to run.
pub(crate) struct Suite {
    /// `host/fata-rt/tasks`.
    name: String,
    program: Program,
    tests: Vec<String>,
    log: PathBuf,
}

/// A test program.
struct Program {
    path: PathBuf,
    /// Its package, where its tests find their files.
    dir: PathBuf,
}

impl Program {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.current_dir(&self.dir).env("CARGO_MANIFEST_DIR", &self.dir).stdin(Stdio::null());
        command
    }
}

/// Builds all suites that have a test with `filter` in its name.
pub(crate) fn build(lab: &Lab, filter: &str, ui: &Progress) -> Result<Vec<Suite>> {
    let mut suites = Vec::new();
    let step = ui.step("host tests");
    step.busy("building");
    for program in programs(lab, "host", &["--workspace"], None)? {
        suites.extend(suite(lab, program, filter)?);
    }
    let packages = LOOM.iter().flat_map(|package| ["--package", package]).chain(["--lib", "--release"]);
    let loom = Some(("--cfg loom", lab.workspace().join("target/loom")));
    for program in programs(lab, "loom", &packages.collect::<Vec<_>>(), loom)? {
        suites.extend(suite(lab, program, filter)?);
    }
    step.done("built");
    Ok(suites)
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// Builds test programs with cargo and names each after its package and target.
fn programs(
    lab: &Lab,
    kind: &str,
    args: &[&str],
    flags: Option<(&str, PathBuf)>,
) -> Result<Vec<(String, Program)>> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(lab.workspace())
        .args(["test", "--no-run", "--message-format=json-render-diagnostics"])
        .args(args);
    if let Some((rustflags, dir)) = flags {
        cargo.env("RUSTFLAGS", rustflags).arg("--target-dir").arg(dir);
    }
    let output =
        cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("cannot build the {kind} tests: the reason is above");
    }
    let mut programs = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        // Other lines are of no interest, whatever their shape.
        let Ok(Message {
            reason,
            manifest_path: Some(manifest),
            target: Some(target),
            executable: Some(program),
        }) = serde_json::from_str(line)
        else {
            continue;
        };
        if reason != "compiler-artifact" {
            continue;
        }
        let dir = manifest.parent().context("a manifest is in a directory")?.to_owned();
        let package = package_name(&manifest)?;
        let own = target.name.replace('-', "_") == package.replace('-', "_");
        let name =
            if own { format!("{kind}/{package}") } else { format!("{kind}/{package}/{}", target.name) };
        programs.push((name, Program { path: program, dir }));
    }
    programs.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(programs)
}

fn package_name(manifest: &Path) -> Result<String> {
    let text =
        std::fs::read_to_string(manifest).with_context(|| format!("reading {}", manifest.display()))?;
    let name = text.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    Ok(name.with_context(|| format!("{} names no package", manifest.display()))?.to_owned())
}

/// Asks a program for its tests; nothing if none is wanted.
fn suite(lab: &Lab, (name, program): (String, Program), filter: &str) -> Result<Option<Suite>> {
    let output = program.command().args(["--list", "--format", "terse"]).output();
    let output = output.with_context(|| format!("starting {name}"))?;
    let text = String::from_utf8(output.stdout)?;
    let tests = text.lines().filter_map(|line| line.strip_suffix(": test"));
    let tests: Vec<_> =
        tests.filter(|test| full_name(&name, test).contains(filter)).map(str::to_owned).collect();
    let log = lab.log_path(&format!("tests-{}", name.replace('/', "-")));
    Ok((!tests.is_empty()).then_some(Suite { name, program, tests, log }))
}

fn full_name(suite: &str, test: &str) -> String {
    format!("{suite}/{}", test.replace("::tests::", "::"))
}

impl Suite {
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        self.tests.iter().map(|test| full_name(&self.name, test))
    }

    /// Runs its tests; the program's own output goes to a log.
    pub(crate) fn run(&self, report: &Report) -> Result<()> {
        if let Some(dir) = self.log.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let started = Instant::now();
        let mut child = self
            .program
            .command()
            .arg("--exact")
            .args(&self.tests)
            .stdout(Stdio::piped())
            .stderr(
                std::fs::File::create(&self.log)
                    .with_context(|| format!("writing {}", self.log.display()))?,
            )
            .spawn()
            .with_context(|| format!("starting {}", self.name))?;
        let mut lines = Vec::new();
        let mut done = Vec::new();
        let mut last = Instant::now();
        for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
            let line = line?;
            if let Some((test, outcome)) = result(&line) {
                done.push((test.to_owned(), outcome, last.elapsed()));
                last = Instant::now();
            }
            lines.push(line);
        }
        let status = child.wait()?;
        let mut log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log = format!("{}\n{log}", lines.join("\n"));
        std::fs::write(&self.log, &log)?;

        for test in &self.tests {
            let found = done.iter().find(|(name, ..)| name == test);
            let (outcome, took) = match found {
                Some((_, Ended::Ok, took)) => (Outcome::Passed, *took),
                Some((_, Ended::Ignored, took)) => (Outcome::Skipped, *took),
                Some((_, Ended::Failed, took)) => (Outcome::Failed(self.reason(test, &lines)), *took),
                None => {
                    let reason =
                        format!("the test program ended first ({status})\nlog: {}", self.log.display());
                    (Outcome::Failed(reason), started.elapsed())
                }
            };
            report.add(Test { name: full_name(&self.name, test), outcome, took });
        }
        Ok(())
    }

    /// What the test printed, from the program's summary.
    fn reason(&self, test: &str, lines: &[String]) -> String {
        let header = format!("---- {test} stdout ----");
        let said = lines.iter().skip_while(|line| **line != header).skip(1);
        let said = said.take_while(|line| !line.starts_with("---- ") && *line != "failures:");
        let said = said.filter(|line| !line.is_empty()).take(30).cloned().collect::<Vec<_>>().join("\n");
        format!("{said}\nlog: {}", self.log.display())
    }
}

enum Ended {
    Ok,
    Failed,
    Ignored,
}

/// `test name ... ok`, `test name - should panic ... ok`, `test name ... ignored, why`
fn result(line: &str) -> Option<(&str, Ended)> {
    let (name, outcome) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let ended = match outcome.split(',').next()? {
        "ok" => Ended::Ok,
        "FAILED" => Ended::Failed,
        "ignored" => Ended::Ignored,
        _ => return None,
    };
    Some((name.strip_suffix(" - should panic").unwrap_or(name), ended))
}
