//! Room to send and to receive: rings that are full, wake-ups, and how often either end is notified.

mod common;

use common::packets::{raw, tcp};
use common::{Machine, Wakes, receive, receive_all, received, send, send_cut, sent};
use fata_link::Link;
use fata_net::Options;
use fata_sim::{NetFeatures, Order, Rng, Way};
use smoltcp::phy::{Device, TxToken};
use smoltcp::time::Instant;
use std::cell::Cell;
use xen_hyp::SharedMem;

#[test]
fn a_full_ring_has_no_room_until_there_are_answers_and_then_it_says_so() {
    // Slots of a frame, of which the ring has 256; a frame of 18 slots must always fit.
    for (size, mss, slots) in [(60, 0, 1), (9000, 0, 3), (40_000, 1448, 11), (65_535, 1448, 17)] {
        let machine = Machine::usual();
        machine.back.set_order(Order::Held);
        let mut phy = machine.nic.phy();
        let (wakes, waker) = Wakes::new();
        let mut tasks = machine.tasks();
        tasks.run();
        let bytes = if mss > 0 { tcp(4, [1, 2], &vec![5; size - 54]).bytes } else { raw(size, 0).bytes };
        for round in 0..20 {
            let mut count = 0;
            while send_cut(&mut phy, &bytes, mss) {
                count += 1;
            }
            // At first all, and afterwards what was answered.
            if round == 0 {
                assert!(count * slots > 256 - 18 - slots && count * slots <= 256, "{count} frames");
            }
            assert!(count > 0, "woken for nothing");
            phy.flush();
            phy.register(&waker);
            assert!(phy.transmit(Instant::ZERO).is_none());
            tasks.run();
            wakes.take();
            // What is copied at once is answered at once.
            if size > 128 {
                assert!(phy.transmit(Instant::ZERO).is_none());
                phy.register(&waker);
                let held = machine.back.pending();
                let mut released = 0;
                while wakes.take() == 0 {
                    machine.back.release(1);
                    released += 1;
                    tasks.run();
                    assert!(released <= held, "never woken");
                }
                assert!(released >= held / 2 - 1, "woken after {released} of {held}");
            }
        }
        machine.back.set_order(Order::Arrival);
        phy.flush();
        tasks.run();
        assert!(machine.back.sent().iter().all(|frame| frame.bytes.len() == size));
        drop(tasks);
        machine.finish();
    }
}

#[test]
fn whoever_waits_for_room_gets_it_whatever_the_order_of_answers() {
    let rng = Rng::new();
    let orders =
        [Order::Arrival, Order::OneATurn, Order::Random(rng.clone()), Order::After(1000), Order::After(0)];
    for order in orders {
        for (sg, queues, lazy) in [(true, 1, false), (false, 1, true), (true, 3, true)] {
            let machine = Machine::new(
                Options { sg, queues, split: lazy, ..Options::default() },
                NetFeatures::default(),
            );
            machine.back.set_order(order.clone());
            if lazy {
                machine.back.be_lazy(rng.clone());
            }
            let (mut phy, mut rng) = (machine.nic.phy(), rng.clone());
            machine.run(async {
                machine.nic.ready().await.unwrap();
                for n in 0..if cfg!(miri) { 30 } else { 200 } {
                    let size = rng.within(14..if sg { 20_000 } else { 4096 });
                    sent(&mut phy, &raw(size, n).bytes).await;
                }
                while machine.back.stats().tx_packets < machine.nic.totals().tx_frames {
                    machine.world.sleep(1).await;
                }
            });
            for (n, frame) in machine.back.sent().iter().enumerate() {
                assert!(*frame == raw(frame.bytes.len(), n), "in their order, as all are of one flow");
            }
            machine.finish();
        }
    }
}

#[test]
fn whoever_waits_for_frames_gets_them_however_the_backend_is_late() {
    let rng = Rng::new();
    for (queues, split, lazy) in [(1, false, false), (1, true, true), (4, true, true), (3, false, true)] {
        let machine = Machine::new(Options { queues, split, ..Options::default() }, NetFeatures::default());
        if lazy {
            machine.back.be_lazy(rng.clone());
        }
        let (mut phy, mut sizes, done) = (machine.nic.phy(), rng.clone(), Cell::new(0));
        let count = if cfg!(miri) { 30 } else { 300 };
        let mut tasks = machine.tasks();
        tasks.spawn(async {
            machine.nic.ready().await.unwrap();
            for n in 0..count {
                let frame = received(&mut phy).await;
                assert!(frame == raw(frame.len(), n).bytes);
                done.set(n + 1);
            }
        });
        tasks.run();
        let (back, mut n) = (&machine.back, 0);
        while n < count {
            for _ in 0..sizes.within(1..9).min(count - n) {
                back.inject(&raw(sizes.within(14..9000), n));
                n += 1;
            }
            tasks.run();
            assert_eq!(done.get(), n, "nobody was woken");
        }
        drop(tasks);
        machine.finish();
    }
}

