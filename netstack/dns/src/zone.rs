//! A zone, ready to be asked.

use crate::kind::Kind;
use crate::name::{Key, Name};
use crate::tree::{APEX, CUT, DNAME, Tree};
use alloc::vec::Vec;
use core::fmt;

/// Records of one name and type.
#[derive(Clone, Copy)]
pub(crate) struct Set {
    pub(crate) kind: Kind,
    pub(crate) count: u16,
    pub(crate) ttl: u32,
    /// Where the data is: for each record its length, in two bytes of the machine's order, and it.
    pub(crate) at: u32,
}

/// A zone. It does not change: a new one takes its place.
pub struct Zone {
    pub(crate) name: Name,
    pub(crate) key: Key,
    pub(crate) tree: Tree,
    pub(crate) sets: Vec<Set>,
    pub(crate) data: Vec<u8>,
    pub(crate) records: u32,
}

/// What there is at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is there, perhaps without records.
    Node(u32),
    /// It is somebody else's, from this name on.
    Cut(u32),
    /// This name, above it, has a DNAME; so many labels are in front of that.
    Dname(u32, usize),
    /// It is not there, and this is the next above that is.
    Below(u32),
}

impl Zone {
    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// How many names there are, those without records of their own among them.
    pub fn names(&self) -> usize {
        self.tree.nodes.len()
    }

    /// How many records there are.
    pub fn records(&self) -> u32 {
        self.records
    }

    /// How many bytes it takes in memory.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.tree.bytes() + self.sets.capacity() * size_of::<Set>() + self.data.capacity()
    }

    /// The number of its version.
    pub fn serial(&self) -> u32 {
        self.soa_field(0)
    }

    /// How long others may remember that something is not there (RFC 2308 section 5).
    pub(crate) fn negative_ttl(&self) -> u32 {
        self.soa().ttl.min(self.soa_field(4))
    }

    /// One of the numbers of the SOA.
    fn soa_field(&self, index: usize) -> u32 {
        let data = self.data(&self.soa()).next().unwrap_or_default();
        let field = data.len().checked_sub(20).and_then(|at| data[at + 4 * index..].first_chunk());
        field.map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }

    pub(crate) fn soa(&self) -> Set {
        *self.set(APEX, Kind::SOA).expect("a zone is not made without a SOA")
    }

    /// The records of a name.
    pub(crate) fn sets(&self, node: u32) -> &[Set] {
        let node = self.tree.node(node);
        &self.sets[node.first as usize..][..usize::from(node.sets)]
    }

    pub(crate) fn set(&self, node: u32, kind: Kind) -> Option<&Set> {
        self.sets(node).iter().find(|set| set.kind == kind)
    }

    pub(crate) fn data(&self, set: &Set) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.data[set.at as usize..];
        (0..set.count).map_while(move |_| {
            let (len, after) = rest.split_first_chunk()?;
            let (data, after) = after.split_at_checked(usize::from(u16::from_ne_bytes(*len)))?;
            rest = after;
            Some(data)
        })
    }

    /// How many of a name's labels are in front of the zone's; `None` if it is not in the zone.
    pub(crate) fn depth(&self, key: &Key) -> Option<usize> {
        key.ends_with(&self.key).then(|| key.labels() - self.key.labels())
    }

    /// Looks a name up, from the apex down. `depth` is as above. What is at a cut is somebody else's, but for the
    /// records of its parent's side (`parent`).
    pub(crate) fn find(&self, key: &Key, depth: usize, parent: bool) -> Found {
        let mut node = APEX;
        for index in (0..depth).rev() {
            if self.tree.node(node).flags & DNAME != 0 {
                return Found::Dname(node, index + 1);
            }
            let Some(child) = self.tree.child(node, key.label(index)) else { return Found::Below(node) };
            node = child;
            if self.tree.node(node).flags & CUT != 0 && !(parent && index == 0) {
                return Found::Cut(node);
            }
        }
        Found::Node(node)
    }

    /// A name's node, whoever's it is.
    pub(crate) fn node(&self, key: &Key) -> Option<u32> {
        self.tree.find(key, self.depth(key)?)
    }

    /// The name of a node.
    pub(crate) fn name_of(&self, mut node: u32) -> Name {
        let (mut wire, mut len) = ([0; 256], 0);
        while let Some(parent) = self.tree.parent(node) {
            let label = self.tree.label(node);
            wire[len..len + label.len()].copy_from_slice(label);
            len += label.len();
            node = parent;
        }
        let rest = self.name.wire();
        wire[len..len + rest.len()].copy_from_slice(rest);
        Name::from_wire(&wire[..len + rest.len()]).expect("a node was a name")
    }

    /// Writes it as a zone file, which gives the same zone.
    pub fn write(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let soa = self.soa();
        self.write_set(out, &self.name, &soa)?;
        for node in 0..self.names() as u32 {
            let name = self.name_of(node);
            for set in self.sets(node).iter().filter(|set| set.kind != Kind::SOA) {
                self.write_set(out, &name, set)?;
            }
        }
        Ok(())
    }

    fn write_set(&self, out: &mut dyn fmt::Write, name: &Name, set: &Set) -> fmt::Result {
        self.data(set).try_for_each(|data| {
            let shown = crate::data::Shown(set.kind, data);
            writeln!(out, "{name} {} IN {} {shown}", set.ttl, set.kind)
        })
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} serial {}, {} names, {} records", self.name, self.serial(), self.names(), self.records)
    }
}
