//! Pieces of a disk that were read lately.

use crate::buffer::Buffer;
use crate::device::{BlockDevice, Error, SECTOR};
use crate::pause::pause;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

/// Bytes in a piece, unless the disk's sectors are longer.
const PIECE: usize = 4096;
/// How many pieces are kept.
const PIECES: usize = 16;
/// After how many reads that did not need the disk the others get a turn: what a disk says may make us read any
/// number of times, so long as it is the same.
const TURNS: u32 = 64;

/// A disk, and the pieces of it that were read lately, so that one can read a few bytes here and there.
#[derive(Debug)]
pub(crate) struct Cache<D> {
    disk: D,
    piece: usize,
    kept: RefCell<Vec<Piece>>,
    clock: Cell<u32>,
}

#[derive(Debug)]
struct Piece {
    start: u64,
    used: u32,
    buffer: Buffer,
}

impl<D: BlockDevice> Cache<D> {
    pub(crate) fn new(disk: D) -> Result<Self, Error> {
        let logical = disk.geometry().logical_bytes as usize;
        if !logical.is_power_of_two() || !(SECTOR..=64 << 10).contains(&logical) {
            return Err(Error::Unsupported);
        }
        Ok(Self { disk, piece: logical.max(PIECE), kept: RefCell::default(), clock: Cell::new(0) })
    }

    pub(crate) fn disk(&self) -> &D {
        &self.disk
    }

    /// The disk's length in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.disk.geometry().sectors.saturating_mul(SECTOR as u64)
    }

    /// Fills `into` with what is at byte `at` and on.
    pub(crate) async fn read(&self, mut at: u64, mut into: &mut [u8]) -> Result<(), Error> {
        while !into.is_empty() {
            let skip = (at % self.piece as u64) as usize;
            let (now, later) = into.split_at_mut(into.len().min(self.piece - skip));
            let start = at - skip as u64;
            if self.copy_kept(start, skip, now) {
                if self.clock.get().is_multiple_of(TURNS) {
                    pause().await;
                }
            } else {
                let buffer = self.fetch(start).await?;
                now.copy_from_slice(buffer.get(skip..skip + now.len()).ok_or(Error::OutOfRange)?);
                self.keep(start, buffer);
            }
            at = at.saturating_add(now.len() as u64);
            into = later;
        }
        Ok(())
    }

    /// Whether it could be had without the disk.
    fn copy_kept(&self, start: u64, skip: usize, into: &mut [u8]) -> bool {
        let mut kept = self.kept.borrow_mut();
        let Some(piece) = kept.iter_mut().find(|piece| piece.start == start) else { return false };
        let Some(bytes) = piece.buffer.get(skip..skip + into.len()) else { return false };
        into.copy_from_slice(bytes);
        piece.used = self.tick();
        true
    }

    /// Reads the piece that begins at `start`. Nobody is kept from anything while the disk is busy.
    async fn fetch(&self, start: u64) -> Result<Buffer, Error> {
        let len = self.bytes().saturating_sub(start).min(self.piece as u64) as usize;
        if len == 0 {
            return Err(Error::OutOfRange);
        }
        let old = self.let_go().or_else(|| Buffer::new(self.piece)).ok_or(Error::NoMemory)?;
        let buffer = old.resized(len).ok_or(Error::Unaligned)?;
        self.disk.read(start / SECTOR as u64, buffer).await.map_err(|failed| failed.error)
    }

    /// Takes out what was not used for longest, if there are enough.
    fn let_go(&self) -> Option<Buffer> {
        let mut kept = self.kept.borrow_mut();
        if kept.len() < PIECES {
            return None;
        }
        let now = self.clock.get();
        let (oldest, _) = kept.iter().enumerate().max_by_key(|(_, piece)| now.wrapping_sub(piece.used))?;
        Some(kept.swap_remove(oldest).buffer)
    }

    fn keep(&self, start: u64, buffer: Buffer) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() < PIECES && kept.iter().all(|piece| piece.start != start) {
            kept.push(Piece { start, used: self.tick(), buffer });
        }
    }

    fn tick(&self) -> u32 {
        self.clock.set(self.clock.get().wrapping_add(1));
        self.clock.get()
    }
}
