//! Grants and memory: what is lent and when, and what happens when there is not enough.

mod common;

use common::{ID, Machine, SECTORS, buffer, guest, read, write};
use fata_block::{Disk, Link, Options};
use fata_disk::{BlockDevice, Error, SECTOR};
use fata_sim::{Blkback, Features, Medium, Order, Rng, Setup};
use std::cell::{Cell, RefCell};
use xen_hyp::XenError;
use xen_hyp::abi::{Op, event, nr};

fn machine(grant_frames: usize, options: Options) -> Machine {
    let setup = Setup { grant_frames, ..Setup::default() };
    let machine = Machine::without_disk(setup, options, Features::default(), SECTORS);
    machine.back.plug();
    machine
}

#[test]
fn pages_are_lent_for_a_request_or_for_good_and_never_more_of_them_than_are_in_use() {
    for persistent in [false, true] {
        let machine = machine(64, Options { persistent, segments: 256, ..Options::default() });
        let (xen, back) = (&machine.xen, &machine.back);
        machine.run(async {
            machine.disk.ready().await.unwrap();
            // The ring.
            assert_eq!(xen.grant_totals().lent, 1);
            for _ in 0..10 {
                write(&machine.disk, 0, &vec![1; 800 * SECTOR]).await;
                assert!(read(&machine.disk, 0, 800).await == vec![1; 800 * SECTOR]);
                write(&machine.disk, 0, &[1; SECTOR]).await;
                machine.disk.flush().await.unwrap();
                machine.disk.write_zeroes(0..800).await.unwrap();
                // A table of segments, and what stays, or a page of zeroes.
                let stays = if persistent { 100 } else { 1 };
                assert_eq!(xen.grant_totals().lent, 1 + 1 + stays);
                assert_eq!(back.persistent(), if persistent { 101 } else { 0 });
            }
        });
        // As many at a time make as many; the sizes they had at most.
        let (done, rng) = (Cell::new(0), RefCell::new(Rng::new()));
        let mut tasks = machine.tasks();
        for user in 0..8 {
            let (disk, done, rng) = (&machine.disk, &done, &rng);
            tasks.spawn(async move {
                for _ in 0..20 {
                    let pages = rng.borrow_mut().within(1..65);
                    write(disk, user * 512, &vec![1; pages * 4096]).await;
                }
                done.set(done.get() + 1);
            });
        }
        assert_eq!((tasks.run(), done.get()), (2, 8));
        // Eight slots, each with its table.
        let most = if persistent { 1 + 8 * 65 } else { 1 + 1 + 8 };
        assert!(xen.grant_totals().lent <= most, "{:?}", xen.grant_totals());
        drop(tasks);
        machine.finish();
    }
}

/// Linux keeps 1056 pages mapped for a ring, and maps what is more for each request as if nothing had been agreed on.
#[test]
fn a_backend_that_keeps_fewer_pages_mapped_than_are_lent_for_good_works_too() {
    let features = Features { persistent_max: 10, ..Features::default() };
    let machine = Machine::new(Options::default(), features);
    let mut rng = Rng::new();
    machine.run(async {
        for round in 0..20 {
            let bytes = common::sectors(&mut rng, 300);
            write(&machine.disk, round, &bytes).await;
            assert!(read(&machine.disk, round, 300).await == bytes);
        }
        assert_eq!(machine.back.persistent(), 10);
    });
    machine.finish();
}

#[test]
fn requests_wait_for_grants_that_others_have() {
    for persistent in [false, true] {
        for order in [Order::Arrival, Order::OneATurn, Order::Random(Rng::new())] {
            // 504 grants, and requests of up to 256 pages.
            let machine = machine(1, Options { persistent, segments: 256, ..Options::default() });
            machine.back.set_order(order);
            let (rng, done) = (RefCell::new(Rng::new()), Cell::new(0));
            let mut tasks = machine.tasks();
            for user in 0..10u8 {
                let (disk, rng, done) = (&machine.disk, &rng, &done);
                tasks.spawn(async move {
                    for _ in 0..5 {
                        let pages = 1 + rng.borrow_mut().within(0..256) as u64;
                        let start = u64::from(user) * 8;
                        let bytes = vec![user; pages as usize * 4096];
                        let buffer = disk.write(start, buffer(&bytes)).await.unwrap();
                        assert!(*buffer == bytes);
                        assert_eq!(read(disk, start, 8).await.len(), 4096);
                    }
                    done.set(done.get() + 1);
                });
            }
            assert_eq!((tasks.run(), done.get()), (2, 10), "{:?}", machine.disk.outstanding());
            assert_eq!(machine.disk.totals().errors, 0);
            drop(tasks);
            machine.finish();
        }
    }
}

