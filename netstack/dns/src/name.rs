//! Names in wire form.

use crate::text::{Char, escape, unescape};
use core::fmt;

/// The most bytes of a name, its last label among them (RFC 1035 section 2.3.4).
pub(crate) const NAME_MAX: usize = 255;
/// The most bytes of a label, without its length.
pub(crate) const LABEL_MAX: usize = 63;
/// The most labels that fit into a name, without the last, which is empty.
pub(crate) const LABELS_MAX: usize = 127;

/// A name in wire form without compression, its letters as they were written.
#[derive(Clone)]
pub struct Name {
    len: u8,
    bytes: [u8; NAME_MAX],
}

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadName {
    /// Two dots in a row, or one at the start.
    EmptyLabel,
    /// A label of more than 63 bytes.
    LongLabel,
    /// More than 255 bytes.
    Long,
    /// A backslash with nothing, or no number up to 255, behind it.
    Escape,
    /// Without a dot at its end, and nothing is known that could follow.
    Relative,
}

impl BadName {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EmptyLabel => "a name has an empty label",
            Self::LongLabel => "a label is longer than 63 bytes",
            Self::Long => "a name is longer than 255 bytes",
            Self::Escape => "a backslash must be followed by three digits up to 255, or by another character",
            Self::Relative => "a name is relative, and there is no $ORIGIN yet",
        }
    }
}

impl Name {
    /// The root.
    pub const ROOT: Self = Self { len: 1, bytes: [0; NAME_MAX] };

    /// Reads a name as in zone files. It goes on with `origin` if it has no dot at its end.
    pub fn parse(text: &[u8], origin: Option<&Self>) -> Result<Self, BadName> {
        match text {
            b"." => return Ok(Self::ROOT),
            b"@" => return origin.cloned().ok_or(BadName::Relative),
            b"" => return Err(BadName::EmptyLabel),
            _ => {}
        }
        let mut name = Self { len: 0, bytes: [0; NAME_MAX] };
        // Where the length of the label at hand goes.
        let (mut head, mut at) = (0, 1);
        let mut rest = text;
        while let Some((&first, after)) = rest.split_first() {
            let (byte, escaped, after) = match first {
                b'\\' => match unescape(rest).map_err(|()| BadName::Escape)? {
                    Some(Char { byte, escaped, rest }) => (byte, escaped, rest),
                    None => break,
                },
                _ => (first, false, after),
            };
            rest = after;
            if byte == b'.' && !escaped {
                name.end_label(head, at)?;
                (head, at) = (at, at + 1);
                continue;
            }
            if at - head > LABEL_MAX {
                return Err(BadName::LongLabel);
            }
            *name.bytes.get_mut(at).ok_or(BadName::Long)? = byte;
            at += 1;
        }
        if head + 1 == at {
            // It ended with a dot; the root is there already.
            name.len =
                u8::try_from(at).ok().filter(|len| usize::from(*len) <= NAME_MAX).ok_or(BadName::Long)?;
            return Ok(name);
        }
        name.end_label(head, at)?;
        let origin = origin.ok_or(BadName::Relative)?.wire();
        let room = name.bytes.get_mut(at..at + origin.len()).ok_or(BadName::Long)?;
        room.copy_from_slice(origin);
        name.len = (at + origin.len()) as u8;
        Ok(name)
    }

    fn end_label(&mut self, head: usize, at: usize) -> Result<(), BadName> {
        let len = at - head - 1;
        if len == 0 {
            return Err(BadName::EmptyLabel);
        }
        *self.bytes.get_mut(head).ok_or(BadName::Long)? = len as u8;
        Ok(())
    }

    /// Takes a name in wire form from the start of `bytes`, without compression.
    pub fn from_wire(bytes: &[u8]) -> Option<Self> {
        let len = wire_len(bytes)?;
        let mut name = Self::ROOT;
        name.bytes[..len].copy_from_slice(&bytes[..len]);
        name.len = len as u8;
        Some(name)
    }

