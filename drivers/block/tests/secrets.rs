//! What a backend gets to see: nothing but what it is given.

mod common;

use common::{Machine, SECTORS, buffer, guest, read, sectors, write};
use fata_block::{Disk, Options};
use fata_disk::{BlockDevice, Buffer, SECTOR};
use fata_sim::{Blkback, Features, Medium, Order, Rng};
use std::cell::Cell;
use std::rc::Rc;
use xen_hyp::{PAGE_SIZE, Pages, SharedMem};

const SECRET: u8 = 0x5e;

/// A buffer of `bytes`, in pages full of something else.
fn with_secrets(bytes: &[u8], pages: usize) -> Buffer {
    let mut pages = Pages::new(pages).unwrap();
    pages.fill(SECRET);
    pages[..bytes.len()].copy_from_slice(bytes);
    Buffer::from_pages(pages, bytes.len()).unwrap()
}

fn machines() -> impl Iterator<Item = Machine> {
    [(true, None), (false, None), (true, Some(false)), (false, Some(false)), (false, Some(true))]
        .into_iter()
        .map(|(persistent, trusted)| {
            let features = Features { trusted, ..Features::default() };
            Machine::new(Options { persistent, ..Options::default() }, features)
        })
}

#[test]
fn what_a_buffer_has_beyond_its_end_is_not_shown() {
    for machine in machines() {
        let looks = Rc::new(Cell::new(0));
        let looked = looks.clone();
        machine.back.peek(move |seen, pages, tables| {
            looked.set(looked.get() + 1);
            let all = pages.iter().chain(tables).flatten();
            assert!(all.clone().all(|&byte| byte != SECRET), "{seen:?}");
        });
        machine.run(async {
            for count in [1, 7, 8, 9, 100, 101] {
                let bytes = vec![1; count * SECTOR];
                // Pages that are not needed at all go along.
                let pages = (count * SECTOR).div_ceil(PAGE_SIZE) + 2;
                let back = machine.disk.write(0, with_secrets(&bytes, pages)).await.unwrap();
                assert!(*back == bytes[..]);
                let (pages, _) = back.into_pages();
                let mut pages = pages;
                pages[count * SECTOR..].fill(SECRET);
                let buffer = Buffer::from_pages(pages, count * SECTOR).unwrap();
                assert!(*machine.disk.read(0, buffer).await.unwrap() == bytes[..]);
            }
        });
        assert!(looks.get() >= 12);
        machine.finish();
    }
}

/// What a buffer held before it is read into is nobody's business but its owner's, if the backend is not trusted.
#[test]
fn a_backend_that_is_not_trusted_sees_nothing_of_what_is_read_into() {
    for persistent in [true, false] {
        for early in [false, true] {
            let features = Features { trusted: Some(false), early, ..Features::default() };
            let machine = Machine::new(Options { persistent, ..Options::default() }, features);
            machine.back.medium().write(0, &vec![2; 100 * SECTOR]);
            machine.back.peek(|seen, pages, _| {
                assert!(pages.iter().flatten().all(|&byte| byte != SECRET), "{seen:?}");
            });
            machine.run(async {
                for count in [1, 8, 100] {
                    let bytes = vec![SECRET; count * SECTOR];
                    let back = machine.disk.read(0, buffer(&bytes)).await.unwrap();
                    assert!(*back == vec![2; count * SECTOR][..]);
                }
            });
            machine.finish();
        }
    }
}

/// A read in several parts, the backend of which is exchanged after the first.
#[test]
fn what_was_read_from_one_that_is_not_trusted_is_kept_for_the_next() {
    let features = Features { trusted: Some(false), ..Features::default() };
    let options = Options { persistent: false, segments: 11, ..Options::default() };
    let machine = Machine::new(options, features);
    machine.back.medium().write(0, &vec![2; 400 * SECTOR]);
    machine.back.set_order(Order::Held);
    machine.run(async {
        let mut reading = Box::pin(machine.disk.read(0, buffer(&[SECRET; 400 * SECTOR])));
        assert!(common::poll_once(&mut reading).await.is_none());
        machine.disk.ready().await.unwrap();
        machine.back.release(2);
        while machine.back.log().len() < 5 || machine.back.pending() > 3 {
            machine.world.sleep(1).await;
        }
        machine.back.crash(false);
        machine.back.pull();
        machine.disk.link_after(fata_block::Link::Ready).await;
        machine.back.set_order(Order::Arrival);
        machine.replug();
        assert!(*reading.await.unwrap() == [2; 400 * SECTOR][..]);
    });
    assert_eq!(machine.disk.totals().resent, 3);
    machine.finish();
}

/// Pages that stay mapped are of one disk alone.
#[test]
fn what_is_on_one_disk_is_not_shown_to_the_backend_of_another() {
    let machine = Machine::new(Options::default(), Features::default());
    let id = common::ID + 16;
    let medium = Medium::new(SECTORS);
    let (world, server) = (&machine.world, &machine.server);
    let other = Blkback::plugged(world, server, guest(&machine.xen), id, &medium, Features::default());
    other.peek(|seen, pages, _| assert!(pages.iter().flatten().all(|&byte| byte != SECRET), "{seen:?}"));
    let disk = Disk::new(&machine.xen, id, Options::default());
    let mut tasks = machine.tasks();
    tasks.spawn(async { panic!("{}", disk.serve(&machine.store).await) });
    let done = Cell::new(false);
    tasks.spawn(async {
        for round in 0..20 {
            write(&machine.disk, round, &[SECRET; 50 * SECTOR]).await;
            write(&disk, round, &[3; 51 * SECTOR]).await;
            assert!(read(&disk, round, 51).await == [3; 51 * SECTOR]);
            assert!(read(&machine.disk, round, 50).await == [SECRET; 50 * SECTOR]);
            // Its pages are freed, and may be had by the other disk.
            machine.back.unplug();
            machine.disk.link_after(fata_block::Link::Ready).await;
            write(&disk, round + 100, &[4; 100 * SECTOR]).await;
            while machine.back.vdev().is_plugged() {
                world.sleep(1).await;
            }
            machine.back.plug();
        }
        done.set(true);
    });
    assert_eq!((tasks.run(), done.get()), (3, true));
    drop(tasks);
    other.pull();
    drop(disk);
    machine.finish();
}

/// Ring pages and tables of segments are whole pages of their own, and empty at first.
#[test]
fn rings_and_tables_have_nothing_in_them_but_requests() {
    for persistent in [true, false] {
        let options = Options { persistent, ring_order: 2, queues: 2, segments: 256 };
        let machine = Machine::new(options, Features::default());
        let mut rng = Rng::new();
        machine.back.peek(|seen, _, tables| {
            for table in tables {
                // Eight bytes for each segment.
                assert!(table[seen.segments * 8..].iter().all(|&byte| byte == 0), "{seen:?}");
            }
        });
        machine.run(async {
            machine.disk.ready().await.unwrap();
            for queue in 0..2 {
                let ring = machine.back.ring(queue).unwrap();
                assert_eq!(ring.size(), 4 * PAGE_SIZE);
                let mut bytes = vec![0xff; ring.size()];
                ring.copy_in(0, &mut bytes);
                assert!(bytes[16..].iter().all(|&byte| byte == 0), "the indices, and nothing else");
            }
            for count in [100, 200, 300, 400] {
                write(&machine.disk, 0, &sectors(&mut rng, count)).await;
            }
        });
        machine.finish();
    }
}
