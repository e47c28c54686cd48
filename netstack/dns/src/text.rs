//! Characters of zone files and what they stand for (RFC 1035 section 5.1).

use core::fmt;

/// A character, and what follows it.
pub(crate) struct Char<'a> {
    pub(crate) byte: u8,
    /// Whether it stands for itself and nothing else.
    pub(crate) escaped: bool,
    pub(crate) rest: &'a [u8],
}

/// The next character. `None` at the end; an error if what follows a backslash makes no sense.
pub(crate) fn unescape(text: &[u8]) -> Result<Option<Char<'_>>, ()> {
    let (byte, escaped, rest) = match text {
        [] => return Ok(None),
        [b'\\', a @ b'0'..=b'9', rest @ ..] => {
            let [b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] = rest else { return Err(()) };
            let digit = |byte: &u8| u32::from(byte - b'0');
            let number = digit(a) * 100 + digit(b) * 10 + digit(c);
            (u8::try_from(number).map_err(|_| ())?, true, rest)
        }
        [b'\\', byte, rest @ ..] => (*byte, true, rest),
        [b'\\'] => return Err(()),
        [byte, rest @ ..] => (*byte, false, rest),
    };
    Ok(Some(Char { byte, escaped, rest }))
}

/// Writes a character so that it is read as itself: with a backslash those of `special`, as a number what cannot be
/// printed.
pub(crate) fn escape(f: &mut dyn fmt::Write, byte: u8, special: &[u8]) -> fmt::Result {
    match byte {
        b' ' if special.contains(&byte) => f.write_str("\\032"),
        b' '..=b'~' => {
            if special.contains(&byte) {
                f.write_char('\\')?;
            }
            f.write_char(byte.into())
        }
        _ => {
            let digits = [b'\\', b'0' + byte / 100, b'0' + byte / 10 % 10, b'0' + byte % 10];
            digits.into_iter().try_for_each(|digit| f.write_char(digit.into()))
        }
    }
}

/// A number in decimal digits and nothing else, up to `most`.
pub(crate) fn number(text: &[u8], most: u32) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    let mut value = 0u32;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(digit.into())?;
    }
    (value <= most).then_some(value)
}

/// A time in seconds, or with units as BIND has them: `1w2d3h4m5s`. At most 2^31 - 1 (RFC 2181 section 8).
pub(crate) fn seconds(text: &[u8]) -> Option<u32> {
    const MOST: u32 = i32::MAX as u32;
    if let Some(value) = number(text, MOST) {
        return Some(value);
    }
    let (mut sum, mut from) = (0u32, 0);
    for (at, byte) in text.iter().enumerate().filter(|(_, byte)| !byte.is_ascii_digit()) {
        let unit = match byte.to_ascii_lowercase() {
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        sum = sum.checked_add(number(&text[from..at], MOST)?.checked_mul(unit)?)?;
        from = at + 1;
    }
    (from == text.len() && from > 0 && sum <= MOST).then_some(sum)
}

/// One digit of base 16.
pub(crate) fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times() {
        assert_eq!(number(b"4294967295", u32::MAX), Some(u32::MAX));
        for bad in [&b""[..], b"4294967296", b"-1", b"+1", b"1x", b" 1"] {
            assert_eq!(number(bad, u32::MAX), None);
        }
        assert_eq!(number(b"70000", 65_535), None);
        assert_eq!(seconds(b"1w2D3h4M5s"), Some(604_800 + 2 * 86_400 + 3 * 3600 + 4 * 60 + 5));
        assert_eq!((seconds(b"2147483647"), seconds(b"0")), (Some(2_147_483_647), Some(0)));
        for bad in [&b""[..], b"h", b"1h2", b"2147483648", b"9999999w", b"1y", b"4000w"] {
            assert_eq!(seconds(bad), None, "{bad:?}");
        }
    }
}
