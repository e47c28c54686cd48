//! What the device tree says, checked before it is believed.
//!
//! `dtoolkit` checks the blob's structure in one pass; a second pass collects what a guest needs. Neither
//! allocates. Why not the `fdt` crate: docs/src/adr/0001-device-tree-parser.md.

mod error;
mod found;
mod node;
mod print;

pub use error::DtError;
pub use print::print;

use dtoolkit::fdt::Fdt;
use dtoolkit::{Node as _, Property as _};
use fata_boot::info::{BootInfo, Region};
use found::Found;
use node::{Bus, first_string};

/// Reads `blob`. What a guest cannot do without, and what is there but makes no sense, is an error; what is
/// only missing is remarked upon.
pub fn parse(blob: &[u8]) -> Result<BootInfo<'_>, DtError> {
    if blob.is_empty() {
        return Err(DtError::Absent);
    }
    let fdt = Fdt::new(blob).map_err(|_| DtError::Damaged)?;
    let mut found = Found::new(blob);
    for reserved in fdt.memory_reservations() {
        found.reserve(reserved.address(), reserved.size())?;
    }
    let root = fdt.root();
    // Where standard output goes is wanted before the serial ports come by.
    let text = |node: &str, property: &str| {
        let property = root.child(node)?.property(property)?;
        first_string(within(blob, property.value()))
    };
    let stdout = text("chosen", "stdout-path").and_then(|path| {
        let path = path.split(':').next()?;
        if path.starts_with('/') { Some(path) } else { text("aliases", path) }
    });
    found.walk(root, &Bus::ROOT, stdout.and_then(|path| path.strip_prefix('/')), 0)?;
    found.finish()
}

/// `part` with the lifetime of the blob it is a part of, which `dtoolkit`'s traits cannot express.
fn within<'a>(blob: &'a [u8], part: &[u8]) -> &'a [u8] {
    let at = part.as_ptr().addr().wrapping_sub(blob.as_ptr().addr());
    blob.get(at..).and_then(|tail| tail.get(..part.len())).unwrap_or(&[])
}

/// A region that means something: not empty, and with an end.
fn region(base: u64, size: u64) -> Option<Region> {
    (size > 0 && base.checked_add(size).is_some()).then_some(Region { base, size })
}
