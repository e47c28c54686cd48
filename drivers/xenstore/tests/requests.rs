//! Many requests at once, over rings of every state, with impatient tasks and slow servers.

mod common;

use common::{GUEST, drop_after, open, run, running, running_with};
use fata_sim::{Lie, Rng, Setup, Tasks};
use fata_xenstore::Error;
use std::cell::{Cell, RefCell};
use xen_hyp::SharedMem;

const HOME: &str = "/local/domain/1";

#[test]
fn a_crowd_of_tasks_all_get_their_own_answers() {
    let (world, server, store) = running();
    let done = Cell::new(0);
    let mut tasks = Tasks::new(&world);
    tasks.spawn(store.serve());
    let crowd = if cfg!(miri) { 20 } else { 200 };
    for i in 0..crowd {
        let (store, done) = (&store, &done);
        tasks.spawn(async move {
            for n in 0..5 {
                let (path, value) = (format!("data/{i}"), format!("{n}-{}", "v".repeat(i * 7)));
                store.write(&path, &value).await.unwrap();
                assert_eq!(store.read_string(&path).await.unwrap(), value);
            }
            done.set(done.get() + 1);
        });
    }
    assert_eq!(tasks.run(), 1);
    assert_eq!(done.get(), crowd);
    assert_eq!(server.directory(&format!("{HOME}/data")).len(), crowd);
}

#[test]
fn requests_made_before_anybody_serves_wait() {
    let (world, _server, store) = running();
    let early = Cell::new(None);
    let mut tasks = Tasks::new(&world);
    tasks.spawn(async { early.set(Some(store.read("domid").await.unwrap())) });
    assert_eq!(tasks.run(), 1);
    tasks.spawn(store.serve());
    assert_eq!(tasks.run(), 1);
    drop(tasks);
    assert_eq!(early.into_inner().unwrap(), b"1");
}

#[test]
fn the_longest_messages_go_through_rings_a_quarter_of_their_size() {
    for index in [0, 1000, u32::MAX - 3000] {
        let mut rng = Rng::new();
        let (world, server, store) = running_with(Setup { store_index: index, ..Setup::default() });
        server.set_quota(None, "node-size", 0);
        server.slow_down(rng.clone());
        run(&world, &[&store], async {
            for _ in 0..if cfg!(miri) { 1 } else { 20 } {
                let value = rng.bytes(4096 - "data/x\0".len());
                store.write("data/x", &value).await.unwrap();
                assert!(store.read("data/x").await.unwrap() == value, "bytes differ");
            }
        });
        drop(store);
        world.assert_cleaned_up();
    }
}

#[test]
fn indices_wrap_and_what_somebody_left_in_the_rings_is_passed_over() {
    for index in [1, 1023, u32::MAX, u32::MAX - 1500] {
        let (world, server, _) = running();
        let xen = world.guest_with(Setup { store_index: index, ..Setup::default() });
        let dom = xen.platform().domain().id();
        // Whoever was here before us set a watch and went before its events came.
        server.send_raw(dom, b"half a mess");
        while world.run_backends() {}
        assert_eq!(xen.platform().domain().store_page().load(2060), index.wrapping_add(11));
        let store = open(&xen);
        run(&world, &[&store], async {
            for i in 0..if cfg!(miri) { 5 } else { 200 } {
                store.write("data/x", i.to_string()).await.unwrap();
                assert_eq!(store.read_number("data/x").await, Ok(i));
            }
        });
    }
}

#[test]
fn dropping_a_request_at_any_moment_leaves_the_others_whole() {
    for polls in 0..4 {
        let mut rng = Rng::new();
        let (world, server, store) = running();
        server.set_quota(None, "node-size", 0);
        server.slow_down(rng.clone());
        let mut tasks = Tasks::new(&world);
        tasks.spawn(store.serve());
        for i in 0..30 {
            let (store, value) = (&store, rng.bytes(500));
            tasks.spawn(async move {
                let path = format!("data/{i}");
                if i % 2 == 0 {
                    drop_after(polls, store.write(&path, &value)).await;
                    drop_after(polls, store.read(&path)).await;
                } else {
                    store.write(&path, &value).await.unwrap();
                    assert!(store.read(&path).await.unwrap() == value);
                }
            });
        }
        assert_eq!(tasks.run(), 1, "after {polls} polls");
    }
}

