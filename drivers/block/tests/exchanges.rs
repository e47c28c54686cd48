//! Backends in other domains, with other features, or that refuse; and others who serve the disk.

mod common;

use common::{Machine, read, sectors, write};
use fata_block::{Link, Options};
use fata_disk::SECTOR;
use fata_sim::{Blkback, Features, Order, Rng, state};
use std::cell::Cell;

fn default() -> (Options, Features) {
    (Options::default(), Features::default())
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
