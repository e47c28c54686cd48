//! A disk's life as its users see it: plugged in late, paused, grown, exchanged and pulled.

mod common;

use common::{Machine, SECTORS, buffer, read, sectors, write};
use fata_block::{Link, Options};
use fata_disk::{BlockDevice, Buffer, Error, SECTOR};
use fata_sim::{Blkback, Features, Medium, Order, Rng, Setup, Store, state};
use std::cell::{Cell, RefCell};

fn default() -> (Options, Features) {
    (Options::default(), Features::default())
}

#[test]
fn requests_wait_for_a_disk_that_is_late_whatever_is_late_of_it() {
    type Late = (&'static str, fn(&Machine), fn(&Machine));
    let late: [Late; 5] = [
        ("device", |_| {}, |m| m.back.plug()),
        (
            "driver",
            |m| {
                m.back.set_driver(false);
                m.back.plug();
            },
            |m| m.back.set_driver(true),
        ),
        (
            "medium",
            |m| {
                m.back.set_inserted(false);
                m.back.plug();
            },
            |m| m.back.set_inserted(true),
        ),
        (
            "store",
            |m| {
                m.server.pause();
                m.back.plug();
            },
            |m| m.server.go_on(),
        ),
        (
            "half of the nodes",
            |m| {
                m.back.plug();
                for name in ["backend", "backend-id"] {
                    m.server.rm(&format!("{}/{name}", m.back.vdev().front()));
                }
            },
            |m| {
                let front = m.back.vdev().front();
                m.server.write(&format!("{front}/backend-id"), "0");
                m.server.write(&format!("{front}/backend"), m.back.vdev().back());
            },
        ),
    ];
    for (what, before, then) in late {
        let (options, features) = default();
        let machine = Machine::without_disk(Setup::default(), options, features, SECTORS);
        before(&machine);
        let (disk, done) = (&machine.disk, Cell::new(0));
        let mut tasks = machine.tasks();
        for sector in 0..10 {
            let done = &done;
            tasks.spawn(async move {
                write(disk, sector, &[sector as u8; SECTOR]).await;
                disk.flush().await.unwrap();
                done.set(done.get() + 1);
            });
        }
        tasks.spawn(async {
            assert_eq!(disk.geometry_after(None).await.sectors, SECTORS);
            disk.ready().await.unwrap();
            done.set(done.get() + 1);
        });
        assert_eq!(tasks.run(), 2 + 11, "{what}");
        assert_eq!((disk.link(), disk.geometry().sectors), (Link::Paused, 0), "{what}");
        then(&machine);
        assert_eq!((tasks.run(), done.get()), (2, 11), "{what}");
        assert_eq!(disk.link(), Link::Ready, "{what}");
        drop(tasks);
        machine.finish();
    }
}

#[test]
fn a_store_that_is_late_is_waited_for_too() {
    for kind in [Store::Legacy, Store::Enhanced] {
        let (options, features) = default();
        let setup = Setup { store: kind, ..Setup::default() };
        let machine = Machine::without_disk(setup, options, features, SECTORS);
        let done = Cell::new(false);
        let mut tasks = machine.tasks();
        tasks.spawn(async {
            write(&machine.disk, 0, &[1; SECTOR]).await;
            done.set(true);
        });
        assert_eq!(tasks.run(), 3);
        machine.server.introduce(machine.xen.platform().domain());
        machine.back.plug();
        assert_eq!((tasks.run(), done.get()), (2, true));
        drop(tasks);
        machine.finish();
    }
}

#[test]
fn the_impatient_hear_of_a_pause_at_once_and_the_others_after_it() {
    let (options, features) = default();
    let machine = Machine::new(options, features);
    let disk = &machine.disk;
    let impatient = disk.impatient();
    let (failed, done) = (Cell::new(0), Cell::new(0));
    let mut tasks = machine.tasks();
    tasks.spawn(async {
        assert_eq!(impatient.flush().await, Err(Error::Paused));
        disk.ready().await.unwrap();
        write(&impatient, 0, &[5; SECTOR]).await;
        assert_eq!(read(&impatient, 0, 1).await, [5; SECTOR]);
    });
    assert_eq!(tasks.run(), 2);
    // More than the ring takes, so that some wait.
    machine.back.set_order(Order::Held);
    for sector in 0..50 {
        let (impatient, failed, done) = (&impatient, &failed, &done);
        tasks.spawn(async move {
            let failure = impatient.write(sector, buffer(&[6; SECTOR])).await.unwrap_err();
            assert_eq!(failure.error, Error::Paused);
            assert_eq!(*failure.buffer, [6; SECTOR]);
            failed.set(failed.get() + 1);
        });
        tasks.spawn(async move {
            write(disk, sector + 100, &[7; SECTOR]).await;
            done.set(done.get() + 1);
        });
    }
    assert_eq!(tasks.run(), 2 + 100);
    let (sent, waiting) = disk.outstanding();
    assert_eq!((sent, waiting), (32, 68));
    // A backend that says so and then does nothing more.
    machine.back.vdev().write("state", state::CLOSING.to_string());
    machine.back.crash(false);
    tasks.run();
    assert_eq!(failed.get(), 34, "those that were not sent");
    assert_eq!(impatient.read(0, Buffer::new(SECTOR).unwrap()).await_now(), Some(Error::Paused));
    machine.replug();
    machine.back.set_order(Order::Arrival);
    assert_eq!(tasks.run(), 2);
    assert_eq!((failed.get(), done.get()), (50, 50));
    drop(tasks);
    machine.finish();
}

/// What a future gives without waiting.
trait AwaitNow {
    fn await_now(self) -> Option<Error>;
}

impl<F: Future<Output = Result<Buffer, fata_disk::Failed>>> AwaitNow for F {
    fn await_now(self) -> Option<Error> {
        let mut future = std::pin::pin!(self);
        match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
            std::task::Poll::Ready(Err(failed)) => Some(failed.error),
            _ => None,
        }
    }
}

