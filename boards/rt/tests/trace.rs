//! What a trace has of tasks, timers and turns, in their order.

mod mock;

use fata_rt::run;
use fata_trace::{Kind, Record, Task, TaskState};
use mock::Mock;
use std::future::pending;
use std::time::Duration;

/// The whole records.
fn records() -> Vec<Record> {
    let mut all = Vec::new();
    fata_trace::all().read(|_, record| all.push(record.expect("nobody writes meanwhile")));
    all
}

fn tasks() -> Vec<Task> {
    let mut all = Vec::new();
    fata_trace::all().tasks().read(|task| all.push(task));
    all
}

/// One test, since there is one trace.
#[test]
fn tasks_and_timers_leave_their_records() {
    let mock = Mock::new();
    mock.agenda.borrow_mut().push(500);
    let machine = mock.clone();
    let waiting = run(&mock, async |rt| {
        let (rt2, events) = (rt.clone(), machine.clone());
        let sleeper = rt.spawn(async move {
            rt2.sleep(Duration::from_nanos(100)).await;
            events.event(0).await
        });
        let idler = rt.spawn(pending::<()>());
        drop(rt.sleep(Duration::from_secs(1)));
        assert_eq!(sleeper.await, Ok(1));
        let waiting = tasks();
        idler.abort();
        waiting
    });
    let [idler] = waiting[..] else { panic!("{waiting:?}") };
    assert_eq!((idler.id, idler.state, idler.polls), (1, TaskState::Waiting, 1));
    assert_eq!(idler.name.bytes(), std::any::type_name::<std::future::Pending<()>>().len());
    assert_eq!(tasks(), []);

    let records = records();
    let of = |kinds: &[Kind]| -> Vec<_> {
        let wanted = records.iter().filter(|record| kinds.contains(&record.kind));
        wanted.map(|record| (record.kind, record.a, record.b)).collect()
    };
    // The sleeper's life: polled at first, when its time had come, and when its event had.
    let kinds = [Kind::Spawned, Kind::Woken, Kind::PollBegin, Kind::PollEnd, Kind::Ended];
    let life: Vec<_> =
        of(&kinds).into_iter().filter(|(_, task, _)| *task == 0).map(|(kind, _, b)| (kind, b)).collect();
    let poll = |end| [(Kind::Woken, 0), (Kind::PollBegin, 0), (Kind::PollEnd, end)];
    let expected = [&[(Kind::Spawned, 0)][..], &poll(0), &poll(0), &poll(1), &[(Kind::Ended, 0)]].concat();
    assert_eq!(life, expected);
    assert_eq!(of(&[Kind::Ended]), [(Kind::Ended, 0, 0), (Kind::Ended, 1, 1)]);
    assert_eq!(of(&[Kind::TimerSet, Kind::TimerFired]), [(Kind::TimerSet, 1, 100), (Kind::TimerFired, 1, 0)]);
    let slept = of(&[Kind::IdleBegin]);
    assert_eq!(slept, [(Kind::IdleBegin, 100, 0), (Kind::IdleBegin, u64::MAX, 0)]);
    assert_eq!(of(&[Kind::IdleEnd]).len(), 2);
    let turns = of(&[Kind::Turn]);
    assert!(turns.iter().zip(1..).all(|((_, turn, _), n)| *turn == n), "{turns:?}");
    let main =
        of(&[Kind::PollEnd]).into_iter().filter(|(_, task, _)| *task == Kind::MAIN).collect::<Vec<_>>();
    assert_eq!(main.last(), Some(&(Kind::PollEnd, Kind::MAIN, 1)));
    assert!(records.windows(2).all(|pair| pair[0].ticks < pair[1].ticks));
}
