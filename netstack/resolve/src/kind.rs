//! Kinds of records.

use core::fmt;

/// What is asked for (RFC 1035 section 3.2.2 and later ones).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(pub u16);

impl Kind {
    /// An IPv4 address.
    pub const A: Self = Self(1);
    /// A server of a zone.
    pub const NS: Self = Self(2);
    /// Another name for this.
    pub const CNAME: Self = Self(5);
    /// Where a zone begins.
    pub const SOA: Self = Self(6);
    /// The name of an address.
    pub const PTR: Self = Self(12);
    /// Who takes mail.
    pub const MX: Self = Self(15);
    /// Text.
    pub const TXT: Self = Self(16);
    /// An IPv6 address.
    pub const AAAA: Self = Self(28);
    /// Where a service is.
    pub const SRV: Self = Self(33);
    /// Where a service is, and how to speak to it (RFC 9460).
    pub const SVCB: Self = Self(64);
    /// The same for the web.
    pub const HTTPS: Self = Self(65);

    /// By its name, in any case; `TYPE123` is any (RFC 3597).
    pub fn parse(text: &str) -> Option<Self> {
        let named = NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
        let number = || {
            let digits = text.strip_prefix("TYPE").or_else(|| text.strip_prefix("type"))?;
            digits.parse().ok()
        };
        named.map(|(number, _)| *number).or_else(number).filter(|number| *number > 0).map(Self)
    }
}

const NAMES: [(u16, &str); 11] = [
    (1, "A"),
    (2, "NS"),
    (5, "CNAME"),
    (6, "SOA"),
    (12, "PTR"),
    (15, "MX"),
    (16, "TXT"),
    (28, "AAAA"),
    (33, "SRV"),
    (64, "SVCB"),
    (65, "HTTPS"),
];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(number, _)| *number == self.0) {
            // Padded if that is asked for.
            Some((_, name)) => f.pad(name),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn kinds_have_names_or_numbers() {
        for (text, number, printed) in
            [("aaaa", 28, "AAAA"), ("HTTPS", 65, "HTTPS"), ("TYPE257", 257, "TYPE257"), ("type1", 1, "A")]
        {
            let kind = Kind::parse(text).unwrap();
            assert_eq!((kind.0, kind.to_string().as_str()), (number, printed));
        }
        for text in ["", "TYPE", "TYPE0", "TYPE65536", "AA", "TYPE-1"] {
            assert_eq!(Kind::parse(text), None, "{text}");
        }
    }
}
