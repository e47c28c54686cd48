//! What the tests share.
#![allow(dead_code)]

use core::pin::pin;
use core::task::{Context, Poll, Waker};
use fata_disk::{BlockDevice, Buffer, MemDisk};

/// Polls after which a future that gets nowhere is given up.
const POLLS: usize = 10_000_000;

/// Runs a future to its end. Disks in memory need no waking.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..POLLS {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
    }
    panic!("it does not end");
}

/// A buffer with these bytes, filled up to a whole sector with zeroes.
pub(crate) fn buffer(bytes: &[u8]) -> Buffer {
    let mut buffer = Buffer::new(bytes.len().next_multiple_of(512)).unwrap();
    buffer[..bytes.len()].copy_from_slice(bytes);
    buffer
}

/// Some of a disk's bytes, whatever its sectors.
pub(crate) fn peek(disk: &MemDisk, at: u64, len: usize) -> Vec<u8> {
    let logical = disk.geometry().logical_sectors() * 512;
    let first = at / logical * logical;
    let end = (at + len as u64).next_multiple_of(logical).max(first + logical);
    let buffer = run(disk.read(first / 512, Buffer::new((end - first) as usize).unwrap())).unwrap();
    buffer[(at - first) as usize..][..len].to_vec()
}

/// Overwrites some of a disk's bytes, whatever its sectors.
pub(crate) fn poke(disk: &MemDisk, at: u64, bytes: &[u8]) {
    let logical = disk.geometry().logical_sectors() * 512;
    let first = at / logical * logical;
    let end = (at + bytes.len() as u64).next_multiple_of(logical);
    let mut buffer = run(disk.read(first / 512, Buffer::new((end - first) as usize).unwrap())).unwrap();
    let skip = (at - first) as usize;
    buffer[skip..skip + bytes.len()].copy_from_slice(bytes);
    run(disk.write(first / 512, buffer)).unwrap();
}

/// The image `name.xz` of `tests/data` as a disk.
pub(crate) fn image(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/{name}.xz", env!("CARGO_MANIFEST_DIR"));
    let packed = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut bytes = Vec::new();
    let mut reader = lzma_rust2::XzReader::new(packed.as_slice(), true);
    std::io::Read::read_to_end(&mut reader, &mut bytes).unwrap();
    bytes
}

/// A disk with these contents.
pub(crate) fn disk(bytes: &[u8]) -> MemDisk {
    MemDisk::from_bytes(bytes).unwrap()
}
