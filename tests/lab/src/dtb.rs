//! The host's device tree: QEMU's own, with what Xen wants to find in it.

use anyhow::Result;
pub(crate) use fata_deploy::{DomUNode, HostTree, Module};
pub use fata_deploy::{Enhanced, StaticEvent};

/// Nodes of QEMU's `virt` board that neither Xen nor dom0 needs: without them dom0 boots in half the time.
const UNUSED: [&str; 8] = [
    "/pcie@10000000",
    "/pl031@9010000",
    "/pl061@9030000",
    "/gpio-keys",
    "/fw-cfg@9020000",
    "/platform-bus@c000000",
    "/flash@0",
    "/pmu",
];
/// The board has 32 virtio transports and fills them from the last one down; these many stay.
const VIRTIO_TRANSPORTS: usize = 6;

/// Reads what `qemu -M …,dumpdtb=FILE` wrote and removes what only costs boot time, but for the devices at the paths
/// in `kept`.
pub(crate) fn virt(blob: &[u8], kept: &[&str]) -> Result<HostTree> {
    let unused: Vec<_> = UNUSED.into_iter().filter(|path| !kept.contains(path)).collect();
    let mut host = HostTree::parse(blob, &unused, "/pl011@9000000")?;
    let mut transports: Vec<_> =
        host.names().filter(|name| name.starts_with("virtio_mmio@")).map(|name| format!("/{name}")).collect();
    transports.sort_unstable();
    let unused = transports.len().saturating_sub(VIRTIO_TRANSPORTS);
    for path in &transports[..unused] {
        host.remove(path);
    }
    Ok(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dtoolkit::model::{DeviceTree, DeviceTreeNode};

    #[test]
    fn keeps_the_last_transports_and_drops_what_is_slow() {
        let mut tree = DeviceTree::new();
        for name in ["chosen", "pcie@10000000", "pl011@9000000", "memory@40000000"] {
            tree.root.add_child(DeviceTreeNode::new(name).unwrap());
        }
        for n in 0..8 {
            tree.root
                .add_child(DeviceTreeNode::new(format!("virtio_mmio@{:x}", 0xa00_0000 + n * 0x200)).unwrap());
        }
        let host = virt(&tree.to_dtb(), &[]).unwrap();
        let left: Vec<_> = host.names().collect();
        assert!(!left.contains(&"pcie@10000000"));
        assert!(left.contains(&"pl011@9000000"));
        assert!(!left.contains(&"virtio_mmio@a000200"));
        assert!(left.contains(&"virtio_mmio@a000400"));
        assert_eq!(left.iter().filter(|n| n.starts_with("virtio_mmio@")).count(), VIRTIO_TRANSPORTS);
        assert!(virt(&tree.to_dtb(), &["/pcie@10000000"]).unwrap().has("/pcie@10000000"));
    }
}
