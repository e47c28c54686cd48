//! Messages that come in.

use crate::kind::Kind;
use crate::name::{Key, wire_len};

pub(crate) const HEADER: usize = 12;
pub(crate) const CLASS_IN: u16 = 1;
pub(crate) const CLASS_ANY: u16 = 255;

/// How a message ends (RFC 1035 section 4.1.1, RFC 6891 section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rcode {
    /// All is well.
    NoError = 0,
    /// We do not understand the message.
    FormErr = 1,
    /// There is no such name.
    NxDomain = 3,
    /// We do not do that.
    NotImp = 4,
    /// Not for you, or not here.
    Refused = 5,
    /// What a DNAME leads to is too long.
    YxDomain = 6,
    /// That zone is not ours.
    NotAuth = 9,
    /// There is no such version of EDNS here.
    BadVers = 16,
}

/// What EDNS says (RFC 6891 section 6).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edns {
    /// The largest datagram that can be taken.
    pub(crate) size: u16,
    pub(crate) version: u8,
    /// Wants DNSSEC's records: said back to them, and nothing else.
    pub(crate) dnssec_ok: bool,
}

/// A query that can be answered.
pub(crate) struct Query {
    pub(crate) kind: Kind,
    pub(crate) class: u16,
    /// Where the question ends.
    pub(crate) end: usize,
    pub(crate) edns: Option<Edns>,
    /// The SOA's number in an IXFR (RFC 1995 section 3).
    pub(crate) serial: Option<u32>,
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|word| u16::from_be_bytes(*word))
}

/// The type that a message asks for first, if it can be told.
pub(crate) fn kind(bytes: &[u8]) -> Option<Kind> {
    let question = bytes.get(HEADER..)?;
    word(question, wire_len(question)?).map(Kind)
}

/// Takes a message apart, and puts the name that it asks for into `key`. If it is no query that can be answered, gives what goes back with the header alone, or nothing
/// if not even that is due.
pub(crate) fn parse(bytes: &[u8], key: &mut Key) -> Result<Query, Option<Rcode>> {
    let header = bytes.first_chunk::<HEADER>().ok_or(None)?;
    // An answer, or what claims to be one, is never answered.
    if header[2] & 0x80 != 0 {
        return Err(None);
    }
    if header[2] >> 3 & 15 != 0 {
        return Err(Some(Rcode::NotImp));
    }
    query(bytes, header, key).ok_or(Some(Rcode::FormErr))
}

fn query(bytes: &[u8], header: &[u8; HEADER], key: &mut Key) -> Option<Query> {
    let count = |index: usize| u16::from_be_bytes([header[4 + 2 * index], header[5 + 2 * index]]);
    if (count(0), count(1)) != (1, 0) {
        return None;
    }
    let at = HEADER + key.set(&bytes[HEADER..])?;
    let (kind, class, end) = (Kind(word(bytes, at)?), word(bytes, at + 2)?, at + 4);
    let mut query = Query { kind, class, end, edns: None, serial: None };
    if count(2) > u16::from(kind == Kind::IXFR) {
        return None;
    }
    let mut at = end;
    for index in 0..count(2).checked_add(count(3))? {
        let record = Record::parse(bytes, at)?;
        at = record.end;
        if index < count(2) {
            query.serial = Some(record.serial(bytes).filter(|_| record.kind == Kind::SOA)?);
        } else if record.kind == Kind::OPT {
            if record.is_named || query.edns.is_some() || !options_are_whole(record.data(bytes)) {
                return None;
            }
            let [_, version, flags, _] = record.ttl;
            query.edns = Some(Edns { size: record.class, version, dnssec_ok: flags & 0x80 != 0 });
        }
    }
    (at == bytes.len()).then_some(query)
}

/// A record of a query.
struct Record {
    /// Not by the root.
    is_named: bool,
    kind: Kind,
    class: u16,
    ttl: [u8; 4],
    start: usize,
    end: usize,
}

impl Record {
    fn parse(bytes: &[u8], mut at: usize) -> Option<Self> {
        let is_named = *bytes.get(at)? != 0;
        loop {
            match *bytes.get(at)? {
                0 => break at += 1,
                len @ 1..=63 => at += 1 + usize::from(len),
                0xc0.. => break at += 2,
                _ => return None,
            }
        }
        let ttl = bytes.get(at + 4..)?.first_chunk()?;
        let (start, len) = (at + 10, usize::from(word(bytes, at + 8)?));
        bytes.get(start..start + len)?;
        let (kind, class) = (Kind(word(bytes, at)?), word(bytes, at + 2)?);
        Some(Self { is_named, kind, class, ttl: *ttl, start, end: start + len })
    }

    fn data<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.start..self.end]
    }

    /// The first of the five numbers at the end of a SOA.
    fn serial(&self, bytes: &[u8]) -> Option<u32> {
        let data = self.data(bytes);
        let at = data.len().checked_sub(20)?;
        data[at..].first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }
}

/// What options say is nothing to us, but they must be there as far as they say.
fn options_are_whole(mut data: &[u8]) -> bool {
    while !data.is_empty() {
        let len = word(data, 2).map(|len| 4 + usize::from(len));
        let Some(rest) = len.and_then(|len| data.get(len..)) else { return false };
        data = rest;
    }
    true
}
