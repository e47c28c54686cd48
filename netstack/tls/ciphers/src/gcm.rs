//! AES in Galois/counter mode (NIST SP 800-38D), of the block cipher and the hash that crates have with a CPU's instructions.
//! Those that put the two together take seven instructions for a byte where this takes two and a half: they mix in what
//! the cipher gives byte by byte, since what is encrypted might overlap with what comes of it, and turn blocks around in the same way.

use crate::{Aead, Broken, NONCE, TAG};
use aes::cipher::consts::U16;
use aes::cipher::{BlockCipherEncrypt, BlockSizeUser, KeyInit};
use polyval::universal_hash::UniversalHash;
use polyval::{Block, Polyval};
use zeroize::Zeroize;

/// Bytes of a block.
const BLOCK: usize = 16;
/// Blocks that are worked on at once.
const LANES: usize = 16;
/// Their bytes.
const PIECE: usize = BLOCK * LANES;
/// What x^128 is in POLYVAL's field (RFC 8452 section 3).
const REDUCED: u128 = 0xc200_0000_0000_0000_0000_0000_0000_0001;

/// AES of either length with its key, which is overwritten when it is dropped.
pub(crate) struct Gcm<A> {
    aes: A,
    /// Of nothing yet.
    hash: Polyval,
}

impl<A: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + KeyInit> Gcm<A> {
    pub(crate) fn new(aes: A) -> Self {
        let mut key = Block::default();
        aes.encrypt_block(&mut key);
        // GHASH is POLYVAL with its bytes turned around and its key times x (RFC 8452 appendix A).
        let turned = u128::from_be_bytes(key.into());
        let mut times_x =
            Block::from(((turned << 1) ^ (REDUCED & (turned >> 127).wrapping_neg())).to_le_bytes());
        let hash = Polyval::new(&times_x);
        key.zeroize();
        times_x.zeroize();
        Self { aes, hash }
    }

    /// What hides the tag, and what the data are hidden with.
    fn begin(&self, nonce: &[u8; NONCE]) -> (u128, Stream<'_, A>) {
        let mut block = Block::default();
        block[..NONCE].copy_from_slice(nonce);
        let mut stream = Stream { aes: &self.aes, first: block, count: 2 };
        block[BLOCK - 1] = 1;
        stream.aes.encrypt_block(&mut block);
        stream.first[NONCE..].fill(0);
        (u128::from_ne_bytes(block.into()), stream)
    }

    fn tag(mask: u128, mut hash: Polyval, also: usize, data: usize) -> u128 {
        let bits = |bytes: usize| 8 * bytes as u64;
        hash.update(&[Block::from((u128::from(bits(also)) << 64 | u128::from(bits(data))).to_le_bytes())]);
        let hashed: [u8; BLOCK] = hash.finalize().into();
        mask ^ u128::from_ne_bytes(u128::from_le_bytes(hashed).to_be_bytes())
    }
}

impl<A> Aead for Gcm<A>
where
    A: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + KeyInit + Send + Sync,
{
    fn seal(&self, nonce: &[u8; NONCE], also: &[u8], data: &mut [u8]) -> [u8; TAG] {
        let (mask, mut stream) = self.begin(nonce);
        let mut hash = self.hash.clone();
        take_all(&mut hash, also);
        let (pieces, rest) = data.as_chunks_mut::<PIECE>();
        for piece in pieces {
            stream.mix(piece, LANES);
            take(&mut hash, piece, LANES);
        }
        stream.mix_rest(rest);
        take_rest(&mut hash, rest);
        Self::tag(mask, hash, also.len(), data.len()).to_ne_bytes()
    }

    fn open(&self, nonce: &[u8; NONCE], also: &[u8], data: &mut [u8], tag: &[u8; TAG]) -> Result<(), Broken> {
        let (mask, mut stream) = self.begin(nonce);
        let mut hash = self.hash.clone();
        take_all(&mut hash, also);
        let (pieces, rest) = data.as_chunks_mut::<PIECE>();
        for piece in pieces {
            take(&mut hash, piece, LANES);
            stream.mix(piece, LANES);
        }
        take_rest(&mut hash, rest);
        stream.mix_rest(rest);
        // All of it at once, so that how long it takes says nothing.
        if Self::tag(mask, hash, also.len(), data.len()) == u128::from_ne_bytes(*tag) {
            return Ok(());
        }
        // Nobody is to see what it might have said.
        data.fill(0);
        Err(Broken)
    }
}

/// What data are hidden with, and brought to light again.
struct Stream<'a, A> {
    aes: &'a A,
    /// Without its count.
    first: Block,
    count: u32,
}

