//! Messages (RFC 1035 section 4): questions that we ask, and what is in the answers.
//!
//! An answer is walked through where it lies. A name in it may point backwards only, so every walk ends.

use crate::kind::Kind;
use crate::name::{LONGEST, Name};
use crate::params::Params;
use crate::record::{Data, Record, Text};
use alloc::vec::Vec;

pub(crate) const HEADER: usize = 12;
/// Of the Internet, the one class there is.
const IN: u16 = 1;
/// RFC 6891.
const OPT: u16 = 41;
/// The largest datagram that gets through nearly everywhere in one piece (the DNS flag day of 2020).
const DATAGRAM: u16 = 1232;
/// As many as a name can have labels, so that reading one is soon done.
const POINTERS: u32 = 127;

/// What is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Question {
    pub(crate) name: Name,
    pub(crate) kind: Kind,
}

impl Question {
    /// A message that asks it.
    pub(crate) fn message(&self, id: u16, edns: bool) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.name.wire().len() + 4 + 11);
        let mut word = |word: u16| bytes.extend_from_slice(&word.to_be_bytes());
        word(id);
        // Recursion is desired.
        word(0x0100);
        word(1);
        word(0);
        word(0);
        word(edns.into());
        bytes.extend_from_slice(self.name.wire());
        bytes.extend_from_slice(&self.kind.0.to_be_bytes());
        bytes.extend_from_slice(&IN.to_be_bytes());
        if edns {
            bytes.push(0);
            bytes.extend_from_slice(&OPT.to_be_bytes());
            bytes.extend_from_slice(&DATAGRAM.to_be_bytes());
            bytes.extend_from_slice(&[0; 6]);
        }
        bytes
    }
}

/// A message that breaks the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Corrupt;

/// What a message is for a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// Its answer.
    Exact,
    /// Its answer, but letters are in another case.
    OtherCase,
    /// It says only that it does not understand questions like this, without repeating it.
    Blunt,
    /// Nothing of ours.
    Not,
}

/// How servers answer (RFC 1035 section 4.1.1, RFC 6891 for what is larger than 15).
pub(crate) mod rcode {
    pub(crate) const OK: u16 = 0;
    pub(crate) const NOT_UNDERSTOOD: u16 = 1;
    pub(crate) const NO_SUCH_NAME: u16 = 3;
    pub(crate) const NOT_IMPLEMENTED: u16 = 4;
    pub(crate) const REFUSED: u16 = 5;
    pub(crate) const BAD_VERSION: u16 = 16;
}

/// An answer.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    bytes: &'a [u8],
    /// Where the answer section begins.
    begin: usize,
}

impl<'a> Message<'a> {
    /// A message whose records begin at a place.
    pub(crate) fn new(bytes: &'a [u8], begin: usize) -> Self {
        Self { bytes, begin }
    }

    /// Whether a message is the answer to a question, and where its records begin then.
    pub(crate) fn fit(bytes: &[u8], id: u16, question: &Question) -> (Fit, usize) {
        let Some(header) = bytes.first_chunk::<HEADER>() else { return (Fit::Not, HEADER) };
        // An answer, to a standard query.
        if header[..2] != id.to_be_bytes() || header[2] & 0xf8 != 0x80 {
            return (Fit::Not, HEADER);
        }
        let short = u16::from(header[3] & 15);
        match [header[4], header[5]] {
            [0, 0] if [rcode::NOT_UNDERSTOOD, rcode::NOT_IMPLEMENTED].contains(&short) => {
                return (Fit::Blunt, HEADER);
            }
            [0, 1] => {}
            _ => return (Fit::Not, HEADER),
        }
        let mut name = NameBuffer::default();
        let Ok(at) = name.read(bytes, HEADER) else { return (Fit::Not, HEADER) };
        let expected = [question.kind.0, IN];
        let is_of_kind = [word(bytes, at), word(bytes, at + 2)] == expected.map(Ok);
        let fit = match name.is(&question.name) && is_of_kind {
            false => Fit::Not,
            true if question.name.is_exactly(name.wire()) => Fit::Exact,
            true => Fit::OtherCase,
        };
        (fit, at + 4)
    }

    /// Whether there was no room for all of it.
    pub(crate) fn is_truncated(&self) -> bool {
        self.bytes[2] & 2 != 0
    }

    fn short_rcode(&self) -> u16 {
        u16::from(self.bytes[3] & 15)
    }

