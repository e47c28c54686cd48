//! Any bytes as a device tree, printed: text for a terminal, with as many nodes as dtoolkit sees.

use dtoolkit::Node as _;
use dtoolkit::fdt::{Fdt, FdtNode};
use fata_xenvm_arm64::dt::{self, blob::MAX_DEPTH};

/// One input.
pub fn dt_print(blob: &[u8]) {
    let mut printed = String::new();
    dt::print(blob, "/", &mut printed).unwrap();
    dt::print(blob, "/cpus/cpu@0", &mut String::new()).unwrap();
    // Names and values are escaped or cut: nothing a terminal would act on, and not much more than there was.
    assert!(printed.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)));
    assert!(printed.len() <= 64 * blob.len() + 256);
    if printed.starts_with("device tree: ") {
        return;
    }
    let size = blob.get(4..8).map_or(0, |size| u32::from_be_bytes(size.try_into().unwrap()) as usize);
    let Some(Ok(fdt)) = blob.get(..size).map(Fdt::new) else { return };
    if let Some(nodes) = nodes(&fdt.root(), 0) {
        assert_eq!(printed.lines().filter(|line| line.ends_with(" {")).count(), nodes);
    }
}

/// How many nodes there are, if not nested more deeply than we read.
fn nodes(node: &FdtNode<'_>, depth: usize) -> Option<usize> {
    if depth == MAX_DEPTH {
        return None;
    }
    node.children().try_fold(1, |sum, child| Some(sum + nodes(&child, depth + 1)?))
}
