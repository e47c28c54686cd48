//! Random numbers that a failed test can be repeated with.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

/// A small generator (xorshift64*).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// Seeds from the variable `FATA_SEED`, or at random, and prints the seed.
    pub fn new() -> Self {
        let seed = std::env::var("FATA_SEED").ok().and_then(|s| s.parse().ok());
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one("seed")).max(1);
        println!("repeat with FATA_SEED={seed}");
        Self(seed)
    }

    /// One whose numbers follow from another's.
    pub fn from_seed(seed: u64) -> Self {
        Self(seed.max(1))
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number in `range`, which must not be empty.
    pub fn within(&mut self, range: Range<usize>) -> usize {
        range.start + (self.number() % (range.end - range.start) as u64) as usize
    }

    /// Random bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.number() as u8).collect()
    }
}

impl Default for Rng {
    fn default() -> Self {
        Self::new()
    }
}
