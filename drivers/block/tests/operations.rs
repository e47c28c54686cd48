//! Every operation, on disks and backends of every kind.

mod common;

use common::{Machine, SECTORS, buffer, read, sectors, write};
use fata_block::Options;
use fata_disk::{BlockDevice, Buffer, Error, SECTOR};
use fata_sim::{Features, Order, Rng, Setup};
use std::cell::RefCell;

/// `BLKIF_OP_*`.
const WRITE: u8 = 1;
const BARRIER: u8 = 2;
const FLUSH: u8 = 3;
const DISCARD: u8 = 5;

/// What can be asked for and what can be offered, in combinations in which each meets each.
fn kinds() -> Vec<(Options, Features)> {
    let mut kinds = Vec::new();
    let shapes = [(1, 0, 1), (11, 0, 1), (32, 1, 1), (256, 2, 3), (512, 4, 4), (12, 0, 2)];
    for (n, (segments, ring_order, queues)) in shapes.into_iter().enumerate() {
        for persistent in [false, true] {
            let options = Options { persistent, segments, ring_order, queues };
            let all = Features { segments: 512, ..Features::default() };
            let other = match (n + usize::from(persistent)) % 3 {
                0 => Features { early: true, ..all.clone() },
                1 => Features { sector_bytes: 4096, physical_bytes: 4096, ..all.clone() },
                _ => Features { persistent: false, segments: 0, ring_order: 0, queues: 0, ..all.clone() },
            };
            kinds.extend([(options, all), (options, other)]);
        }
    }
    kinds
}

#[test]
fn what_is_written_is_read_and_on_the_disk() {
    let mut rng = Rng::new();
    for (options, features) in kinds() {
        let unit = u64::from(features.sector_bytes) / SECTOR as u64;
        let rings = if features.queues == 0 { 1 } else { options.queues as usize };
        let machine = Machine::new(options, features);
        let (disk, medium) = (&machine.disk, machine.back.medium());
        machine.run(async {
            disk.ready().await.unwrap();
            assert_eq!(machine.back.queues(), rings);
            let geometry = disk.geometry();
            assert_eq!((geometry.sectors, geometry.logical_sectors()), (SECTORS, unit));
            // A sector, less than a page, whole pages, one more than goes into a request, much more, the last one.
            for (sector, count) in
                [(0, 1), (7, 3), (100, 8), (1000, 88), (1001, 89), (24, 2049), (1024, 3072), (4095, 1)]
            {
                let (sector, count) = (sector / unit * unit, u64::next_multiple_of(count, unit));
                let bytes = sectors(&mut rng, count);
                write(disk, sector, &bytes).await;
                assert!(medium.read(sector..sector + count) == bytes);
                assert!(read(disk, sector, count).await == bytes);
            }
            assert!(read(disk, 0, SECTORS).await == medium.read(0..SECTORS));
        });
        machine.finish();
    }
}

#[test]
fn requests_of_several_megabytes_are_divided() {
    const LARGE: u64 = 8 << 20 >> 9;
    let mut rng = Rng::new();
    for persistent in [false, true] {
        let (options, features) =
            (Options { persistent, segments: 256, ..Options::default() }, Features::default());
        let machine = Machine::without_disk(Setup::default(), options, features, LARGE + 3);
        machine.back.plug();
        let bytes = sectors(&mut rng, LARGE);
        machine.run(async {
            write(&machine.disk, 3, &bytes).await;
            assert!(read(&machine.disk, 3, LARGE).await == bytes);
        });
        // Each as large as a request can be.
        assert!(machine.back.log().iter().all(|seen| seen.segments == 256));
        assert_eq!(machine.back.log().len(), 16);
        machine.finish();
    }
}

