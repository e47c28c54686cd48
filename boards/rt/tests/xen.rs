//! The run loop on a simulated Xen: events wake tasks, and timers step the clock.

use fata_rt::{Executor, run};
use fata_sim::World;
use std::time::Duration;
use xen_hyp::{DomId, Platform};

#[test]
fn an_event_ends_a_sleep_without_a_deadline() {
    let world = World::new();
    let xen = world.guest();
    let channel = xen.listen(DomId::DOM0).unwrap();
    let domain = xen.platform().domain().clone();
    run(&xen, async |rt| {
        let (own, port) = (rt.clone(), channel.port());
        let task = rt.spawn(async move {
            own.sleep(Duration::from_nanos(700)).await;
            domain.raise(port);
        });
        channel.after(channel.seen()).await;
        assert_eq!(rt.now_ns(), 700);
        assert!(task.is_finished());
        assert_eq!(rt.stats().idles, 1);
    });
}

#[test]
fn two_guests_take_turns() {
    const ROUNDS: u64 = 50;
    let world = World::new();
    let (left, right) = (world.guest(), world.guest());
    let to_right = left.listen(right.domid().unwrap()).unwrap();
    let to_left = right.connect(left.domid().unwrap(), to_right.port()).unwrap();
    let (one, other) = (Executor::new(left.clone()), Executor::new(right));

    let rt = one.rt();
    let ping = one.rt().spawn(async move {
        for _ in 0..ROUNDS {
            rt.sleep(Duration::from_nanos(10)).await;
            let seen = to_right.seen();
            to_right.notify();
            to_right.after(seen).await;
        }
    });
    // Connecting raises the event once.
    let mut seen = to_left.seen();
    drop(other.rt().spawn(async move {
        loop {
            seen = to_left.after(seen).await;
            to_left.notify();
        }
    }));
    while !ping.is_finished() {
        if !(one.turn() | other.turn()) {
            one.idle();
        }
    }
    assert_eq!(left.platform().now_ns(), 10 * ROUNDS);
    // What is left closes its port when its executor goes.
    drop((one, other));
    world.assert_cleaned_up();
}
