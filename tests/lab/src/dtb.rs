//! The host's device tree: QEMU's own, with what Xen wants to find in it.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use dtoolkit::{Node, ToPropertyValue};

/// Nodes of QEMU's `virt` board that neither Xen nor dom0 needs: without them dom0 boots in half the time.
const UNUSED: [&str; 8] = [
    "pcie@10000000",
    "pl031@9010000",
    "pl061@9030000",
    "gpio-keys",
    "fw-cfg@9020000",
    "platform-bus@c000000",
    "flash@0",
    "pmu",
];
/// The board has 32 virtio transports and fills them from the last one down; these many stay.
const VIRTIO_TRANSPORTS: usize = 6;

/// The handles of static event channels' ends: higher than those of QEMU's tree.
const EVENT_PHANDLES: u32 = 0x10_0000;

/// A file that QEMU's loader puts into memory before Xen starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Module {
    /// Where it lies.
    pub address: u64,
    /// Its size.
    pub bytes: u64,
}

/// What Xen offers a domain it starts itself (`xen,enhanced`, docs/misc/arm/device-tree/booting.txt).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enhanced {
    /// No property: no hypercalls promised and no `/hypervisor` node.
    Absent,
    /// Event channels, grants and a Xenstore that dom0 may bring up later.
    Enabled,
    /// Xenstore without the page shared beforehand (Xen 4.21 and later).
    Legacy,
    /// Event channels and grants only.
    NoXenstore,
}

impl Enhanced {
    const fn value(self) -> Option<&'static str> {
        match self {
            Self::Absent => None,
            Self::Enabled => Some("enabled"),
            Self::Legacy => Some("legacy"),
            Self::NoXenstore => Some("no-xenstore"),
        }
    }
}

/// A port of a domain that Xen connects to another's before they start (`xen,evtchn-v1`,
/// docs/misc/arm/device-tree/booting.txt).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticEvent {
    /// The domain's own.
    pub port: u32,
    /// The number of the channel, which exactly one port of another domain has too.
    pub channel: u32,
}

/// A domain that Xen starts without a dom0's help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DomUNode {
    /// Its memory.
    pub memory_kib: u64,
    /// Its vCPUs.
    pub vcpus: u32,
    /// Whether it gets Xen's emulated UART.
    pub vpl011: bool,
    /// What Xen offers it.
    pub enhanced: Enhanced,
    /// Ports that are connected to others' before it starts.
    pub events: Vec<StaticEvent>,
    /// Its command line.
    pub bootargs: String,
    /// The kernel.
    pub kernel: Module,
    /// The initial RAM disk, if it has one.
    pub ramdisk: Option<Module>,
}

/// The host's device tree under construction.
pub(crate) struct HostTree(DeviceTree, BTreeSet<u32>);

impl HostTree {
    /// Reads what `qemu -M …,dumpdtb=FILE` wrote and removes what only costs boot time.
    pub(crate) fn parse(blob: &[u8]) -> Result<Self> {
        let fdt = Fdt::new(blob).map_err(|e| anyhow::anyhow!("QEMU's device tree: {e}"))?;
        let mut tree = DeviceTree::from_fdt(&fdt);
        for name in UNUSED {
            tree.root.remove_child(name);
        }
        let mut transports: Vec<_> = tree
            .root
            .children()
            .map(|n| n.name().to_owned())
            .filter(|n| n.starts_with("virtio_mmio@"))
            .collect();
        transports.sort_unstable();
        let unused = transports.len().saturating_sub(VIRTIO_TRANSPORTS);
        for name in &transports[..unused] {
            tree.root.remove_child(name);
        }
        let mut host = Self(tree, BTreeSet::new());
        let chosen = host.chosen()?;
        set(chosen, "#address-cells", 2u32)?;
        set(chosen, "#size-cells", 2u32)?;
        set(chosen, "stdout-path", "/pl011@9000000")?;
        Ok(host)
    }

    /// Xen's command line. (`-append` is ignored when there is no dom0.)
    pub(crate) fn xen_bootargs(&mut self, args: &str) -> Result<()> {
        set(self.chosen()?, "xen,xen-bootargs", args)
    }

