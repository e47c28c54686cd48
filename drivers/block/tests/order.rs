//! What is on a disk with a cache when its power fails: what was flushed, and nothing out of the order that barriers
//! ask for.

mod common;

use common::{Machine, write};
use fata_block::Options;
use fata_disk::{BlockDevice, SECTOR};
use fata_sim::{Features, Order, Rng, SimCpu};
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Writes between two barriers.
const WIDTH: u64 = 6;
const EPOCHS: u64 = 8;

fn shapes() -> Vec<(Options, Features)> {
    let mut shapes = Vec::new();
    for persistent in [false, true] {
        for queues in [1, 3] {
            for barrier in [true, false] {
                let options = Options { persistent, queues, ..Options::default() };
                shapes.push((options, Features { barrier, ..Features::default() }));
            }
        }
    }
    shapes
}

/// Asks for all at once, in their order: epochs of writes with a barrier between each two.
async fn write_epochs(disk: &fata_block::Disk<SimCpu>) {
    type Asked<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
    let mut asked: Vec<Asked<'_>> = Vec::new();
    let mut ask = |mut future: Asked<'static>| {
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        asked.push(future);
    };
    for epoch in 0..EPOCHS {
        for n in 0..WIDTH {
            let disk = disk.clone();
            ask(Box::pin(async move {
                write(&disk, epoch * WIDTH + n, &[1; SECTOR]).await;
            }));
        }
        let disk = disk.clone();
        ask(Box::pin(async move { disk.barrier().await.unwrap() }));
    }
    std::future::poll_fn(|cx| {
        asked.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if asked.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// No sector of an epoch is there unless all of those before it are.
fn assert_in_order(bytes: &[u8]) {
    let there: Vec<bool> = bytes.chunks(SECTOR).map(|sector| sector[0] == 1).collect();
    let epochs: Vec<&[bool]> = there.chunks(WIDTH as usize).take(EPOCHS as usize).collect();
    let Some(last) = epochs.iter().rposition(|epoch| epoch.contains(&true)) else { return };
    assert!(
        epochs[..last].iter().all(|epoch| !epoch.contains(&false)),
        "something is there of epoch {last}, and something is missing before it: {epochs:?}"
    );
}

#[test]
fn nothing_overtakes_a_barrier_whenever_the_power_fails() {
    let rng = RefCell::new(Rng::new());
    let (mut partial, mut late) = (0, 0);
    for _ in 0..if cfg!(miri) { 1 } else { 25 } {
        for (options, features) in shapes() {
            let machine = Machine::new(options, features);
            machine.back.set_order(Order::Random(rng.borrow().clone()));
            let medium = machine.back.medium();
            medium.cache();
            let (turns, fails) = (Cell::new(0), rng.borrow_mut().within(20..140));
            // Half of the time, the backend is exchanged at some time before.
            let away = rng.borrow_mut().within(1..2 * fails);
            let found = RefCell::new(None);
            let mut tasks = machine.tasks();
            tasks.each_turn(|| {
                turns.set(turns.get() + 1);
                if turns.get() == away {
                    machine.back.unplug();
                }
                if turns.get() > away && !machine.back.vdev().is_plugged() {
                    machine.back.plug();
                }
                if turns.get() == fails {
                    *found.borrow_mut() = Some(medium.after_power_cut(&mut rng.borrow_mut()));
                }
            });
            tasks.spawn(write_epochs(&machine.disk));
            assert_eq!(tasks.run(), 2);
            if let Some(mut found) = found.take() {
                found.truncate((EPOCHS * WIDTH) as usize * SECTOR);
                assert_in_order(&found);
                partial += usize::from(found.contains(&1) && found.contains(&0));
                late += usize::from(away < fails);
            }
            drop(tasks);
            machine.finish();
        }
    }
    assert!(
        partial > 10 && late > 10 || cfg!(miri),
        "the power failed too early or too late: {partial} {late}"
    );
}

#[test]
fn what_was_written_before_a_flush_is_there_for_good() {
    let rng = Rng::new();
    for (options, features) in shapes() {
        let machine = Machine::new(options, features);
        machine.back.set_order(Order::Random(rng.clone()));
        let medium = machine.back.medium();
        medium.cache();
        let disk = &machine.disk;
        let mut tasks = machine.tasks();
        for user in 0..10 {
            let medium = &medium;
            tasks.spawn(async move {
                for round in 1..6u8 {
                    let start = user * 10;
                    write(disk, start, &[round; 8 * SECTOR]).await;
                    if round % 2 == 0 {
                        disk.barrier().await.unwrap();
                    } else {
                        disk.flush().await.unwrap();
                    }
                    assert!(medium.is_durable(start..start + 8));
                    assert!(medium.read(start..start + 8).iter().all(|&byte| byte == round));
                }
            });
        }
        assert_eq!(tasks.run(), 2);
        drop(tasks);
        machine.finish();
    }
}

/// A backend that had said that it could do barriers: those after the first are flushes, and order holds for all.
#[test]
fn a_barrier_that_fails_is_made_by_a_flush_before_anything_goes_on() {
    let machine = Machine::new(Options::default(), Features::default());
    let medium = machine.back.medium();
    medium.cache();
    machine.run(async {
        machine.disk.ready().await.unwrap();
        machine.back.change_features(|features| features.barrier = false);
        machine.back.set_order(Order::Held);
        let mut writing = Box::pin(write_epochs(&machine.disk));
        let mut rng = Rng::new();
        std::future::poll_fn(|cx| {
            // Each request by itself, and a look at what there would be.
            assert_in_order(&medium.after_power_cut(&mut rng)[..(EPOCHS * WIDTH) as usize * SECTOR]);
            machine.back.release(1);
            cx.waker().wake_by_ref();
            writing.as_mut().poll(cx)
        })
        .await;
    });
    machine.finish();
}
