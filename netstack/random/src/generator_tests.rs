//! Against RFC 8439, against a model that is written from it, and what must not be left in memory.

use super::*;
use fata_sim::Rng;

/// The ChaCha20 block function of RFC 8439, section 2.3, with a nonce of zero.
fn block(key: &[u8; 32], counter: u32) -> [u8; 64] {
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
    let mut start = [0u32; 16];
    start[..4].copy_from_slice(&[0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]);
    (0..8).for_each(|i| start[4 + i] = word(&key[4 * i..][..4]));
    start[12] = counter;
    let mut state = start;
    let mut quarter = |a: usize, b: usize, c: usize, d: usize| {
        for (to, add, turned, by) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)] {
            state[to] = state[to].wrapping_add(state[add]);
            state[turned] = (state[turned] ^ state[to]).rotate_left(by);
        }
    };
    for _ in 0..10 {
        (0..4).for_each(|i| quarter(i, 4 + i, 8 + i, 12 + i));
        (0..4).for_each(|i| quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4));
    }
    let mut bytes = [0; 64];
    for (i, (word, start)) in state.iter().zip(&start).enumerate() {
        bytes[4 * i..][..4].copy_from_slice(&word.wrapping_add(*start).to_le_bytes());
    }
    bytes
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

/// RFC 8439, appendix A.1, vectors 1 and 2: blocks 0 and 1 of the key that is zero.
const ZERO_KEY: [&str; 2] = [
    "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7\
     da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586",
    "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed\
     29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f",
];

#[test]
fn the_key_that_is_zero_makes_what_the_rfc_says() {
    let known: Vec<u8> = ZERO_KEY.iter().flat_map(|text| hex(text)).collect();
    assert_eq!([block(&[0; 32], 0), block(&[0; 32], 1)].concat(), known);
    let mut generator = Generator::new([0; 32]);
    let mut drawn = [0; 96];
    generator.fill(&mut drawn);
    assert_eq!((&generator.key[..], &drawn[..]), (&known[..32], &known[32..]));
}

/// The whole generator, the slow way.
#[derive(Default)]
struct Model {
    key: [u8; 32],
    pool: [u8; 32],
    left: Vec<u8>,
}

impl Model {
    fn mixed(state: [u8; 32], input: &[u8]) -> [u8; 32] {
        let mut state = state;
        input.iter().enumerate().for_each(|(i, byte)| state[i] ^= byte);
        block(&state, 0)[..32].try_into().unwrap()
    }

    fn add(&mut self, kind: u8, input: &[u8]) {
        let mut all = vec![kind];
        all.extend(&(input.len() as u64).to_le_bytes()[..7]);
        all.extend(input);
        all.chunks(32).for_each(|chunk| self.pool = Self::mixed(self.pool, chunk));
    }

    fn reseed(&mut self) {
        let output = block(&self.pool, 0);
        self.pool.copy_from_slice(&output[..32]);
        self.key = Self::mixed(self.key, &output[32..]);
        self.left.clear();
    }

    fn draw(&mut self) -> u8 {
        if self.left.is_empty() {
            let output: Vec<u8> = (0..4).flat_map(|counter| block(&self.key, counter)).collect();
            self.key.copy_from_slice(&output[..32]);
            self.left = output[32..].to_vec();
        }
        self.left.remove(0)
    }
}

#[test]
fn the_generator_is_in_step_with_a_model() {
    let (mut rng, mut generator, mut model) = (Rng::new(), Generator::new([0; 32]), Model::default());
    for _ in 0..if cfg!(miri) { 30 } else { 2000 } {
        match rng.within(0..4) {
            0 => {
                let len = rng.within(0..100);
                let (kind, input) = (rng.number() as u8, rng.bytes(len));
                generator.add(kind, &input);
                model.add(kind, &input);
            }
            1 if rng.within(0..4) == 0 => {
                generator.reseed();
                model.reseed();
            }
            _ => {
                let mut drawn = vec![0; rng.within(0..300)];
                generator.fill(&mut drawn);
                assert!(drawn.iter().all(|byte| *byte == model.draw()));
            }
        }
        assert_eq!((generator.key, generator.pool), (model.key, model.pool));
    }
}

