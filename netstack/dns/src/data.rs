//! The data of records: out of words, into words, and whether bytes are what they should be.

use crate::error::{What, ZoneError};
use crate::kind::Kind;
use crate::name::{Name, wire_len};
use crate::service;
use crate::text::{escape, hex, number, seconds, unescape};
use crate::words::Word;
use alloc::vec::Vec;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// What data is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Name,
    U8,
    U16,
    U32,
    Time,
    V4,
    V6,
    /// Strings to the end, at least one.
    Strings,
    /// A string of letters and digits.
    Tag,
    /// Bytes to the end, as one string.
    Rest,
    /// The parameters of SVCB to the end.
    Parameters,
}

/// The parts of a type's data, if they are known here.
pub(crate) fn parts(kind: Kind) -> Option<&'static [Part]> {
    use Part::{Name, Parameters, Rest, Strings, Tag, Time, U8, U16, U32, V4, V6};
    Some(match kind {
        Kind::A => &[V4],
        Kind::NS | Kind::CNAME | Kind::PTR | Kind::DNAME => &[Name],
        Kind::SOA => &[Name, Name, U32, Time, Time, Time, Time],
        Kind::MX => &[U16, Name],
        Kind::TXT => &[Strings],
        Kind::AAAA => &[V6],
        Kind::SRV => &[U16, U16, U16, Name],
        Kind::SVCB | Kind::HTTPS => &[U16, Name, Parameters],
        Kind::CAA => &[U8, Tag, Rest],
        _ => return None,
    })
}

/// The most bytes of data.
pub(crate) const DATA_MAX: usize = 65_535;

/// Words that are taken one by one.
pub(crate) struct Fields<'w, 'a> {
    rest: &'w [Word<'a>],
    line: u32,
}

impl<'w, 'a> Fields<'w, 'a> {
    pub(crate) fn new(words: &'w [Word<'a>], line: u32) -> Self {
        Self { rest: words, line }
    }

    pub(crate) fn next(&mut self) -> Result<Word<'a>, ZoneError> {
        let short = || ZoneError::new(self.line, What::Short, b"");
        let (word, rest) = self.rest.split_first().ok_or_else(short)?;
        (self.rest, self.line) = (rest, word.line);
        Ok(*word)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Nothing more must come.
    fn end(&self) -> Result<(), ZoneError> {
        self.rest.first().map_or(Ok(()), |word| Err(word.error(What::Long)))
    }
}

/// Appends the data that the words say.
pub(crate) fn parse(
    kind: Kind,
    fields: &mut Fields<'_, '_>,
    origin: Option<&Name>,
    out: &mut Vec<u8>,
) -> Result<(), ZoneError> {
    let (start, line) = (out.len(), fields.line);
    let generic = fields.rest.first().is_some_and(|word| !word.quoted && word.raw == b"\\#");
    match parts(kind) {
        Some(parts) if !generic => {
            for part in parts {
                parse_part(*part, fields, origin, out)?;
            }
        }
        _ if generic => {
            parse_generic(fields, out)?;
            if !is_sound(kind, &out[start..]) {
                return Err(ZoneError::new(line, What::Data(kind), b""));
            }
        }
        _ => return Err(fields.next()?.error(What::Type)),
    }
    fields.end()?;
    if out.len() - start > DATA_MAX {
        return Err(ZoneError::new(line, What::RecordTooLarge, b""));
    }
    Ok(())
}

fn parse_part(
    part: Part,
    fields: &mut Fields<'_, '_>,
    origin: Option<&Name>,
    out: &mut Vec<u8>,
) -> Result<(), ZoneError> {
    if part == Part::Parameters && fields.is_empty() {
        return Ok(());
    }
    let word = fields.next()?;
    let error = |what| word.error(what);
    let integer = |most| number(word.raw, most).ok_or_else(|| error(What::Number));
    match part {
        Part::Name => {
            let name = Name::parse(word.raw, origin).map_err(|bad| error(What::Name(bad)))?;
            out.extend_from_slice(name.wire());
        }
        Part::U8 => out.push(integer(0xff)? as u8),
        Part::U16 => out.extend_from_slice(&(integer(0xffff)? as u16).to_be_bytes()),
        Part::U32 => out.extend_from_slice(&integer(u32::MAX)?.to_be_bytes()),
        Part::Time => {
            let time = seconds(word.raw).ok_or_else(|| error(What::Time))?;
            out.extend_from_slice(&time.to_be_bytes());
        }
        Part::V4 => {
            out.extend_from_slice(&address::<Ipv4Addr>(word.raw).ok_or_else(|| error(What::V4))?.octets())
        }
        Part::V6 => {
            out.extend_from_slice(&address::<Ipv6Addr>(word.raw).ok_or_else(|| error(What::V6))?.octets())
        }
        Part::Strings => {
            string(&word, out)?;
            while !fields.is_empty() {
                string(&fields.next()?, out)?;
            }
        }
        Part::Tag => {
            string(&word, out)?;
            if word.raw.is_empty() || !word.raw.iter().all(u8::is_ascii_alphanumeric) {
                return Err(error(What::Tag));
            }
        }
        Part::Rest => {
            plain(word.raw, out).map_err(|()| error(What::String))?;
        }
        Part::Parameters => {
            let mut words = Vec::from([word]);
            while !fields.is_empty() {
                words.push(fields.next()?);
            }
            service::parse(&words, out)?;
        }
    }
    Ok(())
}

