//! Disks as streams of bytes.

mod common;

use common::{disk, run};
use core::cell::Cell;
use core::future::Future as _;
use core::ops::Range;
use core::pin::pin;
use core::task::{Context, Waker};
use embedded_io_async::{BufRead as _, Read as _, ReadExactError, Seek as _, SeekFrom, Write as _};
use fata_disk::{BlockDevice, Buffer, Error, Failed, Geometry, MemDisk, Partition, Stream};
use fata_sim::Rng;

#[test]
fn any_mix_of_reads_and_writes_is_as_on_an_array() {
    for (logical, capacity) in [(512, 4096), (512, 16384), (4096, 4096), (4096, 65536)] {
        let mut rng = Rng::new();
        let mut model = rng.bytes(40 * 4096);
        let disk = disk(&model).with_logical_bytes(logical);
        let mut stream = Stream::with_capacity(&disk, capacity);
        run(async {
            for _ in 0..3000 {
                let at = rng.within(0..model.len());
                let len = match rng.within(0..4) {
                    0 => rng.within(0..30_000),
                    1 => 512,
                    _ => rng.within(1..700),
                };
                // Half of the time it goes straight on.
                let at = if rng.number().is_multiple_of(2) {
                    stream.position() as usize
                } else {
                    stream.seek(SeekFrom::Start(at as u64)).await.unwrap() as usize
                };
                let len = len.min(model.len() - at);
                match rng.within(0..8) {
                    0 => stream.flush().await.unwrap(),
                    1..=3 => {
                        let bytes = rng.bytes(len);
                        stream.write_all(&bytes).await.unwrap();
                        model[at..at + len].copy_from_slice(&bytes);
                    }
                    _ => {
                        let mut bytes = vec![0; len];
                        stream.read_exact(&mut bytes).await.unwrap();
                        assert_eq!(bytes, model[at..at + len], "{logical} {capacity} {at} {len}");
                    }
                }
            }
            stream.flush().await.unwrap();
        });
        assert!(disk.to_bytes() == model);
    }
}

#[test]
fn reading_straight_on_takes_few_requests() {
    let disk = MemDisk::new(4096);
    let mut stream = Stream::new(&disk);
    let mut bytes = vec![1; 2 << 20];
    for piece in bytes.chunks_mut(100) {
        run(stream.read_exact(piece)).unwrap();
    }
    assert!(bytes.iter().all(|&byte| byte == 0));
    // 4, 8, 16, 32, and from then on 64 KiB at once.
    assert_eq!(disk.counts().reads, 4 + (2048_u64 - 60).div_ceil(64));
    assert_eq!(disk.counts().sectors_read, 4096);
}

#[test]
fn reading_here_and_there_reads_little() {
    let disk = MemDisk::new(1 << 20);
    let mut stream = Stream::new(&disk);
    for at in 0..100 {
        run(stream.seek(SeekFrom::Start(at * 3_000_000))).unwrap();
        run(stream.read_exact(&mut [0; 10])).unwrap();
    }
    assert!(disk.counts().sectors_read <= 100 * 9);
}

#[test]
fn whole_sectors_are_written_without_reading_and_at_once() {
    let disk = MemDisk::new(1024);
    let mut stream = Stream::new(&disk);
    for _ in 0..1024 {
        run(stream.write_all(&[7; 512])).unwrap();
    }
    run(stream.flush()).unwrap();
    let counts = disk.counts();
    assert_eq!((counts.reads, counts.writes, counts.flushes, counts.sectors_written), (0, 8, 1, 1024));
    assert!(disk.to_bytes().iter().all(|&byte| byte == 7));
}

#[test]
fn only_what_was_touched_is_written() {
    let disk = disk(&[1; 64 * 512]);
    let mut stream = Stream::new(&disk);
    run(stream.read_exact(&mut [0; 4096])).unwrap();
    run(stream.seek(SeekFrom::Start(1000))).unwrap();
    run(stream.write_all(&[2; 100])).unwrap();
    run(stream.flush()).unwrap();
    let counts = disk.counts();
    assert_eq!((counts.reads, counts.writes, counts.sectors_written), (1, 1, 2));
    run(stream.flush()).unwrap();
    assert_eq!(disk.counts().writes, 1);
    let bytes = disk.to_bytes();
    assert!(
        bytes.iter().enumerate().all(|(at, &byte)| byte == if (1000..1100).contains(&at) { 2 } else { 1 })
    );
}

#[test]
fn the_ends_are_the_disks_ends() {
    let disk = disk(&[1; 8 * 512]);
    let part = Partition::new(&disk, 2..4).unwrap();
    let mut stream = Stream::new(&part);
    assert_eq!(run(stream.seek(SeekFrom::End(-10))).unwrap(), 1014);
    assert_eq!(run(stream.write(&[2; 20])).unwrap(), 10);
    assert_eq!(run(stream.write(&[2; 20])), Err(Error::OutOfRange));
    assert_eq!(run(stream.read(&mut [0; 20])), Ok(0));
    assert_eq!(run(stream.seek(SeekFrom::Current(-20))).unwrap(), 1004);
    let mut bytes = [0; 30];
    assert_eq!(run(stream.read_exact(&mut bytes)), Err(ReadExactError::UnexpectedEof));
    assert_eq!(bytes[..20], [[1; 10], [2; 10]].concat());
    assert_eq!(run(stream.seek(SeekFrom::Current(i64::MIN))), Err(Error::OutOfRange));
    assert_eq!(run(stream.seek(SeekFrom::Start(u64::MAX))), Ok(u64::MAX));
    assert_eq!(run(stream.read(&mut [0; 20])), Ok(0));
    assert_eq!(run(stream.seek(SeekFrom::Current(1))), Err(Error::OutOfRange));
    run(stream.flush()).unwrap();
    assert_eq!(disk.to_bytes()[4 * 512 - 11..4 * 512 + 1], [1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1]);
    assert_eq!(run(Stream::new(MemDisk::new(8).read_only()).write(b"x")), Err(Error::ReadOnly));
}

