//! What a disk's sectors hold: a RAM disk with a cache that loses power.

use crate::rng::Rng;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

/// The unit of all numbers.
pub(super) const SECTOR: usize = 512;

/// The medium behind a backend. It outlives backends: clones of the `Rc` are the same one.
#[derive(Default)]
pub struct Medium(RefCell<Inner>);

#[derive(Default)]
struct Inner {
    /// What a read finds.
    now: Vec<u8>,
    /// What has been written since the last flush, each sector's versions in order, and first what it held before.
    cached: BTreeMap<u64, Vec<Vec<u8>>>,
    volatile: bool,
    flushes: u64,
}

impl Medium {
    /// A medium of zeroes.
    pub fn new(sectors: u64) -> Rc<Self> {
        let medium = Self::default();
        medium.resize(sectors);
        Rc::new(medium)
    }

    /// Its length in sectors.
    pub fn sectors(&self) -> u64 {
        (self.0.borrow().now.len() / SECTOR) as u64
    }

    /// Makes it longer, by zeroes, or shorter.
    pub fn resize(&self, sectors: u64) {
        self.0.borrow_mut().now.resize(sectors as usize * SECTOR, 0);
    }

    /// From now on keeps what was not flushed apart, so that it could be lost.
    pub fn cache(&self) {
        self.0.borrow_mut().volatile = true;
    }

    /// The bytes of these sectors.
    pub fn read(&self, sectors: Range<u64>) -> Vec<u8> {
        self.0.borrow().now[bytes(sectors)].to_vec()
    }

    /// Sets sectors.
    pub fn write(&self, sector: u64, data: &[u8]) {
        let mut inner = self.0.borrow_mut();
        for (at, data) in (sector..).zip(data.chunks(SECTOR)) {
            let place = bytes(at..at + 1);
            if inner.volatile {
                let before = inner.now[place.clone()].to_vec();
                inner.cached.entry(at).or_insert_with(|| vec![before]).push(data.to_vec());
            }
            inner.now[place].copy_from_slice(data);
        }
    }

    /// Makes all that was written durable.
    pub fn flush(&self) {
        let mut inner = self.0.borrow_mut();
        inner.cached.clear();
        inner.flushes += 1;
    }

    /// How often it was flushed.
    pub fn flushes(&self) -> u64 {
        self.0.borrow().flushes
    }

    /// Whether nothing of these sectors would be lost.
    pub fn is_durable(&self, sectors: Range<u64>) -> bool {
        self.0.borrow().cached.range(sectors).next().is_none()
    }

    /// What would be found after a power cut now: a cache has written back what it liked, so each sector holds one of
    /// its versions since the last flush.
    pub fn after_power_cut(&self, rng: &mut Rng) -> Vec<u8> {
        let inner = self.0.borrow();
        let mut found = inner.now.clone();
        for (&sector, versions) in &inner.cached {
            let version = rng.within(0..versions.len());
            found[bytes(sector..sector + 1)].copy_from_slice(&versions[version]);
        }
        found
    }
}

fn bytes(sectors: Range<u64>) -> Range<usize> {
    sectors.start as usize * SECTOR..sectors.end as usize * SECTOR
}