pub(crate) fn address<T: FromStr>(text: &[u8]) -> Option<T> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// Appends the bytes that a word stands for.
pub(crate) fn plain(mut raw: &[u8], out: &mut Vec<u8>) -> Result<(), ()> {
    while let Some(char) = unescape(raw)? {
        out.push(char.byte);
        raw = char.rest;
    }
    Ok(())
}

/// A string, with its length in front.
fn string(word: &Word<'_>, out: &mut Vec<u8>) -> Result<(), ZoneError> {
    let head = out.len();
    out.push(0);
    let len = plain(word.raw, out).ok().and_then(|()| u8::try_from(out.len() - head - 1).ok());
    out[head] = len.ok_or_else(|| word.error(What::String))?;
    Ok(())
}

/// RFC 3597 section 5: a length, and so many bytes in base 16, in any number of words.
fn parse_generic(fields: &mut Fields<'_, '_>, out: &mut Vec<u8>) -> Result<(), ZoneError> {
    fields.next()?;
    let length = fields.next()?;
    let len = number(length.raw, DATA_MAX as u32).ok_or_else(|| length.error(What::Number))? as usize;
    let (start, mut half) = (out.len(), None);
    while !fields.is_empty() {
        let word = fields.next()?;
        for byte in word.raw {
            let digit = hex(*byte).ok_or_else(|| word.error(What::Hex))?;
            half = match half {
                None => Some(digit << 4),
                Some(high) => {
                    out.push(high | digit);
                    None
                }
            };
        }
    }
    if half.is_some() || out.len() - start != len {
        return Err(length.error(What::Hex));
    }
    Ok(())
}

/// Whether bytes can be the data of a record. Of types that are not known, all can.
pub(crate) fn is_sound(kind: Kind, bytes: &[u8]) -> bool {
    let Some(parts) = parts(kind) else { return true };
    let end = parts.iter().try_fold(bytes, |rest, part| Some(rest.split_at_checked(part.len(rest)?)?.1));
    end.is_some_and(<[u8]>::is_empty)
}

impl Part {
    /// How many bytes at the start are this part's; `None` if they are not like that.
    pub(crate) fn len(self, bytes: &[u8]) -> Option<usize> {
        Some(match self {
            Self::Name => wire_len(bytes)?,
            Self::U8 => 1,
            Self::U16 => 2,
            Self::U32 | Self::V4 => 4,
            Self::Time => {
                (*bytes.first()? < 0x80).then_some(())?;
                4
            }
            Self::V6 => 16,
            Self::Tag => {
                let (len @ 1.., rest) = bytes.split_first()? else { return None };
                let tag = rest.get(..usize::from(*len))?;
                tag.iter().all(u8::is_ascii_alphanumeric).then_some(1 + tag.len())?
            }
            Self::Strings => {
                let mut at = 0;
                while at < bytes.len() || at == 0 {
                    at += 1 + usize::from(*bytes.get(at)?);
                }
                (at == bytes.len()).then_some(at)?
            }
            Self::Rest => bytes.len(),
            Self::Parameters => service::is_sound(bytes).then_some(bytes.len())?,
        })
    }
}

/// Data in words.
pub(crate) struct Shown<'a>(pub(crate) Kind, pub(crate) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(kind, bytes) = *self;
        let Some(parts) = parts(kind).filter(|_| is_sound(kind, bytes)) else {
            write!(f, "\\# {}", bytes.len())?;
            f.write_str(if bytes.is_empty() { "" } else { " " })?;
            return bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"));
        };
        let mut rest = bytes;
        for (index, part) in parts.iter().enumerate() {
            let Some((this, after)) = part.len(rest).and_then(|len| rest.split_at_checked(len)) else {
                return Err(fmt::Error);
            };
            if index > 0 && *part != Part::Parameters {
                f.write_str(" ")?;
            }
            part.show(f, this)?;
            rest = after;
        }
        Ok(())
    }
}

impl Part {
    fn show(self, f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
        let value = || bytes.iter().fold(0u32, |value, byte| value << 8 | u32::from(*byte));
        match self {
            Self::Name => Name::from_wire(bytes).map_or(Err(fmt::Error), |name| write!(f, "{name}")),
            Self::U8 | Self::U16 | Self::U32 | Self::Time => write!(f, "{}", value()),
            Self::V4 => write!(f, "{}", Ipv4Addr::from_bits(value())),
            Self::V6 => match <[u8; 16]>::try_from(bytes) {
                Ok(octets) => write!(f, "{}", Ipv6Addr::from(octets)),
                Err(_) => Err(fmt::Error),
            },
            Self::Tag => bytes[1..].iter().try_for_each(|byte| escape(f, *byte, b"")),
            Self::Strings => {
                let mut rest = bytes;
                while let Some((&len, after)) = rest.split_first() {
                    let (this, after) = after.split_at(usize::from(len));
                    quoted(f, this)?;
                    f.write_str(if after.is_empty() { "" } else { " " })?;
                    rest = after;
                }
                Ok(())
            }
            Self::Rest => quoted(f, bytes),
            Self::Parameters => service::show(f, bytes),
        }
    }
}

pub(crate) fn quoted(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_str("\"")?;
    bytes.iter().try_for_each(|byte| escape(f, *byte, b"\"\\"))?;
    f.write_str("\"")
}
