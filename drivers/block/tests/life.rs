//! A disk's life as its users see it: plugged in late, paused, grown, exchanged and pulled.

mod common;

use common::{Machine, SECTORS, buffer, read, sectors, write};
use fata_block::{Link, Options};
use fata_disk::{BlockDevice, Buffer, Error, SECTOR};
use fata_sim::{Features, Medium, Order, Rng, Setup, Store, state};
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
