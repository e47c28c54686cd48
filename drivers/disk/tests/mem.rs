//! Disks in memory, and parts of them.

mod common;

use common::{buffer, disk, poke, run};
use core::future::Future as _;
use core::pin::pin;
use core::task::{Context, Waker};
use fata_disk::{BlockDevice, Buffer, Error, MemDisk, Partition};
use fata_sim::Rng;

#[test]
fn what_is_written_is_read_and_only_that_takes_memory() {
    let disk = MemDisk::new(1 << 40);
    let mut rng = Rng::new();
    let bytes = rng.bytes(20 * 512);
    run(disk.write((1 << 39) + 5, buffer(&bytes))).unwrap();
    assert_eq!(disk.memory_bytes(), 4 * 4096);
    let back = run(disk.read((1 << 39) + 4, Buffer::new(22 * 512).unwrap())).unwrap();
    assert_eq!(&back[512..21 * 512], bytes);
    assert!(back[..512].iter().chain(&back[21 * 512..]).all(|&byte| byte == 0));
    run(disk.discard((1 << 39)..(1 << 39) + 8, false)).unwrap();
    run(disk.write_zeroes((1 << 39) + 8..(1 << 39) + 25)).unwrap();
    assert_eq!(disk.memory_bytes(), 0);
    assert_eq!((disk.counts().reads, disk.counts().writes, disk.counts().sectors_written), (1, 3, 20 + 25));
}

#[test]
fn contents_survive_any_mix_of_requests() {
    let mut rng = Rng::new();
    let sectors = 100;
    let disk = MemDisk::new(sectors as u64);
    let mut model = vec![0; sectors * 512];
    for _ in 0..2000 {
        let first = rng.within(0..sectors);
        let count = rng.within(1..sectors - first + 1);
        let (at, len) = (first * 512, count * 512);
        match rng.within(0..4) {
            0 => {
                let back = run(disk.read(first as u64, Buffer::new(len).unwrap())).unwrap();
                assert_eq!(*back, model[at..at + len]);
            }
            1 => {
                run(disk.write_zeroes(first as u64..(first + count) as u64)).unwrap();
                model[at..at + len].fill(0);
            }
            _ => {
                let bytes = rng.bytes(len);
                run(disk.write(first as u64, buffer(&bytes))).unwrap();
                model[at..at + len].copy_from_slice(&bytes);
            }
        }
    }
    assert_eq!(disk.to_bytes(), model);
}

#[test]
fn errors_give_the_buffer_back() {
    let disk = MemDisk::new(64).with_logical_bytes(4096);
    let failed = run(disk.read(60, Buffer::new(4096).unwrap())).unwrap_err();
    assert_eq!((failed.error, failed.buffer.len()), (Error::OutOfRange, 4096));
    let failed = run(disk.read(1, Buffer::new(4096).unwrap())).unwrap_err();
    assert_eq!(failed.error, Error::Unaligned);
    let failed = run(disk.write(0, Buffer::new(512).unwrap())).unwrap_err();
    assert_eq!(failed.error, Error::Unaligned);
    let failed = run(disk.read(u64::MAX, Buffer::new(512).unwrap())).unwrap_err();
    assert_eq!(failed.error, Error::OutOfRange);
    #[expect(clippy::reversed_empty_ranges)]
    let backwards = run(disk.discard(8..0, true));
    assert_eq!(backwards, Err(Error::OutOfRange));

    let disk = MemDisk::new(64).read_only();
    let failed = run(disk.write(0, buffer(b"x"))).unwrap_err();
    assert_eq!((failed.error, failed.buffer[0]), (Error::ReadOnly, b'x'));
    assert_eq!(run(disk.write_zeroes(0..1)), Err(Error::ReadOnly));
}

