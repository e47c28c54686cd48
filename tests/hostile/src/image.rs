//! Images of `drivers/disk/tests/data`, and changes to them.

use core::pin::pin;
use core::task::{Context, Poll, Waker};
use fata_disk::{BlockDevice, Buffer, MemDisk};

/// Polls after which a future that gets nowhere is given up.
const POLLS: usize = 1_000_000;

/// Runs a future to its end.
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

/// An image to change.
pub(crate) struct Image {
    /// The disk, with the image's contents between two inputs.
    pub(crate) disk: MemDisk,
    /// Where the image has something other than zeroes and text, in pieces of [`PIECE`] bytes.
    occupied: Vec<u32>,
}

/// Bytes in the pieces that changes are counted in.
const PIECE: usize = 16;

impl Image {
    /// Unpacks an image for a disk with such sectors.
    pub(crate) fn new(packed: &[u8], logical_bytes: u32) -> Self {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut lzma_rust2::XzReader::new(packed, true), &mut bytes).unwrap();
        let is_text = |byte: &u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\n');
        let pieces = (0..).zip(bytes.chunks(PIECE));
        let occupied = pieces.filter(|(_, piece)| {
            piece.iter().any(|&byte| byte != 0)
                && piece.iter().filter(|byte| is_text(byte)).count() < PIECE - 2
        });
        let occupied = occupied.map(|(at, _)| at).collect();
        Self { disk: MemDisk::from_bytes(&bytes).unwrap().with_logical_bytes(logical_bytes), occupied }
    }

    /// Makes the changes that `input` says, calls `then`, and takes them back.
    ///
    /// A change is: where (two bytes: a piece that has something; the uppermost bit instead means the next two bytes,
    /// any piece of the first MiB), how many bytes and from which on (a byte), and the bytes.
    pub(crate) fn with_changes(&self, mut input: &[u8], then: impl FnOnce(&MemDisk)) {
        let mut undo = Vec::new();
        while let Some((at, bytes)) = self.next_change(&mut input) {
            if let Some(before) = poke(&self.disk, at, bytes) {
                undo.push((at, before));
            }
        }
        then(&self.disk);
        for (at, before) in undo.into_iter().rev() {
            poke(&self.disk, at, &before);
        }
    }

    fn next_change<'i>(&self, input: &mut &'i [u8]) -> Option<(u64, &'i [u8])> {
        let number = |input: &mut &[u8]| -> Option<u16> {
            let (bytes, rest) = input.split_first_chunk()?;
            *input = rest;
            Some(u16::from_le_bytes(*bytes))
        };
        let place = number(input)?;
        let piece = if place & 0x8000 != 0 {
            u32::from(number(input)?)
        } else {
            *self.occupied.get(usize::from(place) % self.occupied.len().max(1))?
        };
        let (&shape, rest) = input.split_first()?;
        let (skip, len) = (u64::from(shape & 15), usize::from(shape >> 4) + 1);
        let (bytes, rest) = rest.split_at(len.min(rest.len()));
        *input = rest;
        Some((u64::from(piece) * PIECE as u64 + skip, bytes))
    }
}

/// Overwrites bytes, and gives what was there.
fn poke(disk: &MemDisk, at: u64, bytes: &[u8]) -> Option<Vec<u8>> {
    let logical = disk.geometry().logical_sectors() * 512;
    let first = at / logical * logical;
    let end = (at + bytes.len() as u64).next_multiple_of(logical);
    let mut buffer = run(disk.read(first / 512, Buffer::new((end - first) as usize)?)).ok()?;
    let here = &mut buffer[(at - first) as usize..][..bytes.len()];
    let before = here.to_vec();
    here.copy_from_slice(bytes);
    run(disk.write(first / 512, buffer)).ok()?;
    Some(before)
}

/// Loads images as `images!["name" sectors, …]`.
macro_rules! images {
    ($($name:literal $logical:literal),* $(,)?) => {
        vec![$($crate::image::Image::new(
            include_bytes!(concat!("../../../drivers/disk/tests/data/", $name, ".xz")),
            $logical,
        )),*]
    };
}
pub(crate) use images;
