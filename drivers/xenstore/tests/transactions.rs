//! Transactions: all or nothing, again if need be, and none left open.

mod common;

use common::{GUEST, drop_after, open, run, running};
use fata_sim::{Lie, Tasks, World, Xenstored};
use fata_xenstore::{Errno, Error, Event};
use std::cell::Cell;

const HOME: &str = "/local/domain/1";

#[test]
fn others_see_all_of_it_at_once_and_only_when_it_ended_well() {
    let (world, server, store) = running();
    run(&world, &[&store], async {
        let mut watch = store.watch("data").unwrap();
        watch.changed().await.unwrap();
        let done = store
            .transaction(async |tx| {
                tx.write("data/a", "1").await?;
                tx.write("data/b/c", "2").await?;
                tx.rm("data/b").await?;
                tx.mkdir("data/d").await?;
                assert_eq!(tx.read("data/a").await?, b"1");
                assert_eq!(tx.directory("data").await?, ["a", "d"]);
                assert_eq!(store.try_read("data/a").await?, None);
                assert_eq!(drop_after(1, watch.next()).await, None);
                assert_eq!(server.transactions(GUEST), 1);
                Ok(5)
            })
            .await;
        assert_eq!(done, Ok(5));
        assert_eq!(store.read("data/a").await.unwrap(), b"1");
        assert_eq!(watch.next().await, Ok(Event::Changed("data/a".into())));
        assert_eq!(server.transactions(GUEST), 0);
    });
    assert_eq!(server.directory(&format!("{HOME}/data")), ["a", "d"]);
    drop(store);
    world.assert_cleaned_up();
}

#[test]
fn an_error_ends_it_without_effect() {
    let (world, server, store) = running();
    run(&world, &[&store], async {
        let done = store
            .transaction(async |tx| {
                tx.write("data/a", "1").await?;
                tx.read_number::<u32>("name").await
            })
            .await;
        assert_eq!(done, Err(Error::BadValue));
        assert_eq!(store.try_read("data/a").await, Ok(None));
    });
    drop(store);
    assert_eq!((server.transactions(GUEST), server.conflicts()), (0, 0));
    world.assert_cleaned_up();
}

#[test]
fn a_conflict_makes_it_start_over() {
    let (world, server, store) = running();
    server.write(&format!("{HOME}/data/count"), "10");
    run(&world, &[&store], async {
        let mut tries = 0;
        let done = store
            .transaction(async |tx| {
                tries += 1;
                let count = tx.read_number::<u32>("data/count").await?;
                if tries < 4 {
                    server.write(&format!("{HOME}/data/count"), (count + 100).to_string());
                }
                tx.write("data/count", (count + 1).to_string()).await?;
                Ok(count)
            })
            .await;
        assert_eq!((done, tries), (Ok(310), 4));
    });
    assert_eq!((server.text(&format!("{HOME}/data/count")), server.conflicts()), ("311".into(), 3));
}

#[test]
fn one_that_never_succeeds_is_given_up() {
    let (world, server, store) = running();
    run(&world, &[&store], async {
        let done = store
            .transaction(async |tx| {
                tx.write("data/x", "mine").await?;
                server.write(&format!("{HOME}/data/x"), "yours");
                Ok(())
            })
            .await;
        assert_eq!(done, Err(Error::EAGAIN));
    });
    assert_eq!(server.conflicts(), 32);
    assert_eq!(server.text(&format!("{HOME}/data/x")), "yours");
}

#[test]
fn counters_of_many_tasks_and_guests_lose_no_count() {
    let world = World::new();
    let server = Xenstored::start(&world);
    let stores: Vec<_> = (0..3).map(|_| open(&world.guest())).collect();
    server.write("/tool/count", "0");
    server.set_perms("/tool/count", &["b0"]);
    let (each, retries) = (if cfg!(miri) { 2 } else { 20 }, Cell::new(0));
    let mut tasks = Tasks::new(&world);
    for store in &stores {
        tasks.spawn(store.serve());
        for _ in 0..4 {
            let retries = &retries;
            tasks.spawn(async move {
                let mut left = each;
                while left > 0 {
                    let done = store.transaction(async |tx| {
                        let count = tx.read_number::<u32>("/tool/count").await?;
                        tx.write("/tool/count", (count + 1).to_string()).await
                    });
                    match done.await {
                        Ok(()) => left -= 1,
                        Err(error) => {
                            assert_eq!(error, Error::EAGAIN);
                            retries.set(retries.get() + 1);
                        }
                    }
                }
            });
        }
    }
    assert_eq!(tasks.run(), 3);
    drop(tasks);
    assert_eq!(server.text("/tool/count"), (12 * each).to_string());
    assert!(server.conflicts() > 0);
    drop(stores);
    world.assert_cleaned_up();
}

