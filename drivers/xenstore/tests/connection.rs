//! Stores that are absent or late, and servers that go away and come back.

mod common;

use common::{GUEST, Store, drop_after, open, run, running};
use fata_sim::{Lie, Rng, Setup, Store as Kind, Tasks, World, Xenstored};
use fata_xenstore::{Error, Event, State, Xenstore};
use std::cell::{Cell, RefCell};
use xen_hyp::abi::{Op, hvm, nr};
use xen_hyp::{HvmParam, SharedMem, XenError};

const HOME: &str = "/local/domain/1";
const CONNECTION: usize = 2068;
/// oxenstored's.
const RECONNECTION: u32 = 1;

fn late(kind: Kind) -> (World, std::rc::Rc<Xenstored>, Store) {
    let world = World::new();
    let server = Xenstored::start(&world);
    let store = open(&world.guest_with(Setup { store: kind, ..Setup::default() }));
    (world, server, store)
}

#[test]
fn a_domain_without_a_store_has_none() {
    let world = World::new();
    let xen = world.guest_with(Setup { store: Kind::Absent, ..Setup::default() });
    assert!(Xenstore::open(&xen).unwrap().is_none());
    let xen = world.guest();
    xen.set_hvm_param(HvmParam::StorePfn, 0).unwrap();
    assert!(Xenstore::open(&xen).unwrap().is_none());
    world.assert_cleaned_up();
}

#[test]
fn what_xen_refuses_is_an_error() {
    let world = World::new();
    let xen = world.guest();
    world.fail(GUEST, nr::HVM_OP, hvm::GetParam::CMD, XenError::EPERM);
    assert_eq!(Xenstore::open(&xen).unwrap_err(), Error::Xen(XenError::EPERM));
    let port = xen.hvm_param(HvmParam::StoreEvtchn).unwrap();
    for bad in [77, u64::MAX - 1] {
        xen.set_hvm_param(HvmParam::StoreEvtchn, bad).unwrap();
        assert!(matches!(Xenstore::open(&xen), Err(Error::Xen(_))));
    }
    xen.set_hvm_param(HvmParam::StoreEvtchn, port).unwrap();
    xen.set_hvm_param(HvmParam::StorePfn, 0x1234).unwrap();
    assert_eq!(Xenstore::open(&xen).unwrap_err(), Error::BadFrame);
    world.assert_cleaned_up();
}

#[test]
fn a_store_that_is_late_makes_everybody_wait_and_says_why() {
    for (kind, state) in [(Kind::Legacy, State::Late), (Kind::Enhanced, State::Connecting)] {
        let (world, server, store) = late(kind);
        assert_eq!(store.state(), state);
        let (read, seen) = (Cell::new(0), RefCell::new(Vec::new()));
        let mut tasks = Tasks::new(&world);
        tasks.spawn(store.serve());
        tasks.spawn(async { assert_eq!(store.connected().await, Ok(())) });
        tasks.spawn(async {
            let mut state = store.state();
            while state != State::Connected {
                state = store.state_after(state).await;
                seen.borrow_mut().push(state);
            }
        });
        // More than there are slots.
        for i in 0..40 {
            let (store, read) = (&store, &read);
            tasks.spawn(async move {
                store.write(&format!("data/{i}"), "").await.unwrap();
                read.set(read.get() + 1);
            });
        }
        tasks.spawn(async {
            let mut watch = store.watch("data").unwrap();
            watch.changed().await.unwrap();
        });
        assert_eq!(tasks.run(), 44);
        // An event that means nothing yet.
        let domain = world.find(GUEST).unwrap();
        domain.raise(xen_hyp::Port(domain.param(HvmParam::StoreEvtchn) as u32));
        assert_eq!(tasks.run(), 44);
        assert_eq!(store.state(), state);
        server.introduce(&domain);
        assert_eq!(tasks.run(), 1);
        drop(tasks);
        assert_eq!(read.get(), 40);
        assert_eq!(seen.take(), [State::Connected]);
        drop(store);
        world.assert_cleaned_up();
    }
}

#[test]
fn a_server_that_is_slow_or_paused_is_waited_for() {
    let (world, server, store) = running();
    server.pause();
    let done = Cell::new(false);
    let mut tasks = Tasks::new(&world);
    tasks.spawn(store.serve());
    tasks.spawn(async {
        store.transaction(async |tx| tx.write("data/x", "").await).await.unwrap();
        done.set(true);
    });
    assert_eq!(tasks.run(), 2);
    assert_eq!(store.state(), State::Connected);
    server.go_on();
    assert_eq!(tasks.run(), 1);
    assert!(done.get());
}