#[test]
fn a_flush_is_one_publish_and_at_most_one_notification() {
    for split in [false, true] {
        let machine = Machine::new(Options { split, ..Options::default() }, NetFeatures::default());
        let mut phy = machine.nic.phy();
        let mut tasks = machine.tasks();
        tasks.run();
        let index = || machine.back.ring(0, Way::Tx).unwrap().load(0);
        // The first answer of all comes with an event.
        assert!(send(&mut phy, &raw(60, 0).bytes));
        phy.flush();
        tasks.run();
        machine.back.sent();
        for burst in [1, 2, 50, 200] {
            let (before, was) = (machine.sends().0, index());
            for n in 0..burst {
                assert!(send(&mut phy, &raw(60, n).bytes));
            }
            assert_eq!((machine.sends().0, index()), (before, was), "nothing goes before it is flushed");
            tasks.run();
            assert_eq!(machine.back.sent(), []);
            phy.flush();
            assert_eq!((machine.sends().0, index()), (before + 1, was.wrapping_add(burst as u32)));
            // It is awake already.
            assert!(send(&mut phy, &raw(60, 0).bytes));
            phy.flush();
            phy.flush();
            assert_eq!(machine.sends().0, before + 1);
            let events = machine.sends().1;
            tasks.run();
            assert_eq!(machine.back.sent().len(), burst + 1);
            assert_eq!(machine.sends().1, events, "nobody waits for answers");
        }
        drop(tasks);
        machine.finish();
    }
}

#[test]
fn frames_that_come_together_wake_once_and_buffers_go_back_together() {
    for split in [false, true] {
        let machine = Machine::new(Options { split, ..Options::default() }, NetFeatures::default());
        let mut phy = machine.nic.phy();
        let (wakes, waker) = Wakes::new();
        let mut tasks = machine.tasks();
        tasks.run();
        assert!(receive(&mut phy).is_none());
        let index = || machine.back.ring(0, Way::Rx).unwrap().load(0);
        for burst in [1, 10, 30, 60] {
            let (was, events, own) = (index(), machine.sends().1, machine.sends().0);
            (0..burst).for_each(|n| machine.back.inject(&raw(1000, n)));
            phy.register(&waker);
            tasks.run();
            assert_eq!((machine.sends().1, wakes.take()), (events + 1, 1));
            for n in 0..burst {
                assert!(receive(&mut phy).unwrap() == raw(1000, n).bytes);
            }
            assert!(receive(&mut phy).is_none());
            assert_eq!(index(), was, "no buffer goes back before it is flushed");
            phy.flush();
            assert!(index().wrapping_sub(was) >= burst as u32);
            // The backend has buffers left, so it does not wait for any.
            assert_eq!(machine.sends().0, own);
        }
        drop(tasks);
        machine.finish();
    }
}

/// What the backend waits for it hears of.
#[test]
fn a_backend_without_buffers_is_notified_once_when_there_are_some() {
    let machine = Machine::usual();
    let mut phy = machine.nic.phy();
    let mut tasks = machine.tasks();
    tasks.run();
    (0..100).for_each(|n| machine.back.inject(&raw(1000, n)));
    while machine.back.waiting() != 36 {
        assert!(machine.world.run_backends());
    }
    machine.xen.demux();
    let own = machine.sends().0;
    let got = receive_all(&mut phy);
    assert_eq!((got.len(), machine.sends().0), (64, own + 1));
    tasks.run();
    assert_eq!((receive_all(&mut phy).len(), machine.back.stats().dropped_no_requests), (36, 0));
    drop(tasks);
    machine.finish();
}

#[test]
fn a_frame_is_left_where_it_is_while_there_is_no_room_for_an_answer() {
    let machine = Machine::usual();
    machine.back.set_order(Order::Held);
    let (mut phy, done) = (machine.nic.phy(), Cell::new(false));
    let mut tasks = machine.tasks();
    tasks.run();
    while send(&mut phy, &raw(4000, 0).bytes) {}
    phy.flush();
    machine.back.inject(&raw(60, 1));
    tasks.spawn(async {
        assert!(received(&mut phy).await == raw(60, 1).bytes);
        done.set(true);
    });
    tasks.run();
    assert!(!done.get());
    machine.back.release(1000);
    tasks.run();
    assert!(done.get(), "the event that brings room has to do for the frame too");
    machine.back.set_order(Order::Arrival);
    tasks.run();
    drop(tasks);
    machine.finish();
}

/// There should be one user, but two do no harm.
#[test]
fn room_that_another_has_used_meanwhile_is_looked_for_again() {
    let machine = Machine::usual();
    machine.back.set_order(Order::Held);
    let mut phys: Vec<_> = (0..30).map(|_| machine.nic.phy()).collect();
    let mut tasks = machine.tasks();
    tasks.run();
    // Each of them sees that there is room, and only then all of it is used.
    let tokens: Vec<_> = phys.iter_mut().map(|phy| phy.transmit(Instant::ZERO).unwrap()).collect();
    for token in tokens {
        token.consume(65_535, |room| room.copy_from_slice(&raw(65_535, 1).bytes));
    }
    let totals = machine.nic.totals();
    // 256 slots for frames of 16.
    assert_eq!((totals.tx_frames, totals.tx_unfit), (15, 15));
    machine.back.set_order(Order::Arrival);
    phys[0].flush();
    tasks.run();
    let sent = machine.back.sent();
    assert!(sent.len() == 15 && sent.iter().all(|frame| *frame == raw(65_535, 1)));
    drop(tasks);
    machine.finish();
}
