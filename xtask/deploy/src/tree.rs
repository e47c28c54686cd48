//! The host's device tree: the board's own, with what Xen wants to find in it.

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow, bail};
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use dtoolkit::{Node, Property, ToPropertyValue};
use fata_boot::info::Region;
use fata_facts::Board;

use crate::blob;

/// The handles of static event channels' ends: higher than those of QEMU's tree.
const EVENT_PHANDLES: u32 = 0x10_0000;

/// A file that lies in memory before Xen starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Module {
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
pub struct DomUNode {
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
    /// The devices it is given, if any: a device tree of its own.
    pub devices: Option<Module>,
}

/// The host's device tree under construction.
#[derive(Clone, Debug)]
pub struct HostTree {
    tree: DeviceTree,
    /// Static event channels of which one end is there.
    channels: BTreeSet<u32>,
}

impl HostTree {
    /// Reads a board's device tree. The nodes at the paths in `remove` go, those that are there; `serial` is the path of
    /// Xen's serial port, or an alias of it.
    pub fn parse(blob: &[u8], remove: &[&str], serial: &str) -> Result<Self> {
        let mut host = Self { tree: blob::read(blob)?, channels: BTreeSet::new() };
        for path in remove {
            host.remove(path);
        }
        // Xen takes it for another /chosen, and so do those who look for ours.
        if let Some(odd) = host.names().find(|name| name.starts_with("chosen@")) {
            bail!("this device tree has a node /{odd}");
        }
        if host.tree.root.child("chosen").is_none() {
            host.tree.root.add_child(new_node("chosen".to_owned())?);
        }
        let chosen = host.chosen()?;
        set(chosen, "#address-cells", 2u32)?;
        set(chosen, "#size-cells", 2u32)?;
        set(chosen, "stdout-path", serial)?;
        Ok(host)
    }

    /// Reads `board`'s device tree and makes it what Xen wants of that board, but keeps the nodes at the paths in `kept`.
    pub fn of(board: &Board, blob: &[u8], kept: &[&str]) -> Result<Self> {
        let xen = &board.xen;
        let remove: Vec<_> = xen.remove.iter().copied().filter(|path| !kept.contains(path)).collect();
        let mut host = Self::parse(blob, &remove, xen.serial)?;
        let chosen = host.chosen()?;
        // Seeds are for one boot: QEMU writes other ones each time, and on a medium they would be the same for ever.
        for seed in ["rng-seed", "kaslr-seed"] {
            chosen.remove_property(seed);
        }
        for change in xen.set {
            host.set_cells(change.path, change.property, change.cells)?;
        }
        Ok(host)
    }

