//! The lines that are kept, and what waits to be said.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use core::cell::{Cell, RefCell};
use core::fmt;
use fata_rt::Rt;
use xen_hyp::Signal;

/// Things that wait for somebody, at most: what comes when nobody takes them is dropped.
const WAITING: usize = 64;

/// A line that came.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) number: u64,
    pub(crate) at_ms: u64,
    pub(crate) text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} {}", self.number, self.at_ms, self.text)
    }
}

pub(crate) struct Log {
    pub(crate) rt: Rt,
    keep: usize,
    lines: RefCell<VecDeque<Line>>,
    last: Cell<u64>,
    /// Fires at each line.
    pub(crate) news: Signal,
    /// The last one that was passed on.
    pub(crate) passed: Cell<u64>,
    /// How often a sensor has come.
    pub(crate) came: Cell<u32>,
    /// For our own console.
    pub(crate) remarks: Queue,
    /// For the sensor.
    pub(crate) orders: Queue,
    /// For whoever reads.
    pub(crate) replies: Queue,
}

impl Log {
    pub(crate) fn new(rt: &Rt, keep: usize) -> Self {
        Self {
            rt: rt.clone(),
            keep,
            lines: RefCell::default(),
            last: Cell::new(0),
            news: Signal::new(),
            passed: Cell::new(0),
            came: Cell::new(0),
            remarks: Queue::default(),
            orders: Queue::default(),
            replies: Queue::default(),
        }
    }

    /// Adds a line.
    pub(crate) fn add(&self, text: &str) {
        let number = self.last.get() + 1;
        self.last.set(number);
        let mut lines = self.lines.borrow_mut();
        if lines.len() == self.keep {
            lines.pop_front();
        }
        lines.push_back(Line { number, at_ms: self.rt.now_ns() / 1_000_000, text: text.to_string() });
        drop(lines);
        self.news.fire();
    }

    /// Adds a line of our own, which is said here, too.
    pub(crate) fn note(&self, text: &str) {
        self.add(text);
        self.remarks.put(text.to_string());
    }

    /// The first line that is kept with a number above this.
    pub(crate) fn after(&self, number: u64) -> Option<Line> {
        let lines = self.lines.borrow();
        let first = lines.front()?.number;
        let skip = (number + 1).saturating_sub(first);
        lines.get(usize::try_from(skip).ok()?).cloned()
    }

    /// The number before that of the `count`th line from the end.
    pub(crate) fn before_last(&self, count: usize) -> u64 {
        self.last.get().saturating_sub(count.min(self.lines.borrow().len()) as u64)
    }

    pub(crate) fn stats(&self) -> String {
        let (lines, kept, came) = (self.last.get(), self.lines.borrow().len(), self.came.get());
        let ms = self.rt.now_ns() / 1_000_000;
        alloc::format!(
            "{lines} lines, {kept} of them kept, a sensor came {came} times, up {}.{:03} s",
            ms / 1000,
            ms % 1000
        )
    }
}

/// What somebody is to be told.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: RefCell<VecDeque<String>>,
    news: Signal,
}

impl Queue {
    pub(crate) fn put(&self, text: String) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() < WAITING {
            waiting.push_back(text);
        }
        drop(waiting);
        self.news.fire();
    }

    pub(crate) fn try_take(&self) -> Option<String> {
        self.waiting.borrow_mut().pop_front()
    }

    pub(crate) async fn take(&self) -> String {
        self.news.until(|| self.try_take()).await
    }

    pub(crate) fn forget(&self) {
        self.waiting.borrow_mut().clear();
    }
}
