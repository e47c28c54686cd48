//! Backends that lie, keep what they were lent, or break the protocol in any way: their device dies alone, everybody
//! gets an answer and their buffer, and another in its place works.

mod common;

use common::{ID, Machine, buffer, guest, read, write};
use fata_block::{Disk, Link, Options};
use fata_disk::{BlockDevice, Buffer, Error, SECTOR};
use fata_sim::{Blkback, Features, Medium, Order, Rng, state};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use xen_hyp::SharedMem;

const USERS: u64 = 40;

/// What a backend does when it has taken some requests, of which it answered none.
type Mischief = fn(&Blkback);

/// Each ends its device.
const LIES: [(&str, Mischief); 13] = [
    ("an answer to nothing", |b| b.forge(0, 31, 0, 0)),
    ("an answer with an absurd id", |b| b.forge(0, u64::MAX, 0, 0)),
    ("an answer to one that was in this slot before", |b| b.forge(0, b.pending_ids()[9] - (1 << 32), 0, 0)),
    ("an answer to one to come", |b| b.forge(0, b.pending_ids()[0] + (1 << 32), 0, 0)),
    ("an answer given twice", |b| {
        let id = b.pending_ids()[0];
        b.forge(0, id, 1, 0);
        b.forge(0, id, 1, 0);
    }),
    ("an answer of a slot that does not exist", |b| b.forge(0, b.pending_ids()[0] | 0xffff, 0, 0)),
    ("more answers than requests", |b| b.publish(0, 33)),
    ("far too many answers", |b| b.publish(0, u32::MAX / 2)),
    ("fewer answers than before", |b| b.publish(0, u32::MAX)),
    ("answers that were never written", |b| b.publish(0, 32)),
    ("one that was never written", |b| b.publish(0, 1)),
    ("noise in the whole ring", |b| {
        let ring = b.ring(0).unwrap();
        let mut rng = Rng::new();
        (0..ring.size() / 4).for_each(|n| ring.store(4 * n, rng.number() as u32));
        b.notify(0);
    }),
    ("pages that stay mapped", |b| {
        b.set_keeps(true);
        b.release(3);
    }),
];

/// Two disks of one guest, so that it shows what becomes of the other.
struct Two {
    machine: Machine,
    back: Rc<Blkback>,
    disk: Disk<fata_sim::SimCpu>,
}

impl Two {
    fn new(options: Options) -> Self {
        let machine = Machine::new(options, Features::default());
        let id = ID + 16;
        let (world, server) = (&machine.world, &machine.server);
        let medium = Medium::new(64);
        let back = Blkback::plugged(world, server, guest(&machine.xen), id, &medium, Features::default());
        let disk = Disk::new(&machine.xen, id, options);
        Self { machine, back, disk }
    }

    fn finish(self) {
        let Self { machine, back, disk } = self;
        assert_eq!((disk.totals().errors, back.complaints()), (0, Vec::new()));
        back.pull();
        drop(disk);
        machine.finish_anyhow();
    }
}

#[test]
fn a_lie_ends_its_device_and_no_other_and_everybody_gets_an_answer() {
    for (what, mischief) in LIES {
        for persistent in [false, true] {
            if persistent && what.starts_with("pages") {
                continue;
            }
            println!("{what}, persistent {persistent}");
            let two = Two::new(Options { persistent, ..Options::default() });
            let Two { machine, disk: other, .. } = &two;
            let Machine { back, disk, .. } = machine;
            back.set_order(Order::Held);
            let (failed, done) = (Cell::new(0), Cell::new(0));
            let mut tasks = machine.tasks();
            tasks.spawn(async { panic!("{}", other.serve(&machine.store).await) });
            for user in 0..USERS {
                let (failed, done) = (&failed, &done);
                tasks.spawn(async move {
                    let bytes = [user as u8; 3 * SECTOR];
                    match user % 4 {
                        0 => {
                            if let Err(failure) = disk.read(user, buffer(&bytes)).await {
                                assert_eq!(failure.error, Error::Corrupt);
                                assert_eq!(failure.buffer.len(), bytes.len());
                                failed.set(failed.get() + 1);
                            }
                        }
                        1 => {
                            let result = disk.flush().await;
                            failed.set(failed.get() + u32::from(result == Err(Error::Corrupt)));
                        }
                        _ => match disk.write(user, buffer(&bytes)).await {
                            Ok(buffer) => assert!(*buffer == bytes),
                            Err(failure) => {
                                assert_eq!(failure.error, Error::Corrupt);
                                assert!(*failure.buffer == bytes, "what was to be written comes back");
                                failed.set(failed.get() + 1);
                            }
                        },
                    }
                    done.set(done.get() + 1);
                });
            }
            assert_eq!(tasks.run(), 3 + USERS as usize);
            assert_eq!(disk.outstanding(), (32, 8));
            mischief(back);
            assert_eq!((tasks.run(), done.get()), (3, USERS), "{what}: somebody waits for ever");
            assert!(failed.get() >= 35, "{what}: {} failed", failed.get());
            assert_eq!((disk.link(), other.link()), (Link::Dead(Error::Corrupt), Link::Ready), "{what}");
            assert_eq!(disk.outstanding(), (0, 0));
            // It stays so, whatever else the backend does.
            tasks.spawn(async {
                let failure = disk.write(0, buffer(&[1; SECTOR])).await.unwrap_err();
                assert_eq!((failure.error, failure.buffer.len()), (Error::Corrupt, SECTOR));
                assert_eq!(disk.barrier().await, Err(Error::Corrupt));
                write(other, 0, &[8; SECTOR]).await;
            });
            assert_eq!(tasks.run(), 3);
            // Exchanged, it works again. What the old one keeps stays out of use.
            back.set_keeps(false);
            back.set_order(Order::Arrival);
            machine.replug();
            assert_eq!(tasks.run(), 3);
            tasks.spawn(async {
                disk.ready().await.unwrap();
                write(disk, 9, &[7; SECTOR]).await;
                assert!(read(disk, 9, 1).await == [7; SECTOR]);
                assert!(read(other, 0, 1).await == [8; SECTOR]);
            });
            assert_eq!(tasks.run(), 3);
            assert_eq!(machine.xen.grant_totals().kept, back.kept(), "{what}");
            back.let_go();
            assert_eq!(machine.xen.reclaim_grants(), 0, "{what}");
            drop(tasks);
            two.finish();
        }
    }
}

