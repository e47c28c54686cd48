//! Sleeping, time limits, and when the machine sleeps.

mod mock;

use fata_rt::{Elapsed, run, yield_now};
use mock::Mock;
use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

#[test]
fn timers_fire_by_time_then_by_age() {
    let order = run(&Mock::new(), async |rt| {
        let order = Rc::new(RefCell::new(Vec::new()));
        let times = [30, 10, 20, 10, 30, 10, 0];
        let tasks: Vec<_> = (0..times.len())
            .map(|n| {
                let (rt, order) = (rt.clone(), order.clone());
                let time = times[n];
                let task = rt.clone();
                task.spawn(async move {
                    rt.sleep_until(time).await;
                    order.borrow_mut().push(n);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        order.take()
    });
    assert_eq!(order, [6, 1, 3, 5, 2, 0, 4]);
}

#[test]
fn the_machine_sleeps_until_the_soonest_timer_and_no_shorter() {
    let mock = Mock::new();
    run(&mock, async |rt| {
        for n in (1..=3000u64).rev() {
            let own = rt.clone();
            drop(rt.spawn(async move { own.sleep_until(n / 3 * 1000).await }));
        }
        rt.sleep(Duration::from_secs(1)).await;
        assert_eq!(rt.now_ns(), 1_000_000_000);
        assert_eq!(rt.stats().tasks, 0);
        assert_eq!(rt.stats().idles, 1001);
    });
    let expected: Vec<_> = (1..=1000u64).map(|n| Some(n * 1000)).chain([Some(1_000_000_000)]).collect();
    assert_eq!(*mock.slept.borrow(), expected);
}

#[test]
fn without_timers_the_machine_sleeps_until_an_event() {
    let mock = Mock::new();
    mock.agenda.borrow_mut().extend([100, 200]);
    run(&mock.clone(), async |_| {
        let seen = mock.event(0).await;
        mock.event(seen).await;
    });
    assert_eq!(*mock.slept.borrow(), [None, None]);
}

#[test]
fn dropping_a_sleep_cancels_its_timer() {
    let mock = Mock::new();
    mock.agenda.borrow_mut().push(70);
    run(&mock.clone(), async |rt| {
        let mut sleeps: Vec<_> = (10..60).map(|at| rt.sleep_until(at)).collect();
        for sleep in &mut sleeps {
            assert_eq!(rt.timeout(Duration::ZERO, sleep).await, Err(Elapsed));
        }
        assert_eq!(rt.stats().timers, 50);
        drop(sleeps);
        assert_eq!(rt.stats().timers, 0);
        mock.event(0).await;
    });
    assert_eq!(*mock.slept.borrow(), [None], "a cancelled timer woke the machine");
}

#[test]
fn timeout_returns_what_comes_first() {
    run(&Mock::new(), async |rt| {
        let ms = Duration::from_millis;
        assert_eq!(rt.timeout(ms(5), pending::<()>()).await, Err(Elapsed));
        assert_eq!(rt.now_ns(), 5_000_000);
        assert_eq!(rt.timeout(ms(5), rt.sleep(ms(4))).await, Ok(()));
        assert_eq!(rt.now_ns(), 9_000_000);
        // What is ready wins over a limit that is up.
        assert_eq!(rt.timeout(Duration::ZERO, async { 7 }).await, Ok(7));
        assert_eq!(rt.stats().timers, 0);
    });
}

#[test]
fn a_sleep_may_change_tasks() {
    run(&Mock::new(), async |rt| {
        let mut sleep = Box::pin(rt.sleep_until(10));
        assert_eq!(rt.timeout(Duration::ZERO, &mut sleep).await, Err(Elapsed));
        let task = rt.spawn(sleep);
        yield_now().await;
        task.await.unwrap();
        assert_eq!(rt.now_ns(), 10);
    });
}

#[test]
fn the_longest_sleep_does_not_overflow() {
    let mock = Mock::new();
    run(&mock, async |rt| {
        rt.sleep_until(5).await;
        assert_eq!(rt.timeout(Duration::from_nanos(1), rt.sleep(Duration::MAX)).await, Err(Elapsed));
    });
}
