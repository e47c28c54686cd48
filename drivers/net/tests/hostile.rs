//! Backends that lie or break the protocol in any way: their device dies alone, or the frame is dropped and counted, and
//! another in its place works.

mod common;

use common::packets::{raw, tcp};
use common::two::{ID, OFFSET, STATUS, Tamper, Two, set};
use common::{Machine, receive_all, send, send_cut};
use fata_link::Link;
use fata_net::{Error, Options, State};
use fata_sim::{Netback, Order, Rng, Way};
use std::cell::{Cell, RefCell};
use xen_hyp::SharedMem;

/// What is done while packets are under way, of which none is answered.
type Mischief = fn(&Netback);
/// An answer without a request of ours to answer, as the frontend knows them.
fn last(b: &Netback) -> u16 {
    *b.pending_ids().last().unwrap()
}

/// Each ends its device.
const LIES: [(&str, Mischief); 14] = [
    ("an answer to what was never sent", |b| b.forge_sent(0, 255, 0)),
    ("an answer with an absurd id", |b| b.forge_sent(0, u16::MAX, 0)),
    ("an answer given twice", |b| {
        let id = last(b);
        b.forge_sent(0, id, 0);
        b.forge_sent(0, id, 0);
    }),
    ("nothing but answers to extra infos", |b| (0..40).for_each(|_| b.forge_sent(0, 7, 1))),
    ("a failure of what was never sent", |b| b.forge_sent(0, 256, -1)),
    ("more answers than requests", |b| b.publish(0, Way::Tx, 257)),
    ("far too many answers", |b| b.publish(0, Way::Tx, u32::MAX / 2)),
    ("fewer answers than before", |b| b.publish(0, Way::Tx, u32::MAX)),
    ("answers that were never written", |b| b.publish(0, Way::Tx, 150)),
    ("more frames than buffers", |b| b.publish(0, Way::Rx, 257)),
    ("far too many frames", |b| b.publish(0, Way::Rx, u32::MAX / 2)),
    ("fewer frames than before", |b| b.publish(0, Way::Rx, u32::MAX)),
    ("frames that were never written", |b| {
        let ring = b.ring(0, Way::Rx).unwrap();
        (0..64).for_each(|n| ring.store(64 + 8 * n, 0xffff_ffff));
        b.publish(0, Way::Rx, 64);
    }),
    ("noise in both rings", |b| {
        let mut rng = Rng::new();
        for way in [Way::Tx, Way::Rx] {
            let ring = b.ring(0, way).unwrap();
            (0..ring.size() / 4).for_each(|n| ring.store(4 * n, rng.number() as u32));
            b.notify(0, way);
        }
    }),
];

/// Each is an answer to a frame that ends the device.
const BROKEN: [(&str, Tamper); 9] = [
    ("another's id", |a| a[0][0] ^= 1),
    ("an absurd id", |a| set(&mut a[0], ID, u16::MAX)),
    ("a part that begins beyond its page", |a| set(&mut a[0], OFFSET, 4096)),
    ("a part that ends beyond its page", |a| set(&mut a[0], OFFSET, 4000)),
    ("an absurd offset", |a| set(&mut a[0], OFFSET, u16::MAX)),
    ("an absurd size", |a| set(&mut a[0], STATUS, i16::MAX as u16)),
    ("both absurd", |a| {
        set(&mut a[0], OFFSET, u16::MAX);
        set(&mut a[0], STATUS, i16::MAX as u16);
    }),
    ("the same answer twice", |a| a[1] = a[0]),
    ("parts in another order", |a| a.swap(0, 1)),
];

#[test]
fn a_lie_ends_its_device_and_no_other() {
    for (what, mischief) in LIES {
        println!("{what}");
        let two = Two::new(Options::default());
        let mut tasks = two.tasks();
        tasks.run();
        let back = &two.machine.back;
        back.set_order(Order::Held);
        let mut phy = two.machine.nic.phy();
        for n in 0..30 {
            assert!(send_cut(&mut phy, &tcp(4, [1, 2], &[n; 6000]).bytes, 1400));
        }
        phy.flush();
        tasks.run();
        mischief(back);
        tasks.run();
        // It is found out when somebody looks.
        receive_all(&mut phy);
        while send(&mut phy, &raw(60, 0).bytes) {}
        tasks.run();
        two.dead(&mut tasks, what);
        drop(tasks);
        two.finish();
    }
}

