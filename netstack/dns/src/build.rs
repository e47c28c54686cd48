//! A zone while it is made: records in any order, then sorted into sets.

use crate::error::{What, ZoneError};
use crate::kind::Kind;
use crate::name::{Key, Name};
use crate::tree::{APEX, CNAME, CUT, DNAME, Tree};
use crate::zone::{Set, Zone};
use alloc::vec::Vec;
use core::cmp::Ordering;

/// How large a zone may become.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of text.
    pub text: usize,
    /// Names, those without records of their own among them.
    pub names: usize,
    /// Records.
    pub records: usize,
    /// Bytes of the records' data.
    pub data: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { text: 16 << 20, names: 1 << 20, records: 1 << 20, data: 32 << 20 }
    }
}

/// What a set may take, so that a message has room for it.
const SET_MAX: usize = 60_000;

/// A record of the file.
pub(crate) struct Record {
    pub(crate) node: u32,
    pub(crate) kind: Kind,
    len: u16,
    pub(crate) ttl: u32,
    at: u32,
    pub(crate) line: u32,
}

pub(crate) struct Build {
    name: Name,
    key: Key,
    tree: Tree,
    pub(crate) records: Vec<Record>,
    data: Vec<u8>,
    limits: Limits,
    /// The name of the last record, which often is the next one's.
    last: Option<(Name, u32)>,
}

impl Build {
    /// Begins with a zone's name.
    pub(crate) fn new(name: &Name, limits: Limits) -> Self {
        let (key, tree) = (Key::of(name.wire()), Tree::new());
        Self { name: name.clone(), key, tree, records: Vec::new(), data: Vec::new(), limits, last: None }
    }

    /// Takes a record.
    pub(crate) fn add(
        &mut self,
        owner: &Name,
        kind: Kind,
        ttl: u32,
        data: &[u8],
        line: u32,
    ) -> Result<(), What> {
        let node = match &self.last {
            Some((name, node)) if name.wire() == owner.wire() => *node,
            _ => {
                let key = Key::of(owner.wire());
                if !key.ends_with(&self.key) {
                    return Err(What::OutOfZone);
                }
                let depth = key.labels() - self.key.labels();
                let node = self.tree.insert(owner, &key, depth, self.limits.names);
                let node = node.map_err(|_| What::TooLarge)?;
                self.last = Some((owner.clone(), node));
                node
            }
        };
        let full =
            self.records.len() >= self.limits.records || self.data.len() + data.len() > self.limits.data;
        if full || self.records.try_reserve(1).is_err() || self.data.try_reserve(data.len()).is_err() {
            return Err(What::TooLarge);
        }
        let (len, at) = (data.len() as u16, self.data.len() as u32);
        self.records.push(Record { node, kind, len, ttl, at, line });
        self.data.extend_from_slice(data);
        Ok(())
    }

    fn data(&self, record: &Record) -> &[u8] {
        &self.data[record.at as usize..][..usize::from(record.len)]
    }

    /// Sorts the records into sets: by name and type, within them as they were, each once. Gives the zone, and the line
    /// of each set's first record.
    pub(crate) fn finish(mut self) -> Result<(Zone, Vec<u32>), ZoneError> {
        self.drop_doubles();
        sort(&mut self.records, &|a, b| a.place().cmp(&b.place()).then(a.at.cmp(&b.at)));
        let (mut sets, mut lines, mut data) = (Vec::new(), Vec::new(), Vec::new());
        let too_large = |line| move |_| ZoneError::new(line, What::TooLarge, b"");
        data.try_reserve_exact(self.data.len() + 2 * self.records.len()).map_err(too_large(0))?;
        let count = self.records.chunk_by(same_set).count();
        sets.try_reserve_exact(count).map_err(too_large(0))?;
        lines.try_reserve_exact(count).map_err(too_large(0))?;
        for records in self.records.chunk_by(same_set) {
            let Record { node, kind, ttl, line, .. } = records[0];
            let at = data.len();
            for record in records {
                data.extend_from_slice(&record.len.to_ne_bytes());
                data.extend_from_slice(self.data(record));
                // Each has a pointer to its name, type, class, TTL and length.
                if data.len() - at + 10 * records.len() > SET_MAX {
                    return Err(ZoneError::new(record.line, What::RecordTooLarge, b""));
                }
            }
            let place = &mut self.tree.nodes[node as usize];
            if place.sets == 0 {
                place.first = sets.len() as u32;
            }
            place.sets =
                place.sets.checked_add(1).ok_or_else(|| ZoneError::new(line, What::TooLarge, b""))?;
            place.flags |= match kind {
                Kind::NS if node != APEX => CUT,
                Kind::DNAME => DNAME,
                Kind::CNAME => CNAME,
                _ => 0,
            };
            sets.push(Set { kind, count: records.len() as u16, ttl, at: at as u32 });
            lines.push(line);
        }
        self.tree.shrink();
        let records = self.records.len() as u32;
        Ok((Zone { name: self.name, key: self.key, tree: self.tree, sets, data, records }, lines))
    }

    /// Records that are there twice count once (RFC 2181 section 5).
    fn drop_doubles(&mut self) {
        let Self { records, data, .. } = self;
        let bytes = |record: &Record| &data[record.at as usize..][..usize::from(record.len)];
        sort(records, &|a, b| {
            a.place().cmp(&b.place()).then_with(|| bytes(a).cmp(bytes(b))).then(a.at.cmp(&b.at))
        });
        records.dedup_by(|b, a| same_set(a, b) && bytes(a) == bytes(b));
    }
}

fn same_set(a: &Record, b: &Record) -> bool {
    a.place() == b.place()
}

impl Record {
    fn place(&self) -> (u32, Kind) {
        (self.node, self.kind)
    }
}

/// By name first, in any order that does so. Mostly files have the records of a name together, and names are numbered as
/// they come; so what is left to do is in each name.
fn sort(records: &mut [Record], order: &dyn Fn(&Record, &Record) -> Ordering) {
    if !records.is_sorted_by_key(|record| record.node) {
        return sort_all(records, order);
    }
    for records in records.chunk_by_mut(|a, b| a.node == b.node) {
        if !records.is_sorted_by(|a, b| order(a, b) != Ordering::Greater) {
            sort_all(records, order);
        }
    }
}

/// Once for all orders, since each would be some kilobytes of code.
#[inline(never)]
fn sort_all(records: &mut [Record], order: &dyn Fn(&Record, &Record) -> Ordering) {
    records.sort_unstable_by(order);
}
