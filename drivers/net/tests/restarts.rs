//! Backends that go away and come back at every moment of a session, under load in both directions: what users see is a
//! link that is down for a while, and frames that are lost, but none that are spoilt.

mod common;

use common::packets::{data, payload, raw, tcp, udp};
use common::{Machine, received, send, sent};
use fata_link::Link;
use fata_net::{Options, State};
use fata_sim::{Frame, NetFeatures, Order, Rng, Setup};
use std::cell::{Cell, RefCell};

/// What happens, and what makes it good again some turns later.
type Blow = (&'static str, fn(&Machine), fn(&Machine));

const BLOWS: [Blow; 11] = [
    ("unbound and bound", |m| m.back.unbind(), |m| m.back.bind()),
    (
        "unbound and bound at once",
        |m| {
            m.back.unbind();
            m.back.bind();
        },
        |_| {},
    ),
    ("crashed and plugged in", |m| m.back.crash(false), |m| m.replug()),
    ("crashed with pages kept and plugged in", |m| m.back.crash(true), |m| m.replug()),
    ("unplugged and plugged in", |m| m.back.unplug(), |m| m.replug()),
    ("pulled and plugged in", |m| m.back.pull(), |m| m.replug()),
    ("pulled and plugged in at once", |m| m.back.plug(), |_| {}),
    ("driver gone and device exchanged", |m| m.back.unbind(), |m| m.replug()),
    ("asked to close, and then not", |m| m.back.vdev().write("state", "5"), |m| m.replug()),
    ("exchanged for another", |m| m.back.pull(), another),
    ("cable out and in", |m| m.back.set_carrier(false), |m| m.back.set_carrier(true)),
];

/// Another device in its place.
fn another(machine: &Machine) {
    machine.back.change_features(|features| {
        features.mac[5] = features.mac[5].wrapping_add(1).max(1);
        features.mtu = if features.mtu == Some(1500) { Some(9000) } else { Some(1500) };
        (features.sg, features.gso_tcpv4, features.csum_ipv6) =
            (!features.sg, !features.gso_tcpv4, !features.csum_ipv6);
        features.queues = 5 - features.queues;
        features.split_event_channels = !features.split_event_channels;
    });
    machine.replug();
}

/// Turns until it is made good again, if that is to happen when everything has come to rest.
const NEVER: usize = 100_000;
const FRAMES: u32 = 40;

/// The `n`th frame, of any kind and size.
fn frame(n: u32) -> Frame {
    let number = n.to_be_bytes();
    match n % 5 {
        0 => tcp(4, [n as u16, 9], &[&number, &data(n as usize * 20)[..]].concat()),
        1 => tcp(6, [n as u16, 9], &[&number, &data(400)[..]].concat()),
        2 => udp(6, [n as u16, 9], &number),
        3 => udp(4, [n as u16, 9], &[&number, &data(1000)[..]].concat()),
        _ => raw(100 + n as usize * 30, n as usize),
    }
}

/// The numbers of those that are one of ours, and fails for one that is not.
fn number(bytes: &[u8]) -> u32 {
    let found = Frame::new(bytes);
    let known = found.headers().map(|_| u32::from_be_bytes(*payload(&found).first_chunk().unwrap()));
    let n = known.unwrap_or_else(|| (bytes.len() as u32 - 100) / 30);
    assert!(found == frame(n), "spoilt: {found:?}, not {:?}", frame(n));
    n
}

struct Kind {
    options: Options,
    order: Order,
    /// Turns that the backend takes to connect.
    slow: usize,
}

/// Deals one blow at this turn. Gives whether the users were done before.
fn one((name, strike, mend): Blow, kind: &Kind, turn: usize, gap: usize) -> bool {
    let case = format!("{name} at turn {turn}, mended {gap} later, {:?}, slow {}", kind.options, kind.slow);
    // The last one is shown if something fails.
    println!("{case}");
    let setup = Setup { grant_frames: 4, ..Setup::default() };
    let features = NetFeatures { carrier: Some(true), ..NetFeatures::default() };
    let machine = Machine::without_nic(setup, kind.options, features);
    machine.back.plug();
    machine.back.set_order(kind.order.clone());
    machine.back.connect_slowly(kind.slow);
    let (turns, out, came, asked) = (Cell::new(0), Cell::new(0), RefCell::new(Vec::new()), Cell::new(0));
    let mut phy = machine.nic.phy();
    let mut tasks = machine.tasks();
    tasks.each_turn(|| {
        turns.set(turns.get() + 1);
        if turns.get() == turn {
            strike(&machine);
        }
        if turns.get() == turn + gap {
            mend(&machine);
        }
        // Some to receive, as long as there are any to send.
        if machine.nic.state() == State::Ready && asked.get() < FRAMES {
            machine.back.inject(&frame(asked.get()));
            asked.set(asked.get() + 1);
        }
    });
    tasks.spawn(async {
        use std::task::Poll;
        let mut next = 0;
        std::future::poll_fn(|cx| {
            phy.register(cx.waker());
            while let Some(bytes) = common::receive(&mut phy) {
                came.borrow_mut().push(number(&bytes));
            }
            // A few at a time, so that it takes a while.
            let mut left = 3;
            while next < FRAMES && left > 0 && send(&mut phy, &frame(next).bytes) {
                (next, left) = (next + 1, left - 1);
                cx.waker().wake_by_ref();
            }
            phy.flush();
            out.set(next);
            Poll::<()>::Pending
        })
        .await;
    });
    tasks.run();
    let missed = turns.get() < turn;
    if turns.get() < turn + gap {
        // Nothing moves any more, since the backend is away.
        if turns.get() < turn {
            strike(&machine);
        }
        mend(&machine);
        turns.set(turn + gap);
        tasks.run();
    }
    assert_eq!((machine.nic.state(), out.get()), (State::Ready, FRAMES), "{case}");
    let frames = machine.back.sent_on_the_wire();
    assert!(frames.iter().all(|frame| frame.check().is_ok()), "{case}");
    check(frames.iter().map(|frame| number(&frame.bytes)).collect(), kind, &case);
    check(came.take(), kind, &case);
    let vdev = machine.back.vdev();
    let mac = machine.nic.mac().0.map(|byte| format!("{byte:02x}")).join(":");
    let sg = kind.options.sg && vdev.read("feature-sg") == "1";
    let mtu = vdev.number("mtu").map(|mtu| mtu as usize).map(|mtu| if sg { mtu } else { mtu.min(4082) });
    assert_eq!((mac, machine.nic.mtu()), (vdev.read_front("mac"), mtu), "{case}");
    drop(tasks);
    works(&machine, &case);
    machine.finish_anyhow();
    missed
}

/// Whether these are some of the frames, each once, and in their order if they had but one way.
fn check(mut numbers: Vec<u32>, kind: &Kind, case: &str) {
    let count = numbers.len();
    if kind.options.queues > 1 {
        numbers.sort_unstable();
    }
    assert!(numbers.is_sorted(), "{case}: {numbers:?}");
    numbers.dedup();
    assert_eq!(numbers.len(), count, "{case}: {numbers:?}");
}

/// It works as if nothing had been.
fn works(machine: &Machine, case: &str) {
    machine.back.set_order(Order::Arrival);
    let (mut phy, done) = (machine.nic.phy(), Cell::new(false));
    let mut tasks = machine.tasks();
    tasks.run();
    machine.back.sent();
    tasks.spawn(async {
        sent(&mut phy, &raw(1000, 5).bytes).await;
        machine.back.inject(&raw(1000, 6));
        assert!(received(&mut phy).await == raw(1000, 6).bytes);
        done.set(true);
    });
    tasks.run();
    assert!(done.get() && machine.back.sent() == [raw(1000, 5)], "{case}");
}

/// At every turn of a session, or at one of so many.
fn every_turn(kind: &Kind, gaps: &[usize], step: usize) {
    let mut rng = Rng::new();
    for blow in BLOWS {
        for &gap in gaps {
            let mut turn = rng.within(1..step + 1);
            while !one(blow, kind, turn, gap) {
                turn += step;
            }
            assert!(turn > 20, "a session is longer than that: {turn}");
        }
    }
}

#[test]
fn at_every_turn() {
    let kind = Kind { options: Options::default(), order: Order::OneATurn, slow: 0 };
    every_turn(&kind, &[2], 3);
}

#[test]
fn at_every_turn_for_longer() {
    let options = Options { gso: false, sg: false, ..Options::default() };
    let kind = Kind { options, order: Order::Arrival, slow: 0 };
    every_turn(&kind, &[1, 9, NEVER], 9);
}

#[test]
fn at_every_turn_with_several_rings_and_any_order() {
    let options = Options { queues: 2, split: true, multicast: true, ..Options::default() };
    let kind = Kind { options, order: Order::Random(Rng::new()), slow: 0 };
    every_turn(&kind, &[3], 5);
}

/// A backend that was started again finds where our rings are, and by the time it says that it is connected to them
/// they may be others.
#[test]
fn at_every_turn_with_a_backend_that_is_slow_to_connect() {
    let mut rng = Rng::new();
    for round in 0..3 {
        let slow = rng.within(3..10) + 15 * round;
        let kind = Kind { options: Options::default(), order: Order::Arrival, slow };
        for blow in [BLOWS[0], BLOWS[1]] {
            let mut turn = rng.within(1..3);
            while !one(blow, &kind, turn, 1) {
                turn += 2;
            }
        }
    }
}

/// Linux's netback may not hear anything of a connection, though it says that it is there.
#[test]
fn a_backend_that_hears_nothing_is_noticed_and_connected_to_again() {
    for queues in [1, 4] {
        let features = NetFeatures { queues, ..NetFeatures::default() };
        let machine = Machine::new(Options { queues, ..Options::default() }, features);
        let (mut phy, number) = (machine.nic.phy(), Cell::new(0));
        let mut tasks = machine.tasks();
        tasks.spawn(async {
            number.set(machine.nic.sent_over(0).await);
            number.set(machine.nic.sent_over(1).await);
        });
        tasks.run();
        assert_eq!(number.get(), 0, "nothing was sent yet");
        machine.back.set_order(Order::Held);
        assert!(send(&mut phy, &raw(1000, 1).bytes));
        phy.flush();
        tasks.run();
        assert_eq!(number.get(), 1);
        assert!(machine.nic.is_unheard(1) && !machine.nic.is_unheard(2));
        machine.nic.start_over();
        tasks.run();
        let totals = machine.nic.totals();
        assert_eq!((machine.nic.state(), totals.connects, totals.given_up), (State::Ready, 2, 1));
        assert!(!machine.nic.is_unheard(1) && !machine.nic.is_unheard(2));
        machine.back.set_order(Order::Arrival);
        assert!(send(&mut phy, &raw(1000, 2).bytes));
        phy.flush();
        tasks.run();
        assert_eq!(number.get(), 2);
        assert!(!machine.nic.is_unheard(2), "it was answered");
        // One answer is enough: others may take their time.
        machine.back.set_order(Order::Held);
        assert!(send(&mut phy, &raw(1000, 3).bytes));
        phy.flush();
        tasks.run();
        assert!(queues > 1 || !machine.nic.is_unheard(2));
        machine.back.set_order(Order::Arrival);
        tasks.run();
        drop(tasks);
        machine.finish();
    }
}