/// A backend that is asked to let go ends what it has begun, so nothing need be asked for twice.
#[test]
fn what_was_under_way_when_the_disk_was_asked_for_is_answered() {
    for persistent in [false, true] {
        let machine = Machine::new(Options { persistent, ..Options::default() }, Features::default());
        let (disk, done) = (&machine.disk, Cell::new(0));
        machine.back.set_order(Order::Held);
        machine.back.medium().write(500, &[9; SECTOR]);
        let mut tasks = machine.tasks();
        for sector in 0..20 {
            let done = &done;
            tasks.spawn(async move {
                write(disk, sector, &[3; SECTOR]).await;
                done.set(done.get() + 1);
            });
        }
        tasks.spawn(async {
            assert_eq!(read(disk, 500, 1).await, [9; SECTOR]);
            done.set(done.get() + 1);
        });
        assert_eq!(tasks.run(), 2 + 21);
        machine.back.unplug();
        assert_eq!((tasks.run(), done.get()), (2 + 21, 0));
        machine.back.set_order(Order::Arrival);
        assert_eq!((tasks.run(), done.get()), (2, 21));
        assert_eq!((disk.link(), disk.totals().resent), (Link::Paused, 0));
        assert!(!machine.back.vdev().is_plugged(), "the toolstack has its disk back");
        drop(tasks);
        machine.finish();
    }
}

