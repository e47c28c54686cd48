use super::*;
use fata_trace::Device;
use serde_json::Value;

/// Records of these kinds, one a microsecond.
fn made(records: &[(Kind, u64, u64)]) -> fata_trace::Trace {
    let trace = fata_trace::Trace::new();
    trace.start(1_000_000);
    for (ticks, (kind, a, b)) in (100..).zip(records) {
        trace.mark(ticks, *kind, *a, *b);
    }
    trace
}

/// The same as a console has it, with other text between.
fn console(trace: &fata_trace::Trace) -> Vec<u8> {
    let mut bytes = b"*** Fata stops\r\n".to_vec();
    trace.dump(|piece| {
        bytes.extend(piece.iter().flat_map(|b| if *b == b'\n' { vec![b'\r', b'\n'] } else { vec![*b] }));
        true
    });
    bytes
}

/// Checks that what begins ends, in its order, and gives how many there were of each phase.
pub(crate) fn check(document: &Value) -> BTreeMap<String, usize> {
    let text = document.to_string();
    let parsed: Value = serde_json::from_str(&text).expect("JSON");
    let mut counts = BTreeMap::new();
    let (mut rows, mut beside) = (BTreeMap::<(u64, u64), Vec<f64>>::new(), BTreeMap::<String, f64>::new());
    let mut last = BTreeMap::<(u64, u64), f64>::new();
    for event in parsed["traceEvents"].as_array().expect("a list") {
        let phase = event["ph"].as_str().expect("a phase");
        *counts.entry(phase.to_owned()).or_default() += 1;
        let row = (event["pid"].as_u64().expect("a process"), event["tid"].as_u64().expect("a row"));
        let ts = event["ts"].as_f64().unwrap_or(f64::NAN);
        let id = format!("{} {} {}", row.0, event["cat"], event["id"]);
        match phase {
            "M" => continue,
            "B" => rows.entry(row).or_default().push(ts),
            "E" => assert!(rows.entry(row).or_default().pop().is_some_and(|begun| begun <= ts), "{event}"),
            "b" => assert_eq!(beside.insert(id, ts), None, "{event}"),
            "e" => assert!(beside.remove(&id).is_some_and(|begun| begun <= ts), "{event}"),
            "i" => {}
            other => panic!("{other}"),
        }
        if let Some(before) = last.insert(row, ts) {
            assert!(before <= ts || phase == "E" || phase == "e", "{event}");
        }
    }
    assert!(rows.values().all(Vec::is_empty) && beside.is_empty(), "{rows:?} {beside:?}");
    counts
}

const DISK: u64 = Device::disk(7).0;

const SOUND: [(Kind, u64, u64); 17] = [
    (Kind::Turn, 1, 0),
    (Kind::PollBegin, Kind::MAIN, 0),
    (Kind::Spawned, 3, 0),
    (Kind::Woken, 3, 0),
    (Kind::TimerSet, 1, 5_000_000),
    (Kind::PollEnd, Kind::MAIN, 0),
    (Kind::PollBegin, 3, 0),
    (Kind::RequestOut, DISK, 9),
    (Kind::Notified, 4, 0),
    (Kind::PollEnd, 3, 0),
    (Kind::IdleBegin, 5_000_000, 0),
    (Kind::IdleEnd, 0, 0),
    (Kind::Event, 4, 1),
    (Kind::AnswerIn, DISK, 9),
    (Kind::TimerFired, 1, 0),
    (Kind::Ended, 3, 0),
    (Kind::Mark, 1, 2),
];

#[test]
fn what_a_console_has_is_what_was_kept() {
    let kept = made(&SOUND);
    let mut bytes = console(&kept);
    bytes.extend(console(&made(&SOUND[..3])));
    // Another that was cut short.
    let whole = console(&kept);
    bytes.extend_from_slice(&whole[..whole.len() / 2]);
    let traces = Trace::of_console(&bytes);
    assert_eq!(traces.len(), 3);
    assert_eq!((traces[0].hz, traces[0].count, traces[0].torn), (1_000_000, 17, 0));
    let records: Vec<_> = traces[0].records.iter().map(|r| (r.kind, r.a, r.b)).collect();
    assert_eq!(records, SOUND);
    assert_eq!(traces[1].records.len(), 3);
    assert!(traces[2].torn > 0 && traces[2].records.len() as u64 + traces[2].torn == 17);
    assert_eq!(Trace::of_console(b"\t%h\n\t%\n\t\n"), []);
}

#[test]
fn what_begins_in_the_picture_ends() {
    let traces = Trace::of_console(&console(&made(&SOUND)));
    let names = Names::default();
    let counts = check(&chrome(&traces, &names, "test"));
    assert_eq!((counts["B"], counts["b"]), (3, 2));
    // Cut at each end, and with records lost in between.
    for from in 0..SOUND.len() {
        for to in from..=SOUND.len() {
            let mut traces = Trace::of_console(&console(&made(&SOUND[from..to])));
            check(&chrome(&traces, &names, "test"));
            for trace in &mut traces {
                trace.records.retain(|record| record.number % 3 != 1);
            }
            check(&chrome(&traces, &names, "test"));
            traces.iter().for_each(|trace| drop(timeline(trace, &names)));
        }
    }
}

#[test]
fn the_timeline_says_what_happened() {
    let traces = Trace::of_console(&console(&made(&SOUND)));
    let text = timeline(&traces[0], &Names::default());
    for line in [
        "17 records, 17 of them here, 0 torn",
        "       0.000     +0.000  turn 1",
        "       1.000     +1.000  > main",
        "       4.000     +1.000    timer 1 set until 5000 us",
        "       9.000     +1.000  < task 3, 3.000 us",
        "  idle until 5000 us",
        "answer of disk 7: 0x9",
    ] {
        assert!(text.contains(line), "{line:?} is missing in\n{text}");
    }
}