    /// How the server answers.
    pub(crate) fn rcode(&self) -> Result<u16, Corrupt> {
        let mut high = 0;
        for record in self.records() {
            let record = record?;
            if record.kind == OPT {
                high = (record.ttl >> 24) as u16;
            }
        }
        Ok(high << 4 | self.short_rcode())
    }

    fn count(&self, section: usize) -> u16 {
        word(self.bytes, 4 + 2 * section).unwrap_or(0)
    }

    /// All records, one after the other. The counts may lie: what is not there is corrupt.
    fn records(&self) -> Records<'a> {
        Records { message: *self, at: self.begin, section: 1, left: self.count(1) }
    }

    /// What the answer section has for a name: all of this kind, or else where the name leads to.
    pub(crate) fn answers(&self, name: &Name, kind: Kind, into: &mut Answers) -> Result<(), Corrupt> {
        let mut owner = NameBuffer::default();
        into.alias = None;
        for record in self.records() {
            let record = record?;
            let wanted = record.kind == kind.0 || record.kind == Kind::CNAME.0;
            if record.section != 1 || record.class != IN || !wanted {
                continue;
            }
            owner.read(self.bytes, record.owner)?;
            if !owner.is(name) {
                continue;
            }
            let found = Record {
                name: Name::of_wire(owner.wire()),
                kind: Kind(record.kind),
                ttl_s: ttl(record.ttl),
                data: record.data(self.bytes)?,
            };
            if record.kind == kind.0 {
                into.add(found)?;
            } else if into.alias.is_none() {
                into.alias = Some(found);
            }
        }
        Ok(())
    }

    /// For how long it may be kept that `name` has nothing: what the authority section says (RFC 2308 section 5).
    pub(crate) fn nothing_for_s(&self, name: &Name) -> Result<Option<u32>, Corrupt> {
        let mut owner = NameBuffer::default();
        for record in self.records() {
            let record = record?;
            if record.section != 2 || record.kind != Kind::SOA.0 || record.class != IN {
                continue;
            }
            owner.read(self.bytes, record.owner)?;
            if !name.is_within(&Name::of_wire(owner.wire())) {
                continue;
            }
            if let Data::Soa { numbers: [.., least], .. } = record.data(self.bytes)? {
                return Ok(Some(ttl(record.ttl).min(ttl(least))));
            }
        }
        Ok(None)
    }
}

/// What was found for a name.
#[derive(Default)]
pub(crate) struct Answers {
    pub(crate) records: Vec<Record>,
    /// The name is another name for one that is elsewhere.
    pub(crate) alias: Option<Record>,
    size: usize,
}

/// Names in a message are short, for they point to others; what they stand for is not. So this is counted.
const LARGEST: usize = 128 << 10;

impl Answers {
    pub(crate) fn add(&mut self, record: Record) -> Result<(), Corrupt> {
        self.size += size_of::<Record>() + record.name.wire().len() + record.data.size();
        if self.size > LARGEST {
            return Err(Corrupt);
        }
        self.records.push(record);
        Ok(())
    }
}

/// A TTL with its highest bit set is none (RFC 2181 section 8).
fn ttl(word: u32) -> u32 {
    if word >> 31 == 0 { word } else { 0 }
}

/// A record where it lies.
struct Raw {
    section: usize,
    /// Where its name begins.
    owner: usize,
    kind: u16,
    class: u16,
    ttl: u32,
    /// Where its data are.
    data: (usize, usize),
}

struct Records<'a> {
    message: Message<'a>,
    at: usize,
    section: usize,
    left: u16,
}

impl Iterator for Records<'_> {
    type Item = Result<Raw, Corrupt>;
    fn next(&mut self) -> Option<Self::Item> {
        while self.left == 0 {
            if self.section == 3 {
                return None;
            }
            self.section += 1;
            self.left = self.message.count(self.section);
        }
        self.left -= 1;
        let raw = self.read();
        if raw.is_err() {
            (self.left, self.section) = (0, 3);
        }
        Some(raw)
    }
}

impl Records<'_> {
    fn read(&mut self) -> Result<Raw, Corrupt> {
        let bytes = self.message.bytes;
        let owner = self.at;
        let at = skip_name(bytes, owner)?;
        let (kind, class) = (word(bytes, at)?, word(bytes, at + 2)?);
        let (ttl, len) = (long(bytes, at + 4)?, word(bytes, at + 8)?);
        let start = at + 10;
        let end = start + usize::from(len);
        if end > bytes.len() {
            return Err(Corrupt);
        }
        self.at = end;
        Ok(Raw { section: self.section, owner, kind, class, ttl, data: (start, end) })
    }
}