    /// dom0's kernel, command line and initial RAM disk.
    pub(crate) fn dom0(&mut self, kernel: Module, bootargs: &str, ramdisk: Module) -> Result<()> {
        let chosen = self.chosen()?;
        add_module(chosen, "multiboot,kernel", kernel, Some(bootargs))?;
        add_module(chosen, "multiboot,ramdisk", ramdisk, None)
    }

    /// A domain for Xen to start; the first one added becomes domain 1.
    pub(crate) fn domu(&mut self, domu: &DomUNode) -> Result<()> {
        let chosen = self.0.root.child_mut("chosen").context("QEMU's device tree has no /chosen")?;
        let number = chosen.children().filter(|n| n.name().starts_with("domU")).count() + 1;
        let node = chosen.add_child_mut(new_node(format!("domU{number}"))?);
        set(node, "compatible", "xen,domain")?;
        set(node, "#address-cells", 2u32)?;
        set(node, "#size-cells", 2u32)?;
        set(node, "memory", domu.memory_kib)?;
        set(node, "cpus", domu.vcpus)?;
        if domu.vpl011 {
            set(node, "vpl011", Vec::<u8>::new())?;
        }
        if let Some(value) = domu.enhanced.value() {
            set(node, "xen,enhanced", value)?;
        }
        for StaticEvent { port, channel } in &domu.events {
            // Each end is a node that the other names. The first one met with gets the odd handle.
            let (here, there) = match self.1.insert(*channel) {
                true => (2 * channel + 1, 2 * channel + 2),
                false => (2 * channel + 2, 2 * channel + 1),
            };
            let event = node.add_child_mut(new_node(format!("evtchn@{here}"))?);
            set(event, "compatible", "xen,evtchn-v1")?;
            set(event, "phandle", EVENT_PHANDLES + here)?;
            set(event, "xen,evtchn", [port.to_be_bytes(), (EVENT_PHANDLES + there).to_be_bytes()].concat())?;
        }
        add_module(node, "multiboot,kernel", domu.kernel, Some(&domu.bootargs))?;
        if let Some(ramdisk) = domu.ramdisk {
            add_module(node, "multiboot,ramdisk", ramdisk, None)?;
        }
        Ok(())
    }

    /// The finished blob.
    pub(crate) fn to_dtb(&self) -> Vec<u8> {
        self.0.to_dtb()
    }

    fn chosen(&mut self) -> Result<&mut DeviceTreeNode> {
        self.0.root.child_mut("chosen").context("QEMU's device tree has no /chosen")
    }
}

fn add_module(parent: &mut DeviceTreeNode, kind: &str, at: Module, bootargs: Option<&str>) -> Result<()> {
    let node = parent.add_child_mut(new_node(format!("module@{:x}", at.address))?);
    set(node, "compatible", [kind, "multiboot,module"].as_slice())?;
    set(node, "reg", [at.address.to_be_bytes(), at.bytes.to_be_bytes()].concat())?;
    bootargs.map_or(Ok(()), |args| set(node, "bootargs", args))
}

fn new_node(name: String) -> Result<DeviceTreeNode> {
    DeviceTreeNode::new(name.as_str()).map_err(|e| anyhow::anyhow!("device tree node {name}: {e}"))
}

