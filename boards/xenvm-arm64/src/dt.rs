//! What the device tree says, checked before it is believed.
//!
//! [`blob`] checks the structure in one pass, a second pass collects what a guest needs. Neither allocates, and
//! both take time linear in the size. Why neither the `fdt` crate nor `dtoolkit`:
//! docs/src/adr/0001-device-tree-parser.md.

pub mod blob;
mod error;
mod found;
mod node;
mod print;
mod wired;

pub use error::DtError;
pub use print::print;
pub use wired::{Wired, buttons, lamps};

use fata_boot::info::{BootInfo, Device};

/// Reads `blob`, which may go on beyond the tree. What a guest cannot do without, and what is there but makes no
/// sense, is an error; what is only missing is remarked upon.
pub fn parse(blob: &[u8]) -> Result<BootInfo<'_>, DtError> {
    if blob.is_empty() {
        return Err(DtError::Absent);
    }
    let tree = blob::Tree::check(blob)?;
    let mut found = found::Found::new(tree.blob());
    found.walk(&tree)?;
    found.finish()
}

/// What the tree that `info` was read from says about a device of it, beyond what stands in that.
pub fn node<'a>(info: &BootInfo<'a>, device: &Device<'a>) -> blob::Node<'a> {
    blob::Tree::node_at(info.dtb, device.name.as_bytes(), device.node).unwrap_or_default()
}

/// The device that others name by `handle`.
pub fn by_phandle<'a, 'i>(info: &'i BootInfo<'a>, handle: u32) -> Option<&'i Device<'a>> {
    info.devices.iter().find(|device| node(info, device).cell("phandle") == Some(handle))
}
