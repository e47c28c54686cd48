//! What a guest's run time did last: taken from its console or its memory, and drawn.

mod chrome;
mod hidden;
mod memory;
mod names;
mod timeline;

use std::collections::BTreeMap;

use fata_trace::{Kind, MAGIC, Name, Part, RECORDS, RINGS, Record, TASKS, Task, TaskState, WORDS, parse};

pub use chrome::chrome;
pub use hidden::Hidden;
pub use memory::{ATTACH, traces_of_run};
pub use names::Names;
pub use timeline::timeline;

/// What was kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Ticks a second.
    pub hz: u64,
    /// Records there ever were.
    pub count: u64,
    /// Where all of this was in the guest's memory.
    pub address: u64,
    /// Tasks that were there.
    pub tasks: Vec<Task>,
    /// What happened, in its order.
    pub records: Vec<Record>,
    /// Records that were being written, or lost on their way.
    pub torn: u64,
}

impl Trace {
    /// All that a console has, in the order of the crashes and ends that wrote them. One that was cut short has what
    /// arrived.
    pub fn of_console(text: &[u8]) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for line in text.split(|byte| matches!(byte, b'\r' | b'\n')) {
            // Text may stand before it.
            let Some(start) = line.iter().rposition(|byte| *byte == b'\t') else { continue };
            match (parse(&line[start..]), all.last_mut()) {
                (Some((Part::Head, [MAGIC, hz, count, address])), _) => {
                    all.push(Self { hz, count, address, ..Self::default() });
                }
                (Some((Part::Task, words)), Some(trace)) => trace.tasks.extend(Task::of(words)),
                (Some((Part::Record, words)), Some(trace)) => trace.records.extend(Record::of(words)),
                _ => {}
            }
        }
        for trace in &mut all {
            trace.sort();
        }
        all
    }

    /// From all of its words in memory.
    pub(crate) fn of_memory(words: &[u64]) -> Option<Self> {
        let [MAGIC, hz, count, address, rest @ ..] = words else { return None };
        if words.len() != WORDS || !(1_000..=10_000_000_000).contains(hz) || address % 4096 != 0 {
            return None;
        }
        let fours =
            |words: &[u64]| words.chunks_exact(4).map(|w| [w[0], w[1], w[2], w[3]]).collect::<Vec<_>>();
        let (tables, records) = rest.split_at(4 * (1 + TASKS + RINGS));
        let tasks = fours(&tables[4..4 * (1 + TASKS)]).into_iter().filter_map(Task::of).collect();
        let records = fours(records).into_iter().filter_map(Record::of).collect();
        let mut trace = Self { hz: *hz, count: *count, address: *address, tasks, records, torn: 0 };
        trace.sort();
        Some(trace)
    }

    /// Each record that can be, once.
    fn sort(&mut self) {
        let oldest = self.count.saturating_sub(RECORDS as u64);
        self.records.retain(|record| (oldest..self.count).contains(&record.number));
        self.records.sort_by_key(|record| record.number);
        self.records.dedup_by_key(|record| record.number);
        self.torn = self.count - oldest - self.records.len() as u64;
    }

    /// What tasks are called, by their ids.
    fn task_names(&self, names: &Names) -> BTreeMap<u64, String> {
        let told = self.records.iter().filter(|r| r.kind == Kind::Named).map(|r| (r.a, Name(r.b)));
        let known = self.tasks.iter().map(|task| (task.id, task.name));
        let named = told.chain(known).filter_map(|(id, name)| Some((id, names.text(self.address, name)?)));
        let mut all: BTreeMap<_, _> = named.collect();
        all.insert(Kind::MAIN, "main".to_owned());
        all
    }

    /// Microseconds since the first record.
    fn us(&self, ticks: u64) -> f64 {
        let first = self.records.first().map_or(0, |record| record.ticks);
        ticks.saturating_sub(first) as f64 * 1e6 / self.hz.max(1) as f64
    }
}

/// A task's number for people: the slot that it is in.
fn task(id: u64) -> String {
    match id {
        Kind::MAIN => "main".to_owned(),
        id if id >> 32 == 0 => format!("task {}", id as u32),
        id => format!("task {}.{}", id as u32, id >> 32),
    }
}

/// A device for people.
fn device(word: u64) -> String {
    let (class, number) = fata_trace::Device(word).parts();
    match class {
        1 => "console".to_owned(),
        2 => "Xenstore".to_owned(),
        3 => format!("disk {number}"),
        4 => format!("card out {number}"),
        5 => format!("card in {number}"),
        _ => format!("device {class}.{number}"),
    }
}

/// How a task is, for people.
fn state(state: TaskState) -> &'static str {
    match state {
        TaskState::Waiting => "waiting",
        TaskState::Ready => "ready",
        TaskState::Running => "running",
    }
}

#[cfg(test)]
mod tests;