#[test]
fn zeroes_discards_flushes_and_barriers_do_what_they_say() {
    for (options, features) in kinds() {
        let features = Features { secure: true, ..features };
        let machine = Machine::new(options, features);
        let (disk, medium) = (&machine.disk, machine.back.medium());
        machine.run(async {
            disk.ready().await.unwrap();
            let geometry = disk.geometry();
            assert!(geometry.flush && geometry.discard_bytes == Some(geometry.physical_bytes));
            let ones = vec![1; SECTORS as usize * SECTOR];
            write(disk, 0, &ones).await;
            disk.write_zeroes(8..3000).await.unwrap();
            assert!(medium.read(8..3000).iter().all(|&byte| byte == 0));
            assert!(medium.read(0..8) == ones[..4096] && medium.read(3000..3008) == ones[..4096]);
            for secure in [false, true] {
                write(disk, 0, &ones).await;
                disk.discard(16..4096, secure).await.unwrap();
                assert!(medium.read(16..4096).iter().all(|&byte| byte == 0));
                assert!(medium.read(0..16) == ones[..8192]);
            }
            for empty in [0..0, SECTORS..SECTORS] {
                disk.discard(empty.clone(), false).await.unwrap();
                disk.write_zeroes(empty).await.unwrap();
            }
            disk.flush().await.unwrap();
            assert_eq!(medium.flushes(), 1);
            disk.barrier().await.unwrap();
            assert_eq!(medium.flushes(), 2);
        });
        let ops: Vec<u8> = machine.back.log().iter().map(|seen| seen.op).collect();
        assert_eq!(ops.iter().filter(|&&op| op == DISCARD).count(), 2);
        assert!(ops.ends_with(&[FLUSH, BARRIER]) || ops.ends_with(&[FLUSH, FLUSH]));
        machine.finish();
    }
}

#[test]
fn what_the_backend_cannot_do_is_done_otherwise_or_refused() {
    let can = |flush, barrier| Features { flush, barrier, discard: false, ..Features::default() };
    for (features, flushes) in [
        (can(true, true), vec![FLUSH, BARRIER]),
        (can(true, false), vec![FLUSH, FLUSH]),
        (can(false, true), vec![BARRIER, BARRIER]),
        (can(false, false), vec![]),
    ] {
        let machine = Machine::new(Options::default(), features);
        let disk = &machine.disk;
        machine.run(async {
            disk.flush().await.unwrap();
            disk.barrier().await.unwrap();
            assert_eq!(disk.discard(0..8, false).await, Err(Error::Unsupported));
            assert_eq!(disk.geometry().flush, !flushes.is_empty());
            assert_eq!(disk.geometry().discard_bytes, None);
        });
        assert_eq!(machine.back.log().iter().map(|seen| seen.op).collect::<Vec<_>>(), flushes);
        machine.finish();
    }
    let machine = Machine::new(Options::default(), Features::default());
    machine.run(async {
        assert_eq!(machine.disk.discard(0..8, true).await, Err(Error::Unsupported));
        machine.disk.discard(0..8, false).await.unwrap();
    });
    machine.finish();
}

#[test]
fn a_backend_that_cannot_do_what_it_said_is_helped_out_or_believed() {
    let machine = Machine::new(Options { queues: 1, ..Options::default() }, Features::default());
    let disk = &machine.disk;
    machine.run(async {
        disk.ready().await.unwrap();
        machine.back.change_features(|features| (features.barrier, features.discard) = (false, false));
        // The second goes without asking.
        for _ in 0..2 {
            disk.barrier().await.unwrap();
        }
        assert_eq!(disk.discard(0..8, false).await, Err(Error::Unsupported));
        machine.back.change_features(|features| features.flush = false);
        assert_eq!(disk.flush().await, Err(Error::Unsupported));
    });
    let ops: Vec<u8> = machine.back.log().iter().map(|seen| seen.op).collect();
    assert_eq!(ops, [BARRIER, FLUSH, FLUSH, DISCARD, FLUSH]);
    machine.finish();
}

