//! Whether bytes are moved and summed as they should be: a machine has its own routines for that.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::hint::black_box;
use xen_hyp::mem::sum_of_words;

/// Bytes around what is moved.
const MARGIN: usize = 96;
/// Beyond each way of doing it, and some in rounds of many.
const LENGTHS: [usize; 9] = [511, 512, 513, 576, 577, 640, 1024, 1025, 4099];

/// Copies, moves and fills of every length up to some hundred bytes, at every alignment.
pub(crate) fn check() -> Result<(), String> {
    let pattern: Vec<u8> = (0..16_384u32).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
    for len in (0..300).chain(LENGTHS) {
        for (from, to) in [(0, 0), (1, 0), (0, 1), (3, 8), (7, 5), (8, 15), (16, 16), (9, 2)] {
            copied(&pattern, len, from, to)?;
            summed(&pattern[from..from + len])?;
            filled(len, to)?;
        }
        for distance in [0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 95] {
            moved(&pattern, len, MARGIN + distance, MARGIN)?;
            moved(&pattern, len, MARGIN, MARGIN + distance)?;
        }
    }
    Ok(())
}

fn copied(pattern: &[u8], len: usize, from: usize, to: usize) -> Result<(), String> {
    let mut into = vec![0xa5; len + 2 * MARGIN];
    let at = MARGIN + to;
    into[at..at + black_box(len)].copy_from_slice(&pattern[from..from + len]);
    let right = |n: usize| if (at..at + len).contains(&n) { pattern[from + n - at] } else { 0xa5 };
    compare("copy", len, from, to, &into, right)
}

fn moved(pattern: &[u8], len: usize, from: usize, to: usize) -> Result<(), String> {
    let mut bytes = pattern[..len + 3 * MARGIN].to_vec();
    bytes.copy_within(from..from + black_box(len), to);
    let right = |n: usize| if (to..to + len).contains(&n) { pattern[from + n - to] } else { pattern[n] };
    compare("move", len, from, to, &bytes, right)
}

fn filled(len: usize, to: usize) -> Result<(), String> {
    let mut bytes = vec![0xa5; len + 2 * MARGIN];
    let at = MARGIN + to;
    bytes[at..at + black_box(len)].fill(black_box(0x3c));
    let right = |n: usize| if (at..at + len).contains(&n) { 0x3c } else { 0xa5 };
    compare("fill", len, 0, to, &bytes, right)
}

fn summed(bytes: &[u8]) -> Result<(), String> {
    let fold = |sum: u64| (0..4).fold(sum, |sum, _| (sum >> 16) + (sum & 0xffff));
    let words = bytes.chunks(2).map(|word| u16::from_ne_bytes([word[0], word.get(1).copied().unwrap_or(0)]));
    if fold(sum_of_words(black_box(bytes))) == fold(words.map(u64::from).sum()) {
        return Ok(());
    }
    Err(format!("the sum of {} bytes is wrong", bytes.len()))
}

/// Byte by byte, by no routine.
fn compare(
    what: &str,
    len: usize,
    from: usize,
    to: usize,
    bytes: &[u8],
    right: impl Fn(usize) -> u8,
) -> Result<(), String> {
    match bytes.iter().enumerate().find(|&(n, &byte)| byte != right(n)) {
        Some((n, _)) => Err(format!("{what} of {len} bytes from {from} to {to} is wrong at {n}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_hosts_routines_pass() {
        assert_eq!(super::check(), Ok(()));
    }
}
