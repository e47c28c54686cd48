//! A trace as Chrome's tracing and Perfetto read it ("Trace Event Format").

use std::collections::{BTreeMap, BTreeSet};

use fata_trace::{Kind, Record};
use serde_json::{Value, json};

use super::{Names, Trace, device, task};

/// The row of the run loop; the main task's is next, then those of the slots.
const LOOP: u64 = 0;
const MAIN: u64 = 1;

/// Makes one document of what guests kept; each is a process.
pub fn chrome(traces: &[Trace], names: &Names, title: &str) -> Value {
    let mut events = Vec::new();
    for (trace, pid) in traces.iter().zip(1..) {
        events.push(
            json!({"ph": "M", "pid": pid, "tid": LOOP, "name": "process_name", "args": {"name": title}}),
        );
        Drawing::new(trace, names, pid, &mut events).draw();
    }
    json!({ "traceEvents": events, "displayTimeUnit": "ns" })
}

struct Drawing<'a> {
    trace: &'a Trace,
    names: BTreeMap<u64, String>,
    pid: u64,
    events: &'a mut Vec<Value>,
    /// Rows on which something has begun.
    open: BTreeSet<u64>,
    /// What has begun beside rows: its category and its id.
    pending: BTreeMap<(&'static str, String), String>,
}

/// The row of a task.
fn row(id: u64) -> u64 {
    if id == Kind::MAIN { MAIN } else { MAIN + 1 + u64::from(id as u32) }
}

impl<'a> Drawing<'a> {
    fn new(trace: &'a Trace, names: &Names, pid: u64, events: &'a mut Vec<Value>) -> Self {
        let names = trace.task_names(names);
        Self { trace, names, pid, events, open: BTreeSet::new(), pending: BTreeMap::new() }
    }

    fn draw(mut self) {
        self.name_row(LOOP, "run loop");
        let mut rows: BTreeMap<u64, String> = BTreeMap::from([(MAIN, "main".to_owned())]);
        for record in &self.trace.records {
            if matches!(record.kind, Kind::Spawned | Kind::Woken | Kind::PollBegin | Kind::Named) {
                rows.insert(row(record.a), self.title(record.a));
            }
        }
        for (row, name) in rows {
            self.name_row(row, &name);
        }
        for record in &self.trace.records {
            self.record(record);
        }
        // What goes on ends with the trace.
        let end = self.trace.us(self.trace.records.last().map_or(0, |record| record.ticks));
        for row in std::mem::take(&mut self.open) {
            self.events.push(json!({"ph": "E", "pid": self.pid, "tid": row, "ts": end}));
        }
        for ((category, id), name) in std::mem::take(&mut self.pending) {
            self.beside("e", category, &id, &name, end, json!({"goes on": true}));
        }
    }

    fn name_row(&mut self, row: u64, name: &str) {
        let (pid, args) = (self.pid, json!({ "name": name }));
        self.events.push(json!({"ph": "M", "pid": pid, "tid": row, "name": "thread_name", "args": args}));
        let args = json!({ "sort_index": row });
        self.events
            .push(json!({"ph": "M", "pid": pid, "tid": row, "name": "thread_sort_index", "args": args}));
    }

    fn title(&self, id: u64) -> String {
        match self.names.get(&id) {
            Some(name) if id == Kind::MAIN => name.clone(),
            Some(name) => format!("{} {name}", task(id)),
            None => task(id),
        }
    }

    fn record(&mut self, record: &Record) {
        let ts = self.trace.us(record.ticks);
        let Record { a, b, .. } = *record;
        match record.kind {
            Kind::PollBegin => self.begin(row(a), &self.title(a), ts),
            Kind::PollEnd => self.end(row(a), ts, json!({ "through": b != 0 })),
            Kind::IdleBegin => {
                self.begin(LOOP, "idle", ts);
            }
            Kind::IdleEnd => self.end(LOOP, ts, json!({})),
            Kind::Spawned => self.instant(row(a), "spawned", ts, json!({})),
            Kind::Woken => self.instant(row(a), "woken", ts, json!({})),
            Kind::Ended => self.instant(row(a), if b == 0 { "ended" } else { "aborted" }, ts, json!({})),
            Kind::Turn => self.instant(LOOP, &format!("turn {a}"), ts, json!({})),
            Kind::Event => self.instant(LOOP, &format!("event, port {a}"), ts, json!({ "bound": b != 0 })),
            Kind::Notified => self.instant(LOOP, &format!("notified, port {a}"), ts, json!({})),
            Kind::Mark => self.instant(LOOP, "mark", ts, json!({ "a": a, "b": b })),
            Kind::TimerSet => {
                self.open_beside("timer", a.to_string(), "timer".to_owned(), ts, json!({"at_ns": b}))
            }
            Kind::TimerFired => self.close_beside("timer", a.to_string(), ts, json!({ "fired": true })),
            Kind::TimerCancelled => self.close_beside("timer", a.to_string(), ts, json!({ "fired": false })),
            Kind::RequestOut => {
                self.open_beside("device", format!("{a:x}-{b:x}"), device(a), ts, json!({"request": b}))
            }
            Kind::AnswerIn => {
                if !self.close_if_open("device", format!("{a:x}-{b:x}"), ts, json!({})) {
                    self.instant(LOOP, &format!("answer, {}", device(a)), ts, json!({ "request": b }));
                }
            }
            Kind::Named => {}
        }
    }

    fn begin(&mut self, row: u64, name: &str, ts: f64) {
        // Its end was lost.
        self.end(row, ts, json!({ "torn": true }));
        self.open.insert(row);
        self.events.push(json!({"ph": "B", "pid": self.pid, "tid": row, "name": name, "ts": ts}));
    }

    /// Ends what has begun on a row; what began before the trace is not drawn.
    fn end(&mut self, row: u64, ts: f64, args: Value) {
        if self.open.remove(&row) {
            self.events.push(json!({"ph": "E", "pid": self.pid, "tid": row, "ts": ts, "args": args}));
        }
    }

    fn instant(&mut self, row: u64, name: &str, ts: f64, args: Value) {
        let pid = self.pid;
        self.events
            .push(json!({"ph": "i", "s": "t", "pid": pid, "tid": row, "name": name, "ts": ts, "args": args}));
    }

    fn open_beside(&mut self, category: &'static str, id: String, name: String, ts: f64, args: Value) {
        // A request that was given up, and a number that is used again.
        self.close_if_open(category, id.clone(), ts, json!({ "torn": true }));
        self.beside("b", category, &id, &name, ts, args);
        self.pending.insert((category, id), name);
    }

    fn close_beside(&mut self, category: &'static str, id: String, ts: f64, args: Value) {
        self.close_if_open(category, id, ts, args);
    }

    fn close_if_open(&mut self, category: &'static str, id: String, ts: f64, args: Value) -> bool {
        let Some(name) = self.pending.remove(&(category, id.clone())) else { return false };
        self.beside("e", category, &id, &name, ts, args);
        true
    }

    fn beside(&mut self, phase: &str, category: &str, id: &str, name: &str, ts: f64, args: Value) {
        let pid = self.pid;
        self.events.push(json!({
            "ph": phase, "cat": category, "id": id, "pid": pid, "tid": LOOP, "name": name, "ts": ts, "args": args,
        }));
    }
}
