//! A trace as lines for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fata_trace::{Kind, Record};

use super::{Names, Trace, device, state, task};

/// One line a record: the time in microseconds, how long after the one before, and what happened; and in the end how the
/// tasks were.
pub fn timeline(trace: &Trace, names: &Names) -> String {
    let tasks = trace.task_names(names);
    let name = |id: u64| match tasks.get(&id) {
        Some(name) if id != Kind::MAIN => format!("{} {name}", task(id)),
        _ => task(id),
    };
    let (mut text, mut before, mut begun) = (String::new(), 0.0, BTreeMap::<u64, f64>::new());
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{} records, {} of them here, {} torn; times in microseconds",
        trace.count,
        trace.records.len(),
        trace.torn
    );
    for record in &trace.records {
        let now = trace.us(record.ticks);
        let what = line(record, now, &name, &mut begun);
        let inside = !begun.is_empty() && record.kind != Kind::PollBegin;
        let _ =
            writeln!(text, "{now:>12.3} {:>+10.3}  {}{what}", now - before, if inside { "  " } else { "" });
        before = now;
    }
    if !trace.tasks.is_empty() {
        text.push_str("tasks\n");
    }
    for task in &trace.tasks {
        let since = trace.us(task.ticks);
        let _ = writeln!(
            text,
            "  {}: {} since {since:.3}, {} polls",
            name(task.id),
            state(task.state),
            task.polls
        );
    }
    text
}

fn line(record: &Record, now: f64, name: &dyn Fn(u64) -> String, begun: &mut BTreeMap<u64, f64>) -> String {
    let Record { a, b, .. } = *record;
    let until =
        |ns: u64| if ns == u64::MAX { "for ever".to_owned() } else { format!("until {} us", ns / 1000) };
    match record.kind {
        Kind::Spawned => format!("{} spawned", task(a)),
        Kind::Named => format!("{} is {}", task(a), name(a).trim_start_matches(&task(a)).trim_start()),
        Kind::PollBegin => {
            begun.insert(a, now);
            format!("> {}", name(a))
        }
        Kind::PollEnd => {
            let took = begun.remove(&a).map_or_else(String::new, |at| format!(", {:.3} us", now - at));
            format!("< {}{took}{}", task(a), if b == 0 { "" } else { ", through" })
        }
        Kind::Woken => format!("{} woken", task(a)),
        Kind::Ended => format!("{} {}", task(a), if b == 0 { "ended" } else { "aborted" }),
        Kind::TimerSet => format!("timer {a} set {}", until(b)),
        Kind::TimerFired => format!("timer {a} fired"),
        Kind::TimerCancelled => format!("timer {a} cancelled"),
        Kind::Turn => format!("turn {a}"),
        Kind::IdleBegin => format!("idle {}", until(a)),
        Kind::IdleEnd => "awake".to_owned(),
        Kind::Event => format!("event, port {a}{}", if b == 0 { ", which nobody has bound" } else { "" }),
        Kind::Notified => format!("notified, port {a}"),
        Kind::RequestOut => format!("request to {}: {b:#x}", device(a)),
        Kind::AnswerIn => format!("answer of {}: {b:#x}", device(a)),
        Kind::Mark => format!("mark {a:#x} {b:#x}"),
    }
}
