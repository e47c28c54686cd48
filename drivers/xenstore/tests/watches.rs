//! Watches: what they report, and that none is left behind.

mod common;

use common::{GUEST, drop_after, open, run, running};
use fata_sim::{Lie, Setup, Tasks, World, Xenstored};
use fata_xenstore::{Errno, Error, Event, Features, Watch};
use std::cell::{Cell, RefCell};
use xen_hyp::{DomId, Reason};

const HOME: &str = "/local/domain/1";

fn changed(path: impl Into<String>) -> Result<Event, Error> {
    Ok(Event::Changed(path.into()))
}

#[test]
fn a_watch_fires_at_once_and_then_for_what_changes_below_it() {
    let (world, server, store) = running();
    run(&world, &[&store], async {
        let mut absolute = store.watch(&format!("{HOME}/data")).unwrap();
        let mut relative = store.watch("data").unwrap();
        assert_eq!(absolute.next().await, changed(format!("{HOME}/data")));
        assert_eq!(relative.next().await, changed("data"));
        for path in ["data/x", "data", "drivers", "database", "data/x/y"] {
            server.write(&format!("{HOME}/{path}"), "");
        }
        for path in ["data/x", "data", "data/x/y"] {
            assert_eq!(absolute.next().await, changed(format!("{HOME}/{path}")));
            assert_eq!(relative.next().await, changed(path));
        }
        server.rm(&format!("{HOME}/data/x"));
        // A watch below what is removed hears of its own node, one above of the topmost.
        assert_eq!(relative.next().await, changed("data/x"));
        store.mkdir("data/new").await.unwrap();
        assert_eq!(relative.next().await, changed("data/new"));
        server.set_perms(&format!("{HOME}/data/new"), &["n1", "r0"]);
        assert_eq!(relative.next().await, changed("data/new"));
        server.rm(HOME);
        assert_eq!(relative.next().await, changed("data"));
    });
    drop(store);
    world.assert_cleaned_up();
}

#[test]
fn the_same_change_is_reported_once_and_too_many_are_reported_as_everything() {
    let (world, server, store) = running();
    server.leave_out_repeated_events(false);
    run(&world, &[&store], async {
        let mut watch = store.watch("data").unwrap();
        watch.changed().await.unwrap();
        let mut other = store.watch("data/0").unwrap();
        other.changed().await.unwrap();
        for i in 0..1000 {
            server.write(&format!("{HOME}/data/{}", i % 10), "");
        }
        // What is asked after the events is answered after them.
        store.read("domid").await.unwrap();
        for i in 0..10 {
            assert_eq!(watch.next().await, changed(format!("data/{i}")));
        }
        for i in 0..17 {
            server.write(&format!("{HOME}/data/{i}"), "");
        }
        store.read("domid").await.unwrap();
        assert_eq!(watch.next().await, Ok(Event::Everything));
        assert_eq!(other.next().await, changed("data/0"));
        assert_eq!(drop_after(1, watch.next()).await, None);
        assert_eq!(drop_after(1, other.next()).await, None);
        for i in 0..3 {
            server.write(&format!("{HOME}/data/{i}"), "");
        }
        store.read("domid").await.unwrap();
        watch.changed().await.unwrap();
        assert_eq!(drop_after(1, watch.changed()).await, None);
    });
}

#[test]
fn depth_is_the_servers_work_where_it_can_and_ours_where_not() {
    for features in [14, 0] {
        let world = World::new();
        let server = Xenstored::start(&world);
        server.set_features(features);
        let store = open(&world.guest());
        assert_eq!(store.features(), Features(features));
        run(&world, &[&store], async {
            let mut watches: Vec<Watch> =
                (0..3).map(|depth| store.watch_depth("data", depth).unwrap()).collect();
            for watch in &mut watches {
                assert_eq!(watch.next().await, changed("data"));
            }
            let paths = ["data", "data/a", "data/a/b", "data/a/b/c"];
            server.write(&format!("{HOME}/data/a/b/c"), "");
            paths.iter().for_each(|path| server.write(&format!("{HOME}/{path}"), ""));
            store.read("domid").await.unwrap();
            for (depth, watch) in watches.iter_mut().enumerate() {
                for path in &paths[..=depth] {
                    assert_eq!(watch.next().await, changed(*path));
                }
                assert_eq!(drop_after(1, watch.next()).await, None);
            }
        });
        drop(store);
        world.assert_cleaned_up();
    }
}

