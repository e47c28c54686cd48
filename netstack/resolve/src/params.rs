//! How to speak to a service: the parameters of SVCB and HTTPS records (RFC 9460).

use crate::name::write_bytes;
use alloc::boxed::Box;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const PORT: u16 = 3;
const V4_HINT: u16 = 4;
const V6_HINT: u16 = 6;
/// By number.
const NAMES: [&str; 7] = ["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint"];

/// How to speak to a service: keys with values.
#[derive(Clone, PartialEq, Eq)]
pub struct Params(Box<[u8]>);

impl Params {
    /// `None` if lengths do not add up, keys are not in order, or a value is not what its key has.
    pub(crate) fn of_wire(wire: &[u8]) -> Option<Self> {
        let mut rest = wire;
        let mut last = None;
        while !rest.is_empty() {
            let (key, value) = take(&mut rest)?;
            let makes_sense = match key {
                MANDATORY => !value.is_empty() && value.len().is_multiple_of(2),
                ALPN => {
                    !value.is_empty()
                        && parts(value).map(<[u8]>::len).sum::<usize>() + parts(value).count() == value.len()
                }
                2 => value.is_empty(),
                PORT => value.len() == 2,
                V4_HINT => !value.is_empty() && value.len().is_multiple_of(4),
                V6_HINT => !value.is_empty() && value.len().is_multiple_of(16),
                _ => true,
            };
            if !makes_sense || last.is_some_and(|last| last >= key) {
                return None;
            }
            last = Some(key);
        }
        Some(Self(wire.into()))
    }

    /// As they came.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Keys and values.
    pub fn all(&self) -> impl Iterator<Item = (u16, &[u8])> {
        let mut rest = &*self.0;
        core::iter::from_fn(move || take(&mut rest))
    }

    /// The value of a key.
    pub fn value(&self, key: u16) -> Option<&[u8]> {
        self.all().find(|(other, _)| *other == key).map(|(_, value)| value)
    }

    /// The protocols that are spoken there (RFC 7301).
    pub fn alpn(&self) -> impl Iterator<Item = &[u8]> {
        parts(self.value(ALPN).unwrap_or_default())
    }

    /// The port, if it is not the usual one.
    pub fn port(&self) -> Option<u16> {
        self.value(PORT).and_then(|value| Some(u16::from_be_bytes(*value.first_chunk()?)))
    }

    /// Addresses that the host may have.
    pub fn v4_hints(&self) -> impl Iterator<Item = Ipv4Addr> {
        let (chunks, _) = self.value(V4_HINT).unwrap_or_default().as_chunks::<4>();
        chunks.iter().map(|octets| Ipv4Addr::from(*octets))
    }

    /// The same for IPv6.
    pub fn v6_hints(&self) -> impl Iterator<Item = Ipv6Addr> {
        let (chunks, _) = self.value(V6_HINT).unwrap_or_default().as_chunks::<16>();
        chunks.iter().map(|octets| Ipv6Addr::from(*octets))
    }
}

/// The first key and its value.
fn take<'a>(rest: &mut &'a [u8]) -> Option<(u16, &'a [u8])> {
    let (head, after) = rest.split_first_chunk::<4>()?;
    let len = u16::from_be_bytes([head[2], head[3]]);
    let (value, after) = after.split_at_checked(len.into())?;
    *rest = after;
    Some((u16::from_be_bytes([head[0], head[1]]), value))
}

/// Byte strings with a length in front each, as far as they are whole and not empty.
fn parts(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        let (&len, after) = rest.split_first().filter(|(len, _)| **len > 0)?;
        let (part, after) = after.split_at_checked(len.into())?;
        rest = after;
        Some(part)
    })
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, value) in self.all() {
            match NAMES.get(usize::from(key)) {
                Some(name) => write!(f, " {name}")?,
                None => write!(f, " key{key}")?,
            }
            let comma = |at: usize| if at == 0 { "" } else { "," };
            if value.is_empty() {
                continue;
            }
            f.write_str("=")?;
            match key {
                MANDATORY => {
                    for (at, key) in value.as_chunks::<2>().0.iter().enumerate() {
                        let key = u16::from_be_bytes(*key);
                        match NAMES.get(usize::from(key)) {
                            Some(name) => write!(f, "{}{name}", comma(at))?,
                            None => write!(f, "{}key{key}", comma(at))?,
                        }
                    }
                }
                ALPN => {
                    f.write_str("\"")?;
                    for (at, part) in self.alpn().enumerate() {
                        f.write_str(comma(at))?;
                        write_bytes(part, b"\\\",", f)?;
                    }
                    f.write_str("\"")?;
                }
                PORT => write!(f, "{}", self.port().unwrap_or_default())?,
                V4_HINT => {
                    for (at, hint) in self.v4_hints().enumerate() {
                        write!(f, "{}{hint}", comma(at))?;
                    }
                }
                V6_HINT => {
                    for (at, hint) in self.v6_hints().enumerate() {
                        write!(f, "{}{hint}", comma(at))?;
                    }
                }
                _ => {
                    f.write_str("\"")?;
                    write_bytes(value, b"\\\"", f)?;
                    f.write_str("\"")?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    #[test]
    fn parameters_are_read_and_printed() {
        let wire = [
            &b"\0\0\0\x04\0\x01\0\x63"[..],
            b"\0\x01\0\x06\x02h2\x02h3",
            b"\0\x02\0\0",
            b"\0\x03\0\x02\x20\xfb",
            b"\0\x04\0\x08\x0a\0\0\x01\x0a\0\0\x02",
            b"\0\x06\0\x10\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01",
            b"\0\x63\0\x02\x1b\"",
        ]
        .concat();
        let params = Params::of_wire(&wire).unwrap();
        assert_eq!(
            params.to_string(),
            " mandatory=alpn,key99 alpn=\"h2,h3\" no-default-alpn port=8443 \
             ipv4hint=10.0.0.1,10.0.0.2 ipv6hint=fd00::1 key99=\"\\027\\\"\""
        );
        assert_eq!((params.port(), params.alpn().count()), (Some(8443), 2));
        assert_eq!(params.v4_hints().collect::<Vec<_>>().len(), 2);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for wire in [
            &b"\0"[..],
            b"\0\x63\0\x02a",
            b"\0\x63\0\0\0\x62\0\0",
            b"\0\x63\0\0\0\x63\0\0",
            b"\0\x03\0\x03abc",
            b"\0\x01\0\0",
            b"\0\x01\0\x02\x02a",
            b"\0\x01\0\x03\0\x01a",
            b"\0\x04\0\x03abc",
            b"\0\x06\0\x04abcd",
            b"\0\x02\0\x01a",
            b"\0\0\0\x01a",
        ] {
            assert_eq!(Params::of_wire(wire), None, "{wire:?}");
        }
        assert!(Params::of_wire(b"").is_some());
    }
}
