//! Domain names: as text, and as messages have them (RFC 1035 section 3.1), without compression.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::net::{Ipv4Addr, Ipv6Addr};
use fata_netstack::IpAddress;

/// The most bytes in a name, its lengths among them.
pub(crate) const LONGEST: usize = 255;
/// The most bytes in a label.
const LABEL: usize = 63;

/// A domain name, from the root on.
///
/// It is kept as it was written, and compared without regard to case. Printed, it has a dot at its end and no byte that a
/// terminal would act on.
#[derive(Clone)]
pub struct Name(Box<[u8]>);

/// Why a text is no name: a label is empty or longer than 63 bytes, the whole is too long, there is a character beyond
/// ASCII, or a backslash with nothing behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadName;

impl Name {
    /// The root.
    pub fn root() -> Self {
        Self(Box::new([0]))
    }

    /// Reads a name, with or without a dot at its end. `\.` is a dot within a label, `\065` a byte.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        if text == "." {
            return Ok(Self::root());
        }
        let mut wire = Vec::with_capacity(text.len() + 2);
        let mut start = 0;
        wire.push(0);
        let mut rest = text.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                b'.' => {
                    close(&mut wire, start)?;
                    start = wire.len();
                    // One at the very end is the root's.
                    if rest.is_empty() {
                        wire.push(0);
                        return Self::checked(wire);
                    }
                    wire.push(0);
                }
                b'\\' => wire.push(escaped(&mut rest)?),
                b'!'..=b'~' => wire.push(byte),
                _ => return Err(BadName),
            }
        }
        close(&mut wire, start)?;
        wire.push(0);
        Self::checked(wire)
    }

    fn checked(wire: Vec<u8>) -> Result<Self, BadName> {
        if wire.len() > LONGEST { Err(BadName) } else { Ok(Self(wire.into())) }
    }

    /// The name under which an address has its own (RFC 1035 section 3.5, RFC 3596 section 2.5).
    pub fn reverse(address: IpAddress) -> Self {
        let mut wire = Vec::with_capacity(74);
        let zone = match address {
            IpAddress::Ipv4(address) => {
                for byte in address.octets().into_iter().rev() {
                    let start = wire.len();
                    wire.push(0);
                    let digits = [byte / 100, byte / 10 % 10, byte % 10];
                    let skip = usize::from(byte < 100) + usize::from(byte < 10);
                    wire.extend(digits[skip..].iter().map(|digit| b'0' + digit));
                    wire[start] = (wire.len() - start - 1) as u8;
                }
                &b"\x07in-addr\x04arpa\0"[..]
            }
            IpAddress::Ipv6(address) => {
                for byte in address.octets().into_iter().rev() {
                    for nibble in [byte & 15, byte >> 4] {
                        wire.extend([1, b"0123456789abcdef"[usize::from(nibble)]]);
                    }
                }
                &b"\x03ip6\x04arpa\0"[..]
            }
        };
        wire.extend_from_slice(zone);
        Self(wire.into())
    }

    /// From its bytes in a message, which have been checked.
    pub(crate) fn of_wire(wire: &[u8]) -> Self {
        Self(wire.into())
    }

    /// As it is in messages.
    pub fn wire(&self) -> &[u8] {
        &self.0
    }

    /// Its labels, without the root.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        Labels(&self.0)
    }

    /// Whether it is `zone` or below.
    pub fn is_within(&self, zone: &Self) -> bool {
        is_within(&self.0, &zone.0)
    }

    /// This name with `suffix` behind it; `None` if that is too long.
    pub fn join(&self, suffix: &Self) -> Option<Self> {
        let own = &self.0[..self.0.len() - 1];
        let wire = [own, &suffix.0].concat();
        (wire.len() <= LONGEST).then(|| Self(wire.into()))
    }

    /// The last label; empty for the root.
    pub(crate) fn top(&self) -> &[u8] {
        self.labels().last().unwrap_or_default()
    }

    /// A number that names with the same letters have in common.
    pub(crate) fn hash(&self) -> u32 {
        // FNV-1a: this finds entries in a cache that is bounded anyway.
        self.0.iter().fold(0x811c_9dc5, |hash, byte| {
            (hash ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
        })
    }

    /// The same name with the case of each letter as `bit` says.
    pub(crate) fn mixed(&self, mut bit: impl FnMut() -> bool) -> Self {
        let mut wire = self.0.clone();
        // Lengths are below the letters.
        for byte in wire.iter_mut().filter(|byte| byte.is_ascii_alphabetic()) {
            *byte = if bit() { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
        }
        Self(wire)
    }

    /// Whether it is the same name in the same case.
    pub(crate) fn is_exactly(&self, wire: &[u8]) -> bool {
        *self.0 == *wire
    }
}

/// Ends the label that begins with its length at `start`.
fn close(wire: &mut [u8], start: usize) -> Result<(), BadName> {
    let len = wire.len() - start - 1;
    if len == 0 || len > LABEL {
        return Err(BadName);
    }
    wire[start] = len as u8;
    Ok(())
}

/// What stands behind a backslash.
fn escaped(rest: &mut &[u8]) -> Result<u8, BadName> {
    let (&first, after) = rest.split_first().ok_or(BadName)?;
    if !first.is_ascii_digit() {
        *rest = after;
        return if first.is_ascii_graphic() { Ok(first) } else { Err(BadName) };
    }
    let (digits, after) = rest.split_first_chunk::<3>().ok_or(BadName)?;
    *rest = after;
    let number = digits.iter().try_fold(0u16, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u16::from(digit - b'0'))
    });
    number.and_then(|number| u8::try_from(number).ok()).ok_or(BadName)
}