    /// The wire form.
    pub fn wire(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Whether it is `other` or below it.
    pub fn is_within(&self, other: &Self) -> bool {
        suffixes(self.wire()).any(|suffix| suffix.eq_ignore_ascii_case(other.wire()))
    }

    /// Puts a label in front; `None` if that is too long.
    pub(crate) fn push_front(&mut self, label: &[u8]) -> Option<()> {
        let (len, more) = (usize::from(self.len), label.len() + 1);
        if len + more > NAME_MAX {
            return None;
        }
        self.bytes.copy_within(..len, more);
        self.bytes[0] = label.len() as u8;
        self.bytes[1..more].copy_from_slice(label);
        self.len = (len + more) as u8;
        Some(())
    }
}

impl PartialEq for Name {
    /// As names compare: upper and lower case are the same.
    fn eq(&self, other: &Self) -> bool {
        self.wire().eq_ignore_ascii_case(other.wire())
    }
}

impl Eq for Name {}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.len == 1 {
            return f.write_str(".");
        }
        let mut rest = self.wire();
        while let Some((&len @ 1.., after)) = rest.split_first() {
            let (label, after) = after.split_at(usize::from(len));
            for &byte in label {
                escape(f, byte, b".\"\\;()@$ ")?;
            }
            f.write_str(".")?;
            rest = after;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How long the name at the start is; `None` if there is no whole one, without compression.
pub(crate) fn wire_len(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let len = usize::from(*bytes.get(at)?);
        at += 1 + len;
        if len > LABEL_MAX || at > NAME_MAX || at > bytes.len() {
            return None;
        }
        if len == 0 {
            return Some(at);
        }
    }
}

/// The name, and what is left of it without its first labels, down to the root.
pub(crate) fn suffixes(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(wire);
    core::iter::from_fn(move || {
        let this = rest?;
        rest = match this.first() {
            None | Some(0) => None,
            Some(&len) => this.get(1 + usize::from(len)..),
        };
        Some(this)
    })
}

/// A name to look for: in lower case, and its labels known.
pub(crate) struct Key {
    /// Eight bytes are looked at together, and what is behind the name does not matter.
    lower: [u8; NAME_MAX.next_multiple_of(8)],
    len: u8,
    /// Where each label begins.
    starts: [u8; LABELS_MAX + 1],
    labels: u8,
}

impl Key {
    pub(crate) const fn new() -> Self {
        Self { lower: [0; NAME_MAX.next_multiple_of(8)], len: 0, starts: [0; LABELS_MAX + 1], labels: 0 }
    }

    /// Takes the name at the start of `bytes`. Gives its length.
    pub(crate) fn set(&mut self, bytes: &[u8]) -> Option<usize> {
        let (mut at, mut labels) = (0, 0);
        loop {
            let len = usize::from(*bytes.get(at)?);
            if len > LABEL_MAX || at + len >= NAME_MAX {
                return None;
            }
            if len == 0 {
                break;
            }
            self.starts[usize::from(labels)] = at as u8;
            labels += 1;
            at += 1 + len;
        }
        let end = at + 1;
        self.lower[..end].copy_from_slice(&bytes[..end]);
        for eight in &mut self.lower.as_chunks_mut().0[..end.div_ceil(8)] {
            *eight = lower(u64::from_ne_bytes(*eight)).to_ne_bytes();
        }
        (self.len, self.labels) = (end as u8, labels);
        Some(end)
    }

    pub(crate) fn of(name: &[u8]) -> Self {
        let mut key = Self::new();
        key.set(name).expect("names of zones are whole");
        key
    }

    /// How many labels, without the root.
    pub(crate) fn labels(&self) -> usize {
        usize::from(self.labels)
    }

    pub(crate) fn wire(&self) -> &[u8] {
        &self.lower[..usize::from(self.len)]
    }

    /// What is left without the first `index` labels, and where it begins.
    pub(crate) fn suffix(&self, index: usize) -> (usize, &[u8]) {
        let at = match index < self.labels() {
            true => usize::from(self.starts[index]),
            false => usize::from(self.len) - 1,
        };
        (at, &self.wire()[at..])
    }

    /// A label, without its length.
    pub(crate) fn label(&self, index: usize) -> &[u8] {
        let at = usize::from(self.starts[index]);
        &self.lower[at + 1..][..usize::from(self.lower[at])]
    }

    /// Where each label begins.
    pub(crate) fn starts(&self) -> &[u8] {
        &self.starts[..self.labels()]
    }