fn set(node: &mut DeviceTreeNode, name: &str, value: impl ToPropertyValue) -> Result<()> {
    node.remove_property(name);
    let property = DeviceTreeProperty::new(name, value)
        .map_err(|e| anyhow::anyhow!("device tree property {name}: {e}"))?;
    node.add_property(property);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dtoolkit::Property;

    /// Shaped like QEMU's `virt`: a few nodes that stay, a few that go, eight transports.
    fn virt() -> Vec<u8> {
        let mut tree = DeviceTree::new();
        for name in ["chosen", "pcie@10000000", "pl011@9000000", "memory@40000000"] {
            tree.root.add_child(DeviceTreeNode::new(name).unwrap());
        }
        for n in 0..8 {
            tree.root
                .add_child(DeviceTreeNode::new(format!("virtio_mmio@{:x}", 0xa00_0000 + n * 0x200)).unwrap());
        }
        tree.to_dtb()
    }

    fn names(tree: &DeviceTree, path: &str) -> Vec<String> {
        tree.find_node(path).unwrap().children().map(|n| n.name().to_owned()).collect()
    }

    fn bytes(tree: &DeviceTree, path: &str, property: &str) -> Vec<u8> {
        tree.find_node(path).unwrap().property(property).unwrap().value().to_vec()
    }

    fn reread(host: &HostTree) -> DeviceTree {
        let blob = host.to_dtb();
        DeviceTree::from_fdt(&Fdt::new(&blob).unwrap())
    }

    #[test]
    fn keeps_the_last_transports_and_drops_what_is_slow() {
        let tree = reread(&HostTree::parse(&virt()).unwrap());
        let left = names(&tree, "/");
        assert!(!left.contains(&"pcie@10000000".to_owned()));
        assert!(left.contains(&"pl011@9000000".to_owned()));
        assert!(!left.contains(&"virtio_mmio@a000200".to_owned()));
        assert!(left.contains(&"virtio_mmio@a000400".to_owned()));
        assert_eq!(left.iter().filter(|n| n.starts_with("virtio_mmio@")).count(), VIRTIO_TRANSPORTS);
    }

    #[test]
    fn describes_dom0_and_domains_in_the_order_given() {
        let mut host = HostTree::parse(&virt()).unwrap();
        host.xen_bootargs("console=dtuart").unwrap();
        let module = |address| Module { address, bytes: 0x1234 };
        host.dom0(module(0x4200_0000), "console=hvc0", module(0x4400_0000)).unwrap();
        let domu = |bootargs: &str, enhanced, vpl011| DomUNode {
            memory_kib: 0x4000,
            vcpus: 1,
            vpl011,
            enhanced,
            events: vec![StaticEvent { port: 10, channel: 0 }],
            bootargs: bootargs.to_owned(),
            kernel: module(0x5000_0000),
            ramdisk: None,
        };
        host.domu(&domu("one", Enhanced::NoXenstore, true)).unwrap();
        host.domu(&domu("two", Enhanced::Absent, false)).unwrap();

        let tree = reread(&host);
        assert_eq!(names(&tree, "/chosen"), ["module@42000000", "module@44000000", "domU1", "domU2"]);
        assert_eq!(bytes(&tree, "/chosen", "xen,xen-bootargs"), b"console=dtuart\0");
        assert_eq!(
            bytes(&tree, "/chosen/module@42000000", "compatible"),
            b"multiboot,kernel\0multiboot,module\0"
        );
        assert_eq!(
            bytes(&tree, "/chosen/module@44000000", "reg"),
            [0, 0, 0, 0, 0x44, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34]
        );
        assert_eq!(bytes(&tree, "/chosen/domU1", "memory"), [0, 0, 0, 0, 0, 0, 0x40, 0]);
        assert_eq!(bytes(&tree, "/chosen/domU1", "xen,enhanced"), b"no-xenstore\0");
        assert_eq!(bytes(&tree, "/chosen/domU1", "vpl011"), b"");
        let two = tree.find_node("/chosen/domU2").unwrap();
        assert!(two.property("xen,enhanced").is_none() && two.property("vpl011").is_none());
        assert_eq!(bytes(&tree, "/chosen/domU2/module@50000000", "bootargs"), b"two\0");
        // Each end names the other.
        let [one, two] = ["/chosen/domU1/evtchn@1", "/chosen/domU2/evtchn@2"];
        let link = |path: &str| bytes(&tree, path, "xen,evtchn");
        assert_eq!(link(one)[..4], 10u32.to_be_bytes());
        assert_eq!(link(one)[4..], bytes(&tree, two, "phandle"));
        assert_eq!(link(two)[4..], bytes(&tree, one, "phandle"));
    }

    #[test]
    fn a_blob_that_is_no_device_tree_is_refused() {
        assert!(HostTree::parse(b"not a device tree").is_err());
    }
}