/// A server that is killed and started again, without the client being told: the port's other end is new.
#[test]
fn after_a_restart_watches_are_set_again_and_requests_made_again() {
    for features in [14, 14 | RECONNECTION] {
        let world = World::new();
        let server = Xenstored::start(&world);
        server.set_features(features);
        let store = open(&world.guest());
        let (events, read) = (RefCell::new(Vec::new()), Cell::new(0));
        let mut tasks = Tasks::new(&world);
        tasks.spawn(store.serve());
        tasks.spawn(async {
            let mut watch = store.watch("data").unwrap();
            loop {
                let event = watch.next().await.unwrap();
                events.borrow_mut().push(event);
            }
        });
        assert_eq!(tasks.run(), 2);
        assert_eq!(events.take().len(), 1);
        for round in 1..4 {
            server.kill();
            for _ in 0..3 {
                tasks.spawn(async {
                    assert_eq!(store.read("domid").await.unwrap(), b"1");
                    read.set(read.get() + 1);
                });
            }
            assert_eq!(tasks.run(), 5);
            server.restart();
            assert_eq!(tasks.run(), 2);
            assert_eq!(read.get(), 3 * round);
            assert_eq!(events.take(), [Event::Changed("data".into())]);
            assert_eq!(server.watches(GUEST), 1);
            server.write(&format!("{HOME}/data/x"), "");
            assert_eq!(tasks.run(), 2);
            assert_eq!(events.take(), [Event::Changed("data/x".into())]);
        }
        drop(tasks);
        run(&world, &[&store], async {});
        drop(store);
        world.assert_cleaned_up();
    }
}

#[test]
fn transactions_start_over_after_a_restart() {
    for kill_at in 0..5 {
        let world = World::new();
        let server = Xenstored::start(&world);
        server.set_features(14 | RECONNECTION);
        let store = open(&world.guest());
        let tries = Cell::new(0);
        run(&world, &[&store], async {
            let kill = |step| {
                if (tries.get(), step) == (1, kill_at) {
                    server.kill();
                    server.restart();
                }
            };
            let done = store.transaction(async |tx| {
                tries.set(tries.get() + 1);
                kill(0);
                tx.write("data/a", "").await?;
                kill(1);
                tx.write("data/b", "").await?;
                kill(2);
                tx.read("domid").await?;
                kill(3);
                Ok(())
            });
            assert_eq!(done.await, Ok(()));
        });
        assert_eq!(tries.get(), if kill_at < 4 { 2 } else { 1 }, "killed at {kill_at}");
        assert_eq!(server.directory(&format!("{HOME}/data")), ["a", "b"]);
        drop(store);
        world.assert_cleaned_up();
    }
}

#[test]
fn a_beginning_whose_answer_was_not_heard_begins_again() {
    let world = World::new();
    let server = Xenstored::start(&world);
    server.set_features(14 | RECONNECTION);
    let store = open(&world.guest());
    run(&world, &[&store], async {
        server.lie(GUEST, Lie::Nothing);
        let mut tries = 0;
        let mut transaction = Box::pin(store.transaction(async |tx| {
            tries += 1;
            tx.write("data/a", "").await
        }));
        assert!(drop_after(1, &mut transaction).await.is_none());
        store.read("domid").await.unwrap();
        server.kill();
        server.restart();
        assert_eq!(transaction.await, Ok(()));
        assert_eq!(tries, 1);
    });
    assert_eq!(server.transactions(GUEST), 0);
}

#[test]
fn a_closed_connection_is_opened_again_where_the_server_can() {
    for features in [14, 14 | RECONNECTION] {
        let world = World::new();
        let server = Xenstored::start(&world);
        server.set_features(features);
        let store = open(&world.guest());
        let outcome = Cell::new(None);
        let mut tasks = Tasks::new(&world);
        tasks.spawn(store.serve());
        server.pause();
        tasks.spawn(async { outcome.set(Some(store.read("domid").await)) });
        assert_eq!(tasks.run(), 2);
        server.go_on();
        server.hang_up(GUEST, 1);
        assert_eq!(tasks.run(), 1);
        drop(tasks);
        let outcome = outcome.take().unwrap();
        if features & RECONNECTION != 0 {
            assert_eq!((outcome.unwrap(), store.state()), (b"1".to_vec(), State::Connected));
            continue;
        }
        assert_eq!(outcome, Err(Error::Gone));
        run(&world, &[&store], async {
            assert_eq!(store.connected().await, Err(Error::Gone));
            assert_eq!(store.read("domid").await, Err(Error::Gone));
            assert_eq!(store.transaction(async |_| Ok(())).await, Err(Error::Gone));
            let mut watch = store.watch("data").unwrap();
            assert_eq!(watch.next().await, Err(Error::Gone));
            // A new server makes everything good.
            server.kill();
            server.restart();
            assert_eq!(store.state_after(State::Dead(Error::Gone)).await, State::Connected);
            watch.changed().await.unwrap();
            assert_eq!(store.read("domid").await.unwrap(), b"1");
        });
        drop(store);
        world.assert_cleaned_up();
    }
}

