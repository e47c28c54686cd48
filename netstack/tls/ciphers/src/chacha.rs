//! ChaCha20 with Poly1305 (RFC 8439), of the crates' cipher and hash. Those that put the two together mix byte by byte, and have
//! eight blocks made for the hash's key and for each that is left at the end, of which they use one.

use crate::{Aead, Broken, NONCE, TAG, mix};
use chacha20::cipher::{Block, KeyIvInit, StreamCipherCore};
use chacha20::variants::Ietf;
use chacha20::{ChaChaCore, Key, R20};
use poly1305::Poly1305;
use poly1305::universal_hash::{KeyInit, UniversalHash};
use zeroize::Zeroize;

type Core = ChaChaCore<R20, Ietf>;

/// Bytes of a block.
const BLOCK: usize = 64;
/// Blocks that are made at once.
const LANES: usize = 8;
const PIECE: usize = BLOCK * LANES;
/// Of the hash's key, with which a block begins that is used for nothing else.
const KEY: usize = 32;
/// Data in the piece that has the key.
const FIRST: usize = PIECE - BLOCK;

/// With its key, which is overwritten when it is dropped.
pub(crate) struct ChaCha(Key);

impl ChaCha {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self(crate::whole(key))
    }

    /// Goes over all of it, and gives what proves that it is unchanged. What is hashed is what others see.
    fn run(&self, nonce: &[u8; NONCE], also: &[u8], data: &mut [u8], is_sealing: bool) -> u128 {
        let mut core = Core::new(&self.0, nonce.into());
        let mut lanes = [Block::<Core>::default(); LANES];
        core.write_keystream_blocks(&mut lanes);
        let mut key = poly1305::Key::default();
        key.copy_from_slice(&lanes[0][..KEY]);
        let mut hash = Poly1305::new(&key);
        key.zeroize();
        hash.update_padded(also);
        let len = data.len();
        let mut part = |data: &mut [u8], lanes: &[Block<Core>]| {
            if !is_sealing {
                hash.update_padded(data);
            }
            for (data, lane) in data.chunks_mut(BLOCK).zip(lanes) {
                mix(data, lane);
            }
            if is_sealing {
                hash.update_padded(data);
            }
        };
        let (first, rest) = data.split_at_mut(len.min(FIRST));
        part(first, &lanes[1..]);
        for piece in rest.chunks_mut(PIECE) {
            core.write_keystream_blocks(&mut lanes);
            part(piece, &lanes);
        }
        let mut lengths = poly1305::Block::default();
        lengths[..8].copy_from_slice(&(also.len() as u64).to_le_bytes());
        lengths[8..].copy_from_slice(&(len as u64).to_le_bytes());
        hash.update(&[lengths]);
        u128::from_ne_bytes(hash.finalize().into())
    }
}

impl Aead for ChaCha {
    fn seal(&self, nonce: &[u8; NONCE], also: &[u8], data: &mut [u8]) -> [u8; TAG] {
        self.run(nonce, also, data, true).to_ne_bytes()
    }

    fn open(&self, nonce: &[u8; NONCE], also: &[u8], data: &mut [u8], tag: &[u8; TAG]) -> Result<(), Broken> {
        // All of it at once, so that how long it takes says nothing.
        if self.run(nonce, also, data, false) == u128::from_ne_bytes(*tag) {
            return Ok(());
        }
        // Nobody is to see what it might have said.
        data.fill(0);
        Err(Broken)
    }
}

impl Drop for ChaCha {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
