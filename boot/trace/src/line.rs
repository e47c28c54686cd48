//! Four words as a line that every console carries: TAB, `%`, a letter, base64, line feed. Each stands for itself, so
//! that others may come in between, and one that is lost is the only one.

/// What a line has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The first line: the first four words of it all.
    Head,
    /// A task.
    Task,
    /// A record; of one that was being written, its number alone.
    Record,
    /// The last line: the first again.
    End,
}

impl Part {
    const ALL: [(Self, u8); 4] =
        [(Self::Head, b'h'), (Self::Task, b't'), (Self::Record, b'r'), (Self::End, b'e')];

    fn letter(self) -> u8 {
        Self::ALL.into_iter().find(|(part, _)| *part == self).map_or(b'?', |(_, letter)| letter)
    }
}

/// TAB, `%`, a letter, 43 digits, line feed.
pub const LINE_BYTES: usize = 3 + DIGITS + 1;
const DIGITS: usize = 43;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Makes a line.
pub(crate) fn line(part: Part, words: [u64; 4]) -> [u8; LINE_BYTES] {
    let mut line = [b'\n'; LINE_BYTES];
    line[..3].copy_from_slice(&[b'\t', b'%', part.letter()]);
    for (n, digit) in line[3..3 + DIGITS].iter_mut().enumerate() {
        let bit = |at: usize| words.get(at / 64).map_or(0, |word| word >> (at % 64) & 1);
        let value = (0..6).fold(0, |value, k| value | bit(6 * n + k) << k);
        *digit = ALPHABET[value as usize];
    }
    line
}

/// Reads a line, without its end.
pub fn parse(line: &[u8]) -> Option<(Part, [u64; 4])> {
    let (letter, digits) = line.strip_prefix(b"\t%")?.split_first()?;
    let (part, _) = Part::ALL.into_iter().find(|(_, known)| known == letter)?;
    if digits.len() != DIGITS {
        return None;
    }
    let mut words = [0u64; 4];
    for (n, digit) in digits.iter().enumerate() {
        let value = ALPHABET.iter().position(|known| known == digit)? as u64;
        for k in 0..6 {
            let at = 6 * n + k;
            match words.get_mut(at / 64) {
                Some(word) => *word |= (value >> k & 1) << (at % 64),
                None if value >> k & 1 != 0 => return None,
                None => {}
            }
        }
    }
    Some((part, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_were_written() {
        let mut word = 1u64;
        for (part, _) in Part::ALL.into_iter().cycle().take(200) {
            let words = [0, 1, 2, 3].map(|_| {
                word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                word
            });
            let line = line(part, words);
            assert!(line.is_ascii() && line[LINE_BYTES - 1] == b'\n');
            assert_eq!(parse(&line[..LINE_BYTES - 1]), Some((part, words)));
        }
        assert_eq!(
            parse(&line(Part::Head, [u64::MAX; 4])[..LINE_BYTES - 1]),
            Some((Part::Head, [u64::MAX; 4]))
        );
    }

    #[test]
    fn what_nobody_wrote_is_none() {
        let good = line(Part::Task, [7; 4]);
        for length in 0..LINE_BYTES - 1 {
            assert_eq!(parse(&good[..length]), None);
        }
        for (at, byte) in [(0, b' '), (1, b'~'), (2, b'x'), (3, b'='), (45, b'/')] {
            let mut bad = good;
            bad[at] = byte;
            assert_eq!(parse(&bad[..LINE_BYTES - 1]), None, "{at}");
        }
    }
}