/// Whether the first name is the second or below it.
pub(crate) fn is_within(mut name: &[u8], zone: &[u8]) -> bool {
    while name.len() > zone.len() {
        let label = usize::from(name[0]) + 1;
        name = name.get(label..).unwrap_or_default();
    }
    name.eq_ignore_ascii_case(zone)
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        // Lengths are below the letters, so they are compared as they are.
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Name {}

struct Labels<'a>(&'a [u8]);

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];
    fn next(&mut self) -> Option<&'a [u8]> {
        let (&len, rest) = self.0.split_first().filter(|(len, _)| **len > 0)?;
        let (label, rest) = rest.split_at_checked(len.into())?;
        self.0 = rest;
        Some(label)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self.0 == [0] {
            return f.write_char('.');
        }
        for label in self.labels() {
            write_bytes(label, b".\\\"", f)?;
            f.write_char('.')?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Writes bytes as zone files have them: with a backslash before those in `special`, and numbers for what is no text.
pub(crate) fn write_bytes(bytes: &[u8], special: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for &byte in bytes {
        match byte {
            _ if special.contains(&byte) => write!(f, "\\{}", char::from(byte))?,
            b' ' if special.contains(&b'.') => f.write_str("\\032")?,
            b' '..=b'~' => f.write_char(byte.into())?,
            _ => write!(f, "\\{byte:03}")?,
        }
    }
    Ok(())
}

/// An address, if the name is the text of one.
pub(crate) fn literal(text: &str) -> Option<IpAddress> {
    let v4 = text.parse::<Ipv4Addr>().map(IpAddress::Ipv4);
    v4.or_else(|_| text.parse::<Ipv6Addr>().map(IpAddress::Ipv6)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::ToString;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn texts_are_read_and_written() {
        for (text, wire, printed) in [
            (".", &b"\0"[..], "."),
            ("a", b"\x01a\0", "a."),
            ("Host.example.", b"\x04Host\x07example\0", "Host.example."),
            (r"a\.b.c", b"\x03a.b\x01c\0", r"a\.b.c."),
            (r"\027[2J.c", b"\x04\x1b[2J\x01c\0", r"\027[2J.c."),
            (r"a\032b", b"\x03a b\0", r"a\032b."),
            (r"\\\065", b"\x02\\A\0", r"\\A."),
        ] {
            let name = name(text);
            assert_eq!((name.wire(), name.to_string().as_str()), (wire, printed));
            assert_eq!(Name::parse(printed), Ok(name));
        }
        let long = "a".repeat(64);
        for text in ["", "..", ".a", "a..b", "a b", "ä", "\\", r"\25", r"\256", r"\1a3", &long] {
            assert_eq!(Name::parse(text), Err(BadName), "{text}");
        }
    }

    #[test]
    fn the_longest_name_has_255_bytes() {
        let label = "a".repeat(63);
        let text = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(name(&text).wire().len(), 255);
        assert_eq!(Name::parse(&format!("{text}a")), Err(BadName));
        assert_eq!(name(&text).join(&Name::root()), Some(name(&text)));
        assert_eq!(name(&text).join(&name("a")), None);
    }

    #[test]
    fn names_are_compared_without_case_and_by_labels() {
        assert_eq!(name("WWW.Example"), name("www.eXample."));
        assert_eq!(name("WWW.Example").hash(), name("www.example").hash());
        assert!(name("a.B.c").is_within(&name("b.C")) && name("a").is_within(&Name::root()));
        assert!(!name("ab.c").is_within(&name("b.c")) && !name("c").is_within(&name("b.c")));
        // A length is no letter, though it may look like one at another place.
        assert_ne!(name("a.b"), name(r"a\001b"));
        assert_eq!(name("host").join(&name("example")), Some(name("host.example")));
        let mixed = name("ab-1.c").mixed(|| true);
        assert!(mixed.is_exactly(b"\x04AB-1\x01C\0") && mixed == name("ab-1.c"));
    }

    #[test]
    fn addresses_have_names() {
        let reverse = |text| Name::reverse(literal(text).unwrap()).to_string();
        assert_eq!(reverse("10.200.0.99"), "99.0.200.10.in-addr.arpa.");
        assert_eq!(
            reverse("2001:db8::567:89ab"),
            "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa."
        );
        assert_eq!(literal("10.1"), None);
    }
}