    /// Names of the nodes directly below the root.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tree.root.children().map(Node::name)
    }

    /// Whether there is a node at this path.
    pub fn has(&self, path: &str) -> bool {
        self.tree.find_node(path).is_some()
    }

    /// Removes a node, and says whether it was there.
    pub fn remove(&mut self, path: &str) -> bool {
        let Some((parent, name)) = path.rsplit_once('/') else { return false };
        let parent = if parent.is_empty() { "/" } else { parent };
        self.tree.find_node_mut(parent).is_some_and(|parent| parent.remove_child(name).is_some())
    }

    /// Gives a property of a node that is there another value.
    pub fn set_cells(&mut self, path: &str, property: &str, cells: &[u32]) -> Result<()> {
        let node = self.tree.find_node_mut(path).with_context(|| format!("the device tree has no {path}"))?;
        set(node, property, cells.iter().flat_map(|cell| cell.to_be_bytes()).collect::<Vec<u8>>())
    }

    /// Xen's command line. (`-append` is ignored when there is no dom0.)
    pub fn xen_bootargs(&mut self, args: &str) -> Result<()> {
        set(self.chosen()?, "xen,xen-bootargs", args)
    }

    /// dom0's kernel, command line and initial RAM disk.
    pub fn dom0(&mut self, kernel: Module, bootargs: &str, ramdisk: Module) -> Result<()> {
        let chosen = self.chosen()?;
        add_module(chosen, "multiboot,kernel", kernel, Some(bootargs))?;
        add_module(chosen, "multiboot,ramdisk", ramdisk, None)
    }

    /// A domain for Xen to start; the first one added becomes domain 1.
    pub fn domu(&mut self, domu: &DomUNode) -> Result<()> {
        let chosen = self.tree.root.child_mut("chosen").context("the device tree has no /chosen")?;
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
            let (here, there) = match self.channels.insert(*channel) {
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
        if let Some(devices) = domu.devices {
            add_module(node, "multiboot,device-tree", devices, None)?;
        }
        Ok(())
    }

    /// Says that the device at `path` is a guest's, so that Xen leaves it to that (docs/misc/arm/passthrough.txt).
    pub fn pass(&mut self, path: &str) -> Result<()> {
        let node = self.tree.find_node_mut(path).with_context(|| format!("the host has no device {path}"))?;
        set(node, "xen,passthrough", Vec::<u8>::new())
    }

    /// Keeps Xen's hands off a region of RAM. This stands even where firmware writes anew how much RAM there is.
    pub fn reserve(&mut self, name: &str, region: Region) -> Result<()> {
        if self.tree.root.child("reserved-memory").is_none() {
            let node = self.tree.root.add_child_mut(new_node("reserved-memory".to_owned())?);
            set(node, "#address-cells", 2u32)?;
            set(node, "#size-cells", 2u32)?;
            set(node, "ranges", Vec::<u8>::new())?;
        }
        let parent = self.tree.root.child_mut("reserved-memory").context("it was there")?;
        let cells = |name: &str| {
            let property = parent.property(name)?;
            property.value().as_array().map(|bytes| u32::from_be_bytes(*bytes))
        };
        let (address_cells, size_cells) = (cells("#address-cells"), cells("#size-cells"));
        let mut reg = in_cells(region.base, address_cells.unwrap_or(2))?;
        reg.extend(in_cells(region.size, size_cells.unwrap_or(1))?);
        let node = parent.add_child_mut(new_node(format!("{name}@{:x}", region.base))?);
        set(node, "reg", reg)?;
        set(node, "no-map", Vec::<u8>::new())
    }

    /// The finished blob.
    pub fn to_dtb(&self) -> Vec<u8> {
        self.tree.to_dtb()
    }

    fn chosen(&mut self) -> Result<&mut DeviceTreeNode> {
        self.tree.root.child_mut("chosen").context("the device tree has no /chosen")
    }
}

fn add_module(parent: &mut DeviceTreeNode, kind: &str, at: Module, bootargs: Option<&str>) -> Result<()> {
    let node = parent.add_child_mut(new_node(format!("module@{:x}", at.address))?);
    set(node, "compatible", [kind, "multiboot,module"].as_slice())?;
    set(node, "reg", [at.address.to_be_bytes(), at.bytes.to_be_bytes()].concat())?;
    bootargs.map_or(Ok(()), |args| set(node, "bootargs", args))
}

/// A number in so many cells.
fn in_cells(number: u64, cells: u32) -> Result<Vec<u8>> {
    match cells {
        1 => Ok(u32::try_from(number).context("the number does not fit one cell")?.to_be_bytes().to_vec()),
        2 => Ok(number.to_be_bytes().to_vec()),
        _ => bail!("numbers of {cells} cells are unheard of"),
    }
}

pub(crate) fn new_node(name: String) -> Result<DeviceTreeNode> {
    DeviceTreeNode::new(name.as_str()).map_err(|e| anyhow!("device tree node {name}: {e}"))
}