/// As after a suspend: another page, another port, and a server that was told of them.
#[test]
fn the_board_reconnects_after_a_resume() {
    let (world, server, store) = running();
    let domain = world.find(GUEST).unwrap();
    let (events, done) = (Cell::new(0), Cell::new(0));
    let mut tasks = Tasks::new(&world);
    tasks.spawn(store.serve());
    tasks.spawn(async {
        let mut watch = store.watch("data").unwrap();
        loop {
            watch.next().await.unwrap();
            events.set(events.get() + 1);
        }
    });
    assert_eq!(tasks.run(), 2);
    for round in 1..4 {
        server.kill();
        tasks.spawn(async {
            store.write("data/x", "").await.unwrap();
            done.set(done.get() + 1);
        });
        assert_eq!(tasks.run(), 3);
        if round == 2 {
            // The port may be another one.
            domain.move_store_port();
        }
        server.restart();
        if round == 3 {
            server.introduce(&domain);
        }
        store.reconnect();
        assert_eq!(store.state(), State::Late);
        assert_eq!(tasks.run(), 2);
        assert_eq!((done.get(), store.state()), (round, State::Connected));
    }
    assert!(events.get() >= 4);
    drop(tasks);
    run(&world, &[&store], async {});
    drop(store);
    world.assert_cleaned_up();
}

/// After a resume the page may be a new server's already, so nothing is written before it has been looked at.
#[test]
fn nothing_is_sent_between_a_resume_and_the_reconnect() {
    let (world, _server, store) = running();
    run(&world, &[&store], async { store.write("data/x", "1").await.unwrap() });
    let page = world.find(GUEST).unwrap().store_page();
    let before: Vec<u32> = (2048..2064).step_by(4).map(|offset| page.load(offset)).collect();
    let read = Cell::new(None);
    let mut tasks = Tasks::new(&world);
    store.reconnect();
    tasks.spawn(async { read.set(Some(store.read("data/x").await.unwrap())) });
    tasks.spawn(async {
        store.watch("data").unwrap().changed().await.unwrap();
    });
    assert_eq!(tasks.run(), 2);
    let after: Vec<u32> = (2048..2064).step_by(4).map(|offset| page.load(offset)).collect();
    assert_eq!(before, after);
    tasks.spawn(store.serve());
    assert_eq!(tasks.run(), 1);
    drop(tasks);
    assert_eq!(read.take().unwrap(), b"1");
    drop(store);
    world.assert_cleaned_up();
}

#[test]
fn a_reconnect_to_nothing_is_an_error_until_there_is_something() {
    let (world, _server, store) = running();
    let domain = world.find(GUEST).unwrap();
    let (pfn, port) = (domain.param(HvmParam::StorePfn), domain.param(HvmParam::StoreEvtchn));
    run(&world, &[&store], async {
        domain.set_param(HvmParam::StoreEvtchn, 0);
        store.reconnect();
        assert_eq!(store.connected().await, Err(Error::Gone));
        domain.set_param(HvmParam::StoreEvtchn, port);
        domain.set_param(HvmParam::StorePfn, 0x777);
        store.reconnect();
        assert_eq!(store.connected().await, Err(Error::BadFrame));
        domain.set_param(HvmParam::StorePfn, pfn);
        store.reconnect();
        assert_eq!(store.connected().await, Ok(()));
        assert_eq!(store.read("domid").await.unwrap(), b"1");
    });
    drop(store);
    world.assert_cleaned_up();
}

#[test]
fn a_toolstack_that_starts_over_with_the_page_is_followed() {
    let (world, server, store) = running();
    let domain = world.find(GUEST).unwrap();
    run(&world, &[&store], async {
        store.write("data/x", "1").await.unwrap();
        domain.store_page().store(CONNECTION, 1);
        domain.raise(xen_hyp::Port(domain.param(HvmParam::StoreEvtchn) as u32));
        assert_eq!(store.state_after(State::Connected).await, State::Connecting);
        // It empties the rings, too.
        server.introduce(&domain);
        assert_eq!(store.read("data/x").await.unwrap(), b"1");
    });
}