#[test]
fn what_is_odd_but_does_no_harm_is_overlooked() {
    let oddities: [(&str, Mischief); 4] = [
        ("another operation in the answer", |b| {
            let id = b.pending_ids()[0];
            b.forge(0, id, 77, 0);
        }),
        ("our own index overwritten", |b| b.ring(0).unwrap().store(0, 0xdead)),
        ("events for nothing", |b| (0..1000).for_each(|_| b.notify(0))),
        ("requests overwritten before they are answered", |b| {
            let ring = b.ring(0).unwrap();
            (16..ring.size() / 4).for_each(|n| ring.store(4 * n, u32::MAX));
        }),
    ];
    for (what, oddity) in oddities {
        let machine = Machine::new(Options::default(), Features::default());
        machine.back.set_order(Order::Held);
        let (disk, done) = (&machine.disk, Cell::new(0));
        let mut tasks = machine.tasks();
        for sector in 0..5 {
            let done = &done;
            tasks.spawn(async move {
                write(disk, sector, &[1; SECTOR]).await;
                done.set(done.get() + 1);
            });
        }
        assert_eq!(tasks.run(), 2 + 5);
        oddity(&machine.back);
        let answered = usize::from(what.starts_with("another"));
        assert_eq!(tasks.run(), 2 + 5 - answered, "{what}");
        assert_eq!((disk.link(), done.get()), (Link::Ready, answered), "{what}");
        if answered == 0 {
            machine.back.set_order(Order::Arrival);
            assert_eq!((tasks.run(), done.get()), (2, 5), "{what}");
            assert_eq!(machine.back.medium().read(0..5), [1; 5 * SECTOR]);
        } else {
            machine.replug();
            machine.back.set_order(Order::Arrival);
            assert_eq!((tasks.run(), done.get()), (2, 5), "{what}");
        }
        drop(tasks);
        machine.finish_anyhow();
    }
}

