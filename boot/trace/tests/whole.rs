//! A trace as a crash report prints it.

use fata_trace::{Kind, MAGIC, Name, Part, RECORDS, Record, Task, TaskState, Trace, parse};

/// Everything that a trace prints, line by line.
fn lines(trace: &Trace) -> Vec<(Part, [u64; 4])> {
    let mut text = Vec::new();
    trace.dump(|piece| {
        assert!(piece.len() <= 16);
        text.extend_from_slice(piece);
        true
    });
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| parse(line).expect("a line of ours")).collect()
}

#[test]
fn what_was_kept_is_printed_and_read() {
    let trace = Box::new(Trace::new());
    trace.start(62_500_000);
    let (task, other) = (3 | 1 << 32, 4);
    for (ticks, kind, a) in [
        (1, Kind::Spawned, task),
        (2, Kind::Spawned, other),
        (3, Kind::Woken, task),
        (4, Kind::PollBegin, task),
        (5, Kind::Woken, task),
        (6, Kind::PollEnd, task),
        (7, Kind::Ended, other),
    ] {
        trace.mark(ticks, kind, a, 0);
    }
    let lines = lines(&trace);
    let address = std::ptr::from_ref(&*trace) as u64;
    assert_eq!(lines[0], (Part::Head, [MAGIC, 62_500_000, 7, address]));
    assert_eq!(lines.last(), Some(&(Part::End, lines[0].1)));
    let tasks: Vec<_> = lines.iter().filter(|(part, _)| *part == Part::Task).collect();
    let expected = Task { id: task, state: TaskState::Waiting, polls: 1, name: Name(0), ticks: 6 };
    assert_eq!(tasks.iter().map(|(_, words)| Task::of(*words)).collect::<Vec<_>>(), [Some(expected)]);
    let records = lines.iter().filter(|(part, _)| *part == Part::Record);
    let records: Vec<_> = records.map(|(_, words)| Record::of(*words).expect("whole")).collect();
    assert_eq!(records.iter().map(|record| record.ticks).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(records[2], Record { number: 2, ticks: 3, kind: Kind::Woken, a: task, b: 0 });
}

#[test]
fn as_many_as_there_is_room_for_are_kept() {
    let trace = Box::new(Trace::new());
    let count = RECORDS as u64 * 2 + 5;
    (0..count).for_each(|n| trace.mark(n, Kind::Turn, n, 0));
    let mut numbers = Vec::new();
    trace.read(|number, record| numbers.push((number, record.map(|record| record.a))));
    let expected: Vec<_> = (count - RECORDS as u64..count).map(|n| (n, Some(n))).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn what_happens_while_it_is_printed_is_not_kept() {
    let trace = Box::new(Trace::new());
    (0..10).for_each(|n| trace.mark(n, Kind::Turn, n, 0));
    let mut lines = 0;
    trace.dump(|piece| {
        trace.mark(99, Kind::Notified, 1, 0);
        lines += usize::from(piece.ends_with(b"\n"));
        true
    });
    assert_eq!((lines, trace.count()), (12, 10));
    trace.mark(100, Kind::Turn, 10, 0);
    assert_eq!(trace.count(), 11);
}

#[test]
fn printing_ends_where_nobody_reads() {
    let trace = Box::new(Trace::new());
    (0..100).for_each(|n| trace.mark(n, Kind::Turn, n, 0));
    let mut pieces = 0;
    trace.dump(|_| {
        pieces += 1;
        pieces < 10
    });
    assert_eq!(pieces, 10);
}
