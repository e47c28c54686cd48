//! Everything at once and at random, against a model of what must come out.

mod common;

use common::{Store, drop_after, open, run};
use fata_sim::{Rng, Tasks, World, Xenstored};
use fata_xenstore::{Error, Event};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use xen_hyp::DomId;

const GUESTS: u16 = 3;

/// What one task believes of its own nodes, which nobody else writes.
type Model = BTreeMap<String, Vec<u8>>;

/// One random operation, checked against the model.
async fn step(store: &Store, rng: &mut Rng, home: &str, model: &mut Model, kills: bool) {
    let path = format!("{home}/{}", rng.within(0..6));
    let len = [3, 40, 700, 1500][rng.within(0..4)];
    match rng.within(0..10) {
        0..3 => {
            let value = rng.bytes(rng.clone().within(0..len));
            store.write(&path, &value).await.unwrap();
            model.insert(path, value);
        }
        3 => {
            store.rm(&path).await.unwrap();
            model.remove(&path);
        }
        4 => {
            let mut names = store.directory(home).await.unwrap();
            names.sort();
            let expected: Vec<_> = model.keys().map(|path| path.rsplit('/').next().unwrap()).collect();
            assert_eq!(names, expected);
        }
        5 => {
            // A change that fails must leave everything as it was.
            let failed = store.transaction(async |tx| {
                tx.write(&path, "half").await?;
                tx.rm(home).await?;
                Err::<(), _>(Error::BadValue)
            });
            assert_eq!(failed.await, Err(Error::BadValue));
        }
        6 => {
            let other = format!("{home}/{}", rng.within(0..6));
            let moved = store.transaction(async |tx| {
                let value = tx.try_read(&path).await?;
                tx.rm(&path).await?;
                if let Some(value) = &value {
                    tx.write(&other, value).await?;
                }
                Ok(value)
            });
            let moved = moved.await;
            let had = model.remove(&path);
            match moved {
                // Done, and done again because the server died before it could say so.
                Ok(None) if kills => {}
                Ok(value) => assert_eq!(value, had),
                Err(error) => {
                    assert_eq!(error, Error::EAGAIN);
                    if store.try_read(&path).await.unwrap().is_some() {
                        had.map(|value| model.insert(path, value));
                        return;
                    }
                }
            }
            had.map(|value| model.insert(other, value));
        }
        7 => {
            // Reading disturbs nothing, finished or not.
            drop_after(rng.within(0..4), store.read(&path)).await;
            let transaction = store.transaction(async |tx| {
                tx.directory(home).await?;
                tx.read(&path).await
            });
            drop_after(rng.within(0..6), transaction).await;
        }
        _ => assert_eq!(store.try_read(&path).await.unwrap().as_ref(), model.get(&path)),
    }
}

/// Watches a node until it says "end"; must not miss that.
async fn follow(store: &Store, path: &str, mut rng: Rng) -> usize {
    let mut events = 0;
    loop {
        let mut watch = store.watch(path).unwrap();
        loop {
            if watch.next().await == Ok(Event::Everything) {
                events += 100;
            }
            events += 1;
            if store.try_read(path).await.unwrap() == Some(b"end".to_vec()) {
                return events;
            }
            if rng.within(0..4) == 0 {
                break;
            }
        }
    }
}

fn stress(features: u32, kills: bool, rounds: usize) {
    let rng = RefCell::new(Rng::new());
    let fork = || Rng::from_seed(rng.borrow_mut().number());
    let world = World::new();
    let server = Xenstored::start(&world);
    server.set_features(features);
    server.set_quota(None, "node-size", 0);
    server.leave_out_repeated_events(fork().within(0..2) == 0);
    if fork().within(0..2) == 0 {
        server.slow_down(fork());
    }
    let stores: Vec<Store> = (0..GUESTS).map(|_| open(&world.guest())).collect();
    let (up, done, ended) = (Cell::new(true), Cell::new(0), Cell::new(false));
    let chaos = RefCell::new(fork());
    let mut tasks = Tasks::new(&world);
    tasks.each_turn(|| {
        let mut chaos = chaos.borrow_mut();
        for dom in 1..=GUESTS {
            if !ended.get() && chaos.within(0..20) == 0 {
                server.write(&format!("/local/domain/{dom}/device/state"), chaos.number().to_string());
            }
        }
        if kills && up.get() && chaos.within(0..400) == 0 {
            server.kill();
            up.set(false);
        }
    });
    for store in &stores {
        tasks.spawn(store.serve());
        for i in 0..4 {
            let (done, mut rng) = (&done, fork());
            tasks.spawn(async move {
                let (home, mut model) = (format!("data/{i}"), Model::new());
                store.mkdir(&home).await.unwrap();
                for _ in 0..rounds {
                    step(store, &mut rng, &home, &mut model, kills).await;
                }
                done.set(done.get() + 1);
            });
        }
        let (done, rng) = (&done, fork());
        tasks.spawn(async move {
            assert!(follow(store, "device/state", rng).await > 0);
            done.set(done.get() + 1);
        });
    }
    let workers = usize::from(GUESTS) * 5;
    loop {
        let waiting = tasks.run();
        if !up.get() {
            server.restart();
            up.set(true);
        } else if !ended.replace(true) {
            // Only those wait who follow.
            assert_eq!(done.get(), workers - usize::from(GUESTS), "{waiting} wait");
            (1..=GUESTS).for_each(|dom| server.write(&format!("/local/domain/{dom}/device/state"), "end"));
        } else {
            break;
        }
    }
    drop(tasks);
    assert_eq!(done.get(), workers);
    run(&world, &stores.iter().collect::<Vec<_>>(), async {});
    for dom in 1..=GUESTS {
        assert_eq!((server.watches(DomId(dom)), server.transactions(DomId(dom))), (0, 0));
    }
    drop(stores);
    world.assert_cleaned_up();
}

#[test]
fn guests_and_tasks_at_random_see_what_they_wrote() {
    stress(14, false, if cfg!(miri) { 3 } else { 300 });
}

#[test]
fn the_same_while_the_server_is_killed_and_started_again() {
    stress(14 | 1, true, if cfg!(miri) { 3 } else { 200 });
}