#[test]
fn any_noise_at_any_time_ends_in_an_answer() {
    let rng = RefCell::new(Rng::new());
    for _ in 0..if cfg!(miri) { 2 } else { 60 } {
        let queues = 1 + rng.borrow_mut().within(0..2) as u32;
        let ring_order = rng.borrow_mut().within(0..2) as u32;
        let persistent = rng.borrow_mut().within(0..2) == 1;
        let two = Two::new(Options { queues, ring_order, persistent, ..Options::default() });
        let Two { machine, disk: other, .. } = &two;
        let Machine { back, disk, .. } = machine;
        back.set_order(Order::Random(rng.borrow().clone()));
        let (done, turns, start) = (Cell::new(0), Cell::new(0), rng.borrow_mut().within(20..90));
        let mut tasks = machine.tasks();
        tasks.spawn(async { panic!("{}", other.serve(&machine.store).await) });
        tasks.each_turn(|| {
            turns.set(turns.get() + 1);
            let mut rng = rng.borrow_mut();
            if turns.get() < start || rng.within(0..3) > 0 {
                return;
            }
            let queue = rng.within(0..queues as usize);
            let Some(ring) = back.ring(queue) else { return };
            let pending = back.pending_ids();
            match rng.within(0..10) {
                0 => back.set_keeps(rng.within(0..2) == 1),
                1 => back.notify(queue),
                2 => back.publish(queue, rng.number() as u32),
                3 => back.publish(queue, ring.load(8).wrapping_add(rng.within(0..3) as u32)),
                4 => ring.store(4 * rng.within(0..ring.size() / 4), rng.number() as u32),
                5 => back.forge(queue, rng.number() % 64, rng.number() as u8, rng.number() as i16),
                6 => back.vdev().write("state", rng.within(0..10).to_string()),
                7 => back.vdev().write("sectors", rng.number().to_string()),
                _ if !pending.is_empty() => {
                    let id = pending[rng.within(0..pending.len())];
                    back.forge(queue, id, 0, -(rng.within(0..2) as i16));
                }
                _ => {}
            }
        });
        for user in 0..10 {
            let (disk, done) = (disk.impatient(), &done);
            tasks.spawn(async move {
                for round in 0..4 {
                    let bytes = [user as u8; 9 * SECTOR];
                    let back = match disk.write(user * 10 + round, buffer(&bytes)).await {
                        Ok(buffer) => buffer,
                        Err(failure) => failure.buffer,
                    };
                    assert!(*back == bytes);
                    let _ = disk.flush().await;
                    let _ = disk.read(user, Buffer::new(9 * SECTOR).unwrap()).await;
                }
                done.set(done.get() + 1);
            });
            tasks.spawn(async move {
                for round in 0..6 {
                    write(other, user * 6, &[round; 6 * SECTOR]).await;
                    assert!(read(other, user * 6, 6).await == [round; 6 * SECTOR]);
                }
            });
        }
        tasks.run();
        // Whoever still waits does so for a backend that does nothing any more; exchanged, it does.
        back.pull();
        assert_eq!((tasks.run(), done.get()), (3, 10));
        back.let_go();
        drop(tasks);
        two.finish();
    }
}

/// Nodes of the backend, and of our own half, with anything in them.
#[test]
fn nodes_with_nonsense_in_them_do_no_harm() {
    let long = "9".repeat(3000);
    let values: [Option<&str>; 12] = [
        None,
        Some(""),
        Some("0"),
        Some("1"),
        Some("-1"),
        Some("4294967296"),
        Some("18446744073709551615"),
        Some("99999999999999999999999999"),
        Some("0x10"),
        Some(" 1"),
        Some("nonsense\0more"),
        Some(&long),
    ];
    let names = [
        "sectors",
        "sector-size",
        "physical-sector-size",
        "info",
        "mode",
        "discard-granularity",
        "discard-secure",
        "feature-barrier",
        "feature-flush-cache",
        "feature-discard",
        "feature-persistent",
        "feature-max-indirect-segments",
        "max-ring-page-order",
        "multi-queue-max-queues",
        "online",
        "state",
    ];
    for name in names {
        for value in values {
            let options = Options { queues: 3, ring_order: 2, ..Options::default() };
            let machine = Machine::new(options, Features::default());
            let Machine { back, disk, .. } = &machine;
            back.set_node(name, value);
            let impatient = disk.impatient();
            let mut tasks = machine.tasks();
            let impatient = &impatient;
            let ask = async move || {
                if disk.link() != Link::Ready {
                    return;
                }
                // Any outcome will do.
                let _ = impatient.write(0, buffer(&[1; 8 * SECTOR])).await;
                let _ = impatient.read(0, Buffer::new(8 * SECTOR).unwrap()).await;
                let _ = impatient.flush().await;
                let _ = impatient.discard(0..8, false).await;
                let _ = impatient.write_zeroes(0..8).await;
            };
            tasks.spawn(ask());
            tasks.run();
            // The same while it works.
            back.set_node(name, Some("1"));
            back.vdev().write("state", state::CONNECTED.to_string());
            tasks.spawn(ask());
            tasks.run();
            drop(tasks);
            machine.finish_anyhow();
        }
    }
}

#[test]
fn our_own_half_may_have_nonsense_in_it_too() {
    let absurd = [
        (
            "backend",
            vec!["", "x", "//", "/local/domain/0/backend/vbd/1/", "a b", "/no/such/thing", "@releaseDomain"],
        ),
        ("backend-id", vec!["", "-1", "65536", "x", "32752", "77", "1"]),
        ("state", vec!["", "0", "9", "x"]),
    ];
    for (name, values) in absurd {
        for value in values {
            let machine = Machine::new(Options::default(), Features::default());
            let path = format!("{}/{name}", machine.back.vdev().front());
            let right = machine.server.text(&path);
            machine.server.write(&path, value);
            let mut tasks = machine.tasks();
            tasks.run();
            machine.server.write(&path, &right);
            tasks.run();
            // A toolstack that has made a mistake makes the device anew.
            machine.back.plug();
            let done = Cell::new(false);
            tasks.spawn(async {
                write(&machine.disk, 0, &[1; SECTOR]).await;
                done.set(true);
            });
            assert_eq!((tasks.run(), done.get()), (2, true), "{name} {value:?}: {:?}", machine.disk);
            drop(tasks);
            machine.finish_anyhow();
        }
    }
}

