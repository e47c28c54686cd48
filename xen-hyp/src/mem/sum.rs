//! The sum of 16-bit words that Internet checksums are made of (RFC 1071).

/// Sums the 16-bit words in `bytes`, in this machine's byte order, with zeroes added to a last one that is not whole.
/// Not folded; right for a megabyte and more.
pub fn sum_of_words(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let (words, odd) = rest.as_chunks::<4>();
    // Halves of a word add up in the same columns as those of 16 bits, so it need not be taken apart.
    let whole: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    let mut last = [0; 4];
    last[..odd.len()].copy_from_slice(odd);
    sum_of_blocks(blocks) + whole + u64::from(u32::from_ne_bytes(last))
}

const BLOCK: usize = 64;

/// Pairs of words are added to 32-bit lanes, which have room for 16384 blocks, a megabyte.
#[cfg(all(target_arch = "aarch64", not(miri)))]
fn sum_of_blocks(blocks: &[[u8; BLOCK]]) -> u64 {
    blocks.chunks(16_384).map(sum_of_some).sum()
}

#[cfg(all(target_arch = "aarch64", not(miri)))]
fn sum_of_some(blocks: &[[u8; BLOCK]]) -> u64 {
    let sum: u64;
    if blocks.is_empty() {
        return 0;
    }
    // SAFETY: reads the blocks, which are borrowed, and nothing else.
    unsafe {
        core::arch::asm!(
            "movi v4.4s, #0",
            "movi v5.4s, #0",
            "subs {blocks}, {blocks}, #4",
            "b.lo 3f",
            "2:",
            ".rept 4",
            "ld1 {{v0.8h-v3.8h}}, [{at}], #64",
            "uadalp v4.4s, v0.8h",
            "uadalp v5.4s, v1.8h",
            "uadalp v4.4s, v2.8h",
            "uadalp v5.4s, v3.8h",
            ".endr",
            "subs {blocks}, {blocks}, #4",
            "b.hs 2b",
            "3:",
            "adds {blocks}, {blocks}, #4",
            "b.eq 5f",
            "4:",
            "ld1 {{v0.8h-v3.8h}}, [{at}], #64",
            "uadalp v4.4s, v0.8h",
            "uadalp v5.4s, v1.8h",
            "uadalp v4.4s, v2.8h",
            "uadalp v5.4s, v3.8h",
            "subs {blocks}, {blocks}, #1",
            "b.ne 4b",
            "5:",
            "uaddlp v4.2d, v4.4s",
            "uadalp v4.2d, v5.4s",
            "addp d4, v4.2d",
            "fmov {sum}, d4",
            at = inout(reg) blocks.as_ptr() => _,
            blocks = inout(reg) blocks.len() => _,
            sum = lateout(reg) sum,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _,
            options(nostack, readonly),
        );
    }
    sum
}

#[cfg(not(all(target_arch = "aarch64", not(miri))))]
fn sum_of_blocks(blocks: &[[u8; BLOCK]]) -> u64 {
    let words = blocks.iter().flat_map(|block| block.as_chunks::<4>().0);
    words.map(|word| u64::from(u32::from_ne_bytes(*word))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// Folded, so that it does not matter in which order it was added.
    fn fold(mut sum: u64) -> u64 {
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        sum
    }

    #[test]
    fn it_is_that_of_the_words_one_by_one() {
        let bytes: Vec<u8> =
            (0..70_000u32).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 24) as u8 | 0xc0).collect();
        for from in 0..9 {
            for len in (0..400).chain([1447, 1448, 4096, 65_535, 69_990]) {
                let part = &bytes[from..from + len];
                let words = part
                    .chunks(2)
                    .map(|word| u64::from(u16::from_ne_bytes([word[0], word.get(1).copied().unwrap_or(0)])));
                assert_eq!(fold(sum_of_words(part)), fold(words.sum()), "{from} {len}");
            }
        }
    }
}