#[test]
fn one_dropped_at_any_moment_is_ended_on_the_server() {
    let mut ended = 0;
    for polls in 0.. {
        let (world, server, store) = running();
        let done = Cell::new(None);
        run(&world, &[&store], async {
            let transaction = store.transaction(async |tx| {
                tx.write("data/a", "1").await?;
                tx.read("data/a").await
            });
            done.set(drop_after(polls, transaction).await);
        });
        assert_eq!(server.transactions(GUEST), 0, "after {polls} polls");
        ended += usize::from(server.read(&format!("{HOME}/data/a")).is_none());
        if done.take().is_some() {
            break;
        }
        drop(store);
        world.assert_cleaned_up();
    }
    assert_eq!(ended, 4);
}

#[test]
fn one_dropped_when_there_is_no_slot_to_end_it_in_is_ended_too() {
    for polls in 1..12 {
        let (world, server, store) = running();
        let mut tasks = Tasks::new(&world);
        tasks.spawn(store.serve());
        for i in 0..40 {
            let store = &store;
            tasks.spawn(async move {
                for _ in 0..10 {
                    store.write(&format!("data/{i}"), "").await.unwrap();
                }
            });
        }
        for _ in 0..8 {
            tasks.spawn(async {
                drop_after(polls, store.transaction(async |tx| tx.write("data/x", "").await)).await;
            });
        }
        assert_eq!(tasks.run(), 1);
        assert_eq!(server.transactions(GUEST), 0, "after {polls} polls");
    }
}

#[test]
fn quotas_of_transactions_are_errors_of_it() {
    let (world, server, store) = running();
    server.set_quota(Some(GUEST), "transactions", 1);
    run(&world, &[&store], async {
        let done = store.transaction(async |_| store.transaction(async |_| Ok(())).await).await;
        assert_eq!(done, Err(Error::Store(Errno::ENOSPC)));
        assert_eq!(store.transaction(async |_| Ok(1)).await, Ok(1));
        server.set_quota(Some(GUEST), "transaction-nodes", 5);
        let done = store.transaction(async |tx| tx.write("data/a/b/c/d/e/f", "").await).await;
        assert_eq!(done, Err(Error::Store(Errno::ENOSPC)));
        // The end of that one comes first.
        store.read("domid").await.unwrap();
        server.lie(GUEST, Lie::Payload(b"0\0"));
        assert_eq!(store.transaction(async |_| Ok(())).await, Err(Error::Corrupt));
    });
}

#[test]
fn transactions_of_tasks_do_not_mix() {
    let (world, _server, store) = running();
    let mut tasks = Tasks::new(&world);
    tasks.spawn(store.serve());
    for i in 0..8 {
        let store = &store;
        tasks.spawn(async move {
            let path = format!("data/{i}");
            store
                .transaction(async |tx| {
                    tx.mkdir(&path).await?;
                    for n in 0..5 {
                        tx.write(&format!("{path}/{n}"), [n]).await?;
                        assert_eq!(tx.directory(&path).await?.len(), usize::from(n) + 1);
                    }
                    Ok(())
                })
                .await
                .unwrap_or_else(|error| assert_eq!(error, Error::EAGAIN));
        });
    }
    assert_eq!(tasks.run(), 1);
}

#[test]
fn a_reset_makes_those_under_way_start_over_and_keeps_watches() {
    let (world, server, store) = running();
    run(&world, &[&store], async {
        let mut watch = store.watch("data").unwrap();
        watch.changed().await.unwrap();
        let mut tries = 0;
        let done = store
            .transaction(async |tx| {
                tries += 1;
                tx.write("data/a", "").await?;
                if tries == 1 {
                    store.reset_watches().await?;
                }
                tx.write("data/b", "").await
            })
            .await;
        assert_eq!((done, tries), (Ok(()), 2));
        // It was set again, and so fires for being new.
        assert_eq!(watch.next().await, Ok(Event::Changed("data".into())));
        assert_eq!(watch.next().await, Ok(Event::Changed("data/a".into())));
        assert_eq!(server.watches(GUEST), 1);
    });
    assert_eq!(server.watches(GUEST), 0);
}