/// Its states change all the time: as many steps as it takes itself, we take too, and no more.
#[test]
fn a_backend_that_flips_its_states_does_not_keep_us_busy() {
    let rng = RefCell::new(Rng::new());
    for _ in 0..if cfg!(miri) { 1 } else { 6 } {
        let two = Two::new(Options::default());
        let Two { machine, disk: other, .. } = &two;
        let (turns, asked) = (Cell::new(0u64), Cell::new(0));
        let mut tasks = machine.tasks();
        tasks.spawn(async { panic!("{}", other.serve(&machine.store).await) });
        tasks.each_turn(|| {
            turns.set(turns.get() + 1);
            if turns.get() < 2000 {
                let state = rng.borrow_mut().within(0..9);
                machine.back.vdev().write("state", state.to_string());
            }
            if turns.get() == 2000 {
                asked.set(machine.server.served());
                machine.replug();
            }
        });
        tasks.spawn(async {
            for _ in 0..50 {
                write(other, 0, &[1; SECTOR]).await;
                machine.world.sleep(1).await;
            }
        });
        assert_eq!(tasks.run(), 3);
        // Some requests to the store for each of its own changes.
        assert!(asked.get() < 2000 * 30, "{} requests", asked.get());
        drop(tasks);
        machine.run(async {
            write(&machine.disk, 0, &[1; SECTOR]).await;
        });
        two.finish();
    }
}

#[test]
fn a_storm_of_events_keeps_nobody_from_their_work() {
    let two = Two::new(Options::default());
    let Two { machine, disk: other, .. } = &two;
    machine.back.set_storm(true);
    machine.back.set_order(Order::OneATurn);
    let mut tasks = machine.tasks();
    tasks.spawn(async { panic!("{}", other.serve(&machine.store).await) });
    let turns = Cell::new(0);
    tasks.each_turn(|| {
        turns.set(turns.get() + 1);
        if turns.get() < 3000 {
            (0..5).for_each(|_| machine.back.notify(0));
        }
        if turns.get() == 1500 {
            machine.back.unplug();
        }
    });
    for disk in [other, &machine.disk] {
        tasks.spawn(async move {
            for round in 0..100 {
                write(disk, 0, &[round; SECTOR]).await;
                assert!(read(disk, 0, 1).await == [round; SECTOR]);
            }
        });
    }
    assert_eq!(tasks.run(), 3);
    assert!(!machine.back.vdev().is_plugged(), "the storm did not hide that it was to be let go");
    drop(tasks);
    machine.replug();
    two.finish();
}

/// A backend may keep pages of as many sessions as it likes: what is lost to it is bounded, and the other disk works.
#[test]
fn what_a_backend_can_keep_is_bounded() {
    for persistent in [false, true] {
        let two = Two::new(Options { persistent, ..Options::default() });
        let Two { machine, disk: other, .. } = &two;
        let Machine { back, disk, .. } = machine;
        let mut tasks = machine.tasks();
        tasks.spawn(async { panic!("{}", other.serve(&machine.store).await) });
        tasks.run();
        let mut most = 0;
        for _ in 0..60 {
            back.set_keeps(true);
            machine.replug();
            tasks.run();
            tasks.spawn(async {
                let impatient = disk.impatient();
                for _ in 0..4 {
                    let _ = impatient.write(0, Buffer::new(64 * 4096).unwrap()).await;
                }
            });
            assert_eq!(tasks.run(), 3);
            back.crash(true);
            most = most.max(machine.xen.grant_totals().kept);
        }
        // The limit for what is lent to one that keeps pages, and what one session could add.
        assert!((1024..1024 + 700).contains(&most), "{most} pages are kept");
        assert!(matches!(disk.link(), Link::Dead(_)));
        tasks.spawn(async {
            // Its backend is in the same domain, which gets nothing more; what it has got will do.
            let _ = other.write(0, buffer(&[1; SECTOR])).await;
        });
        assert_eq!(tasks.run(), 3);
        back.let_go();
        back.set_keeps(false);
        machine.replug();
        assert_eq!(tasks.run(), 3);
        tasks.spawn(async {
            disk.ready().await.unwrap();
            write(disk, 0, &[1; SECTOR]).await;
        });
        assert_eq!(tasks.run(), 3);
        drop(tasks);
        let Two { machine, back, disk } = two;
        back.pull();
        drop(disk);
        machine.finish_anyhow();
    }
}
