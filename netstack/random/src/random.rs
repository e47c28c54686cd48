//! Drawing numbers.

use crate::entropy::Entropy;
use crate::generator::Generator;
use core::fmt;

/// Draws numbers that nobody can foresee. Clones draw from the same state, and never the same.
#[derive(Clone)]
pub struct Random(pub(crate) Entropy);

impl Random {
    /// For tests, which want the same each time: whoever knows `number` knows everything.
    pub fn known(number: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_le_bytes());
        Self(Entropy::on(Generator::new(key), true))
    }

    /// What it is seeded with, to which more may be added.
    pub fn entropy(&self) -> &Entropy {
        &self.0
    }

    /// Fills with bytes.
    pub fn fill(&self, into: &mut [u8]) {
        self.0.with(|state| state.generator.fill(into));
    }

    /// An array of bytes: a key, a nonce.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// Any number.
    pub fn number(&self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    /// A number below `limit`, each as likely as the others; zero below zero.
    pub fn below(&self, limit: u64) -> u64 {
        let Some(most) = limit.checked_sub(1).filter(|most| *most > 0) else { return 0 };
        // Half of them fit, or more.
        let mask = u64::MAX >> most.leading_zeros();
        loop {
            let number = self.number() & mask;
            if number < limit {
                return number;
            }
        }
    }

    /// A port of those that RFC 6335 leaves to clients.
    pub fn port(&self) -> u16 {
        let [a, b] = self.bytes();
        49_152 | u16::from_le_bytes([a, b]) & 0x3fff
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Random").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn clones_never_draw_the_same() {
        let random = Random::known(1);
        let other = random.clone();
        let mut seen = HashSet::new();
        for _ in 0..1000 {
            assert!(seen.insert(random.number()) && seen.insert(other.number()));
        }
    }

    #[test]
    fn numbers_below_a_limit_are_spread_evenly() {
        let random = Random::known(2);
        assert_eq!((random.below(0), random.below(1)), (0, 0));
        assert!((0..1000).all(|_| random.below(u64::MAX / 2 + 2) <= u64::MAX / 2 + 1));
        for limit in [2, 3, 5, 16, 100] {
            let mut counts = vec![0u32; limit];
            (0..limit * 1000).for_each(|_| counts[random.below(limit as u64) as usize] += 1);
            // Six times the standard deviation.
            assert!(counts.iter().all(|count| count.abs_diff(1000) < 190), "{limit}: {counts:?}");
        }
    }

    #[test]
    fn ports_are_those_of_clients_and_all_of_them() {
        let random = Random::known(3);
        let seen: HashSet<_> = (0..16_384 * 20).map(|_| random.port()).collect();
        assert_eq!((seen.len(), seen.iter().min()), (16_384, Some(&49_152)));
    }
}
