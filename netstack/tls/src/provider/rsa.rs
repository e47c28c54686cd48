//! RSA signatures, verified only (RFC 8017, 8.1.2 and 8.2.2): no secret is at hand, so nothing has to take constant time.

use super::verify::Hash;
use crate::der::{self, Reader};
use alloc::vec::Vec;
use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd};

/// Lengths of a modulus that are believed, in bytes: 2048 bits to 8192.
const SIZES: core::ops::RangeInclusive<usize> = 256..=1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Padding {
    Pkcs1,
    Pss,
}

pub(super) struct PublicKey {
    modulus: Odd<BoxedUint>,
    /// Of the modulus.
    bits: usize,
    exponent: u64,
}

impl PublicKey {
    /// Reads an RSAPublicKey.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut outer = Reader::new(bytes);
        let mut key = outer.inner(der::SEQUENCE).ok()?;
        outer.end().ok()?;
        let (modulus, exponent) = (key.unsigned().ok()?, key.unsigned().ok()?);
        key.end().ok()?;
        if !SIZES.contains(&modulus.len()) {
            return None;
        }
        // At least 65537 (FIPS 186-5, 5.1), and no longer than others take.
        let exponent =
            exponent.iter().try_fold(0u64, |sum, byte| Some(sum.checked_mul(256)? | u64::from(*byte)))?;
        if exponent % 2 == 0 || !(65_537..1 << 33).contains(&exponent) {
            return None;
        }
        let bits = modulus.len() * 8 - modulus[0].leading_zeros() as usize;
        let modulus = BoxedUint::from_be_slice(modulus, rounded(modulus.len())).ok()?;
        Some(Self { modulus: Option::from(Odd::new(modulus))?, bits, exponent })
    }

    /// Whether whoever has the private key signed this.
    pub(super) fn verify(&self, padding: Padding, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        let Some(encoded) = self.encoded(signature) else { return false };
        let digest = hash.of(&[message]);
        match padding {
            Padding::Pkcs1 => {
                pkcs1(hash, digest.bytes(), encoded.len()).is_some_and(|expected| expected == encoded)
            }
            Padding::Pss => pss(hash, digest.bytes(), encoded, self.bits - 1),
        }
    }

    /// What was signed, with its padding.
    fn encoded(&self, signature: &[u8]) -> Option<Vec<u8>> {
        let len = self.bits.div_ceil(8);
        if signature.len() != len {
            return None;
        }
        let number = BoxedUint::from_be_slice(signature, rounded(len)).ok()?;
        if number >= *self.modulus.as_ref() {
            return None;
        }
        let params = BoxedMontyParams::new_vartime(self.modulus.clone());
        let base = BoxedMontyForm::new(number, &params);
        let mut power = base.clone();
        // From below the highest bit of the exponent.
        for bit in (0..self.exponent.ilog2()).rev() {
            power = power.square();
            if self.exponent >> bit & 1 == 1 {
                power = power.mul(&base);
            }
        }
        let bytes = power.retrieve().to_be_bytes();
        Some(bytes[bytes.len().checked_sub(len)?..].to_vec())
    }
}

/// Bits of as many whole words as hold these bytes.
fn rounded(bytes: usize) -> u32 {
    (bytes as u32 * 8).next_multiple_of(64)
}

/// EMSA-PKCS1-v1_5: there is one way to write it, so it is compared.
fn pkcs1(hash: Hash, digest: &[u8], len: usize) -> Option<Vec<u8>> {
    /// A DigestInfo up to the digest: the hash is 2.16.840.1.101.3.4.2.`last`.
    fn prefix(last: u8, len: u8) -> [u8; 19] {
        [0x30, 17 + len, 0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, last, 5, 0, 4, len]
    }
    let last = match hash {
        Hash::Sha256 => 1,
        Hash::Sha384 => 2,
        Hash::Sha512 => 3,
    };
    let prefix = prefix(last, digest.len() as u8);
    let padding = len.checked_sub(3 + prefix.len() + digest.len()).filter(|padding| *padding >= 8)?;
    let mut encoded = Vec::with_capacity(len);
    encoded.extend_from_slice(&[0, 1]);
    encoded.resize(2 + padding, 0xff);
    encoded.push(0);
    encoded.extend_from_slice(&prefix);
    encoded.extend_from_slice(digest);
    Some(encoded)
}

/// EMSA-PSS with a salt as long as the digest, as TLS has it (RFC 8446, 4.2.3).
fn pss(hash: Hash, digest: &[u8], mut encoded: Vec<u8>, bits: usize) -> bool {
    let (len, salt) = (bits.div_ceil(8), digest.len());
    // A modulus of one bit more than whole bytes begins with a byte that is empty here.
    if encoded.len() > len && encoded.remove(0) != 0 {
        return false;
    }
    let Some(masked) = len.checked_sub(digest.len() + 1) else { return false };
    if masked < salt + 1 || encoded[len - 1] != 0xbc {
        return false;
    }
    let (block, rest) = encoded.split_at_mut(masked);
    let made = &rest[..digest.len()];
    let spare = 8 * len - bits;
    if block[0] & !(0xff >> spare) != 0 {
        return false;
    }
    // MGF1.
    for (counter, chunk) in (0u32..).zip(block.chunks_mut(digest.len())) {
        let mask = hash.of(&[made, &counter.to_be_bytes()]);
        chunk.iter_mut().zip(mask.bytes()).for_each(|(byte, mask)| *byte ^= mask);
    }
    block[0] &= 0xff >> spare;
    let (zeros, salt) = block.split_at(masked - salt);
    let Some((&1, zeros)) = zeros.split_last() else { return false };
    zeros.iter().all(|byte| *byte == 0) && hash.of(&[&[0; 8], digest, salt]).bytes() == made
}
