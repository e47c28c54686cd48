//! Header fields: those that came, and those that are sent.

use crate::error::{Error, Misuse};
use crate::words::{is_token, is_value, list};
use alloc::vec::Vec;
use core::fmt;

/// Where something lies in a head.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    at: u16,
    len: u16,
}

impl Span {
    /// Of a part of a head, which is shorter than 64 KiB.
    pub(crate) fn of(head: &[u8], part: &[u8]) -> Self {
        Self { at: (part.as_ptr().addr() - head.as_ptr().addr()) as u16, len: part.len() as u16 }
    }

    pub(crate) fn start(self) -> usize {
        usize::from(self.at)
    }

    pub(crate) fn bytes(self, head: &[u8]) -> &[u8] {
        &head[usize::from(self.at)..][..usize::from(self.len)]
    }

    /// What was found to be ASCII.
    pub(crate) fn text(self, head: &[u8]) -> &str {
        core::str::from_utf8(self.bytes(head)).unwrap_or_default()
    }
}

/// Name and value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: Span,
    pub(crate) value: Span,
}

/// Which names there may be, so that those that are not there are seldom looked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen(u64);

impl Seen {
    const fn bit(name: &str) -> u64 {
        match name.as_bytes() {
            [first, ..] => 1 << ((name.len() * 5 + (*first | 0x20) as usize) % 64),
            [] => 0,
        }
    }

    /// All of these.
    pub(crate) const fn of(names: &[&str]) -> Self {
        let (mut all, mut at) = (0, 0);
        while at < names.len() {
            all |= Self::bit(names[at]);
            at += 1;
        }
        Self(all)
    }

    pub(crate) fn note(&mut self, name: &str) {
        self.0 |= Self::bit(name);
    }
}

/// The fields of a message.
#[derive(Clone, Copy, Default)]
pub struct Fields<'a> {
    head: &'a [u8],
    fields: &'a [Field],
    seen: Seen,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(head: &'a [u8], fields: &'a [Field], seen: Seen) -> Self {
        Self { head, fields, seen }
    }

    /// Whether there may be any of these.
    pub(crate) fn may_have(self, names: Seen) -> bool {
        self.seen.0 & names.0 != 0
    }

    /// The value of the first with this name, if it is UTF-8.
    pub fn text(self, name: &str) -> Option<&'a str> {
        core::str::from_utf8(self.first(name)?).ok()
    }

    /// The value of the first with this name.
    pub fn first(self, name: &str) -> Option<&'a [u8]> {
        self.values(name).next()
    }

    /// The values of all with this name.
    pub fn values(self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let there = if self.seen.0 & Seen::bit(name) == 0 { &[] } else { self.fields };
        there.iter().filter_map(move |field| {
            let found = field.name.bytes(self.head);
            found.eq_ignore_ascii_case(name.as_bytes()).then(|| field.value.bytes(self.head))
        })
    }

    /// What all with this name list between commas.
    pub fn list(self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.values(name).flat_map(list)
    }

    /// Whether this word is in the list.
    pub fn lists(self, name: &str, word: &str) -> bool {
        self.list(name).any(|item| item.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// All of them, in the order they came.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.fields.iter().map(move |field| (field.name.text(self.head), field.value.bytes(self.head)))
    }

    /// The same, names as they are.
    pub(crate) fn raw(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.fields.iter().map(move |field| (field.name.bytes(self.head), field.value.bytes(self.head)))
    }

    /// How many there are.
    pub fn len(self) -> usize {
        self.fields.len()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.fields.is_empty()
    }
}

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value| core::str::from_utf8(value).unwrap_or("?");
        f.debug_map().entries(self.iter().map(|(name, value)| (name, text(value)))).finish()
    }
}

/// Fields to send, checked and ready: made once, they are copied into every answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block(Vec<u8>);

impl Block {
    /// Without any.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// One more. Values cannot end a line, and neither can names.
    pub fn with(mut self, name: &str, value: &str) -> Result<Self, Error> {
        self.push(name, value.as_bytes())?;
        Ok(self)
    }

    /// One more.
    pub fn push(&mut self, name: &str, value: &[u8]) -> Result<(), Error> {
        push_field(&mut self.0, name, value)
    }

    /// All of these more.
    pub fn add(&mut self, others: &Self) {
        self.0.extend_from_slice(&others.0);
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Those that say to whom a message is, how long, and whether the connection stays are ours to send.
const OURS: [&str; 5] = ["content-length", "transfer-encoding", "connection", "trailer", "host"];

/// Adds a line. Nothing is added if it would be none.
pub(crate) fn push_field(out: &mut Vec<u8>, name: &str, value: &[u8]) -> Result<(), Error> {
    let is_name = !name.is_empty() && name.bytes().all(is_token);
    let is_ours = || OURS.iter().any(|ours| ours.eq_ignore_ascii_case(name));
    if !is_name || !value.iter().copied().all(is_value) || is_ours() {
        return Err(Misuse::Field.into());
    }
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_can_be_smuggled_into_what_is_sent() {
        let mut block = Block::new().with("ETag", "\"1\"").unwrap();
        let before = block.clone();
        for (name, value) in [
            ("", "x"),
            ("a b", "x"),
            ("a:", "x"),
            ("a\r\nb", "x"),
            ("ä", "x"),
            ("a", "x\r\nb: c"),
            ("a", "x\n"),
            ("a", "\r"),
            ("a", "\0"),
            ("a", "\x7f"),
            ("Content-Length", "1"),
            ("transfer-ENCODING", "chunked"),
            ("Connection", "close"),
        ] {
            assert_eq!(block.push(name, value.as_bytes()), Err(Misuse::Field.into()), "{name:?} {value:?}");
            assert_eq!(block, before);
        }
        block.push("X", "tab\tand ü".as_bytes()).unwrap();
        assert_eq!(block.bytes(), "ETag: \"1\"\r\nX: tab\tand ü\r\n".as_bytes());
    }
}