/// Two disks that together want more than there is: each waits for its own, or says that there is no memory.
#[test]
fn disks_that_share_too_few_grants_get_on_or_say_why_not() {
    for persistent in [false, true] {
        let options = Options { persistent, segments: 256, ..Options::default() };
        let machine = machine(1, options);
        let id = ID + 16;
        let (world, server) = (&machine.world, &machine.server);
        let medium = Medium::new(SECTORS);
        let back = Blkback::plugged(world, server, guest(&machine.xen), id, &medium, Features::default());
        let other = Disk::new(&machine.xen, id, options);
        let (ok, full) = (Cell::new(0), Cell::new(0));
        let mut tasks = machine.tasks();
        tasks.spawn(async { panic!("{}", other.serve(&machine.store).await) });
        for (n, disk) in [&machine.disk, &other].into_iter().cycle().take(20).enumerate() {
            let (ok, full) = (&ok, &full);
            tasks.spawn(async move {
                disk.ready().await.unwrap();
                for round in 0..10 {
                    let bytes = vec![round; (n * 13 + 50) * 4096];
                    match disk.write(0, buffer(&bytes)).await {
                        Ok(back) => {
                            assert!(*back == bytes);
                            ok.set(ok.get() + 1);
                        }
                        Err(failure) => {
                            assert_eq!(failure.error, Error::NoMemory);
                            assert!(*failure.buffer == bytes);
                            full.set(full.get() + 1);
                        }
                    }
                }
            });
        }
        assert_eq!(tasks.run(), 3);
        assert_eq!(ok.get() + full.get(), 200);
        assert!(ok.get() > 100, "{} of 200", ok.get());
        assert_eq!((machine.disk.link(), other.link()), (Link::Ready, Link::Ready));
        drop(tasks);
        back.pull();
        drop(other);
        machine.finish();
    }
}

/// Pages that stay lent are in slots that had smaller requests: those to come are made of as many as there are.
#[test]
fn a_request_for_which_there_are_too_few_pages_goes_in_parts() {
    let machine = machine(1, Options::default());
    let disk = &machine.disk;
    let done = Cell::new(0);
    machine.back.set_order(Order::Held);
    let mut tasks = machine.tasks();
    for user in 0..8 {
        let done = &done;
        tasks.spawn(async move {
            write(disk, user * 496, &vec![3; 60 * 4096]).await;
            done.set(done.get() + 1);
        });
    }
    assert_eq!(tasks.run(), 2 + 8);
    machine.back.set_order(Order::Arrival);
    assert_eq!((tasks.run(), done.get()), (2, 8));
    // All grants there are belong to slots now, and none has enough for this.
    assert!(machine.xen.grant_totals().lent > 480);
    tasks.spawn(async {
        for byte in 0..4 {
            write(disk, 0, &vec![byte; 512 * 4096]).await;
            assert!(read(disk, 0, 4096).await == vec![byte; 512 * 4096]);
        }
        done.set(9);
    });
    assert_eq!((tasks.run(), done.get()), (2, 9));
    assert_eq!(disk.totals().errors, 0);
    drop(tasks);
    machine.finish();
}

#[test]
fn a_request_that_can_never_be_lent_fails_and_the_buffer_comes_back() {
    let machine = machine(1, Options { persistent: false, ..Options::default() });
    machine.run(async {
        let bytes = vec![7; 512 * 4096];
        let failure = machine.disk.write(0, buffer(&bytes)).await.unwrap_err();
        assert_eq!(failure.error, Error::NoMemory);
        assert!(*failure.buffer == bytes);
        write(&machine.disk, 0, &bytes[..480 * 4096]).await;
    });
    machine.finish();
}

#[test]
fn what_cannot_be_set_up_is_a_dead_disk_until_it_is_exchanged() {
    // No grants for the rings, no port, memory that cannot be lent.
    let setups = [
        (
            Setup { grant_frames: 1, ..Setup::default() },
            Options { queues: 4, ring_order: 4, ..Options::default() },
        ),
        (Setup::default(), Options::default()),
        (Setup { high_memory: true, ..Setup::default() }, Options::default()),
    ];
    for (n, (setup, options)) in setups.into_iter().enumerate() {
        let features = Features { queues: 16, ..Features::default() };
        let machine = Machine::without_disk(setup, options, features, SECTORS);
        machine.back.plug();
        let blocked = (n == 0).then(|| {
            let pages = xen_hyp::Pages::new(480).unwrap();
            pages.grant(&machine.xen, xen_hyp::DomId::DOM0, xen_hyp::Access::Write).unwrap()
        });
        let dom = guest(&machine.xen);
        machine.world.fail(dom, nr::EVENT_CHANNEL_OP, event::AllocUnbound::CMD, XenError::ENOSPC);
        let mut tasks = machine.tasks();
        assert_eq!(tasks.run(), 2);
        assert_eq!(machine.disk.link(), Link::Dead(Error::NoMemory), "{n}");
        tasks.spawn(async {
            let failure = machine.disk.write(0, buffer(&[1; SECTOR])).await.unwrap_err();
            assert_eq!(failure.error, Error::NoMemory);
        });
        assert_eq!(tasks.run(), 2);
        drop(blocked);
        machine.back.plug();
        tasks.run();
        // The fault, where it was one, has been used up by the first try.
        let expected = if n == 2 { Link::Dead(Error::NoMemory) } else { Link::Ready };
        let link = machine.disk.link();
        assert!(link == expected || n == 0, "{n}: {link:?}");
        drop(tasks);
        machine.finish();
    }
}
