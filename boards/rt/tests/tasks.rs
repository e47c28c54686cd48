//! Spawning, waking, joining, aborting.

mod mock;

use fata_rt::{Aborted, Executor, Rt, run, yield_now};
use mock::Mock;
use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

/// A switch that wakes who waits for it, and hands its waker out.
#[derive(Default)]
struct Gate {
    open: Cell<bool>,
    polls: Cell<u32>,
    waker: RefCell<Option<Waker>>,
}

impl Gate {
    async fn pass(&self) {
        poll_fn(|cx| {
            self.polls.set(self.polls.get() + 1);
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            if self.open.get() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await
    }
    fn waker(&self) -> Waker {
        self.waker.borrow().clone().expect("nobody has come to the gate")
    }
}

/// Polls all that can be.
fn settle(executor: &Executor) {
    while executor.turn() {}
}

#[test]
fn main_may_borrow_and_returns_its_value() {
    let text = String::from("borrowed");
    let length = run(&Mock::new(), async |rt| rt.spawn(async { 2 }).await.unwrap() + text.len());
    assert_eq!(length, 10);
}

#[test]
fn ten_thousand_tasks_pass_a_token() {
    const TASKS: usize = 10_000;
    let total = run(&Mock::new(), async |rt| {
        let gates: Rc<[Gate]> = (0..=TASKS).map(|_| Gate::default()).collect();
        let hops = Rc::new(Cell::new(0));
        let tasks: Vec<_> = (0..TASKS)
            .map(|n| {
                let (gates, hops) = (gates.clone(), hops.clone());
                rt.spawn(async move {
                    gates[n].pass().await;
                    hops.set(hops.get() + 1);
                    gates[n + 1].open.set(true);
                    if let Some(next) = gates[n + 1].waker.take() {
                        next.wake();
                    }
                })
            })
            .collect();
        yield_now().await;
        assert_eq!(rt.stats().tasks, TASKS);
        let before = rt.stats().wakes;
        gates[0].open.set(true);
        gates[0].waker().wake();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(rt.stats().tasks, 0);
        // Each hop wakes one task and no other.
        assert_eq!(rt.stats().wakes - before, TASKS as u64);
        hops.get()
    });
    assert_eq!(total, TASKS);
}

#[test]
fn many_wake_ups_are_one_poll() {
    let executor = Executor::new(Mock::new());
    let gate = Rc::new(Gate::default());
    let at = gate.clone();
    let task = executor.rt().spawn(async move { at.pass().await });
    settle(&executor);
    for _ in 0..100 {
        gate.waker().wake();
    }
    settle(&executor);
    assert_eq!(gate.polls.get(), 2);
    assert!(!task.is_finished());
}

#[test]
fn a_wake_up_during_the_poll_counts() {
    let executor = Executor::new(Mock::new());
    let polls = Rc::new(Cell::new(0));
    let count = polls.clone();
    let task = executor.rt().spawn(poll_fn(move |cx| {
        count.set(count.get() + 1);
        cx.waker().wake_by_ref();
        if count.get() == 3 { Poll::Ready(()) } else { Poll::Pending }
    }));
    settle(&executor);
    assert!(task.is_finished());
    assert_eq!(polls.get(), 3);
}

#[test]
fn a_task_that_wakes_itself_delays_nobody() {
    let mock = Mock::new();
    mock.tick_ns.set(1);
    mock.agenda.borrow_mut().push(30);
    run(&mock.clone(), async |rt| {
        let spins = Rc::new(Cell::new(0u64));
        let count = spins.clone();
        drop(rt.spawn(poll_fn::<(), _>(move |cx| {
            count.set(count.get() + 1);
            cx.waker().wake_by_ref();
            Poll::Pending
        })));
        let other = rt.spawn(async { yield_now().await });
        other.await.unwrap();
        assert!(spins.get() <= 4, "polled {} times while the other needed two polls", spins.get());
        rt.sleep_until(40).await;
        mock.event(0).await;
    });
    assert!(mock.slept.borrow().is_empty(), "slept although a task was ready");
}

#[test]
fn tasks_spawn_tasks() {
    fn tree(rt: Rt, depth: u32) -> std::pin::Pin<Box<dyn Future<Output = u32>>> {
        Box::pin(async move {
            if depth == 0 {
                return 1;
            }
            let (left, right) =
                (rt.spawn(tree(rt.clone(), depth - 1)), rt.spawn(tree(rt.clone(), depth - 1)));
            left.await.unwrap() + right.await.unwrap()
        })
    }
    assert_eq!(run(&Mock::new(), async |rt| tree(rt, 10).await), 1024);
}

#[test]
fn abort_drops_the_future_at_once_wherever_it_is() {
    let executor = Executor::new(Mock::new());
    let rt = executor.rt();
    let held = Rc::new(());

    let (kept, gate) = (held.clone(), Rc::new(Gate::default()));
    let at = gate.clone();
    let waiting = rt.spawn(async move {
        at.pass().await;
        drop(kept);
    });
    settle(&executor);
    let kept = held.clone();
    let queued = rt.spawn(async move { drop(kept) });
    assert_eq!(Rc::strong_count(&held), 3);

    waiting.abort();
    queued.abort();
    assert_eq!(Rc::strong_count(&held), 1);
    assert_eq!(rt.stats().tasks, 0);
    gate.waker().wake();
    settle(&executor);
    assert_eq!(gate.polls.get(), 1);
    assert_eq!(run(&Mock::new(), async |_| (waiting.await, queued.await)), (Err(Aborted), Err(Aborted)));
}

#[test]
fn a_task_may_abort_itself() {
    let result = run(&Mock::new(), async |rt| {
        let own = Rc::new(RefCell::new(None));
        let held = Rc::new(());
        let (slot, kept) = (own.clone(), held.clone());
        let task = rt.spawn(async move {
            let _kept = kept;
            let Some(task): Option<fata_rt::JoinHandle<()>> = slot.take() else { unreachable!() };
            task.abort();
            assert_eq!(Rc::strong_count(&_kept), 2, "dropped while it runs");
            pending::<()>().await
        });
        *own.borrow_mut() = Some(task);
        let last = rt.spawn(async {});
        last.await.unwrap();
        (Rc::strong_count(&held), rt.stats().tasks)
    });
    assert_eq!(result, (1, 0));
}

#[test]
fn a_stale_waker_or_handle_does_nothing_to_the_slots_next_task() {
    let executor = Executor::new(Mock::new());
    let rt = executor.rt();
    let old = Rc::new(Gate::default());
    old.open.set(true);
    let at = old.clone();
    let finished = rt.spawn(async move { at.pass().await });
    settle(&executor);
    assert!(finished.is_finished());

    let new = Rc::new(Gate::default());
    let at = new.clone();
    let task = rt.spawn(async move { at.pass().await });
    settle(&executor);
    old.waker().wake();
    finished.abort();
    settle(&executor);
    assert_eq!(new.polls.get(), 1, "polled by the waker of the slot's former task");
    assert!(!task.is_finished(), "aborted by the handle of the slot's former task");
}

#[test]
fn a_finished_task_gives_its_memory_back() {
    let executor = Executor::new(Mock::new());
    let held = Rc::new([0u8; 4096]);
    let kept = held.clone();
    let task = executor.rt().spawn(async move { kept.len() });
    settle(&executor);
    assert!(task.is_finished());
    assert_eq!(Rc::strong_count(&held), 1, "the handle keeps the future alive");
}

#[test]
fn the_end_of_main_drops_all_other_tasks() {
    let held = Rc::new(());
    let late = run(&Mock::new(), async |rt| {
        for _ in 0..100 {
            let (kept, rt) = (held.clone(), rt.clone());
            let own = rt.clone();
            drop(rt.spawn(async move {
                let _kept = (kept, own);
                pending::<()>().await
            }));
        }
        yield_now().await;
        rt
    });
    assert_eq!(Rc::strong_count(&held), 1);
    let kept = held.clone();
    let task = late.spawn(async move { drop(kept) });
    assert!(task.is_finished(), "a task was accepted after the end");
    assert_eq!(Rc::strong_count(&held), 1);
}

#[test]
fn a_panic_goes_through() {
    let held = Rc::new(());
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        run(&Mock::new(), async |rt| {
            let kept = held.clone();
            drop(rt.spawn(async move {
                let _kept = kept;
                pending::<()>().await
            }));
            let task: fata_rt::JoinHandle<()> = rt.spawn(async { panic!("in a task") });
            task.await
        })
    }));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"in a task"));
    assert_eq!(Rc::strong_count(&held), 1);
}