/// Everything a generator has in memory.
fn memory(generator: &Generator) -> Vec<u8> {
    [&generator.key[..], &generator.output, &generator.pool].concat()
}

#[test]
fn what_is_in_memory_does_not_say_what_was_drawn() {
    let mut rng = Rng::new();
    let mut generator = Generator::new(rng.bytes(32).try_into().unwrap());
    let mut drawn: Vec<u8> = Vec::new();
    let mut keys = Vec::new();
    for _ in 0..if cfg!(miri) { 10 } else { 100 } {
        keys.push(generator.key);
        let mut bytes = vec![0; rng.within(8..40)];
        generator.fill(&mut bytes);
        drawn.extend(bytes);
        let memory = memory(&generator);
        // Eight bytes in a row are the same by chance once in 2^64.
        let said = drawn.windows(8).rev().take(300).any(|old| memory.windows(8).any(|new| new == old));
        assert!(!said, "a drawn number is still there");
        assert!(generator.output[..generator.drawn].iter().all(|byte| *byte == 0));
        let old = keys.iter().filter(|key| **key != generator.key);
        assert!(!old.into_iter().any(|key| memory.windows(32).any(|new| new == key)), "an old key is there");
    }
}

#[test]
fn what_is_added_changes_all_that_follows_and_is_not_left_in_memory() {
    let draw = |inputs: &[(u8, &[u8])]| {
        let mut generator = Generator::new([9; 32]);
        for (kind, input) in inputs {
            generator.add(*kind, input);
            assert!(!memory(&generator).windows(input.len().max(4)).any(|bytes| bytes == *input));
        }
        generator.reseed();
        let mut bytes = [0; 32];
        generator.fill(&mut bytes);
        bytes
    };
    // The same bytes, cut or named differently, are something else.
    let all: [&[(u8, &[u8])]; 7] = [
        &[],
        &[(1, b"entropy")],
        &[(2, b"entropy")],
        &[(1, b"entr"), (1, b"opy!")],
        &[(1, b"entropy!")],
        &[(1, b"entropy\0")],
        &[(1, &[7; 64])],
    ];
    let drawn = all.map(draw);
    for (i, one) in drawn.iter().enumerate() {
        assert!(drawn[..i].iter().all(|other| other != one), "{i}");
    }
}

#[test]
fn nobody_who_adds_can_undo_what_was_added() {
    // What an enemy adds, were it the state itself, leaves two states different.
    let mut rng = Rng::new();
    for _ in 0..if cfg!(miri) { 3 } else { 200 } {
        let (mut a, mut b) = (Generator::new([0; 32]), Generator::new([0; 32]));
        a.add(1, &rng.bytes(32));
        b.add(1, &rng.bytes(32));
        let enemy = a.pool;
        a.add(2, &enemy);
        b.add(2, &enemy);
        a.reseed();
        b.reseed();
        assert_ne!(a.key, b.key);
    }
}

#[test]
fn a_reseed_adds_to_the_key_and_replaces_nothing() {
    let after = |key: u8, input: &[u8]| {
        let mut generator = Generator::new([key; 32]);
        generator.add(1, input);
        generator.reseed();
        generator.key
    };
    // Another key with the same input, and another input with the same key, are both another state.
    assert_ne!(after(1, b"same"), after(2, b"same"));
    assert_ne!(after(1, b"same"), after(1, b"else"));
    let mut generator = Generator::new([1; 32]);
    let mut first = [0; 8];
    generator.fill(&mut first);
    let buffered: Vec<u8> = generator.output[generator.drawn..].to_vec();
    generator.add(1, b"more");
    generator.reseed();
    let mut next = [0; 64];
    generator.fill(&mut next);
    assert_ne!(next[..], buffered[..64], "made of the old key");
}