impl<A: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>> Stream<'_, A> {
    /// Mixes so many blocks of a piece with what comes next.
    #[inline(always)]
    fn mix(&mut self, piece: &mut [u8; PIECE], count: usize) {
        let mut lanes = [self.first; LANES];
        let lanes = &mut lanes[..count];
        for lane in &mut *lanes {
            lane[NONCE..].copy_from_slice(&self.count.to_be_bytes());
            self.count = self.count.wrapping_add(1);
        }
        self.aes.encrypt_blocks(lanes);
        for (block, lane) in piece.as_chunks_mut::<BLOCK>().0.iter_mut().zip(lanes) {
            *block = (u128::from_ne_bytes(*block) ^ u128::from_ne_bytes((*lane).into())).to_ne_bytes();
        }
    }

    /// What is less than a piece, which is the last.
    fn mix_rest(&mut self, rest: &mut [u8]) {
        let mut piece = [0; PIECE];
        piece[..rest.len()].copy_from_slice(rest);
        self.mix(&mut piece, rest.len().div_ceil(BLOCK));
        rest.copy_from_slice(&piece[..rest.len()]);
    }
}

/// Takes so many blocks of a piece into a hash.
#[inline(always)]
fn take(hash: &mut Polyval, piece: &[u8; PIECE], count: usize) {
    let mut turned = [Block::default(); LANES];
    let turned = &mut turned[..count];
    for (to, from) in turned.iter_mut().zip(piece.as_chunks::<BLOCK>().0) {
        *to = u128::from_be_bytes(*from).to_le_bytes().into();
    }
    hash.update(turned);
}

/// Takes what is no more than a piece, filled up with zeros to a whole block.
fn take_rest(hash: &mut Polyval, rest: &[u8]) {
    let mut piece = [0; PIECE];
    piece[..rest.len()].copy_from_slice(rest);
    take(hash, &piece, rest.len().div_ceil(BLOCK));
}

/// Takes as much as there is, filled up with zeros to a whole block.
fn take_all(hash: &mut Polyval, all: &[u8]) {
    for rest in all.chunks(PIECE) {
        take_rest(hash, rest);
    }
}

#[cfg(test)]
mod tests {
    use crate::{Broken, Cipher};
    use aes_gcm::aead::{AeadInOut, KeyInit};
    use aes_gcm::{Aes128Gcm, Aes256Gcm};
    use alloc::vec::Vec;

    /// Numbers that look as if they had been drawn.
    fn bytes(seed: u8, len: usize) -> Vec<u8> {
        let mut state = u32::from(seed).wrapping_mul(0x9e37_79b9) | 1;
        let mut draw = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 11) as u8
        };
        (0..len).map(|_| draw()).collect()
    }

    fn nonce(seed: u8) -> [u8; 12] {
        bytes(seed, 12).try_into().unwrap()
    }

    /// Another's, of every length of all there is.
    #[test]
    fn it_is_what_others_have_too() {
        for len in (0..600).chain([1000, 4096, 16_384, 16_385]) {
            let seed = len as u8;
            let (key, nonce, also) = (bytes(seed, 32), nonce(seed ^ 1), bytes(seed ^ 2, len % 300));
            let plain = bytes(seed ^ 3, len);
            for cipher in [Cipher::Aes128, Cipher::Aes256] {
                let mut theirs = plain.clone();
                let expected =
                    match cipher {
                        Cipher::Aes128 => Aes128Gcm::new_from_slice(&key[..16])
                            .unwrap()
                            .encrypt_inout_detached(&nonce.into(), &also, theirs.as_mut_slice().into()),
                        _ => Aes256Gcm::new_from_slice(&key).unwrap().encrypt_inout_detached(
                            &nonce.into(),
                            &also,
                            theirs.as_mut_slice().into(),
                        ),
                    };
                let ours = cipher.keyed(&key[..cipher.key_len()]);
                let mut data = plain.clone();
                let mut tag = ours.seal(&nonce, &also, &mut data);
                assert_eq!((&data, &tag[..]), (&theirs, &expected.unwrap()[..]), "{cipher:?} {len}");
                assert_eq!(ours.open(&nonce, &also, &mut data, &tag), Ok(()));
                assert_eq!(data, plain);
                tag[len % 16] ^= 1 << (len % 8);
                assert_eq!(ours.open(&nonce, &also, &mut theirs, &tag), Err(Broken));
                assert!(theirs.iter().all(|byte| *byte == 0));
            }
        }
    }

    /// Whatever is changed of it is noticed.
    #[test]
    fn no_bit_can_be_turned() {
        let sealed = |also: &mut Vec<u8>, data: &mut Vec<u8>| {
            (*also, *data) = (bytes(1, 13), bytes(2, 40));
            Cipher::Aes128.keyed(&bytes(3, 16)).seal(&nonce(4), also, data)
        };
        let (mut also, mut data) = (Vec::new(), Vec::new());
        for bit in 0..8 * (13 + 40 + 16) {
            let mut tag = sealed(&mut also, &mut data);
            let (byte, turned) = (bit / 8, 1 << (bit % 8));
            match byte {
                0..13 => also[byte] ^= turned,
                13..53 => data[byte - 13] ^= turned,
                _ => tag[byte - 53] ^= turned,
            }
            let opened = Cipher::Aes128.keyed(&bytes(3, 16)).open(&nonce(4), &also, &mut data, &tag);
            assert_eq!(opened, Err(Broken), "{bit}");
        }
    }
}
