//! Bytes from outside, made fit for a terminal: nothing in them moves the cursor or hides.

use core::fmt::{self, Write};
use core::str;

/// A value in double quotes, on one line.
pub(super) struct Quoted<'a>(pub(super) &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        each(self.0, &mut |piece| match piece {
            Ok(c @ ('"' | '\\')) => write!(f, "\\{c}"),
            Ok('\n') => f.write_str("\\n"),
            Ok('\t') => f.write_str("\\t"),
            Ok(c) => show(c, f),
            Err(byte) => write!(f, "\\x{byte:02x}"),
        })?;
        f.write_char('"')
    }
}

/// A name, as it is.
pub(super) struct Bare<'a>(pub(super) &'a str);

impl fmt::Display for Bare<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| show(c, f))
    }
}

/// Lines of text. What comes in pieces must not be divided within a character: see [`whole`].
#[cfg(any(feature = "files", feature = "vchan", test))]
pub(crate) struct Lines<'a>(pub(crate) &'a [u8]);

#[cfg(any(feature = "files", feature = "vchan", test))]
impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        each(self.0, &mut |piece| match piece {
            Ok(c @ ('\n' | '\t')) => f.write_char(c),
            Ok(c) => show(c, f),
            Err(byte) => write!(f, "\\x{byte:02x}"),
        })
    }
}

/// How many bytes of `bytes` are not the beginning of a character whose rest is yet to come.
#[cfg(any(feature = "files", feature = "vchan", test))]
pub(crate) fn whole(bytes: &[u8]) -> usize {
    // A character has at most four bytes; what precedes it may be anything.
    let last = bytes.iter().rev().take(4).position(|&byte| byte & 0xc0 != 0x80);
    let Some(back) = last else { return bytes.len() };
    let (rest, start) = (&bytes[bytes.len() - back - 1..], bytes.len() - back - 1);
    match str::from_utf8(rest) {
        Err(error) if error.error_len().is_none() => start,
        _ => bytes.len(),
    }
}

fn show(c: char, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // Control characters; then what has no width, or turns the direction of writing.
    let hidden =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    match u32::from(c) {
        code if hidden => write!(f, "\\u{{{code:x}}}"),
        code if c.is_control() => write!(f, "\\x{code:02x}"),
        _ => f.write_char(c),
    }
}

/// Passes on each character, and each byte that is part of none.
fn each(mut bytes: &[u8], on: &mut dyn FnMut(Result<char, u8>) -> fmt::Result) -> fmt::Result {
    while !bytes.is_empty() {
        let (good, bad) = match str::from_utf8(bytes) {
            Ok(text) => (text, 0),
            Err(error) => {
                let good = str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
                (good, error.error_len().unwrap_or(bytes.len() - good.len()))
            }
        };
        good.chars().try_for_each(|c| on(Ok(c)))?;
        let (bad, rest) = bytes[good.len()..].split_at(bad);
        bad.iter().try_for_each(|&byte| on(Err(byte)))?;
        bytes = rest;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_that_it_would_obey() {
        assert_eq!(Quoted(b"").to_string(), "\"\"");
        assert_eq!(Quoted("a b é 日".as_bytes()).to_string(), "\"a b é 日\"");
        assert_eq!(Quoted(b"\x1b[2J\r\n\t\"\\\0\x7f").to_string(), r#""\x1b[2J\x0d\n\t\"\\\x00\x7f""#);
        assert_eq!(Quoted("\u{9b}1m\u{202e}\u{feff}".as_bytes()).to_string(), r#""\x9b1m\u{202e}\u{feff}""#);
        assert_eq!(Quoted(b"\xff\xc3x\xe2\x82").to_string(), r#""\xff\xc3x\xe2\x82""#);
        assert_eq!(Bare("data/\x1b[m\n\"é").to_string(), "data/\\x1b[m\\x0a\"é");
        assert_eq!(Lines(b"one\n\ttwo\r\x1b\"\\\xff").to_string(), "one\n\ttwo\\x0d\\x1b\"\\\\xff");
    }

    #[test]
    fn a_character_is_not_divided() {
        for text in ["aé", "日", "x\u{1f600}"] {
            let bytes = text.as_bytes();
            let last = text.char_indices().last().unwrap().0;
            for end in last + 1..bytes.len() {
                assert_eq!(whole(&bytes[..end]), last, "{text} {end}");
            }
            assert_eq!(whole(bytes), bytes.len());
        }
        for bytes in [&b""[..], b"a", b"\x80\x80\x80\x80\x80", b"a\xff", b"\xc3a", b"\xf8\x80"] {
            assert_eq!(whole(bytes), bytes.len(), "{bytes:?}");
        }
    }
}
