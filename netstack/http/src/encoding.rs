//! Which encoding of a thing a client wants (RFC 9110 section 12.5.3).

use crate::fields::Fields;
use crate::words::{parts, trim};

/// Which of the encodings that there are is wanted, by its number: the one with the most weight, of several the first. `None` if
/// it is none of them: then it goes as it is. Answers for which this was asked are to have `Vary: Accept-Encoding`.
pub fn encoding(fields: Fields<'_>, offered: &[&str]) -> Option<usize> {
    // Who does not say gets what everybody understands.
    fields.first("accept-encoding")?;
    let mut best = None;
    let plain = weight(fields, "identity").unwrap_or(0);
    let mut most = plain.max(1);
    for (at, name) in offered.iter().enumerate() {
        let weight = weight(fields, name).or_else(|| weight(fields, "*")).unwrap_or(0);
        // As good as plain is better: it is shorter.
        if weight > most || weight == most && best.is_none() {
            (best, most) = (Some(at), weight);
        }
    }
    best
}

/// In thousandths.
fn weight(fields: Fields<'_>, name: &str) -> Option<u16> {
    fields.list("accept-encoding").find_map(|item| {
        let mut parts = parts(item, b';');
        let found = parts.next()?;
        let old = found.get(..2).filter(|start| start.eq_ignore_ascii_case(b"x-")).map(|_| &found[2..]);
        let is_it = |found: &[u8]| found.eq_ignore_ascii_case(name.as_bytes());
        if !is_it(found) && !old.is_some_and(is_it) {
            return None;
        }
        match parts.next() {
            None => Some(1000),
            Some([b'q' | b'Q', rest @ ..]) => Some(quality(trim(rest)).unwrap_or(0)),
            Some(_) => Some(0),
        }
    })
}

/// `=0.123`
pub(crate) fn quality(text: &[u8]) -> Option<u16> {
    let (one, decimals) = match trim(text.strip_prefix(b"=")?) {
        [one] => (*one, &b""[..]),
        [one, b'.', decimals @ ..] if decimals.len() <= 3 => (*one, decimals),
        _ => return None,
    };
    let mut value = match one {
        b'0' => 0,
        b'1' => 1,
        _ => return None,
    };
    for at in 0..3 {
        let digit = decimals.get(at).copied().unwrap_or(b'0');
        value = value * 10 + u16::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    (value <= 1000).then_some(value)
}