#[test]
fn faults_come_where_and_when_they_were_asked_for() {
    let disk = MemDisk::new(64);
    disk.fail_sectors(10..12);
    for (sector, ok) in [(9, true), (10, false), (11, false), (12, true)] {
        assert_eq!(run(disk.read(sector, buffer(b"x"))).is_ok(), ok, "{sector}");
    }
    assert!(run(disk.read(8, Buffer::new(5 * 512).unwrap())).is_err());
    disk.fail_sectors(0..0);
    disk.fail_after(1, Error::Gone);
    assert!(run(disk.read(10, buffer(b"x"))).is_ok());
    assert_eq!(run(disk.flush()), Err(Error::Gone));
    assert!(run(disk.flush()).is_ok());
}

#[test]
fn a_lazy_disk_takes_two_polls() {
    let disk = MemDisk::new(64).lazy();
    let mut read = pin!(disk.read(0, buffer(b"x")));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(read.as_mut().poll(&mut cx).is_pending());
    assert!(read.as_mut().poll(&mut cx).is_ready());
}

#[test]
fn a_disk_made_shorter_and_longer_again_has_zeroes_there() {
    let disk = disk(&[7; 40 * 512]);
    disk.resize(9);
    assert_eq!(disk.to_bytes(), [7; 9 * 512]);
    disk.resize(30);
    let bytes = disk.to_bytes();
    assert!(bytes[..9 * 512].iter().all(|&byte| byte == 7) && bytes[9 * 512..].iter().all(|&byte| byte == 0));
}

#[test]
fn no_request_leaves_a_partition() {
    let disk = disk(&[1; 64 * 512]);
    let part = Partition::new(&disk, 8..16).unwrap();
    assert_eq!((part.geometry().sectors, part.sectors()), (8, 8..16));
    run(part.write(0, buffer(&[2; 512]))).unwrap();
    run(part.write(7, buffer(&[3; 512]))).unwrap();
    for (sector, len) in [(8, 512), (7, 1024), (u64::MAX, 512), (u64::MAX - 8, 4096)] {
        let failed = run(part.write(sector, Buffer::new(len).unwrap())).unwrap_err();
        assert_eq!((failed.error, failed.buffer.len()), (Error::OutOfRange, len));
        let failed = run(part.read(sector, Buffer::new(len).unwrap())).unwrap_err();
        assert_eq!((failed.error, failed.buffer.len()), (Error::OutOfRange, len));
        let range = sector..sector.saturating_add(2);
        assert_eq!(run(part.write_zeroes(range.clone())), Err(Error::OutOfRange));
        assert_eq!(run(part.discard(range, false)), Err(Error::OutOfRange));
    }
    run(part.discard(1..3, false)).unwrap();
    run(part.flush()).unwrap();
    run(part.barrier()).unwrap();
    let bytes = disk.to_bytes();
    let firsts: Vec<u8> = bytes.chunks(512).map(|sector| sector[0]).collect();
    assert_eq!(firsts[7..17], [1, 2, 0, 0, 1, 1, 1, 1, 3, 1]);
}

#[test]
fn a_partition_must_lie_on_its_disk_and_be_aligned() {
    let disk = MemDisk::new(64).with_logical_bytes(4096);
    assert_eq!(Partition::new(&disk, 8..65).unwrap_err(), Error::OutOfRange);
    assert_eq!(Partition::new(&disk, 8..15).unwrap_err(), Error::Unaligned);
    assert_eq!(Partition::new(&disk, 4..16).unwrap_err(), Error::Unaligned);
    let part = Partition::new(&disk, 8..64).unwrap();
    disk.resize(32);
    assert_eq!(part.geometry().sectors, 24);
    disk.resize(0);
    assert_eq!(part.geometry().sectors, 0);
    let failed = run(part.read(0, Buffer::new(4096).unwrap())).unwrap_err();
    assert_eq!(failed.error, Error::OutOfRange);
}

#[test]
fn poke_changes_what_it_should() {
    let disk = MemDisk::new(64).with_logical_bytes(4096);
    poke(&disk, 4094, b"abcd");
    assert_eq!(disk.to_bytes()[4093..4099], *b"\0abcd\0");
}