#[test]
fn a_request_that_is_taken_back_in_time_is_never_made() {
    let (world, server, store) = running();
    server.pause();
    run(&world, &[&store], async {
        // The first fills the ring, so the second stays with us.
        drop_after(1, store.write("data/long", [0; 2000])).await;
        drop_after(1, store.write("data/short", "")).await;
    });
    server.go_on();
    run(&world, &[&store], async {
        assert_eq!(store.directory("data").await.unwrap(), ["long"]);
    });
}

#[test]
fn replies_may_come_in_any_order() {
    let (world, server, store) = running();
    server.lie(GUEST, Lie::Nothing);
    server.lie(GUEST, Lie::Nothing);
    let order = RefCell::new(Vec::new());
    let mut tasks = Tasks::new(&world);
    tasks.spawn(store.serve());
    for path in ["name", "domid"] {
        let (store, order) = (&store, &order);
        tasks.spawn(async move {
            let value = store.read_string(path).await.unwrap();
            order.borrow_mut().push((path, value));
        });
    }
    assert_eq!(tasks.run(), 3);
    server.send_message(GUEST, 2, 2, 0, b"two");
    assert_eq!(tasks.run(), 2);
    server.send_message(GUEST, 2, 1, 0, b"one");
    assert_eq!(tasks.run(), 1);
    drop(tasks);
    assert_eq!(order.take(), [("domid", "two".to_string()), ("name", "one".to_string())]);
}

#[test]
fn a_burst_costs_few_notifications() {
    let (world, _server, store) = running();
    let domain = world.find(GUEST).unwrap();
    let mut tasks = Tasks::new(&world);
    tasks.spawn(store.serve());
    for _ in 0..16 {
        tasks.spawn(async {
            store.read("domid").await.unwrap();
        });
    }
    assert_eq!(tasks.run(), 1);
    assert!(domain.sends() <= 4, "{} notifications", domain.sends());
}

#[test]
fn a_server_that_answers_with_an_error_frees_its_slot() {
    let (world, _server, store) = running();
    run(&world, &[&store], async {
        for _ in 0..100 {
            assert_eq!(store.read("data/none").await, Err(Error::ENOENT));
        }
    });
}

#[test]
fn a_watch_made_while_all_slots_are_taken_is_set_when_one_is_free() {
    let (world, server, store) = running();
    let fired = Cell::new(false);
    let mut tasks = Tasks::new(&world);
    tasks.spawn(store.serve());
    for _ in 0..16 {
        server.lie(GUEST, Lie::Nothing);
        tasks.spawn(async {
            store.read("domid").await.unwrap();
        });
    }
    assert_eq!(tasks.run(), 17);
    tasks.spawn(async {
        store.watch("data").unwrap().changed().await.unwrap();
        fired.set(true);
    });
    assert_eq!(tasks.run(), 18);
    // All at once, and then nothing more happens.
    for id in 1..17 {
        server.send_message(GUEST, 2, id, 0, b"1");
    }
    assert_eq!(tasks.run(), 1);
    drop(tasks);
    assert!(fired.get());
}

#[test]
fn who_waits_for_a_slot_is_not_passed_by_those_who_have_one() {
    let (world, _server, store) = running();
    let (made, waited) = (Cell::new(0), Cell::new(None));
    let mut tasks = Tasks::new(&world);
    tasks.spawn(store.serve());
    for _ in 0..16 {
        tasks.spawn(async {
            for _ in 0..50 {
                store.read("domid").await.unwrap();
                made.set(made.get() + 1);
            }
        });
    }
    for _ in 0..3 {
        // One that gives up waiting must not take the others' place with it.
        tasks.spawn(async { drop(drop_after(2, store.read("domid")).await) });
    }
    tasks.spawn(async {
        store.read("domid").await.unwrap();
        waited.set(Some(made.get()));
    });
    assert_eq!(tasks.run(), 1);
    assert_eq!(made.get(), 16 * 50);
    assert!(waited.take().unwrap() < 100);
}