#[test]
fn a_disk_that_grows_or_shrinks_says_so_and_goes_on() {
    let (options, features) = default();
    let machine = Machine::new(options, features);
    let (disk, sizes, done) = (&machine.disk, RefCell::new(Vec::new()), Cell::new(0));
    let mut tasks = machine.tasks();
    tasks.spawn(async {
        let mut known = None;
        loop {
            known = Some(disk.geometry_after(known).await);
            sizes.borrow_mut().push(known.unwrap().sectors);
        }
    });
    tasks.spawn(async {
        loop {
            write(disk, 0, &[1; 8 * SECTOR]).await;
            done.set(done.get() + 1);
            if done.get() % 10 == 0 {
                machine.world.sleep(1).await;
            }
            if sizes.borrow().len() == 3 {
                break;
            }
        }
    });
    let turns = Cell::new(0);
    tasks.each_turn(|| {
        turns.set(turns.get() + 1);
        match turns.get() {
            200 => machine.back.resize(2 * SECTORS),
            400 => machine.back.resize(SECTORS / 2),
            _ => {}
        }
    });
    assert_eq!(tasks.run(), 3);
    assert_eq!(*sizes.borrow(), [SECTORS, 2 * SECTORS, SECTORS / 2]);
    assert_eq!((disk.totals().connects, disk.totals().errors), (1, 0));
    drop(tasks);
    machine.run(async {
        disk.ready().await.unwrap();
        let failed = disk.write(SECTORS / 2, buffer(&[1; SECTOR])).await.unwrap_err();
        assert_eq!(failed.error, Error::OutOfRange);
    });
    machine.finish();
}

/// Resized while the store is away: the disk still works.
#[test]
fn requests_go_on_while_the_store_is_slow() {
    let (options, features) = default();
    let machine = Machine::new(options, features);
    let disk = &machine.disk;
    let done = Cell::new(0);
    let mut tasks = machine.tasks();
    tasks.spawn(async { disk.ready().await.unwrap() });
    assert_eq!(tasks.run(), 2);
    machine.back.resize(2 * SECTORS);
    machine.server.slow_down(Rng::new());
    for round in 0..20 {
        let done = &done;
        tasks.spawn(async move {
            write(disk, round, &[1; SECTOR]).await;
            done.set(done.get() + 1);
        });
        // In the middle of what is asked.
        if round == 5 {
            machine.server.pause();
        }
        assert_eq!((tasks.run(), done.get()), (2, round + 1));
    }
    machine.server.go_on();
    assert_eq!(tasks.run(), 2);
    assert_eq!(disk.geometry().sectors, 2 * SECTORS);
    drop(tasks);
    machine.finish();
}

#[test]
fn a_store_that_is_killed_and_restarted_costs_nothing() {
    let (options, features) = default();
    let machine = Machine::new(options, features);
    machine.server.set_features(15);
    let (disk, turns, rounds, up) = (&machine.disk, Cell::new(0), Cell::new(0), Cell::new(true));
    let mut rng = Rng::new();
    let bytes = sectors(&mut rng, 64);
    let mut tasks = machine.tasks();
    tasks.each_turn(|| {
        turns.set(turns.get() + 1);
        match (turns.get() % 100, up.get()) {
            (20, true) => machine.server.kill(),
            (60, false) => machine.server.restart(),
            _ => return,
        }
        up.set(!up.get());
    });
    tasks.spawn(async {
        for round in 0..300 {
            write(disk, round, &bytes).await;
            assert!(read(disk, round, 64).await == bytes);
            if round % 50 == 0 {
                machine.back.resize(SECTORS + round);
            }
            rounds.set(round);
        }
    });
    while tasks.run() > 2 {
        assert!(!up.replace(true), "nothing moves though there is a store");
        machine.server.restart();
    }
    if !up.get() {
        machine.server.restart();
    }
    assert_eq!(rounds.get(), 299);
    drop(tasks);
    machine.finish();
}

