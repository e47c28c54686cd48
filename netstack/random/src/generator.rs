//! ChaCha20 with fast key erasure, and a pool that fills the key.

use chacha20::rand_core::SeedableRng;
use chacha20::rand_core::block::Generator as _;
use chacha20::variants::Legacy;
use chacha20::{ChaChaCore, R20};
use zeroize::Zeroize;

const KEY: usize = 32;
/// What ChaCha20 makes of a key at a time: four blocks, in parallel where there are vectors.
const OUTPUT: usize = 256;

/// The first output under a key, which is used once.
fn expand(key: &[u8; KEY], into: &mut [u8; OUTPUT]) {
    let mut words = [0u32; OUTPUT / 4];
    ChaChaCore::<R20, Legacy>::from_seed(*key).generate(&mut words);
    for (bytes, word) in into.as_chunks_mut().0.iter_mut().zip(&words) {
        *bytes = word.to_le_bytes();
    }
    words.zeroize();
}

/// Puts something into a state that cannot be taken out again.
fn mix(state: &mut [u8; KEY], input: &[u8]) {
    for (byte, other) in state.iter_mut().zip(input) {
        *byte ^= other;
    }
    let mut output = [0; OUTPUT];
    expand(state, &mut output);
    state.copy_from_slice(&output[..KEY]);
    output.zeroize();
}

/// What numbers come from.
pub(crate) struct Generator {
    key: [u8; KEY],
    /// What is left to draw is at its end; zero before that.
    output: [u8; OUTPUT],
    drawn: usize,
    /// What was added since it last went into the key.
    pool: [u8; KEY],
}

impl Generator {
    /// Whoever knows `key` knows what comes of it.
    pub(crate) const fn new(key: [u8; KEY]) -> Self {
        Self { key, output: [0; OUTPUT], drawn: OUTPUT, pool: [0; KEY] }
    }

    /// Takes input into the pool. Inputs that differ in kind or length differ, however they are cut.
    pub(crate) fn add(&mut self, kind: u8, input: &[u8]) {
        let mut first = [0; KEY];
        let (head, rest) = first.split_at_mut(8);
        head.copy_from_slice(&((input.len() as u64) << 8 | u64::from(kind)).to_le_bytes());
        let (start, input) = input.split_at(input.len().min(rest.len()));
        rest[..start.len()].copy_from_slice(start);
        mix(&mut self.pool, &first);
        first.zeroize();
        input.chunks(KEY).for_each(|chunk| mix(&mut self.pool, chunk));
    }

    /// Takes the pool into the key.
    pub(crate) fn reseed(&mut self) {
        let mut output = [0; OUTPUT];
        expand(&self.pool, &mut output);
        let (next, rest) = output.split_at(KEY);
        self.pool.copy_from_slice(next);
        mix(&mut self.key, &rest[..KEY]);
        output.zeroize();
        // What was made of the old key is not to be drawn.
        self.output.zeroize();
        self.drawn = OUTPUT;
    }

    /// Draws bytes.
    pub(crate) fn fill(&mut self, into: &mut [u8]) {
        let mut filled = 0;
        while filled < into.len() {
            if self.drawn == OUTPUT {
                expand(&self.key, &mut self.output);
                let (next, _) = self.output.split_at_mut(KEY);
                self.key.copy_from_slice(next);
                next.zeroize();
                self.drawn = KEY;
            }
            let left = &mut self.output[self.drawn..];
            let len = left.len().min(into.len() - filled);
            into[filled..][..len].copy_from_slice(&left[..len]);
            left[..len].zeroize();
            (self.drawn, filled) = (self.drawn + len, filled + len);
        }
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        self.key.zeroize();
        self.output.zeroize();
        self.pool.zeroize();
    }
}

#[cfg(test)]
#[path = "generator_tests.rs"]
mod tests;