    /// Whether it ends with this name, in lower case, of so many labels.
    pub(crate) fn ends_with(&self, name: &Self) -> bool {
        self.labels >= name.labels && self.suffix(self.labels() - name.labels()).1 == name.wire()
    }
}

/// Eight bytes with their letters in lower case. The length of a label is no letter.
fn lower(eight: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // The highest bit of each byte says what it is.
    let seven = eight & (0x7f * EACH);
    let from_a = seven + (0x80 - b'A' as u64) * EACH;
    let beyond_z = seven + (0x7f - b'Z' as u64) * EACH;
    let upper = (from_a ^ beyond_z) & !eight & (0x80 * EACH);
    eight | upper >> 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, origin: Option<&str>) -> Result<Vec<u8>, BadName> {
        let origin = origin.map(|text| Name::parse(text.as_bytes(), None).unwrap());
        Name::parse(text.as_bytes(), origin.as_ref()).map(|name| name.wire().to_vec())
    }

    #[test]
    fn names_are_absolute_or_go_on_with_the_origin() {
        assert_eq!(parse("a.B.", None).unwrap(), b"\x01a\x01B\0");
        assert_eq!(parse("a", Some("B.")).unwrap(), b"\x01a\x01B\0");
        assert_eq!(parse("@", Some("B.")).unwrap(), b"\x01B\0");
        assert_eq!(parse(".", None).unwrap(), b"\0");
        assert_eq!(parse("a", Some(".")).unwrap(), b"\x01a\0");
        assert_eq!(parse(r"a\.b\065\@\\.", None).unwrap(), b"\x06a.bA@\\\0");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for (text, error) in [
            ("", BadName::EmptyLabel),
            ("a..b.", BadName::EmptyLabel),
            (".a.", BadName::EmptyLabel),
            ("..", BadName::EmptyLabel),
            ("a", BadName::Relative),
            ("@", BadName::Relative),
            (r"a\", BadName::Escape),
            (r"a\25", BadName::Escape),
            (r"a\256.", BadName::Escape),
            (&"x".repeat(64), BadName::LongLabel),
        ] {
            assert_eq!(parse(text, None), Err(error), "{text}");
        }
    }

    #[test]
    fn the_longest_names_fit_and_no_longer_ones() {
        let label = "x".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}.", "y".repeat(61));
        assert_eq!(parse(&longest, None).unwrap().len(), 255);
        let longer = format!("{label}.{label}.{label}.{}.", "y".repeat(62));
        assert_eq!(parse(&longer, None), Err(BadName::Long));
        assert_eq!(parse(&longest[..longest.len() - 1], Some(".")).unwrap().len(), 255);
        assert_eq!(parse(&longest[..longest.len() - 1], Some("a.")), Err(BadName::Long));
        let many = "a.".repeat(127);
        assert_eq!(parse(&many, None).unwrap().len(), 255);
        let mut key = Key::new();
        assert_eq!((key.set(&parse(&many, None).unwrap()), key.labels()), (Some(255), 127));
        assert_eq!(parse(&"a.".repeat(128), None), Err(BadName::Long));
    }

    #[test]
    fn they_are_written_as_they_can_be_read() {
        let mut random = fata_sim::Rng::new();
        for _ in 0..2000 {
            let mut name = Name::ROOT;
            while random.within(0..8) != 0 {
                let len = random.within(1..20);
                name.push_front(&random.bytes(len));
            }
            let text = name.to_string();
            assert_eq!(Name::parse(text.as_bytes(), None).unwrap().wire(), name.wire(), "{text}");
        }
    }

    #[test]
    fn letters_and_nothing_else_are_put_into_lower_case() {
        for byte in 0..=255u8 {
            for shift in 0..8 {
                let others = 0x5b40_c1fa_7a61_80ff_u64;
                let mut bytes = others.to_ne_bytes();
                bytes[shift] = byte;
                let expected = bytes.map(|byte| byte.to_ascii_lowercase());
                assert_eq!(lower(u64::from_ne_bytes(bytes)).to_ne_bytes(), expected);
            }
        }
    }

    #[test]
    fn keys_know_their_labels() {
        let mut key = Key::new();
        assert_eq!(key.set(b"\x03WwW\x02eX\0rest"), Some(8));
        assert_eq!((key.label(0), key.label(1), key.suffix(2)), (&b"www"[..], &b"ex"[..], (7, &b"\0"[..])));
        assert!(key.ends_with(&Key::of(b"\x02ex\0")) && key.ends_with(&Key::of(b"\0")));
        assert!(!key.ends_with(&Key::of(b"\x01x\0")));
        for bad in [&b""[..], b"\x03ww", b"\xc0\x0c", b"\x01a", b"\x40"] {
            assert_eq!(key.set(bad), None);
        }
    }
}
