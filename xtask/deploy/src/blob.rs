//! Reads device trees as boards have them: with names longer than the specification allows, which dtoolkit refuses.
//!
//! Devicetree Specification 0.4, chapter 5. Whatever the bytes are, this ends with a tree or a reason.

use std::fmt;

use dtoolkit::memreserve::MemoryReservation;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};

const MAGIC: u32 = 0xd00d_feed;
/// The format's version, which readers of 16 understand.
const VERSION: u32 = 17;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;
/// Trees are a few nodes deep. What is deeper would use up the stack of whoever drops it.
const DEEPEST: usize = 32;
/// Names are short, though longer than the specification allows.
const LONGEST_NAME: usize = 96;
/// Xen takes no larger one (MAX_FDT_SIZE, xen/arch/arm/include/asm/setup.h).
const LARGEST: usize = 2 << 20;

/// These bytes are no device tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotATree {
    what: &'static str,
    at: usize,
}

impl fmt::Display for NotATree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this is no device tree (a .dtb file): {} at byte {}", self.what, self.at)
    }
}

impl std::error::Error for NotATree {}

type Result<T> = std::result::Result<T, NotATree>;

/// Reads a flattened device tree.
pub fn read(blob: &[u8]) -> Result<DeviceTree> {
    let header = |n: usize| word(blob, n * 4);
    if header(0)? != MAGIC {
        return Err(NotATree { what: "it does not start like one", at: 0 });
    }
    let blob = blob
        .get(..header(1)? as usize)
        .ok_or(NotATree { what: "it is longer than the file", at: blob.len() })?;
    if blob.len() > LARGEST {
        return Err(NotATree { what: "it is longer than Xen takes, 2 MiB,", at: LARGEST });
    }
    let (structure, strings, reserved) = (header(2)?, header(3)?, header(4)?);
    if header(5)? < VERSION || header(6)? > VERSION {
        return Err(NotATree { what: "it is of a version that nobody writes any more", at: 20 });
    }
    let strings = blob.get(strings as usize..).ok_or(NotATree { what: "its names are elsewhere", at: 12 })?;
    let mut tree = DeviceTree::new();
    let mut at = reserved as usize;
    loop {
        let (base, size) = (long(blob, at)?, long(blob, at + 8)?);
        if (base, size) == (0, 0) {
            break;
        }
        tree.memory_reservations.push(MemoryReservation::new(base, size));
        at += 16;
    }
    tree.root = nodes(blob, structure as usize, strings)?;
    Ok(tree)
}

/// The root with all that is in it.
fn nodes(blob: &[u8], mut at: usize, strings: &[u8]) -> Result<DeviceTreeNode> {
    let mut open: Vec<DeviceTreeNode> = Vec::new();
    let mut root = None;
    loop {
        let token = word(blob, at)?;
        let here = at;
        at += 4;
        match token {
            BEGIN_NODE if root.is_none() && open.len() < DEEPEST => {
                let name = string(blob, at)?;
                at = aligned(at + name.len() + 1);
                open.push(DeviceTreeNode::new_unchecked(name));
            }
            BEGIN_NODE => return Err(NotATree { what: "nodes too deep, or a second root", at: here }),
            END_NODE => {
                let node = open.pop().ok_or(NotATree { what: "the end of no node", at: here })?;
                match open.last_mut() {
                    Some(parent) => parent.add_child(node),
                    None => root = Some(node),
                }
            }
            PROPERTY => {
                let (bytes, name) = (word(blob, at)? as usize, word(blob, at + 4)? as usize);
                at += 8;
                let value = at.checked_add(bytes).and_then(|end| blob.get(at..end));
                let value = value.ok_or(NotATree { what: "a property longer than all", at: here })?;
                at = aligned(at + bytes);
                let node = open.last_mut().ok_or(NotATree { what: "a property of no node", at: here })?;
                let name = string(strings, name)?;
                node.add_property(DeviceTreeProperty::new_unchecked(name, value.to_vec()));
            }
            NOP => {}
            END => return root.ok_or(NotATree { what: "the end, before that of a node", at: here }),
            _ => return Err(NotATree { what: "what is no part of a tree", at: here }),
        }
    }
}

fn word(blob: &[u8], at: usize) -> Result<u32> {
    let bytes = blob.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map(|bytes| u32::from_be_bytes(*bytes)).ok_or(NotATree { what: "the file ends too soon", at })
}

fn long(blob: &[u8], at: usize) -> Result<u64> {
    Ok(u64::from(word(blob, at)?) << 32 | u64::from(word(blob, at + 4)?))
}

fn string(bytes: &[u8], at: usize) -> Result<&str> {
    let text = bytes.get(at..).and_then(|rest| rest.split(|&byte| byte == 0).next());
    let text = text.filter(|text| text.len() < (bytes.len() - at).min(LONGEST_NAME));
    let text = text.and_then(|text| std::str::from_utf8(text).ok());
    text.filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()))
        .ok_or(NotATree { what: "a name that is none", at })
}

const fn aligned(at: usize) -> usize {
    at.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dtoolkit::{Node as _, Property as _};

    fn sample() -> Vec<u8> {
        let mut tree = DeviceTree::new();
        tree.memory_reservations.push(MemoryReservation::new(0, 0x1000));
        let mut soc = DeviceTreeNode::new_unchecked("soc@0");
        let long = "snps,quirk-frame-length-adjustment";
        soc.add_property(DeviceTreeProperty::new_unchecked(long, 32u32));
        soc.add_property(DeviceTreeProperty::new_unchecked("ranges", Vec::<u8>::new()));
        soc.add_child(DeviceTreeNode::new_unchecked("serial@1000"));
        tree.root.add_child(soc);
        tree.to_dtb()
    }

    #[test]
    fn what_was_written_is_read_with_long_names_too() {
        let blob = sample();
        let tree = read(&blob).unwrap();
        assert_eq!(tree.to_dtb(), blob);
        let soc = tree.find_node("/soc@0").unwrap();
        assert_eq!(soc.property("snps,quirk-frame-length-adjustment").unwrap().value(), [0, 0, 0, 32]);
        assert!(tree.find_node("/soc@0/serial@1000").is_some());
        // What follows it does not matter.
        assert_eq!(read(&[&*blob, b"more"].concat()).unwrap(), tree);
    }

    #[test]
    fn a_tree_that_is_cut_is_refused_wherever_that_is() {
        let blob = sample();
        for length in 0..blob.len() {
            assert!(read(&blob[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn broken_trees_are_refused_or_read_and_nothing_worse() {
        let blob = sample();
        for at in 0..blob.len() {
            for byte in [0, 1, 2, 3, 4, 9, 0x7f, 0x80, 0xff] {
                let mut broken = blob.clone();
                broken[at] = byte;
                if let Ok(tree) = read(&broken) {
                    // What is read can be written.
                    assert!(!tree.to_dtb().is_empty());
                }
            }
        }
    }

    #[test]
    fn nodes_are_not_nested_for_ever() {
        let mut tree = DeviceTree::new();
        let mut inner = DeviceTreeNode::new_unchecked("n");
        for _ in 0..DEEPEST {
            let mut outer = DeviceTreeNode::new_unchecked("n");
            outer.add_child(inner);
            inner = outer;
        }
        tree.root.add_child(inner);
        assert_eq!(read(&tree.to_dtb()).unwrap_err().what, "nodes too deep, or a second root");
    }
}
