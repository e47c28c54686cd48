//! Records: what a name has.

use crate::kind::Kind;
use crate::name::{Name, write_bytes};
use crate::params::Params;
use alloc::boxed::Box;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use fata_netstack::IpAddress;

/// One thing that a name has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The name.
    pub name: Name,
    /// Of what kind it is.
    pub kind: Kind,
    /// For how many seconds this may be kept, from when it came.
    pub ttl_s: u32,
    /// What it is.
    pub data: Data,
}

/// What a record says. Printed, it is as `dig +short` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// Another name for this.
    Cname(Name),
    /// A server of the zone.
    Ns(Name),
    /// The name of an address.
    Ptr(Name),
    /// Who takes mail.
    Mx {
        /// The lowest is tried first.
        preference: u16,
        /// Who it is.
        exchange: Name,
    },
    /// Where a service is.
    Srv {
        /// The lowest is tried first.
        priority: u16,
        /// Of the same priority, how often this one in relation to others.
        weight: u16,
        /// Its port.
        port: u16,
        /// Its host.
        target: Name,
    },
    /// Text, in one or more parts.
    Txt(Text),
    /// Where a service is, and how to speak to it; of HTTPS too.
    Svcb {
        /// Zero if `target` is another name for the service; else the lowest is tried first.
        priority: u16,
        /// Its host; the root stands for the record's own name.
        target: Name,
        /// How to speak to it.
        params: Params,
    },
    /// Where a zone begins.
    Soa {
        /// Its first server.
        server: Name,
        /// Whose it is, with a dot for the at sign.
        mailbox: Name,
        /// Serial number, refresh, retry and expiry in seconds, and the TTL of what there is not.
        numbers: [u32; 5],
    },
    /// Something else, as it came.
    Other(Box<[u8]>),
}

impl Data {
    /// The address, if it is one.
    pub fn address(&self) -> Option<IpAddress> {
        match self {
            Self::A(address) => Some(IpAddress::Ipv4(*address)),
            Self::Aaaa(address) => Some(IpAddress::Ipv6(*address)),
            _ => None,
        }
    }

    /// Bytes on the heap, nearly.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::A(_) | Self::Aaaa(_) => 0,
            Self::Cname(name) | Self::Ns(name) | Self::Ptr(name) => name.wire().len(),
            Self::Mx { exchange: name, .. } | Self::Srv { target: name, .. } => name.wire().len(),
            Self::Txt(text) => text.0.len(),
            Self::Svcb { target, params, .. } => target.wire().len() + params.bytes().len(),
            Self::Soa { server, mailbox, .. } => server.wire().len() + mailbox.wire().len(),
            Self::Other(bytes) => bytes.len(),
        }
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::A(address) => write!(f, "{address}"),
            Self::Aaaa(address) => write!(f, "{address}"),
            Self::Cname(name) | Self::Ns(name) | Self::Ptr(name) => write!(f, "{name}"),
            Self::Mx { preference, exchange } => write!(f, "{preference} {exchange}"),
            Self::Srv { priority, weight, port, target } => {
                write!(f, "{priority} {weight} {port} {target}")
            }
            Self::Txt(text) => write!(f, "{text}"),
            Self::Svcb { priority, target, params } => write!(f, "{priority} {target}{params}"),
            Self::Soa { server, mailbox, numbers } => {
                write!(f, "{server} {mailbox}")?;
                numbers.iter().try_for_each(|number| write!(f, " {number}"))
            }
            Self::Other(bytes) => {
                // RFC 3597 section 5.
                write!(f, "\\# {}", bytes.len())?;
                for (at, byte) in bytes.iter().enumerate() {
                    write!(f, "{}{byte:02X}", if at == 0 { " " } else { "" })?;
                }
                Ok(())
            }
        }
    }
}

/// Text in parts of up to 255 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Box<[u8]>);

impl Text {
    /// `None` if the lengths do not add up, or there is no part.
    pub(crate) fn of_wire(wire: &[u8]) -> Option<Self> {
        let mut rest = wire;
        while let Some((&len, after)) = rest.split_first() {
            rest = after.get(usize::from(len)..)?;
        }
        (!wire.is_empty()).then(|| Self(wire.into()))
    }

    /// The parts.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.0;
        core::iter::from_fn(move || {
            let (&len, after) = rest.split_first()?;
            let (part, after) = after.split_at_checked(len.into())?;
            rest = after;
            Some(part)
        })
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.parts().enumerate() {
            f.write_str(if at == 0 { "\"" } else { " \"" })?;
            write_bytes(part, b"\\\"", f)?;
            f.write_str("\"")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Text {
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
    fn texts_add_up_and_are_printed_safely() {
        let text = Text::of_wire(b"\x03a\"b\0\x04\x1b[2J").unwrap();
        assert_eq!(text.parts().collect::<Vec<_>>(), [&b"a\"b"[..], b"", b"\x1b[2J"]);
        assert_eq!(text.to_string(), r#""a\"b" "" "\027[2J""#);
        for wire in [&b""[..], b"\x01", b"\x01a\x02b"] {
            assert_eq!(Text::of_wire(wire), None);
        }
    }

    #[test]
    fn data_is_printed_as_dig_has_it() {
        let name = |text| Name::parse(text).unwrap();
        for (data, printed) in [
            (Data::A([10, 0, 0, 1].into()), "10.0.0.1"),
            (Data::Mx { preference: 10, exchange: name("mx.example") }, "10 mx.example."),
            (Data::Srv { priority: 1, weight: 2, port: 53, target: Name::root() }, "1 2 53 ."),
            (Data::Other(Box::new([1, 0xab])), "\\# 2 01AB"),
            (Data::Other(Box::new([])), "\\# 0"),
            (
                Data::Soa { server: name("a"), mailbox: name("b.c"), numbers: [1, 2, 3, 4, 5] },
                "a. b.c. 1 2 3 4 5",
            ),
        ] {
            assert_eq!(data.to_string(), printed);
        }
    }
}
