//! Paths as they are, and as they are written in a request (RFC 3986).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// The path that a request names, without query and fragment: `%41` is `A`. `None` if that makes no text, or the
/// text has characters that are no part of one (below the blank).
pub fn decode(written: &str) -> Option<String> {
    let written = written.split(['?', '#']).next().unwrap_or_default();
    let mut bytes = Vec::with_capacity(written.len());
    let mut rest = written.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            byte => byte,
        };
        bytes.push(Some(byte).filter(|byte| *byte >= b' ' && *byte != 0x7f)?);
    }
    String::from_utf8(bytes).ok()
}

/// A path as it is written in a request: all that could mean something else is written as `%41`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte) {
                f.write_str(char::from(byte).encode_utf8(&mut [0; 4]))?;
            } else {
                let digits = [byte >> 4, byte & 15].map(|digit| char::from(HEX[usize::from(digit)]));
                f.write_str("%")?;
                digits.iter().try_for_each(|digit| f.write_str(digit.encode_utf8(&mut [0; 4])))?;
            }
        }
        Ok(())
    }
}

/// Whether this may stand in `Location`: a path of this host, or a URL of `http` or `https`, of visible ASCII. A path that
/// begins with two slashes would lead to another host.
pub fn is_place(place: &str) -> bool {
    let path = place.starts_with('/') && !place.starts_with("//");
    let url = place.starts_with("https://") || place.starts_with("http://");
    (path || url) && place.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}
