//! Bytes that look random, and that anybody can make again from a seed and a place.

/// A number from which many others come, each once (SplitMix64).
pub fn mix(seed: u64, index: u64) -> u64 {
    let z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Fills `bytes` with what belongs at `offset`, a multiple of 8.
pub fn fill(seed: u64, offset: u64, bytes: &mut [u8]) {
    for (index, word) in (offset / 8..).zip(bytes.chunks_mut(8)) {
        let value = mix(seed, index).to_le_bytes();
        word.copy_from_slice(&value[..word.len()]);
    }
}

/// The offset of the first byte that is not what belongs there, if there is one.
pub fn difference(seed: u64, offset: u64, bytes: &[u8]) -> Option<u64> {
    for (index, word) in (offset / 8..).zip(bytes.chunks(8)) {
        let value = mix(seed, index).to_le_bytes();
        if let Some(at) = word.iter().zip(&value).position(|(is, should)| is != should) {
            return Some(index * 8 + at as u64);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_piece_is_the_same_as_in_the_whole_and_a_wrong_byte_is_found() {
        let mut whole = [0; 100];
        fill(7, 40, &mut whole);
        let mut piece = [0; 20];
        fill(7, 64, &mut piece);
        assert_eq!(piece, whole[24..44]);
        assert_eq!(difference(7, 40, &whole), None);
        assert_eq!(difference(8, 40, &whole), Some(40));
        whole[77] ^= 1;
        assert_eq!(difference(7, 40, &whole), Some(117));
    }
}
