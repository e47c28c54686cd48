//! Types of records.

use core::fmt;

/// A type of record, or of query.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u16);

macro_rules! kinds {
    ($($name:ident = $number:literal,)*) => {
        impl Kind {
            $(#[doc = concat!("`", stringify!($name), "`.")] pub const $name: Self = Self($number);)*

            /// The types that have a name, and a form in zone files, here.
            const NAMED: &[(Self, &str)] = &[$((Self::$name, stringify!($name)),)*];
        }
    };
}

kinds! {
    A = 1,
    NS = 2,
    CNAME = 5,
    SOA = 6,
    PTR = 12,
    MX = 15,
    TXT = 16,
    AAAA = 28,
    SRV = 33,
    DNAME = 39,
    SVCB = 64,
    HTTPS = 65,
    CAA = 257,
}

impl Kind {
    pub(crate) const OPT: Self = Self(41);
    pub(crate) const DS: Self = Self(43);
    pub(crate) const RRSIG: Self = Self(46);
    pub(crate) const NSEC: Self = Self(47);
    pub(crate) const IXFR: Self = Self(251);
    pub(crate) const AXFR: Self = Self(252);
    pub(crate) const ANY: Self = Self(255);

    /// Reads a name like `MX` or `TYPE15` (RFC 3597 section 5).
    pub fn parse(text: &[u8]) -> Option<Self> {
        let named = Self::NAMED.iter().find(|(_, name)| text.eq_ignore_ascii_case(name.as_bytes()));
        if let Some((kind, _)) = named {
            return Some(*kind);
        }
        let (word, digits) = text.split_at_checked(4)?;
        let digits = core::str::from_utf8(digits).ok()?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        (plain && word.eq_ignore_ascii_case(b"TYPE")).then_some(())?;
        digits.parse().ok().map(Self)
    }

    /// Whether records of that type can be in a zone: not those that are about a message (RFC 6895 section 3.1).
    pub(crate) fn is_data(self) -> bool {
        !matches!(self.0, 0 | 41 | 128..=255)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMED.iter().find(|(kind, _)| kind == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_names_or_numbers() {
        assert_eq!(Kind::parse(b"mX"), Some(Kind::MX));
        assert_eq!(Kind::parse(b"type257"), Some(Kind::CAA));
        assert_eq!(Kind::parse(b"TYPE65535"), Some(Kind(65_535)));
        for text in ["", "TYPE", "TYPE65536", "TYPE+1", "TYPE-1", "XX", "M"] {
            assert_eq!(Kind::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(format!("{} {}", Kind::HTTPS, Kind(99)), "HTTPS TYPE99");
    }
}
