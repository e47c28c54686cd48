//! Broken device trees, the same ones for the same seed.

/// Names the seed to use in place of a random one.
const VARIABLE: &str = "FATA_SEED";

/// From the environment, or of the moment.
pub(crate) fn seed() -> u64 {
    let given = std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |n| n.subsec_nanos().into())
    })
}

/// SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The same after so many numbers.
    pub(crate) fn at(seed: u64, index: u64) -> Self {
        Self(seed.wrapping_add(index.wrapping_mul(Self::STEP)))
    }

    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(Self::STEP);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// `tree` with one to eight things wrong.
pub(crate) fn mutant(tree: &[u8], random: &mut Random) -> Vec<u8> {
    const NUMBERS: [u32; 8] = [0, 1, 2, 9, 0x7fff_ffff, 0x8000_0000, 0xffff_fff0, u32::MAX];
    let mut blob = tree.to_vec();
    for _ in 0..=random.below(8) {
        // The header's ten words decide most, so each tenth mistake is there.
        let limit = if random.below(10) == 0 { 40 } else { blob.len() };
        let at = random.below(limit.min(blob.len()).max(1));
        match random.below(4) {
            0 => blob[at] ^= 1 << random.below(8),
            1 => blob[at] = random.next() as u8,
            2 => {
                let number = NUMBERS[random.below(NUMBERS.len())].to_be_bytes();
                let at = at / 4 * 4;
                let end = (at + 4).min(blob.len());
                blob[at..end].copy_from_slice(&number[..end - at]);
            }
            _ => {
                let end = (at + 1 + random.below(64)).min(blob.len());
                let from = random.below(blob.len() - (end - at) + 1);
                blob.copy_within(from..from + (end - at), at);
            }
        }
    }
    blob
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_mistakes() {
        let tree = Random::new(7).bytes(500);
        let mut different = 0;
        for seed in 0..100 {
            let one = mutant(&tree, &mut Random::new(seed));
            assert_eq!(one, mutant(&tree, &mut Random::new(seed)));
            assert_eq!(one.len(), tree.len());
            different += usize::from(one != tree);
        }
        assert!(different > 90);
    }
}