#[test]
fn a_domain_that_ends_is_announced() {
    let (world, server, store) = running();
    let other = world.guest();
    run(&world, &[&store], async {
        let mut any = store.watch("@releaseDomain").unwrap();
        let mut which = store.watch_depth("@releaseDomain", 1).unwrap();
        any.changed().await.unwrap();
        which.changed().await.unwrap();
        other.shutdown(Reason::Poweroff).unwrap();
        assert_eq!(any.next().await, changed("@releaseDomain"));
        assert_eq!(which.next().await, changed("@releaseDomain/2"));
        server.release(DomId(2));
        assert_eq!(any.next().await, changed("@releaseDomain"));
        assert_eq!(which.next().await, changed("@releaseDomain/2"));
        // Who comes is none of our business.
        let mut new = store.watch("@introduceDomain").unwrap();
        new.changed().await.unwrap();
        world.guest();
        store.read("domid").await.unwrap();
        assert_eq!(drop_after(1, new.next()).await, None);
    });
}

#[test]
fn a_refused_watch_says_so_and_nothing_is_left_of_it() {
    let (world, server, store) = running();
    server.set_quota(Some(GUEST), "watches", 3);
    run(&world, &[&store], async {
        let mut watches: Vec<Watch> = (0..5).map(|_| store.watch("data").unwrap()).collect();
        let mut refused = 0;
        for watch in &mut watches {
            match watch.next().await {
                Ok(event) => assert_eq!(event, Event::Changed("data".into())),
                Err(error) => {
                    assert_eq!(error, Error::Store(Errno::ENOSPC));
                    refused += 1;
                }
            }
        }
        assert_eq!(refused, 2);
        assert_eq!(watches[4].changed().await, Err(Error::Store(Errno::ENOSPC)));
        drop(watches);
        server.lie(GUEST, Lie::Nothing);
    });
    assert_eq!(server.watches(GUEST), 0);
}

#[test]
fn watches_dropped_at_any_moment_leave_none_behind() {
    for polls in 0..8 {
        let (world, server, store) = running();
        run(&world, &[&store], async {
            let mut watch = store.watch("data").unwrap();
            drop_after(polls, async {
                loop {
                    watch.next().await.unwrap();
                    server.write(&format!("{HOME}/data"), "");
                    store.write("data/x", "").await.unwrap();
                }
            })
            .await;
        });
        assert_eq!(server.watches(GUEST), 0, "after {polls} polls");
        drop(store);
        world.assert_cleaned_up();
    }
}

#[test]
fn a_watch_dropped_while_it_is_registered_is_ended_when_that_is_done() {
    let (world, server, store) = running();
    server.pause();
    let most = Cell::new(0);
    run(&world, &[&store], async {
        // More than there are slots.
        let watches: Vec<Watch> = (0..50).map(|_| store.watch("data").unwrap()).collect();
        drop(drop_after(1, store.read("domid")).await);
        drop(watches);
    });
    server.go_on();
    let mut tasks = Tasks::new(&world);
    tasks.each_turn(|| most.set(most.get().max(server.watches(GUEST))));
    tasks.spawn(store.serve());
    assert_eq!(tasks.run(), 1);
    drop(tasks);
    assert!(most.get() > 0);
    assert_eq!(server.watches(GUEST), 0);
}

#[test]
fn thousands_of_watches_one_after_another_stay_within_the_quota() {
    let (world, server, store) = running();
    server.set_quota(Some(GUEST), "watches", 20);
    let rounds = if cfg!(miri) { 30 } else { 3000 };
    run(&world, &[&store], async {
        let mut kept = Vec::new();
        for i in 0..rounds {
            let mut watch = store.watch("data").unwrap();
            watch.changed().await.unwrap();
            if i % 7 == 0 && kept.len() < 10 {
                kept.push(watch);
            }
        }
        server.write(&format!("{HOME}/data"), "");
        for watch in &mut kept {
            assert_eq!(watch.next().await, changed("data"));
        }
    });
    assert_eq!(server.watches(GUEST), 0);
}

#[test]
fn any_number_of_tasks_see_their_own_watches() {
    let world = World::new();
    let server = Xenstored::start(&world);
    let stores: Vec<_> = (0..3).map(|_| open(&world.guest_with(Setup::default()))).collect();
    let seen = RefCell::new(Vec::new());
    let mut tasks = Tasks::new(&world);
    for store in &stores {
        tasks.spawn(store.serve());
        for name in ["a", "b"] {
            let seen = &seen;
            tasks.spawn(async move {
                let mut watch = store.watch(&format!("data/{name}")).unwrap();
                watch.changed().await.unwrap();
                while store.try_read_number(&format!("data/{name}")).await.unwrap() != Some(3) {
                    watch.changed().await.unwrap();
                }
                seen.borrow_mut().push(name);
            });
        }
    }
    assert_eq!(tasks.run(), 9);
    for value in 0..4 {
        for dom in 1..4 {
            for name in ["a", "b"] {
                server.write(&format!("/local/domain/{dom}/data/{name}"), value.to_string());
            }
        }
    }
    assert_eq!(tasks.run(), 3);
    drop(tasks);
    assert_eq!(seen.take().len(), 6);
    drop(stores);
    world.assert_cleaned_up();
}