impl Raw {
    fn data(&self, bytes: &[u8]) -> Result<Data, Corrupt> {
        let (start, end) = self.data;
        let data = bytes.get(start..end).ok_or(Corrupt)?;
        // Names may point out of the data, but do not go beyond them.
        let mut at = start;
        let mut name = |skip: usize| {
            let mut name = NameBuffer::default();
            at = name.read(&bytes[..end], at + skip)?;
            Ok(Name::of_wire(name.wire()))
        };
        let value = match Kind(self.kind) {
            Kind::A => return Ok(Data::A((*<&[u8; 4]>::try_from(data).map_err(|_| Corrupt)?).into())),
            Kind::AAAA => return Ok(Data::Aaaa((*<&[u8; 16]>::try_from(data).map_err(|_| Corrupt)?).into())),
            Kind::TXT => return Text::of_wire(data).map(Data::Txt).ok_or(Corrupt),
            Kind::CNAME => Data::Cname(name(0)?),
            Kind::NS => Data::Ns(name(0)?),
            Kind::PTR => Data::Ptr(name(0)?),
            Kind::MX => Data::Mx { preference: word(data, 0)?, exchange: name(2)? },
            Kind::SRV => Data::Srv {
                priority: word(data, 0)?,
                weight: word(data, 2)?,
                port: word(data, 4)?,
                target: name(6)?,
            },
            Kind::SVCB | Kind::HTTPS => {
                let (priority, target) = (word(data, 0)?, name(2)?);
                let params = Params::of_wire(&bytes[at..end]).ok_or(Corrupt)?;
                return Ok(Data::Svcb { priority, target, params });
            }
            Kind::SOA => {
                let (server, mailbox) = (name(0)?, name(0)?);
                let mut numbers = [0; 5];
                for (index, number) in numbers.iter_mut().enumerate() {
                    *number = long(&bytes[..end], at + 4 * index)?;
                }
                at += 20;
                Data::Soa { server, mailbox, numbers }
            }
            _ => return Ok(Data::Other(data.into())),
        };
        if at == end { Ok(value) } else { Err(Corrupt) }
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u16, Corrupt> {
    let word = bytes.get(at..).and_then(<[u8]>::first_chunk);
    word.map(|word| u16::from_be_bytes(*word)).ok_or(Corrupt)
}

fn long(bytes: &[u8], at: usize) -> Result<u32, Corrupt> {
    let long = bytes.get(at..).and_then(<[u8]>::first_chunk);
    long.map(|long| u32::from_be_bytes(*long)).ok_or(Corrupt)
}

/// Where a name ends.
fn skip_name(bytes: &[u8], mut at: usize) -> Result<usize, Corrupt> {
    loop {
        match *bytes.get(at).ok_or(Corrupt)? {
            0 => return Ok(at + 1),
            len @ ..64 => at += 1 + usize::from(len),
            192.. if at + 2 <= bytes.len() => return Ok(at + 2),
            _ => return Err(Corrupt),
        }
    }
}

/// A name out of a message, whole.
struct NameBuffer {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Default for NameBuffer {
    fn default() -> Self {
        Self { bytes: [0; LONGEST], len: 0 }
    }
}

impl NameBuffer {
    /// Reads the name at a place. Gives the place behind it.
    fn read(&mut self, bytes: &[u8], mut at: usize) -> Result<usize, Corrupt> {
        self.len = 0;
        let (mut end, mut begin, mut pointers) = (None, at, 0);
        loop {
            let len = *bytes.get(at).ok_or(Corrupt)?;
            if len >= 192 {
                let to = usize::from(word(bytes, at)? & 0x3fff);
                end = end.or(Some(at + 2));
                // Before all that was read of this name, so that it ends.
                pointers += 1;
                if to >= begin || pointers > POINTERS {
                    return Err(Corrupt);
                }
                (at, begin) = (to, to);
                continue;
            }
            let label = bytes.get(at..at + 1 + usize::from(len)).ok_or(Corrupt)?;
            let room = self.bytes.get_mut(self.len..self.len + label.len()).ok_or(Corrupt)?;
            if len >= 64 {
                return Err(Corrupt);
            }
            room.copy_from_slice(label);
            (self.len, at) = (self.len + label.len(), at + label.len());
            if len == 0 {
                return Ok(end.unwrap_or(at));
            }
        }
    }

    fn wire(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn is(&self, name: &Name) -> bool {
        self.wire().eq_ignore_ascii_case(name.wire())
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