#[test]
fn what_is_not_on_the_disk_is_refused_and_the_buffer_comes_back() {
    for sector_bytes in [512, 4096] {
        let features = Features { sector_bytes, physical_bytes: 4096, ..Features::default() };
        let machine = Machine::new(Options::default(), features);
        let disk = &machine.disk;
        machine.run(async {
            let huge = u64::MAX - 3;
            for (sector, count) in [(SECTORS, 8), (SECTORS - 1, 2), (SECTORS + 8, 8), (huge, 8), (huge, 1)] {
                let failed = disk.write(sector, buffer(&vec![7; count * SECTOR])).await.unwrap_err();
                assert_eq!(failed.error, Error::OutOfRange);
                assert!(failed.buffer.iter().all(|&byte| byte == 7) && failed.buffer.len() == count * SECTOR);
                let failed = disk.read(sector, buffer(&vec![7; count * SECTOR])).await.unwrap_err();
                assert_eq!((failed.error, failed.buffer.len()), (Error::OutOfRange, count * SECTOR));
            }
            for sectors in [0..SECTORS + 8, SECTORS..SECTORS + 8, huge..u64::MAX, u64::MAX..u64::MAX] {
                assert_eq!(disk.discard(sectors.clone(), false).await, Err(Error::OutOfRange));
                assert_eq!(disk.write_zeroes(sectors).await, Err(Error::OutOfRange));
            }
            #[allow(clippy::reversed_empty_ranges, reason = "that is the point")]
            let backwards = 16..8;
            assert_eq!(disk.discard(backwards, false).await, Err(Error::OutOfRange));
            let odd = disk.write(1, buffer(&[7; SECTOR])).await;
            match sector_bytes {
                512 => assert!(odd.is_ok()),
                _ => assert_eq!(odd.unwrap_err().error, Error::Unaligned),
            }
        });
        machine.finish();
    }
}

/// As what is left of a buffer that was lost.
#[test]
fn a_buffer_of_nothing_is_no_request() {
    let machine = Machine::new(Options::default(), Features::default());
    machine.run(async {
        assert!(machine.disk.read(0, Buffer::lost()).await.unwrap().is_empty());
        assert!(machine.disk.write(SECTORS, Buffer::lost()).await.unwrap().is_empty());
    });
    assert!(machine.back.log().is_empty());
    machine.finish();
}

#[test]
fn a_disk_that_cannot_be_written_is_not() {
    for early in [false, true] {
        let features = Features { read_only: true, early, ..Features::default() };
        let machine = Machine::new(Options::default(), features);
        let disk = &machine.disk;
        machine.back.medium().write(9, &[9; SECTOR]);
        machine.run(async {
            assert_eq!(read(disk, 9, 1).await, [9; SECTOR]);
            assert!(disk.geometry().read_only && !disk.geometry().removable);
            let failed = disk.write(0, buffer(&[7; SECTOR])).await.unwrap_err();
            assert_eq!(failed.error, Error::ReadOnly);
            assert_eq!(*failed.buffer, [7; SECTOR]);
            assert_eq!(disk.discard(0..8, false).await, Err(Error::ReadOnly));
            assert_eq!(disk.write_zeroes(0..8).await, Err(Error::ReadOnly));
            disk.flush().await.unwrap();
        });
        machine.finish();
    }
}

#[test]
fn removable_media_say_so() {
    for (cdrom, removable) in [(true, false), (false, true)] {
        let features = Features { cdrom, removable, read_only: cdrom, ..Features::default() };
        let machine = Machine::new(Options::default(), features);
        machine.run(async {
            machine.disk.ready().await.unwrap();
            assert!(machine.disk.geometry().removable);
            assert_eq!(machine.disk.geometry().read_only, cdrom);
        });
        machine.finish();
    }
}

#[test]
fn errors_concern_their_request_alone_and_give_the_buffer_back() {
    for persistent in [false, true] {
        let options = Options { persistent, segments: 128, ..Options::default() };
        let machine = Machine::new(options, Features::default());
        // Of the four requests that this write is divided into, one fails, with any status.
        for (nth, status) in [(2, -1), (1, -2), (0, i16::MIN), (3, 77)] {
            let first = machine.back.log().len() as u64;
            machine.back.judge(move |seen| (seen.nth == first + nth).then_some(status));
            machine.run(async {
                let data = vec![nth as u8; 4096 * SECTOR];
                let failed = machine.disk.write(0, buffer(&data)).await.unwrap_err();
                assert_eq!(failed.error, Error::Io);
                assert!(*failed.buffer == data[..]);
                let failed = machine.disk.read(0, Buffer::new(4096 * SECTOR).unwrap()).await;
                assert!(failed.is_ok());
            });
        }
        for (status, error) in [(-1, Error::Io), (-2, Error::Unsupported), (-77, Error::Io), (1, Error::Io)] {
            machine.back.judge(move |_| Some(status));
            machine.run(async {
                assert_eq!(machine.disk.flush().await, Err(error));
                assert_eq!(machine.disk.discard(0..8, false).await, Err(error));
                let failed = machine.disk.read(0, Buffer::new(SECTOR).unwrap()).await.unwrap_err();
                assert_eq!((failed.error, failed.buffer.len()), (Error::Io, SECTOR));
            });
        }
        assert_eq!(machine.disk.totals().errors, 4 + 4 * 3);
        machine.finish();
    }
}