#[test]
fn what_is_read_ahead_can_be_looked_at_in_place() {
    let disk = disk(&[3; 8 * 512]);
    let mut stream = Stream::new(&disk);
    let mut seen = 0;
    loop {
        let len = run(stream.fill_buf()).unwrap().len();
        if len == 0 {
            break;
        }
        seen += len.min(100);
        stream.consume(len.min(100));
    }
    assert_eq!((seen, disk.counts().reads), (4096, 1));
}

#[test]
fn after_an_error_one_tries_again_and_nothing_is_lost() {
    for logical in [512, 4096] {
        let mut rng = Rng::new();
        let mut model = vec![0; 40 * 4096];
        let disk = disk(&model).with_logical_bytes(logical);
        let mut stream = Stream::with_capacity(&disk, 8192);
        let mut errors = 0;
        for _ in 0..2000 {
            let at = rng.within(0..model.len() - 1000);
            run(stream.seek(SeekFrom::Start(at as u64))).unwrap();
            disk.fail_after(rng.within(0..4) as u64, Error::Io);
            let len = rng.within(1..1000);
            let mut bytes = rng.bytes(len);
            let mut done = 0;
            let writes = rng.number().is_multiple_of(2);
            while done < bytes.len() {
                let result = if writes {
                    run(stream.write(&bytes[done..]))
                } else {
                    run(stream.read(&mut bytes[done..]))
                };
                match result {
                    Ok(len) => done += len,
                    Err(error) => {
                        assert_eq!(error, Error::Io);
                        errors += 1;
                    }
                }
            }
            let here = &mut model[at..at + bytes.len()];
            if writes {
                here.copy_from_slice(&bytes);
            } else {
                assert_eq!(here, bytes);
            }
        }
        disk.fail_after(0, Error::Gone);
        let first = run(stream.flush());
        assert_eq!(first, Err(Error::Gone));
        run(stream.flush()).unwrap();
        assert!(disk.to_bytes() == model);
        assert!(errors > 100, "{errors}");
    }
}

/// A disk whose backend broke the protocol as it was written to, and has not let go of the pages.
struct Dead<'a>(&'a MemDisk, Cell<bool>);

impl BlockDevice for Dead<'_> {
    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }
    async fn read(&self, sector: u64, buffer: Buffer) -> Result<Buffer, Failed> {
        self.0.read(sector, buffer).await
    }
    async fn write(&self, sector: u64, buffer: Buffer) -> Result<Buffer, Failed> {
        if self.1.replace(false) {
            return Err(Failed { error: Error::Corrupt, buffer: Buffer::lost() });
        }
        self.0.write(sector, buffer).await
    }
    async fn flush(&self) -> Result<(), Error> {
        self.0.flush().await
    }
    async fn barrier(&self) -> Result<(), Error> {
        self.0.barrier().await
    }
    async fn discard(&self, sectors: Range<u64>, secure: bool) -> Result<(), Error> {
        self.0.discard(sectors, secure).await
    }
    async fn write_zeroes(&self, sectors: Range<u64>) -> Result<(), Error> {
        self.0.write_zeroes(sectors).await
    }
}

#[test]
fn what_a_dead_disk_kept_is_not_written_as_something_else() {
    let disk = disk(&[1; 16 * 512]);
    let mut stream = Stream::new(Dead(&disk, Cell::new(true)));
    run(stream.write_all(&[2; 700])).unwrap();
    assert_eq!(run(stream.flush()), Err(Error::Corrupt));
    run(stream.flush()).unwrap();
    assert!(disk.to_bytes().iter().all(|&byte| byte == 1));
    run(stream.write_all(&[3; 100])).unwrap();
    run(stream.flush()).unwrap();
    let bytes = disk.to_bytes();
    assert!(bytes.iter().enumerate().all(|(at, &byte)| byte == if (700..800).contains(&at) { 3 } else { 1 }));
}

#[test]
fn a_dropped_future_costs_at_most_what_was_on_its_way() {
    let mut rng = Rng::new();
    let disk = MemDisk::new(64).lazy();
    let mut stream = Stream::with_capacity(&disk, 4096);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..500 {
        run(stream.seek(SeekFrom::Start(rng.within(0..64 * 512) as u64))).unwrap();
        let len = rng.within(1..2000);
        let mut bytes = rng.bytes(len);
        match rng.within(0..3) {
            0 => drop(pin!(stream.write(&bytes)).poll(&mut cx)),
            1 => drop(pin!(stream.read(&mut bytes)).poll(&mut cx)),
            _ => drop(pin!(stream.flush()).poll(&mut cx)),
        }
    }
    run(stream.seek(SeekFrom::Start(0))).unwrap();
    let bytes = rng.bytes(64 * 512);
    run(stream.write_all(&bytes)).unwrap();
    run(stream.flush()).unwrap();
    assert!(disk.to_bytes() == bytes);
}
