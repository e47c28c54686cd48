//! Tokens, lists and numbers, as fields have them (RFC 9110 section 5.6).

/// Whether it may be part of a token.
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

/// Whether it may be part of a value.
pub(crate) fn is_value(byte: u8) -> bool {
    byte == b'\t' || byte >= b' ' && byte != 0x7f
}

/// Without spaces around it.
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// What stands between commas that are not in quotes; empty ones are left out.
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    parts(value, b',').filter(|item| !item.is_empty())
}

/// What stands between separators that are not in quotes.
pub(crate) fn parts(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    core::iter::from_fn(move || {
        let value = rest?;
        let (mut quoted, mut escaped) = (false, false);
        let end = value.iter().position(|byte| {
            let is_end = *byte == separator && !quoted;
            quoted ^= *byte == b'"' && !escaped;
            escaped = quoted && *byte == b'\\' && !escaped;
            is_end
        });
        let (part, after) = match end {
            Some(end) => (&value[..end], Some(&value[end + 1..])),
            None => (value, None),
        };
        rest = after;
        Some(trim(part))
    })
}

/// Nothing but digits, and not too many.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

/// The digits of a number, at the end of their room.
pub(crate) fn digits(mut number: u64, room: &mut [u8; 20]) -> &[u8] {
    let mut at = room.len();
    loop {
        at -= 1;
        room[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &room[at..];
        }
    }
}

/// The same, hexadecimal.
pub(crate) fn hexadecimal(mut number: u64, room: &mut [u8; 20]) -> &[u8] {
    let mut at = room.len();
    loop {
        at -= 1;
        room[at] = b"0123456789abcdef"[(number % 16) as usize];
        number /= 16;
        if number == 0 {
            return &room[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(value: &str) -> Vec<&str> {
        list(value.as_bytes()).map(|item| core::str::from_utf8(item).unwrap()).collect()
    }

    #[test]
    fn commas_in_quotes_part_nothing() {
        assert_eq!(all("a, b ,,c"), ["a", "b", "c"]);
        assert_eq!(all(r#""a,b", W/"c\",d" , e"#), [r#""a,b""#, r#"W/"c\",d""#, "e"]);
        assert_eq!(all(r#""a\\", "b"#), [r#""a\\""#, r#""b"#]);
        assert_eq!(all(" , "), [""; 0]);
    }

    #[test]
    fn numbers_go_there_and_back() {
        for value in [0, 1, 9, 10, 612, u64::MAX] {
            let (mut a, mut b) = ([0; 20], [0; 20]);
            assert_eq!(number(digits(value, &mut a)), Some(value));
            let text = core::str::from_utf8(hexadecimal(value, &mut b)).unwrap();
            assert_eq!(u64::from_str_radix(text, 16), Ok(value));
        }
        for wrong in ["", "+1", "-1", " 1", "1 ", "0x1", "1_0", "18446744073709551616", "1,1"] {
            assert_eq!(number(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
