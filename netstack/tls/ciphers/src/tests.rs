//! Against those that put ciphers and hashes together themselves.

use crate::{Broken, Cipher};
use aes_gcm::aead::{AeadInOut, KeyInit, Nonce};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use alloc::vec::Vec;
use chacha20poly1305::ChaCha20Poly1305;

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

const ALL: [Cipher; 3] = [Cipher::Aes128, Cipher::Aes256, Cipher::ChaCha20];

fn sealed_by<A: KeyInit + AeadInOut>(key: &[u8], nonce: &[u8], also: &[u8], data: &mut [u8]) -> Vec<u8> {
    let nonce = Nonce::<A>::try_from(nonce).unwrap();
    let keyed = A::new_from_slice(key).unwrap();
    keyed.encrypt_inout_detached(&nonce, also, data.into()).unwrap().to_vec()
}

/// Another's, of every length of all there is.
#[test]
fn it_is_what_others_have_too() {
    for len in (0..600).chain([1000, 4096, 16_384, 16_385]) {
        let seed = len as u8;
        let (key, nonce, also) = (bytes(seed, 32), nonce(seed ^ 1), bytes(seed ^ 2, len % 300));
        let plain = bytes(seed ^ 3, len);
        for cipher in ALL {
            let mut theirs = plain.clone();
            let key = &key[..cipher.key_len()];
            let expected = match cipher {
                Cipher::Aes128 => sealed_by::<Aes128Gcm>(key, &nonce, &also, &mut theirs),
                Cipher::Aes256 => sealed_by::<Aes256Gcm>(key, &nonce, &also, &mut theirs),
                Cipher::ChaCha20 => sealed_by::<ChaCha20Poly1305>(key, &nonce, &also, &mut theirs),
            };
            let ours = cipher.keyed(key);
            let mut data = plain.clone();
            let mut tag = ours.seal(&nonce, &also, &mut data);
            assert_eq!((&data, &tag[..]), (&theirs, &expected[..]), "{cipher:?} {len}");
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
    for cipher in ALL {
        let keyed = cipher.keyed(&bytes(3, cipher.key_len()));
        let (mut also, mut data) = (bytes(1, 13), bytes(2, 40));
        let tag = keyed.seal(&nonce(4), &also, &mut data);
        let mut all = [&also[..], &data, &tag].concat();
        for bit in 0..8 * all.len() {
            all[bit / 8] ^= 1 << (bit % 8);
            also.copy_from_slice(&all[..13]);
            data.copy_from_slice(&all[13..53]);
            let opened = keyed.open(&nonce(4), &also, &mut data, all[53..].try_into().unwrap());
            assert_eq!(opened, Err(Broken), "{cipher:?} {bit}");
            all[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
