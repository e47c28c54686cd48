//! Randomness for rustls, which wants it from a static.
//!
//! Each step of a handshake first draws a key from the [`Random`] at hand, and what the step needs comes of that key
//! alone. So it is as hard to guess as that, and the same whenever that is the same.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use fata_random::Random;
use rustls::crypto::{GetRandomFailed, SecureRandom};
use spin::Mutex;
use zeroize::Zeroize;

static STEP: Mutex<Option<ChaCha20Rng>> = Mutex::new(None);

/// Begins a step.
pub(crate) fn begin(random: &Random) {
    let mut seed: [u8; 32] = random.bytes();
    *STEP.lock() = Some(ChaCha20Rng::from_seed(seed));
    seed.zeroize();
}

/// Fills with what is drawn in this step.
pub(crate) fn fill(into: &mut [u8]) -> Result<(), GetRandomFailed> {
    STEP.lock().as_mut().ok_or(GetRandomFailed)?.fill_bytes(into);
    Ok(())
}

/// What [`fill`] gives.
#[derive(Debug)]
pub(crate) struct Drawn;

impl SecureRandom for Drawn {
    fn fill(&self, into: &mut [u8]) -> Result<(), GetRandomFailed> {
        fill(into)
    }
}
