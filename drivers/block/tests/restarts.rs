//! Backends that go away and come back at every moment of a session: what users see is a pause.

mod common;

use common::{Machine, read, write};
use fata_block::{Link, Options};
use fata_disk::{BlockDevice, SECTOR};
use fata_sim::{Features, Order, Rng, Setup};
use std::cell::Cell;

/// What happens, and what makes it good again some turns later.
type Blow = (&'static str, fn(&Machine), fn(&Machine));

const BLOWS: [Blow; 8] = [
    ("unbound and bound", |m| m.back.unbind(), |m| m.back.bind()),
    ("unbound and bound at once", |m| rebind(m), |_| {}),
    ("crashed and plugged in", |m| m.back.crash(false), |m| m.replug()),
    ("unplugged and plugged in", |m| m.back.unplug(), |m| m.replug()),
    ("pulled and plugged in", |m| m.back.pull(), |m| m.replug()),
    ("pulled and plugged in at once", |m| m.back.plug(), |_| {}),
    ("crashed with pages kept and plugged in", |m| m.back.crash(true), |m| m.replug()),
    ("driver gone and device exchanged", |m| m.back.unbind(), |m| m.replug()),
];

fn rebind(machine: &Machine) {
    machine.back.unbind();
    machine.back.bind();
}

/// Turns until it is made good again, if that is to happen when everything has come to rest.
const NEVER: usize = 100_000;

const USERS: u64 = 3;
const EACH: u64 = 12;

/// What one user does: every write is of another byte, so that one which comes again too late shows.
async fn use_disk(disk: &impl BlockDevice, start: u64, seed: u8) {
    for round in 0..4u8 {
        let byte = seed.wrapping_mul(16).wrapping_add(round) | 1;
        let count = EACH >> (round % 3);
        write(disk, start, &vec![byte; count as usize * SECTOR]).await;
        if round == 1 {
            disk.flush().await.unwrap();
        }
        if round == 2 {
            disk.barrier().await.unwrap();
        }
        let back = read(disk, start, count).await;
        assert!(back.iter().all(|&found| found == byte), "round {round}: {} instead of {byte}", back[0]);
    }
    disk.write_zeroes(start..start + 8).await.unwrap();
    assert!(read(disk, start, 8).await.iter().all(|&byte| byte == 0));
}

/// A guest and its backend.
struct Kind {
    options: Options,
    features: Features,
    order: Order,
    /// Turns that the backend takes to connect.
    slow: usize,
}

/// Deals one blow at this turn. Gives whether the users were done before.
fn one((name, strike, mend): Blow, kind: &Kind, turn: usize, gap: usize) -> bool {
    let case = format!("{name} at turn {turn}, mended {gap} later, {:?}, slow {}", kind.options, kind.slow);
    // The last one is shown if something fails.
    println!("{case}");
    let setup = Setup { grant_frames: 8, ..Setup::default() };
    let machine = Machine::without_disk(setup, kind.options, kind.features.clone(), USERS * EACH);
    machine.back.plug();
    machine.back.set_order(kind.order.clone());
    machine.back.connect_slowly(kind.slow);
    let (turns, done) = (Cell::new(0), Cell::new(0));
    let mut tasks = machine.tasks();
    tasks.each_turn(|| {
        turns.set(turns.get() + 1);
        if turns.get() == turn {
            strike(&machine);
        }
        if turns.get() == turn + gap {
            mend(&machine);
        }
    });
    for user in 0..USERS {
        let (done, disk) = (&done, &machine.disk);
        tasks.spawn(async move {
            use_disk(disk, user * EACH, user as u8 + 1).await;
            done.set(done.get() + 1);
        });
    }
    let mut left = tasks.run();
    let missed = turns.get() < turn;
    if turns.get() < turn + gap {
        // Nothing moves any more, since the backend is away.
        if turns.get() < turn {
            strike(&machine);
        }
        mend(&machine);
        turns.set(turn + gap);
        left = tasks.run();
    }
    assert_eq!((left, done.get()), (2, USERS), "{case}: {:?} {:?}", machine.disk, machine.disk.outstanding());
    assert_eq!(machine.disk.link(), Link::Ready, "{case}");
    assert!(machine.disk.totals().errors == 0, "{case}");
    drop(tasks);
    machine.finish();
    missed
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
            assert!(turn > 40, "a session is longer than that");
        }
    }
}

#[test]
fn at_every_turn_with_pages_lent_for_each_request() {
    let options = Options { persistent: false, ..Options::default() };
    let kind = Kind { options, features: Features::default(), order: Order::OneATurn, slow: 0 };
    every_turn(&kind, &[1, 7, NEVER], 5);
}

#[test]
fn at_every_turn_with_pages_that_stay_mapped() {
    let options = Options::default();
    let kind = Kind { options, features: Features::default(), order: Order::OneATurn, slow: 0 };
    every_turn(&kind, &[2], 1);
}

#[test]
fn at_every_turn_with_several_rings_and_any_order() {
    let options = Options { queues: 3, ring_order: 1, segments: 1, ..Options::default() };
    let features = Features { early: true, ..Features::default() };
    let kind = Kind { options, features, order: Order::Random(Rng::new()), slow: 0 };
    every_turn(&kind, &[3], 3);
}

/// A backend that was started again finds where our rings are, and by the time it says that it is connected to them
/// they may be others.
#[test]
fn at_every_turn_with_a_backend_that_is_slow_to_connect() {
    let mut rng = Rng::new();
    for round in 0..4 {
        let persistent = round % 2 == 0;
        let slow = rng.within(3..10) + 15 * round;
        let options = Options { persistent, ..Options::default() };
        let kind = Kind { options, features: Features::default(), order: Order::Arrival, slow };
        for blow in [BLOWS[0], BLOWS[1]] {
            let mut turn = rng.within(1..3);
            while !one(blow, &kind, turn, 1) {
                turn += 2;
            }
        }
    }
}
