//! Devices of the host that a guest is given.

use super::{IntId, List, Region};

/// A device passed through to this guest: a node below `/passthrough`, where whoever made the deployment may also have
/// written what is no device, such as which pin of one has a lamp.
#[derive(Clone, Copy, Debug, Default)]
pub struct Device<'a> {
    /// The node's name, with its unit address.
    pub name: &'a str,
    /// `compatible` as it lies in the tree: strings, each with a NUL behind it.
    pub compatible: &'a [u8],
    /// Its registers, in the order of `reg`: in no RAM, nor over what else the machine has.
    pub registers: List<Region, 4>,
    /// Its interrupts, in the order of `interrupts`: all of them SPIs.
    pub interrupts: List<IntId, 4>,
    /// Where in the tree the rest is, for the tree's reader.
    pub node: usize,
}

impl Device<'_> {
    /// Whether `compatible` has this string.
    pub fn is(&self, compatible: &str) -> bool {
        self.compatible.split(|byte| *byte == 0).any(|one| one == compatible.as_bytes() && !one.is_empty())
    }
}
