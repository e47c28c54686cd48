//! What is to be done with one disk, chunk by chunk, by several tasks.

use crate::options::Options;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ops::Range;
use fata_block::Disk;
use fata_disk::{BlockDevice, Buffer, Error, SECTOR};
use fata_kit::{Crc32, pattern};
use xen_hyp::Platform;

/// What is done with each chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Write,
    Verify,
    Read,
    Zero,
    Discard { secure: bool },
}

impl Deed {
    /// For what was done.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::Write => "wrote",
            Self::Verify | Self::Read => "read",
            Self::Zero => "zeroed",
            Self::Discard { secure: false } => "discarded",
            Self::Discard { secure: true } => "erased",
        }
    }

    fn changes(self) -> bool {
        !matches!(self, Self::Verify | Self::Read)
    }
}

pub(crate) struct Job<P: Platform> {
    pub(crate) disk: Disk<P>,
    deed: Deed,
    seed: u64,
    bytes: u64,
    chunk: usize,
    barrier: u64,
    next: Cell<u64>,
    /// Tasks that have not ended.
    busy: Cell<usize>,
    /// The checksum of each chunk, so that they may end in any order.
    crcs: RefCell<Vec<u32>>,
    failure: RefCell<Option<String>>,
}

impl<P: Platform> Job<P> {
    pub(crate) fn new(disk: Disk<P>, deed: Deed, seed: u64, bytes: u64, options: &Options) -> Self {
        let chunks = bytes.div_ceil(options.chunk as u64) as usize;
        Self {
            disk,
            deed,
            seed,
            bytes,
            chunk: options.chunk,
            barrier: options.barrier,
            next: Cell::new(0),
            busy: Cell::new(options.depth),
            crcs: RefCell::new(alloc::vec![0; chunks]),
            failure: RefCell::new(None),
        }
    }

    /// The work of one of as many tasks as the options say; the last one flushes.
    pub(crate) async fn work(&self) {
        while self.next.get() < self.bytes {
            let offset = self.next.get();
            let bytes = (self.bytes - offset).min(self.chunk as u64) as usize;
            self.next.set(offset + bytes as u64);
            let done = match self.deed {
                Deed::Write | Deed::Verify | Deed::Read => self.data(offset, bytes).await,
                Deed::Zero => self.disk.write_zeroes(sectors(offset, bytes)).await.map_err(at(offset)),
                Deed::Discard { secure } => {
                    self.disk.discard(sectors(offset, bytes), secure).await.map_err(at(offset))
                }
            };
            match done {
                Ok(()) => self.order(offset).await,
                Err(reason) => self.fail(reason),
            }
        }
        self.busy.set(self.busy.get() - 1);
        if self.busy.get() == 0
            && self.deed.changes()
            && self.failure.borrow().is_none()
            && let Err(error) = self.disk.flush().await
        {
            self.fail(format!("flush: {error}"));
        }
    }

    async fn data(&self, offset: u64, bytes: usize) -> Result<(), String> {
        let mut buffer = Buffer::new(bytes).ok_or("no memory")?;
        let sector = offset / SECTOR as u64;
        if self.deed == Deed::Write {
            pattern::fill(self.seed, offset, &mut buffer);
            self.sum(offset, &buffer);
            return match self.disk.write(sector, buffer).await {
                Ok(_) => Ok(()),
                Err(failed) => Err(at(offset)(failed.error)),
            };
        }
        let buffer = self.disk.read(sector, buffer).await.map_err(|failed| at(offset)(failed.error))?;
        self.sum(offset, &buffer);
        match pattern::difference(self.seed, offset, &buffer) {
            Some(byte) if self.deed == Deed::Verify => Err(format!("byte {byte} is not what was written")),
            _ => Ok(()),
        }
    }

    /// The barrier after this chunk, if there is one.
    async fn order(&self, offset: u64) {
        let chunk = offset / self.chunk as u64 + 1;
        if self.barrier > 0
            && chunk.is_multiple_of(self.barrier)
            && self.deed == Deed::Write
            && let Err(error) = self.disk.barrier().await
        {
            self.fail(format!("barrier: {error}"));
        }
    }

    fn fail(&self, reason: String) {
        self.failure.borrow_mut().get_or_insert(reason);
        self.next.set(self.bytes);
    }

    fn sum(&self, offset: u64, bytes: &[u8]) {
        let mut crc = Crc32::default();
        crc.update(bytes);
        self.crcs.borrow_mut()[(offset / self.chunk as u64) as usize] = crc.value();
    }

    /// Why it did not work out.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.borrow_mut().take()
    }

    /// What was done, as the line that says so.
    pub(crate) fn summary(&self) -> String {
        let Self { deed, bytes, seed, .. } = self;
        let totals = self.disk.totals();
        let mut crc = Crc32::default();
        self.crcs.borrow().iter().for_each(|chunk| crc.update(&chunk.to_le_bytes()));
        let sum = match deed {
            Deed::Write | Deed::Verify | Deed::Read => format!(", seed {seed}, crc32 {:08x}", crc.value()),
            _ => String::new(),
        };
        let (verb, connects, resent) = (deed.verb(), totals.connects, totals.resent);
        format!("{verb} {bytes} bytes{sum}, connects {connects}, resent {resent}")
    }
}

fn sectors(offset: u64, bytes: usize) -> Range<u64> {
    offset / SECTOR as u64..(offset + bytes as u64) / SECTOR as u64
}

fn at(offset: u64) -> impl Fn(Error) -> String {
    move |error| format!("{error} at byte {offset}")
}