#[test]
fn an_answer_that_makes_no_sense_ends_its_device_and_no_other() {
    for (what, tamper) in BROKEN {
        println!("{what}");
        let two = Two::new(Options::default());
        let mut tasks = two.tasks();
        tasks.run();
        two.machine.back.tamper(tamper);
        two.machine.back.inject(&raw(6000, 1));
        tasks.run();
        receive_all(&mut two.machine.nic.phy());
        tasks.run();
        two.dead(&mut tasks, what);
        drop(tasks);
        two.finish();
    }
}

/// After any but the first part there are none.
#[test]
fn an_extra_info_in_another_place_is_an_answer_that_makes_no_sense() {
    let two = Two::new(Options::default());
    let mut tasks = two.tasks();
    tasks.run();
    for answer in [[0, 0, 0, 0, 4, 0, 100, 0], [1, 0, 0, 0, 8, 0, 100, 0], [1, 0, 0, 5, 1, 0, 0, 0]] {
        two.machine.back.forge(0, Way::Rx, &answer);
    }
    tasks.run();
    assert_eq!(receive_all(&mut two.machine.nic.phy()).len(), 1);
    tasks.run();
    two.dead(&mut tasks, "an extra info after the last part");
    drop(tasks);
    two.finish();
}

#[test]
fn any_noise_at_any_time_is_survived() {
    let rng = RefCell::new(Rng::new());
    for _ in 0..if cfg!(miri) { 2 } else { 40 } {
        let queues = 1 + rng.borrow_mut().within(0..2) as u32;
        let two = Two::new(Options { queues, split: queues > 1, ..Options::default() });
        let machine = &two.machine;
        let Machine { back, nic, .. } = machine;
        back.set_order(Order::Random(rng.borrow().clone()));
        let (turns, over, start) = (Cell::new(0), Cell::new(false), rng.borrow_mut().within(20..60));
        let mut tasks = two.tasks();
        tasks.each_turn(|| {
            turns.set(turns.get() + 1);
            let mut rng = rng.borrow_mut();
            if turns.get() < start || over.get() || rng.within(0..3) > 0 {
                return;
            }
            let queue = rng.within(0..queues as usize);
            let way = if rng.within(0..2) == 0 { Way::Tx } else { Way::Rx };
            let Some(ring) = back.ring(queue, way) else { return };
            match rng.within(0..7) {
                0 => {
                    let at = rng.within(0..ring.size() / 4) * 4;
                    ring.store(at, rng.number() as u32);
                }
                1 => back.publish(queue, way, ring.load(8).wrapping_add(rng.within(0..3) as u32)),
                2 => back.forge(queue, way, &rng.bytes(8)),
                3 => back.forge_sent(queue, rng.within(0..40) as u16, rng.within(0..4) as i16 - 2),
                4 => back.notify(queue, way),
                _ => back.inject(&raw(rng.within(14..9000), 0)),
            }
        });
        tasks.spawn(async {
            let (mut phy, mut size) = (nic.phy(), 0);
            std::future::poll_fn(|cx| {
                phy.register(cx.waker());
                let mut left = 3;
                while left > 0 && send(&mut phy, &raw(60 + size % 9000, 0).bytes) {
                    (size, left) = (size + 97, left - 1);
                }
                receive_all(&mut phy);
                if left == 0 && turns.get() < 500 {
                    cx.waker().wake_by_ref();
                }
                std::task::Poll::<()>::Pending
            })
            .await;
        });
        tasks.run();
        assert!(matches!(nic.state(), State::Ready | State::Dead(Error::Corrupt)), "{:?}", nic.state());
        over.set(true);
        two.check(&mut tasks, "noise");
        back.behave();
        machine.replug();
        tasks.run();
        assert_eq!(nic.state(), State::Ready);
        drop(tasks);
        two.finish();
    }
}