#[test]
fn another_disk_in_its_place_is_another_geometry() {
    let (options, features) = default();
    let machine = Machine::new(options, features);
    let disk = &machine.disk;
    machine.run(async {
        disk.ready().await.unwrap();
        let mut known = disk.geometry();
        assert!(!known.read_only);
        for (sectors, sector_bytes, read_only) in [(80, 4096, false), (8000, 512, true), (16, 512, false)] {
            machine.back.unplug();
            assert_eq!(disk.link_after(Link::Ready).await, Link::Paused);
            while machine.back.vdev().is_plugged() {
                machine.world.sleep(1).await;
            }
            machine.back.change_features(|features| {
                (features.sector_bytes, features.read_only) = (sector_bytes, read_only);
            });
            machine.back.exchange(&Medium::new(sectors));
            machine.back.plug();
            assert_eq!(disk.link_after(Link::Paused).await, Link::Ready);
            known = disk.geometry_after(Some(known)).await;
            assert_eq!((known.sectors, known.read_only), (sectors, read_only));
            assert_eq!(known.logical_bytes, sector_bytes);
        }
    });
    machine.finish();
}

#[test]
fn what_is_written_survives_any_number_of_cycles() {
    let (options, features) = default();
    let machine = Machine::new(options, features);
    let mut rng = Rng::new();
    let mut model = sectors(&mut rng, SECTORS);
    let disk = &machine.disk;
    machine.run(async {
        write(disk, 0, &model).await;
        for _ in 0..if cfg!(miri) { 2 } else { 20 } {
            machine.back.unplug();
            disk.link_after(Link::Ready).await;
            while machine.back.vdev().is_plugged() {
                machine.world.sleep(1).await;
            }
            machine.back.plug();
            assert!(read(disk, 0, SECTORS).await == model);
            let bytes = sectors(&mut rng, 9);
            let at = rng.within(0..SECTORS as usize - 9);
            write(disk, at as u64, &bytes).await;
            model[at * SECTOR..(at + 9) * SECTOR].copy_from_slice(&bytes);
        }
    });
    assert_eq!(machine.disk.totals().connects, if cfg!(miri) { 3 } else { 21 });
    machine.finish();
}

