//! How many columns a character takes on a terminal.

/// Characters drawn over the one before them: combining marks, joiners, variation selectors.
const NONE: [(u32, u32); 6] = [
    (0x0300, 0x036f),
    (0x1ab0, 0x1aff),
    (0x200b, 0x200f),
    (0x20d0, 0x20ff),
    (0xfe00, 0xfe0f),
    (0xfe20, 0xfe2f),
];

/// East Asian wide characters and emoji.
const TWO: [(u32, u32); 9] = [
    (0x1100, 0x115f),
    (0x2e80, 0x303e),
    (0x3041, 0xa4cf),
    (0xac00, 0xd7a3),
    (0xf900, 0xfaff),
    (0xfe30, 0xfe6f),
    (0xff00, 0xff60),
    (0x1f300, 0x1faff),
    (0x20000, 0x3fffd),
];

/// Columns taken by `c`: 0, 1 or 2.
pub fn of_char(c: char) -> usize {
    let within = |ranges: &[(u32, u32)]| ranges.iter().any(|&(from, to)| (from..=to).contains(&u32::from(c)));
    if u32::from(c) < 0x300 {
        1
    } else if within(&NONE) {
        0
    } else if within(&TWO) {
        2
    } else {
        1
    }
}

/// The part of `text` between two bytes. Slicing would do, but its panic message costs an image 4 KiB.
pub fn part(text: &str, range: impl core::slice::SliceIndex<str, Output = str>) -> &str {
    text.get(range).unwrap_or_default()
}

/// Columns taken by `text`.
pub fn of_str(text: &str) -> usize {
    text.chars().map(of_char).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_marks_and_wide_characters() {
        assert_eq!(of_str("fata"), 4);
        assert_eq!(of_str("caf\u{e9}"), 4);
        assert_eq!(of_str("cafe\u{301}"), 4);
        assert_eq!(of_str("日本"), 4);
        assert_eq!(of_str("\u{fffd}"), 1);
    }
}
