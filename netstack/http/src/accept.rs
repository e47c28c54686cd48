//! Which type of a thing a client wants (RFC 9110 section 12.5.1).

use crate::encoding::quality;
use crate::fields::Fields;
use crate::words::{parts, trim};

/// Which of the types that there are is wanted, by its number: the one with the most weight, of several the first. `None` if
/// it is none of them, which may be answered with 406, or with the first all the same. Answers for which this was asked are to
/// have `Vary: Accept`.
pub fn accept(fields: Fields<'_>, offered: &[&str]) -> Option<usize> {
    // Who does not say takes anything.
    if fields.first("accept").is_none() {
        return (!offered.is_empty()).then_some(0);
    }
    let mut best = None;
    let mut most = 0;
    for (at, name) in offered.iter().enumerate() {
        let weight = weight(fields, name);
        if weight > most {
            (best, most) = (Some(at), weight);
        }
    }
    best
}

/// In thousandths, as the range says that fits most closely.
fn weight(fields: Fields<'_>, name: &str) -> u16 {
    let kind = name.split_once('/').map_or("", |(kind, _)| kind);
    let mut best = (0, 0);
    for item in fields.list("accept") {
        let mut parts = parts(item, b';');
        let Some(range) = parts.next() else { continue };
        let closeness = match range {
            range if range.eq_ignore_ascii_case(name.as_bytes()) => 3,
            [start @ .., b'/', b'*'] if start.eq_ignore_ascii_case(kind.as_bytes()) => 2,
            b"*/*" => 1,
            _ => continue,
        };
        // Parameters before the weight narrow it down to what we do not have.
        let weight = match parts.next() {
            None => 1000,
            Some([b'q' | b'Q', rest @ ..]) => quality(trim(rest)).unwrap_or(0),
            Some(_) => continue,
        };
        if closeness > best.0 {
            best = (closeness, weight);
        }
    }
    best.1
}
