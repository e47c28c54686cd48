//! Says what long work is doing: bars on a terminal, plain lines otherwise.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Where progress goes; cheap to clone, and steps may run in several threads.
#[derive(Clone)]
pub struct Progress {
    bars: MultiProgress,
    lines: bool,
}

impl Progress {
    /// Draws on standard error, which leaves standard output to results.
    #[must_use]
    pub fn new() -> Self {
        if std::io::stderr().is_terminal() {
            Self { bars: MultiProgress::new(), lines: false }
        } else {
            Self { bars: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()), lines: true }
        }
    }

    /// Says nothing: for tests, whose harness has its own output.
    #[must_use]
    pub fn quiet() -> Self {
        Self { bars: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()), lines: false }
    }

    /// Starts a step that takes a while. Dropping it without [`Step::done`] removes its bar.
    pub fn step(&self, what: &str) -> Step {
        let style = ProgressStyle::with_template("{spinner} {prefix:<22} {msg}").expect("fixed template");
        let bar = self.bars.add(ProgressBar::new(100).with_style(style).with_prefix(what.to_owned()));
        if self.lines {
            eprintln!("{what} ...");
        } else if !self.bars.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Step { progress: self.clone(), bar, what: what.to_owned(), started: Instant::now() }
    }

    /// A line that stays, above the bars.
    pub fn note(&self, line: &str) {
        if self.lines {
            eprintln!("{line}");
        } else if !self.bars.is_hidden() {
            self.bars.suspend(|| eprintln!("{line}"));
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

/// One piece of work under way.
pub struct Step {
    progress: Progress,
    bar: ProgressBar,
    what: String,
    started: Instant,
}

impl Step {
    /// Says what it is busy with.
    pub fn busy(&self, with: &str) {
        self.bar.set_message(with.to_owned());
    }

    /// Shows how much of the present phase is done.
    pub fn percent(&self, phase: &str, percent: u64) {
        let style =
            ProgressStyle::with_template("{spinner} {prefix:<22} {bar:24} {msg}").expect("fixed template");
        self.bar.set_style(style);
        self.bar.set_position(percent);
        self.bar.set_message(phase.to_owned());
    }

    /// Leaves one line with the outcome and the time taken.
    pub fn done(self, outcome: &str) {
        self.bar.finish_and_clear();
        let took = self.started.elapsed();
        let took = if took < Duration::from_secs(60) {
            format!("{:.1} s", took.as_secs_f32())
        } else {
            HumanDuration(took).to_string()
        };
        self.progress.note(&format!("{:<24} {outcome} ({took})", self.what));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