pub(crate) fn set(node: &mut DeviceTreeNode, name: &str, value: impl ToPropertyValue) -> Result<()> {
    node.remove_property(name);
    let property =
        DeviceTreeProperty::new(name, value).map_err(|e| anyhow!("device tree property {name}: {e}"))?;
    node.add_property(property);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dtoolkit::Property;
    use dtoolkit::fdt::Fdt;

    /// Shaped like QEMU's `virt`.
    fn virt() -> Vec<u8> {
        let mut tree = DeviceTree::new();
        for name in ["pcie@10000000", "pl011@9000000", "memory@40000000", "soc"] {
            tree.root.add_child(DeviceTreeNode::new(name).unwrap());
        }
        let soc = tree.root.child_mut("soc").unwrap();
        for name in ["dma@1000", "serial@2000"] {
            soc.add_child(DeviceTreeNode::new(name).unwrap());
        }
        tree.to_dtb()
    }

    fn host(remove: &[&str]) -> HostTree {
        HostTree::parse(&virt(), remove, "/pl011@9000000").unwrap()
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
    fn what_is_to_go_goes_wherever_it_is() {
        let host = host(&["/pcie@10000000", "/soc/dma@1000", "/no/such", "soc", ""]);
        let tree = reread(&host);
        assert_eq!(names(&tree, "/"), ["pl011@9000000", "memory@40000000", "soc", "chosen"]);
        assert_eq!(names(&tree, "/soc"), ["serial@2000"]);
        assert_eq!(bytes(&tree, "/chosen", "stdout-path"), b"/pl011@9000000\0");
        assert!(host.has("/soc/serial@2000") && !host.has("/soc/dma@1000"));
    }

    #[test]
    fn a_property_gets_another_value_only_where_there_is_a_node() {
        let mut host = host(&[]);
        host.set_cells("/soc/serial@2000", "reg", &[0x2000, 0x100]).unwrap();
        host.set_cells("/soc/serial@2000", "reg", &[0x3000, 0x100]).unwrap();
        assert_eq!(bytes(&reread(&host), "/soc/serial@2000", "reg"), [0, 0, 0x30, 0, 0, 0, 1, 0]);
        let error = host.set_cells("/soc/uart", "reg", &[]).unwrap_err();
        assert_eq!(error.to_string(), "the device tree has no /soc/uart");
    }

    #[test]
    fn describes_dom0_and_domains_in_the_order_given() {
        let mut host = host(&[]);
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
            devices: (!vpl011).then(|| module(0x5200_0000)),
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
        assert_eq!(
            bytes(&tree, "/chosen/domU2/module@52000000", "compatible"),
            b"multiboot,device-tree\0multiboot,module\0"
        );
        // Each end names the other.
        let [one, two] = ["/chosen/domU1/evtchn@1", "/chosen/domU2/evtchn@2"];
        let link = |path: &str| bytes(&tree, path, "xen,evtchn");
        assert_eq!(link(one)[..4], 10u32.to_be_bytes());
        assert_eq!(link(one)[4..], bytes(&tree, two, "phandle"));
        assert_eq!(link(two)[4..], bytes(&tree, one, "phandle"));
    }

    #[test]
    fn a_device_that_is_passed_is_marked() {
        let mut host = host(&[]);
        host.pass("/soc/serial@2000").unwrap();
        assert_eq!(bytes(&reread(&host), "/soc/serial@2000", "xen,passthrough"), b"");
        let error = host.pass("/soc/serial@3000").unwrap_err();
        assert_eq!(error.to_string(), "the host has no device /soc/serial@3000");
    }

    #[test]
    fn seeds_do_not_go_on_media() {
        let mut tree = DeviceTree::from_fdt(&Fdt::new(&virt()).unwrap());
        let chosen = tree.root.add_child_mut(new_node("chosen".to_owned()).unwrap());
        set(chosen, "rng-seed", 1u64).unwrap();
        set(chosen, "kaslr-seed", 2u64).unwrap();
        let host = HostTree::of(fata_boards::find("qemu-virt").unwrap(), &tree.to_dtb(), &[]).unwrap();
        let tree = reread(&host);
        let chosen = tree.find_node("/chosen").unwrap();
        assert!(chosen.property("rng-seed").is_none() && chosen.property("kaslr-seed").is_none());
    }

    #[test]
    fn a_second_chosen_is_refused() {
        let mut tree = DeviceTree::new();
        tree.root.add_child(DeviceTreeNode::new("chosen@1000").unwrap());
        let error = HostTree::parse(&tree.to_dtb(), &[], "serial0").unwrap_err();
        assert_eq!(error.to_string(), "this device tree has a node /chosen@1000");
    }

    #[test]
    fn a_blob_that_is_no_device_tree_is_refused() {
        assert!(HostTree::parse(b"not a device tree", &[], "serial0").is_err());
    }
}
