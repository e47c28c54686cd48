//! The names of a zone as a tree: each knows its own label and the one above, and is found by these two.

use crate::name::{Key, Name};
use alloc::vec::Vec;

/// The zone's own name.
pub(crate) const APEX: u32 = 0;
const NOBODY: u32 = u32::MAX;

/// A name.
pub(crate) struct Node {
    /// Where its label is, with its length in front.
    label: u32,
    parent: u32,
    hash: u32,
    /// Its records: the first set, and how many.
    pub(crate) first: u32,
    pub(crate) sets: u16,
    pub(crate) flags: u8,
}

/// Has NS and is not the apex: what is below is somebody else's.
pub(crate) const CUT: u8 = 1;
/// Has a DNAME.
pub(crate) const DNAME: u8 = 2;
/// Has a CNAME.
pub(crate) const CNAME: u8 = 4;
/// There is an asterisk below.
pub(crate) const WILD: u8 = 8;
/// Its label was written with letters in upper case.
const UPPER: u8 = 16;

/// There is no room.
#[derive(Debug)]
pub(crate) struct Full;

pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
    labels: Vec<u8>,
    /// Nodes by their hashes; a power of two, and at most half of it is in use.
    table: Vec<u32>,
}

/// FNV-1a, and what comes of it mixed once more for its low bits.
fn hash(parent: u32, label: &[u8]) -> u32 {
    let start = 0x811c_9dc5 ^ parent.wrapping_mul(0x9e37_79b1);
    let hash = label.iter().fold(start, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    hash ^ hash >> 15
}

impl Tree {
    pub(crate) fn new() -> Self {
        let apex = Node { label: 0, parent: NOBODY, hash: 0, first: 0, sets: 0, flags: 0 };
        // The apex has no label here.
        Self { nodes: Vec::from([apex]), labels: Vec::from([0]), table: Vec::from([NOBODY; 16]) }
    }

    pub(crate) fn node(&self, index: u32) -> &Node {
        &self.nodes[index as usize]
    }

    /// The label of a name, with its length in front, as it was written first.
    pub(crate) fn label(&self, index: u32) -> &[u8] {
        let at = self.node(index).label as usize;
        &self.labels[at..at + 1 + usize::from(self.labels[at])]
    }

    pub(crate) fn parent(&self, index: u32) -> Option<u32> {
        Some(self.node(index).parent).filter(|parent| *parent != NOBODY)
    }

    /// The name with this label, in lower case, right below another.
    pub(crate) fn child(&self, parent: u32, label: &[u8]) -> Option<u32> {
        let hash = hash(parent, label);
        let mask = self.table.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let index = self.table[slot];
            if index == NOBODY {
                return None;
            }
            let node = self.node(index);
            if node.hash == hash && node.parent == parent {
                let written = &self.label(index)[1..];
                if written == label || node.flags & UPPER != 0 && written.eq_ignore_ascii_case(label) {
                    return Some(index);
                }
            }
            slot = (slot + 1) & mask;
        }
    }

    /// The name whose labels up to the apex are the first `depth` of `key`.
    pub(crate) fn find(&self, key: &Key, depth: usize) -> Option<u32> {
        (0..depth).rev().try_fold(APEX, |node, index| self.child(node, key.label(index)))
    }

    /// The same, made if need be, with all that is between. `name` has its letters as they were written.
    pub(crate) fn insert(
        &mut self,
        name: &Name,
        key: &Key,
        depth: usize,
        nodes_max: usize,
    ) -> Result<u32, Full> {
        let mut node = APEX;
        for index in (0..depth).rev() {
            node = match self.child(node, key.label(index)) {
                Some(child) => child,
                None => {
                    let (at, _) = key.suffix(index);
                    let label = &name.wire()[at..at + 1 + key.label(index).len()];
                    self.add(node, label, hash(node, key.label(index)), nodes_max)?
                }
            };
        }
        Ok(node)
    }

    fn add(&mut self, parent: u32, label: &[u8], hash: u32, nodes_max: usize) -> Result<u32, Full> {
        if self.nodes.len() >= nodes_max {
            return Err(Full);
        }
        self.nodes.try_reserve(1).map_err(|_| Full)?;
        self.labels.try_reserve(label.len()).map_err(|_| Full)?;
        if (self.nodes.len() + 1) * 2 > self.table.len() {
            self.grow()?;
        }
        let index = self.nodes.len() as u32;
        let flags = if label.iter().any(u8::is_ascii_uppercase) { UPPER } else { 0 };
        let node = Node { label: self.labels.len() as u32, parent, hash, first: 0, sets: 0, flags };
        self.nodes.push(node);
        self.labels.extend_from_slice(label);
        if label == b"\x01*" {
            self.nodes[parent as usize].flags |= WILD;
        }
        enter(&mut self.table, hash, index);
        Ok(index)
    }

    fn grow(&mut self) -> Result<(), Full> {
        let mut table = Vec::new();
        table.try_reserve_exact(self.table.len() * 2).map_err(|_| Full)?;
        table.resize(self.table.len() * 2, NOBODY);
        for (index, node) in self.nodes.iter().enumerate().skip(1) {
            enter(&mut table, node.hash, index as u32);
        }
        self.table = table;
        Ok(())
    }

    /// How many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>() + self.labels.capacity() + self.table.capacity() * 4
    }

    pub(crate) fn shrink(&mut self) {
        self.nodes.shrink_to_fit();
        self.labels.shrink_to_fit();
    }
}

fn enter(table: &mut [u32], hash: u32, index: u32) {
    let mask = table.len() - 1;
    let mut slot = hash as usize & mask;
    while table[slot] != NOBODY {
        slot = (slot + 1) & mask;
    }
    table[slot] = index;
}