/// Many users of one disk, each with sectors of its own, over every kind of backend and order.
#[test]
fn hundreds_of_requests_at_once_do_not_disturb_one_another() {
    let rng = RefCell::new(Rng::new());
    for (kind, (options, features)) in kinds().into_iter().enumerate() {
        let random = Order::Random(rng.borrow().clone());
        for order in [random, [Order::Arrival, Order::OneATurn, Order::After(1000)][kind % 3].clone()] {
            rng.borrow_mut().number();
            let unit = u64::from(features.sector_bytes) / SECTOR as u64;
            let machine = Machine::new(options, features.clone());
            machine.back.set_order(order);
            machine.back.be_lazy(rng.borrow().clone());
            let (users, rounds) = if cfg!(miri) { (3, 2) } else { (50, 3) };
            let each = SECTORS / users / unit * unit;
            let mut tasks = machine.tasks();
            for user in 0..users {
                let (rng, disk, start) = (&rng, &machine.disk, user * each);
                tasks.spawn(async move {
                    let mut model = vec![0; each as usize * SECTOR];
                    for _ in 0..rounds {
                        let (op, from, count, fill) = {
                            let mut rng = rng.borrow_mut();
                            let units = (each / unit) as usize;
                            let from = rng.within(0..units) as u64 * unit;
                            let count = rng.within(1..units + 1) as u64 * unit;
                            (rng.within(0..8), from, count.min(each - from), rng.number() as u8)
                        };
                        let bytes = from as usize * SECTOR..(from + count) as usize * SECTOR;
                        let at = start + from..start + from + count;
                        match op {
                            0 => disk.flush().await.unwrap(),
                            1 => disk.barrier().await.unwrap(),
                            2 => disk.write_zeroes(at).await.unwrap(),
                            3 => disk.discard(at, false).await.unwrap_or_else(|_| {
                                assert!(disk.geometry().discard_bytes.is_none());
                            }),
                            4 | 5 => write(disk, at.start, &vec![fill; bytes.len()]).await,
                            _ => assert!(read(disk, at.start, count).await == model[bytes.clone()]),
                        }
                        match op {
                            2 | 3 => model[bytes].fill(0),
                            4 | 5 => model[bytes].fill(fill),
                            _ => {}
                        }
                    }
                    assert!(read(disk, start, each).await == model);
                });
            }
            assert_eq!(tasks.run(), 2, "somebody waits for ever");
            drop(tasks);
            machine.finish();
        }
    }
}

#[test]
fn a_future_that_is_dropped_leaves_a_request_that_ends_by_itself() {
    let rng = RefCell::new(Rng::new());
    for persistent in [false, true] {
        for polls in 1..6 {
            let machine = Machine::new(
                Options { persistent, segments: 256, ..Options::default() },
                Features::default(),
            );
            let disk = &machine.disk;
            machine.run(async {
                disk.ready().await.unwrap();
                for _ in 0..40 {
                    let bytes = sectors(&mut rng.borrow_mut(), 20);
                    common::drop_after(polls, disk.write(0, buffer(&bytes))).await;
                    common::drop_after(polls, disk.read(8, Buffer::new(9000 / 512 * 512).unwrap())).await;
                    common::drop_after(polls, disk.flush()).await;
                }
                // What was asked for is done, as it always is.
                let bytes = sectors(&mut rng.borrow_mut(), 20);
                write(disk, 0, &bytes).await;
                assert!(read(disk, 0, 20).await == bytes);
            });
            assert_eq!(machine.back.log().iter().filter(|seen| seen.op == WRITE).count(), 41);
            machine.finish();
        }
    }
}
