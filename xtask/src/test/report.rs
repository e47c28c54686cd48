//! What became of each test, as it becomes known and at the end.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fata_lab::{Progress, Step};
use serde_json::json;

/// What became of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// The reason, and where to read more.
    Failed(String),
    /// Marked as ignored in its source.
    Skipped,
}

/// A test that has run.
#[derive(Clone, Debug)]
pub(crate) struct Test {
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
    pub(crate) took: Duration,
}

/// Collects outcomes from several threads and shows each at once.
pub(crate) struct Report {
    tests: Mutex<Vec<Test>>,
    total: usize,
    quiet: bool,
    /// On a terminal a bar says how far we are, and only failures and the lab's cases leave a line.
    step: Step,
    terminal: bool,
    ui: Progress,
}

impl Report {
    pub(crate) fn new(total: usize, json: bool, ui: &Progress) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { tests: Mutex::default(), total, quiet: json, step: ui.step("tests"), terminal, ui: ui.clone() }
    }

    pub(crate) fn add(&self, test: Test) {
        let mut tests = self.tests.lock().unwrap_or_else(PoisonError::into_inner);
        let done = tests.len() + 1;
        if self.terminal {
            self.step.percent(&format!("{done} of {}", self.total), (done * 100 / self.total.max(1)) as u64);
        }
        let line = line(&test);
        if self.terminal {
            self.ui.note(&line);
        } else if !self.quiet {
            println!("{line}");
        } else if matches!(test.outcome, Outcome::Failed(_)) {
            eprintln!("{line}");
        }
        tests.push(test);
    }

    pub(crate) fn finish(self) -> Vec<Test> {
        self.tests.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

fn line(test: &Test) -> String {
    let Test { name, outcome, took } = test;
    let seconds = took.as_secs_f32();
    match outcome {
        Outcome::Passed if seconds >= 0.05 => format!("ok      {name} ({seconds:.1} s)"),
        Outcome::Passed => format!("ok      {name}"),
        Outcome::Skipped => format!("skipped {name}"),
        Outcome::Failed(reason) => {
            format!("FAILED  {name} ({seconds:.1} s)\n{}", indented(reason))
        }
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("        {line}")).collect::<Vec<_>>().join("\n")
}

/// `N passed, N failed`, and how many were skipped if any were.
fn counts(tests: &[Test]) -> (usize, usize, usize) {
    let count = |wanted: fn(&Outcome) -> bool| tests.iter().filter(|test| wanted(&test.outcome)).count();
    (
        count(|o| matches!(o, Outcome::Passed)),
        count(|o| matches!(o, Outcome::Failed(_))),
        count(|o| matches!(o, Outcome::Skipped)),
    )
}

/// Names what failed once more, then counts; or all of it as one JSON document.
pub(crate) fn summary(tests: &[Test], json: bool) {
    let (passed, failed, skipped) = counts(tests);
    if json {
        let tests: Vec<_> = tests.iter().map(as_json).collect();
        println!("{:#}", json!({ "passed": passed, "failed": failed, "skipped": skipped, "tests": tests }));
        return;
    }
    if failed > 0 {
        println!("\nfailed:");
        tests
            .iter()
            .filter(|t| matches!(t.outcome, Outcome::Failed(_)))
            .for_each(|t| println!("    {}", t.name));
    }
    let skipped = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
    println!("{passed} passed, {failed} failed{skipped}");
}

fn as_json(test: &Test) -> serde_json::Value {
    let (outcome, reason) = match &test.outcome {
        Outcome::Passed => ("passed", None),
        Outcome::Failed(reason) => ("failed", Some(reason)),
        Outcome::Skipped => ("skipped", None),
    };
    json!({ "name": test.name, "outcome": outcome, "reason": reason, "seconds": test.took.as_secs_f64() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_happened_and_slow_tests_how_long() {
        let test = |outcome, ms| Test { name: "a/b".into(), outcome, took: Duration::from_millis(ms) };
        assert_eq!(line(&test(Outcome::Passed, 1)), "ok      a/b");
        assert_eq!(line(&test(Outcome::Passed, 1234)), "ok      a/b (1.2 s)");
        assert_eq!(line(&test(Outcome::Skipped, 0)), "skipped a/b");
        let failed = test(Outcome::Failed("one\ntwo".into()), 100);
        assert_eq!(line(&failed), "FAILED  a/b (0.1 s)\n        one\n        two");
        assert_eq!(counts(&[failed, test(Outcome::Skipped, 0), test(Outcome::Passed, 0)]), (1, 1, 1));
    }
}
