//! Messages that go out, with names compressed (RFC 1035 section 4.1.4).

use crate::kind::Kind;
use crate::name::{Key, Name, wire_len};
use crate::query::{CLASS_IN, Edns, HEADER, Rcode};
use crate::zone::{Set, Zone};

/// The largest datagram that we send and take: it gets through nearly everywhere in one piece.
pub const UDP_MAX: usize = 1232;
/// What a record for EDNS takes.
const OPT_LEN: usize = 11;
/// The most names, or ends of names, that can be pointed to.
const NAMES: usize = 48;

/// There is no room in the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Answer,
    Authority,
    Additional,
}

/// Whose a record is.
#[derive(Clone, Copy)]
pub(crate) enum Owner<'a> {
    /// The name in the question.
    Question,
    Name(&'a Name),
}

/// Where a name is, or the end of one; and above that, how long it is without pointers: names of another length are others.
#[derive(Clone, Copy)]
struct Place(u32);

impl Place {
    const NONE: Self = Self(0);

    fn new(at: usize, len: usize) -> Self {
        Self((len as u32) << 16 | at as u32)
    }

    fn at(self) -> u16 {
        self.0 as u16
    }

    fn len(self) -> usize {
        (self.0 >> 16) as usize
    }
}

pub(crate) struct Out<'a> {
    bytes: &'a mut [u8],
    at: usize,
    limit: usize,
    names: [Place; NAMES],
    known: usize,
    counts: [u16; 3],
}

impl<'a> Out<'a> {
    /// Begins an answer: the same id, operation and wish for recursion. `limit` is the room there is, with the record
    /// for EDNS if there is to be one.
    pub(crate) fn new(bytes: &'a mut [u8], query: &[u8], limit: usize, edns: bool) -> Self {
        let limit = limit.min(bytes.len()) - if edns { OPT_LEN } else { 0 };
        bytes[..HEADER].fill(0);
        bytes[..2].copy_from_slice(&query[..2]);
        bytes[2] = 0x80 | query[2] & 0x79;
        Self { bytes, at: HEADER, limit, names: [Place::NONE; NAMES], known: 0, counts: [0; 3] }
    }

    /// Copies the question, whose name is in `key`.
    pub(crate) fn question(&mut self, query: &[u8], end: usize, key: &Key) {
        self.bytes[HEADER..end].copy_from_slice(&query[HEADER..end]);
        self.bytes[5] = 1;
        self.at = end;
        self.known = key.labels().min(NAMES / 2);
        for (place, start) in self.names[..self.known].iter_mut().zip(key.starts()) {
            *place = Place::new(HEADER + usize::from(*start), key.wire().len() - usize::from(*start));
        }
    }

    /// Has authority.
    pub(crate) fn authoritative(&mut self) {
        self.bytes[2] |= 4;
    }

    pub(crate) fn not_authoritative(&mut self) {
        self.bytes[2] &= !4;
    }

    /// Does not have all that there should be.
    pub(crate) fn truncated(&mut self) {
        self.bytes[2] |= 2;
    }

    pub(crate) fn is_truncated(&self) -> bool {
        self.bytes[2] & 2 != 0
    }

    pub(crate) fn rcode(&mut self, rcode: Rcode) {
        self.bytes[3] = self.bytes[3] & 0xf0 | rcode as u8 & 15;
    }

    /// How long it is by now.
    pub(crate) fn len(&self) -> usize {
        self.at
    }

    pub(crate) fn count(&self, section: Section) -> u16 {
        self.counts[section as usize]
    }

    /// Takes all records back.
    pub(crate) fn clear(&mut self, end: usize) {
        (self.at, self.counts) = (end, [0; 3]);
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.at + bytes.len();
        if end > self.limit {
            return Err(Full);
        }
        self.bytes[self.at..end].copy_from_slice(bytes);
        self.at = end;
        Ok(())
    }

    fn name(&mut self, wire: &[u8]) -> Result<(), Full> {
        let mut new = 0;
        while let Some(label @ 1..) = wire.get(new) {
            let rest = &wire[new..];
            let known = self.names[..self.known].iter();
            let mut alike = known.filter(|place| place.len() == rest.len());
            if let Some(place) = alike.find(|place| self.is_at(place.at(), rest)).copied() {
                self.remember(wire, new);
                self.put(&wire[..new])?;
                return self.put(&(0xc000 | place.at()).to_be_bytes());
            }
            new += 1 + usize::from(*label);
        }
        self.remember(wire, new);
        self.put(wire)
    }