#[test]
fn services_run_before_tasks_and_once_more_before_sleep() {
    let mock = Mock::new();
    mock.agenda.borrow_mut().push(10);
    run(&mock.clone(), async |rt| {
        // A task leaves something to send; the service sends it in the next turn, before the machine sleeps.
        let (outbox, sent) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (from, to, machine, inner) = (outbox.clone(), sent.clone(), mock.clone(), rt.clone());
        rt.on_turn(move || {
            assert!(machine.slept.borrow().is_empty() || from.get() == 0, "slept on unsent output");
            to.set(to.get() + from.take());
            if to.get() == 1 {
                inner.on_turn(|| ()); // a service may add another
            }
        });
        let out = outbox.clone();
        rt.spawn(async move { out.set(1) }).await.unwrap();
        mock.event(0).await;
        assert_eq!((outbox.get(), sent.get()), (0, 1));
    });
    assert_eq!(*mock.slept.borrow(), [None]);
}

#[test]
fn wakers_may_be_used_by_other_threads() {
    let executor = Executor::new(Mock::new());
    let gate = Rc::new(Gate::default());
    let at = gate.clone();
    let task = executor.rt().spawn(async move { at.pass().await });
    settle(&executor);
    gate.open.set(true);
    let waker = gate.waker();
    std::thread::spawn(move || waker.wake()).join().unwrap();
    settle(&executor);
    assert!(task.is_finished());
}
