//! Ciphers that seal in place. They are a crate of their own, since what is generic in the crates that they come from is compiled
//! as this one is: for speed, in images that are otherwise built for size.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod chacha;
mod gcm;
#[cfg(test)]
mod tests;

use crate::chacha::ChaCha;
use crate::gcm::Gcm;
use aes::cipher::KeyInit;
use aes::cipher::array::{Array, ArraySize};
use aes::{Aes128Enc, Aes256Enc};
use alloc::boxed::Box;
use zeroize::Zeroize;

/// What each of them adds.
pub const TAG: usize = 16;
/// How long each's nonces are.
pub const NONCE: usize = 12;

/// The seal is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// A cipher with its key, which is overwritten when it is dropped.
pub trait Aead: Send + Sync {
    /// Encrypts `data`, and gives what proves that it and `also` are unchanged.
    fn seal(&self, nonce: &[u8; NONCE], also: &[u8], data: &mut [u8]) -> [u8; TAG];
    /// Undoes that. If the seal is broken, nobody can tell what was in `data` any more.
    fn open(&self, nonce: &[u8; NONCE], also: &[u8], data: &mut [u8], tag: &[u8; TAG]) -> Result<(), Broken>;
}

/// Which cipher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// AES-128-GCM.
    Aes128,
    /// AES-256-GCM.
    Aes256,
    /// ChaCha20-Poly1305.
    ChaCha20,
}

impl Cipher {
    /// How many bytes its keys are.
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes256 | Self::ChaCha20 => 32,
        }
    }

    /// With a key of that length.
    pub fn keyed(self, key: &[u8]) -> Box<dyn Aead> {
        match self {
            Self::Aes128 => Box::new(Gcm::new(keyed::<Aes128Enc>(key))),
            Self::Aes256 => Box::new(Gcm::new(keyed::<Aes256Enc>(key))),
            Self::ChaCha20 => Box::new(ChaCha::new(key)),
        }
    }
}

fn keyed<A: KeyInit>(key: &[u8]) -> A {
    let mut key = whole(key);
    let keyed = A::new(&key);
    key.zeroize();
    keyed
}

/// A key of the length that is called for.
fn whole<N: ArraySize>(key: &[u8]) -> Array<u8, N> {
    let mut whole = Array::default();
    let len = whole.len().min(key.len());
    whole[..len].copy_from_slice(&key[..len]);
    whole
}

/// Mixes data with as much of what a cipher gives.
#[inline(always)]
fn mix(data: &mut [u8], with: &[u8]) {
    const WIDE: usize = 16;
    let ((data, rest), (with, rest_with)) = (data.as_chunks_mut::<WIDE>(), with.as_chunks::<WIDE>());
    // Whatever is not the end has its other in the same place.
    let rest_with = with.get(data.len()).map_or(rest_with, |wide| wide);
    for (data, with) in data.iter_mut().zip(with) {
        *data = (u128::from_ne_bytes(*data) ^ u128::from_ne_bytes(*with)).to_ne_bytes();
    }
    for (data, with) in rest.iter_mut().zip(rest_with) {
        *data ^= with;
    }
}