/// The task that serves it is dropped in the middle of everything, and another takes over.
#[test]
fn whoever_serves_it_may_be_exchanged_at_any_moment() {
    let (options, features) = default();
    for turn in 1.. {
        let machine = Machine::new(options, features.clone());
        machine.back.set_order(Order::OneATurn);
        let (disk, done, first, turns) = (&machine.disk, Cell::new(0), Cell::new(true), Cell::new(0));
        let mut tasks = fata_sim::Tasks::new(&machine.world);
        tasks.spawn(machine.store.serve());
        tasks.each_turn(|| turns.set(turns.get() + 1));
        tasks.spawn(async {
            {
                let mut serving = std::pin::pin!(disk.serve(&machine.store));
                std::future::poll_fn(|cx| {
                    assert!(serving.as_mut().poll(cx).is_pending());
                    cx.waker().wake_by_ref();
                    if turns.get() >= turn { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
                })
                .await;
            }
            first.set(false);
            panic!("{}", disk.serve(&machine.store).await);
        });
        for sector in 0..6 {
            let done = &done;
            tasks.spawn(async move {
                write(disk, sector, &[3; SECTOR]).await;
                assert_eq!(read(disk, sector, 1).await, [3; SECTOR]);
                done.set(done.get() + 1);
            });
        }
        assert_eq!((tasks.run(), done.get()), (2, 6), "at turn {turn}: {:?}", disk.outstanding());
        let complaints = machine.back.complaints();
        assert!(complaints.iter().all(|why| why.starts_with("mapping ")), "{complaints:?}");
        let after = !first.get() && turns.get() > turn + 50;
        drop(tasks);
        machine.finish_anyhow();
        if turn > 100 && after {
            break;
        }
    }
}

/// A driver domain that is destroyed and made anew under another number, and domain 0 in between.
#[test]
fn backends_may_be_in_any_domain_and_move() {
    for persistent in [false, true] {
        let machine = Machine::new(Options { persistent, ..Options::default() }, Features::default());
        let medium = machine.back.medium();
        let (world, server, disk) = (&machine.world, &machine.server, &machine.disk);
        let homes: Vec<_> = (0..3).map(|_| world.guest()).collect();
        let new_in = |home| {
            let guest = common::guest(&machine.xen);
            Blkback::new_in(world, server, home, guest, common::ID, &medium, Features::default())
        };
        let elsewhere: Vec<_> = homes.iter().map(|home| new_in(common::guest(home))).collect();
        let mut rng = Rng::new();
        let mut model = sectors(&mut rng, 100);
        machine.run(async {
            write(disk, 0, &model).await;
            let mut last = &machine.back;
            for back in elsewhere.iter().chain([&machine.back, &elsewhere[0]]) {
                // With something under way, which the next one gets.
                last.set_order(Order::Held);
                let bytes = sectors(&mut rng, 20);
                let mut writing = Box::pin(write(disk, 10, &bytes));
                assert!(common::poll_once(&mut writing).await.is_none());
                last.crash(true);
                last.pull();
                assert_eq!(disk.link_after(Link::Ready).await, Link::Paused);
                back.set_driver(true);
                back.set_order(Order::Arrival);
                back.plug();
                writing.await;
                model[10 * SECTOR..30 * SECTOR].copy_from_slice(&bytes);
                assert!(read(disk, 0, 100).await == model);
                last.let_go();
                last = back;
            }
            last.pull();
            disk.link_after(Link::Ready).await;
        });
        for back in &elsewhere {
            assert_eq!(back.complaints(), Vec::<String>::new());
        }
        drop((elsewhere, homes));
        machine.finish();
    }
}

/// What the backend before could do is nothing that this one has to know of.
#[test]
fn a_backend_that_comes_back_may_be_able_to_do_more_or_less() {
    let options = Options { queues: 3, ring_order: 2, segments: 100, persistent: true };
    let machine = Machine::new(options, Features::default());
    let mut rng = Rng::new();
    machine.run(async {
        machine.disk.ready().await.unwrap();
        for round in 0..12u32 {
            let features = Features {
                queues: round % 2 * 4,
                ring_order: round % 3,
                segments: round % 4 * 30,
                persistent: round % 5 < 3,
                early: round % 5 == 0,
                ..Features::default()
            };
            machine.back.change_features(|known| *known = features);
            // Bound again at once, it might take up the ring as it is.
            machine.back.unbind();
            machine.back.vdev().write("state", state::CLOSED.to_string());
            assert_eq!(machine.disk.link_after(Link::Ready).await, Link::Paused);
            machine.back.bind();
            machine.disk.ready().await.unwrap();
            assert_eq!(machine.back.queues(), if round % 2 == 0 { 1 } else { 3 });
            let bytes = sectors(&mut rng, 1000);
            write(&machine.disk, 7, &bytes).await;
            assert!(read(&machine.disk, 7, 1000).await == bytes);
        }
    });
    // It tried the ring that it found first.
    machine.finish_anyhow();
}

#[test]
fn a_backend_that_refuses_again_and_again_is_left_in_peace() {
    let (options, features) = default();
    let machine = Machine::new(options, features);
    // It cannot do what it says.
    machine.back.set_node("max-ring-page-order", Some("4"));
    machine.back.change_features(|features| features.queues = 1);
    machine.back.set_node("multi-queue-max-queues", Some("4"));
    let two = fata_block::Disk::new(&machine.xen, common::ID, Options { queues: 2, ..options });
    let mut tasks = fata_sim::Tasks::new(&machine.world);
    tasks.spawn(machine.store.serve());
    tasks.spawn(async { panic!("{}", two.serve(&machine.store).await) });
    assert_eq!(tasks.run(), 2);
    assert_eq!(machine.back.complaints().len(), 3);
    assert_eq!((two.link(), machine.back.state()), (Link::Paused, state::CLOSED));
    // Started again, it can.
    machine.back.unbind();
    machine.back.change_features(|features| features.queues = 4);
    machine.back.bind();
    assert_eq!(tasks.run(), 2);
    assert_eq!((two.link(), machine.back.queues()), (Link::Ready, 2));
    drop(tasks);
    drop(two);
    machine.finish_anyhow();
}
