//! Ciphers that seal in place. They are a crate of their own, since what is generic in the crates that they come from is compiled
//! as this one is: for speed, in images that are otherwise built for size.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod gcm;

use crate::gcm::Gcm;
use aes::{Aes128Enc, Aes256Enc};
use alloc::boxed::Box;
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::aead::{AeadInOut, Key, KeyInit, Nonce, Tag};
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
            Self::ChaCha20 => Box::new(Keyed(keyed::<ChaCha20Poly1305>(key))),
        }
    }
}

fn keyed<A: KeyInit>(key: &[u8]) -> A {
    let mut whole = Key::<A>::default();
    let len = whole.len().min(key.len());
    whole[..len].copy_from_slice(&key[..len]);
    let keyed = A::new(&whole);
    whole[..].zeroize();
    keyed
}

struct Keyed<A>(A);

impl<A: AeadInOut + Send + Sync> Aead for Keyed<A>
where
    for<'a> &'a Nonce<A>: From<&'a [u8; NONCE]>,
    for<'a> &'a Tag<A>: From<&'a [u8; TAG]>,
{
    fn seal(&self, nonce: &[u8; NONCE], also: &[u8], data: &mut [u8]) -> [u8; TAG] {
        let mut tag = [0; TAG];
        match self.0.encrypt_inout_detached(nonce.into(), also, InOutBuf::from(&mut *data)) {
            Ok(sealed) => tag.copy_from_slice(&sealed),
            // Beyond 64 GiB only; then nothing is said rather than something in the clear.
            Err(_) => data.fill(0),
        }
        tag
    }

    fn open(&self, nonce: &[u8; NONCE], also: &[u8], data: &mut [u8], tag: &[u8; TAG]) -> Result<(), Broken> {
        self.0
            .decrypt_inout_detached(nonce.into(), also, InOutBuf::from(data), tag.into())
            .map_err(|_| Broken)
    }
}