    /// The first labels of a name, so many bytes of it, are about to be written, and can be pointed to.
    fn remember(&mut self, wire: &[u8], new: usize) {
        let mut at = 0;
        while at < new && self.known < NAMES && self.at + at < 0x4000 {
            self.names[self.known] = Place::new(self.at + at, wire.len() - at);
            self.known += 1;
            at += 1 + usize::from(wire[at]);
        }
    }

    /// Whether this name is at a place that we have written.
    fn is_at(&self, at: u16, wire: &[u8]) -> bool {
        let (mut at, mut rest) = (usize::from(at), wire);
        // Mostly it is there as it is; what is not a name to its end, or was left there, cannot be the same.
        if self.bytes.get(at..at + wire.len()) == Some(wire) {
            return true;
        }
        loop {
            let len = self.bytes[at];
            if len >= 0xc0 {
                at = usize::from(u16::from_be_bytes([len, self.bytes[at + 1]]) & 0x3fff);
                continue;
            }
            let end = 1 + usize::from(len);
            if rest[0] != len || !self.bytes[at + 1..at + end].eq_ignore_ascii_case(&rest[1..end]) {
                return false;
            }
            if len == 0 {
                return true;
            }
            (at, rest) = (at + end, &rest[end..]);
        }
    }

    fn owner(&mut self, owner: Owner<'_>) -> Result<(), Full> {
        match owner {
            // The root is shorter than a pointer.
            Owner::Question if self.bytes[HEADER] == 0 => self.put(&[0]),
            Owner::Question => self.put(&[0xc0, HEADER as u8]),
            Owner::Name(name) => self.name(name.wire()),
        }
    }

    /// Writes records: all of them or none.
    pub(crate) fn set(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        zone: &Zone,
        set: &Set,
        ttl: u32,
    ) -> Result<(), Full> {
        let (at, known) = (self.at, self.known);
        for data in zone.data(set) {
            if self.record(owner, set.kind, ttl, data).is_err() {
                (self.at, self.known) = (at, known);
                return Err(Full);
            }
        }
        self.counts[section as usize] += set.count;
        Ok(())
    }

    /// Writes one record: all of it or nothing.
    pub(crate) fn single(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        kind: Kind,
        ttl: u32,
        data: &[u8],
    ) -> Result<(), Full> {
        let (at, known) = (self.at, self.known);
        if self.record(owner, kind, ttl, data).is_err() {
            (self.at, self.known) = (at, known);
            return Err(Full);
        }
        self.counts[section as usize] += 1;
        Ok(())
    }

    fn record(&mut self, owner: Owner<'_>, kind: Kind, ttl: u32, data: &[u8]) -> Result<(), Full> {
        self.owner(owner)?;
        let mut head = [0; 10];
        head[..2].copy_from_slice(&kind.0.to_be_bytes());
        head[2..4].copy_from_slice(&CLASS_IN.to_be_bytes());
        head[4..8].copy_from_slice(&ttl.to_be_bytes());
        head[8..].copy_from_slice(&(data.len() as u16).to_be_bytes());
        self.put(&head)?;
        let start = self.at;
        // Names are compressed in the types that everybody knows (RFC 3597 section 4): so many, behind so many bytes.
        let (skipped, names) = match kind {
            Kind::NS | Kind::CNAME | Kind::PTR => (0, 1),
            Kind::MX => (2, 1),
            Kind::SOA => (0, 2),
            _ => return self.put(data),
        };
        let (first, mut rest) = data.split_at_checked(skipped).ok_or(Full)?;
        self.put(first)?;
        for _ in 0..names {
            let (name, after) = wire_len(rest).and_then(|len| rest.split_at_checked(len)).ok_or(Full)?;
            self.name(name)?;
            rest = after;
        }
        self.put(rest)?;
        let len = ((self.at - start) as u16).to_be_bytes();
        self.bytes[start - 2..start].copy_from_slice(&len);
        Ok(())
    }

    /// Ends the message. Gives its length.
    pub(crate) fn finish(self, edns: Option<Edns>, rcode: Rcode) -> usize {
        let Self { bytes, mut at, mut counts, .. } = self;
        if let Some(edns) = edns {
            let mut record = [0; OPT_LEN];
            record[1..3].copy_from_slice(&Kind::OPT.0.to_be_bytes());
            record[3..5].copy_from_slice(&(UDP_MAX as u16).to_be_bytes());
            record[5] = (rcode as u16 >> 4) as u8;
            record[7] = u8::from(edns.dnssec_ok) << 7;
            bytes[at..at + OPT_LEN].copy_from_slice(&record);
            at += OPT_LEN;
            counts[Section::Additional as usize] += 1;
        }
        for (index, count) in counts.into_iter().enumerate() {
            bytes[6 + 2 * index..8 + 2 * index].copy_from_slice(&count.to_be_bytes());
        }
        at
    }
}