#[test]
fn a_server_killed_at_random_under_load_loses_nothing() {
    let rng = RefCell::new(Rng::new());
    let world = World::new();
    let server = Xenstored::start(&world);
    server.set_features(14 | RECONNECTION);
    server.slow_down(rng.borrow().clone());
    let store = open(&world.guest());
    let (up, kills, done) = (Cell::new(true), Cell::new(0), Cell::new(0));
    let mut tasks = Tasks::new(&world);
    tasks.each_turn(|| {
        if up.get() && rng.borrow_mut().within(0..300) == 0 {
            server.kill();
            up.set(false);
            kills.set(kills.get() + 1);
        }
    });
    tasks.spawn(store.serve());
    let rounds = if cfg!(miri) { 2 } else { 30 };
    for i in 0..10 {
        let (store, done) = (&store, &done);
        tasks.spawn(async move {
            let (first, second) = (format!("data/{i}/first"), format!("data/{i}/second"));
            for n in 0..rounds {
                store.write(&first, n.to_string()).await.unwrap();
                let done = store.transaction(async |tx| {
                    let value: u32 = tx.read_number(&first).await?;
                    tx.write(&second, value.to_string()).await
                });
                done.await.unwrap();
                assert_eq!(store.read_number(&second).await, Ok(n));
            }
            done.set(done.get() + 1);
        });
    }
    while tasks.run() > 1 {
        server.restart();
        up.set(true);
    }
    drop(tasks);
    assert_eq!(done.get(), 10);
    assert!(kills.get() > 5 || cfg!(miri));
    if !up.get() {
        server.restart();
    }
    run(&world, &[&store], async {
        store.read("domid").await.unwrap();
    });
    drop(store);
    world.assert_cleaned_up();
}

/// Whoever used the ring before us may have left watches and transactions. They are ended before anything else.
#[test]
fn what_is_left_from_before_is_ended_first() {
    let world = World::new();
    let server = Xenstored::start(&world);
    let xen = world.guest_with(Setup { store_index: 77, ..Setup::default() });
    {
        let before = open(&xen);
        let mut tasks = Tasks::new(&world);
        tasks.spawn(before.serve());
        tasks.spawn(async {
            let mut watch = before.watch("data").unwrap();
            watch.changed().await.unwrap();
            let endless = before.transaction(async |_| std::future::pending::<Result<(), Error>>().await);
            endless.await.unwrap();
        });
        assert_eq!(tasks.run(), 2);
    }
    assert_eq!((server.watches(GUEST), server.transactions(GUEST)), (1, 1));
    let store = open(&xen);
    run(&world, &[&store], async {
        store.read("domid").await.unwrap();
        assert_eq!((server.watches(GUEST), server.transactions(GUEST)), (0, 0));
    });
    drop(store);
    world.assert_cleaned_up();
}

#[test]
fn what_waited_for_the_connection_is_not_hit_by_that() {
    let world = World::new();
    let server = Xenstored::start(&world);
    server.set_quota(None, "transactions", 100);
    let store = open(&world.guest_with(Setup { store: Kind::Legacy, store_index: 77, ..Setup::default() }));
    let done = Cell::new(0);
    let mut tasks = Tasks::new(&world);
    tasks.spawn(store.serve());
    for i in 0..16 {
        let (store, done) = (&store, &done);
        tasks.spawn(async move {
            let mut watch = store.watch("drivers").unwrap();
            watch.changed().await.unwrap();
            let mut tries = 0;
            let transaction = store.transaction(async |tx| {
                tries += 1;
                tx.write(&format!("data/{i}/x"), "").await
            });
            match transaction.await {
                Ok(()) | Err(Error::EAGAIN) => done.set(done.get() + 1),
                other => panic!("{other:?}"),
            }
        });
        tasks.spawn(async move {
            assert_eq!(store.transaction(async |tx| tx.read("domid").await).await.unwrap(), b"1");
            done.set(done.get() + 1);
        });
    }
    assert_eq!(tasks.run(), 33);
    server.introduce(&world.find(GUEST).unwrap());
    assert_eq!(tasks.run(), 1);
    drop(tasks);
    assert_eq!(done.get(), 32);
    drop(store);
    world.assert_cleaned_up();
}

#[test]
fn a_dead_store_lives_again_when_the_toolstack_starts_over_with_the_page() {
    let (world, server, store) = running();
    let domain = world.find(GUEST).unwrap();
    run(&world, &[&store], async {
        server.lie(GUEST, Lie::OtherId);
        assert_eq!(store.read("domid").await, Err(Error::Corrupt));
        domain.store_page().store(CONNECTION, 1);
        domain.raise(xen_hyp::Port(domain.param(HvmParam::StoreEvtchn) as u32));
        assert_eq!(store.state_after(State::Dead(Error::Corrupt)).await, State::Connecting);
        server.introduce(&domain);
        store.connected().await.unwrap();
        assert_eq!(store.read("domid").await.unwrap(), b"1");
    });
}
