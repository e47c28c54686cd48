//! The part of a guest's device tree that Xen copies from us: devices of the host that the guest is given.
//!
//! docs/misc/arm/passthrough.txt of Xen, "Dom0-less Device Passthrough". What is below `/passthrough` comes to stand
//! in the guest's tree, without those properties that tell Xen what to map.

use anyhow::{Context, Result, ensure};
use dtoolkit::Node as _;
use dtoolkit::model::{DeviceTree, DeviceTreeNode};

use crate::tree::{new_node, set};

/// The guest's interrupt controller by default (`GUEST_PHANDLE_GIC`, xen/include/public/device_tree_defs.h).
const GIC_PHANDLE: u32 = 65000;
/// What Xen maps is a whole number of these.
const PAGE: u64 = 4096;

/// Devices for a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartialTree {
    /// In the order in which the guest finds them.
    pub nodes: Vec<DeviceNode>,
}

/// A device, or something else that a guest is to read in its device tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceNode {
    /// Its name in the guest's tree, as `gpio@9030000`.
    pub name: String,
    /// What it is, the most precise first.
    pub compatible: Vec<String>,
    /// Its registers.
    pub registers: Vec<Mapping>,
    /// The node of the host's tree that it is. Xen takes the interrupts from there; without it there are none.
    pub host_path: Option<String>,
    /// What the guest is told of its interrupts: type, number and flags, the numbers being the host's.
    pub interrupts: Vec<[u32; 3]>,
    /// Whether an IOMMU has to keep the device from others' memory. Without one, none may be asked for, and a device
    /// that reads or writes memory by itself can do so everywhere.
    pub iommu: bool,
    /// What other nodes name it by, above zero.
    pub phandle: Option<u32>,
    /// What else is said of it.
    pub properties: Vec<(String, Value)>,
    /// What is part of it.
    pub children: Vec<Self>,
}

/// Registers that a guest can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Where they are.
    pub host: u64,
    /// How many bytes the device has there. Xen maps the pages they are in.
    pub bytes: u64,
    /// Where the guest is to see them, as far into a page as there.
    pub guest: u64,
}

impl Mapping {
    /// Seen by the guest where they are.
    pub const fn same(address: u64, bytes: u64) -> Self {
        Self { host: address, bytes, guest: address }
    }
}

/// A property's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// That there is the property says it all.
    Empty,
    /// Numbers of 32 bits.
    Cells(Vec<u32>),
    /// Strings.
    Strings(Vec<String>),
}

impl From<&fata_facts::Device> for DeviceNode {
    /// A device of the board as its guest sees it: where it is, with the interrupts that it has.
    fn from(device: &fata_facts::Device) -> Self {
        let name = device.path.rsplit('/').next().unwrap_or(device.path);
        let cells = |cells: &[u32]| match cells.is_empty() {
            true => Value::Empty,
            false => Value::Cells(cells.to_vec()),
        };
        let registers = match device.registers.is_empty() {
            true => Vec::new(),
            false => vec![Mapping::same(device.registers.base, device.registers.size)],
        };
        Self {
            name: name.to_owned(),
            compatible: vec![device.compatible.to_owned()],
            registers,
            host_path: Some(device.path.to_owned()),
            // An SPI, its number without the 32 private ones, level-triggered and high.
            interrupts: device.interrupts.iter().filter_map(|n| Some([0, n.checked_sub(32)?, 4])).collect(),
            properties: device
                .cells
                .iter()
                .map(|(name, values)| ((*name).to_owned(), cells(values)))
                .collect(),
            ..Self::default()
        }
    }
}

impl PartialTree {
    /// The paths of the devices in the host's tree.
    pub fn host_paths(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter_map(|node| node.host_path.as_deref())
    }

    /// What Xen is to be given as a `multiboot,device-tree` module.
    pub fn to_dtb(&self) -> Result<Vec<u8>> {
        let mut tree = DeviceTree::new();
        set(&mut tree.root, "#address-cells", 2u32)?;
        set(&mut tree.root, "#size-cells", 2u32)?;
        // A placeholder: Xen puts its own node in the guest's tree, under this handle.
        let gic = tree.root.add_child_mut(new_node("gic".to_owned())?);
        set(gic, "#interrupt-cells", 3u32)?;
        set(gic, "interrupt-controller", Vec::<u8>::new())?;
        set(gic, "phandle", GIC_PHANDLE)?;
        let bus = tree.root.add_child_mut(new_node("passthrough".to_owned())?);
        set(bus, "compatible", "simple-bus")?;
        set(bus, "ranges", Vec::<u8>::new())?;
        set(bus, "#address-cells", 2u32)?;
        set(bus, "#size-cells", 2u32)?;
        for node in &self.nodes {
            node.add_to(bus).with_context(|| format!("the device {}", node.name))?;
        }
        Ok(tree.to_dtb())
    }
}

impl DeviceNode {
    fn add_to(&self, parent: &mut DeviceTreeNode) -> Result<()> {
        ensure!(parent.children().all(|other| other.name() != self.name), "there are two of this name");
        let node = parent.add_child_mut(new_node(self.name.clone())?);
        let list = |strings: &[String]| strings.iter().map(|s| format!("{s}\0")).collect::<String>();
        let cells = |cells: &[u32]| cells.iter().flat_map(|cell| cell.to_be_bytes()).collect::<Vec<u8>>();
        if !self.compatible.is_empty() {
            set(node, "compatible", list(&self.compatible).into_bytes())?;
        }
        if !self.registers.is_empty() {
            let (mut reg, mut mapped) = (Vec::<u8>::new(), Vec::<u8>::new());
            for mapping in &self.registers {
                reg.extend([mapping.guest, mapping.bytes].map(u64::to_be_bytes).as_flattened());
                mapped.extend(mapping.pages()?.map(u64::to_be_bytes).as_flattened());
            }
            set(node, "reg", reg)?;
            set(node, "xen,reg", mapped)?;
            if !self.iommu {
                set(node, "xen,force-assign-without-iommu", Vec::<u8>::new())?;
            }
        }
        ensure!(!self.iommu || self.host_path.is_some(), "only of a device of the host Xen knows an IOMMU");
        if let Some(path) = &self.host_path {
            // Xen ends at a path without registers.
            ensure!(!self.registers.is_empty(), "it is a device of the host without registers");
            set(node, "xen,path", path.as_str())?;
        }
        if !self.interrupts.is_empty() {
            set(node, "interrupts", cells(self.interrupts.as_flattened()))?;
            set(node, "interrupt-parent", GIC_PHANDLE)?;
        }
        if let Some(phandle) = self.phandle {
            set(node, "phandle", phandle)?;
        }
        for (name, value) in &self.properties {
            match value {
                Value::Empty => set(node, name, Vec::<u8>::new())?,
                Value::Cells(numbers) => set(node, name, cells(numbers))?,
                Value::Strings(strings) => set(node, name, list(strings).into_bytes())?,
            }
        }
        for child in &self.children {
            // Deeper down Xen would take the numbers in `xen,reg` for shorter ones.
            ensure!(child.registers.is_empty(), "{} is part of it and has registers of its own", child.name);
            child.add_to(node)?;
        }
        Ok(())
    }
}

impl Mapping {
    /// What Xen is told: address, size and the guest's address, all in whole pages.
    fn pages(&self) -> Result<[u64; 3]> {
        let within = self.host % PAGE;
        ensure!(
            self.guest % PAGE == within && self.bytes > 0,
            "{} bytes at {:#x} cannot be mapped to {:#x}: both have to be as far into a page",
            self.bytes,
            self.host,
            self.guest
        );
        let size = within.checked_add(self.bytes).and_then(|size| size.checked_next_multiple_of(PAGE));
        let size = size.filter(|size| [self.host, self.guest].iter().all(|a| a.checked_add(*size).is_some()));
        Ok([self.host - within, size.context("registers go on beyond all addresses")?, self.guest - within])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dtoolkit::Property as _;
    use dtoolkit::fdt::Fdt;

    fn gpio() -> DeviceNode {
        DeviceNode {
            name: "gpio@9030000".to_owned(),
            compatible: vec!["arm,pl061".to_owned(), "arm,primecell".to_owned()],
            registers: vec![Mapping::same(0x903_0000, 0x1000)],
            host_path: Some("/pl061@9030000".to_owned()),
            interrupts: vec![[0, 7, 4]],
            phandle: Some(1),
            properties: vec![
                ("gpio-controller".to_owned(), Value::Empty),
                ("#gpio-cells".to_owned(), Value::Cells(vec![2])),
            ],
            ..DeviceNode::default()
        }
    }

    fn property(tree: &DeviceTree, path: &str, name: &str) -> Option<Vec<u8>> {
        Some(tree.find_node(path)?.property(name)?.value().to_vec())
    }

    fn cells(cells: &[u32]) -> Option<Vec<u8>> {
        Some(cells.iter().flat_map(|cell| cell.to_be_bytes()).collect())
    }

    fn reread(nodes: Vec<DeviceNode>) -> DeviceTree {
        let blob = PartialTree { nodes }.to_dtb().unwrap();
        DeviceTree::from_fdt(&Fdt::new(&blob).unwrap())
    }

    #[test]
    fn says_what_xen_maps_and_what_the_guest_reads() {
        let uart = DeviceNode {
            name: "serial@10000040".to_owned(),
            registers: vec![Mapping { host: 0xfe21_5040, bytes: 0x40, guest: 0x1000_0040 }],
            ..DeviceNode::default()
        };
        let leds = DeviceNode {
            name: "leds".to_owned(),
            compatible: vec!["gpio-leds".to_owned()],
            children: vec![DeviceNode {
                name: "act".to_owned(),
                properties: vec![
                    ("gpios".to_owned(), Value::Cells(vec![1, 3, 0])),
                    ("label".to_owned(), Value::Strings(vec!["green".to_owned()])),
                ],
                ..DeviceNode::default()
            }],
            ..DeviceNode::default()
        };
        let tree = reread(vec![gpio(), uart, leds]);
        let at = "/passthrough/gpio@9030000";
        assert_eq!(property(&tree, at, "compatible").unwrap(), b"arm,pl061\0arm,primecell\0");
        assert_eq!(property(&tree, at, "reg"), cells(&[0, 0x903_0000, 0, 0x1000]));
        assert_eq!(property(&tree, at, "xen,reg"), cells(&[0, 0x903_0000, 0, 0x1000, 0, 0x903_0000]));
        assert_eq!(property(&tree, at, "xen,path").unwrap(), b"/pl061@9030000\0");
        assert_eq!(property(&tree, at, "xen,force-assign-without-iommu"), Some(Vec::new()));
        assert_eq!(property(&tree, at, "interrupts"), cells(&[0, 7, 4]));
        assert_eq!(property(&tree, at, "interrupt-parent"), property(&tree, "/gic", "phandle"));
        assert_eq!(property(&tree, at, "gpio-controller"), Some(Vec::new()));
        // Registers in the middle of a page: Xen maps the page, the guest is told where in it they are.
        let at = "/passthrough/serial@10000040";
        assert_eq!(property(&tree, at, "reg"), cells(&[0, 0x1000_0040, 0, 0x40]));
        assert_eq!(property(&tree, at, "xen,reg"), cells(&[0, 0xfe21_5000, 0, 0x1000, 0, 0x1000_0000]));
        assert_eq!(property(&tree, at, "xen,path"), None);
        let at = "/passthrough/leds/act";
        assert_eq!(property(&tree, at, "gpios"), cells(&[1, 3, 0]));
        assert_eq!(property(&tree, at, "label").unwrap(), b"green\0");
        assert_eq!(property(&tree, at, "xen,reg"), None);
    }

    #[test]
    fn what_xen_would_stop_at_is_refused() {
        let complaint = |node: DeviceNode| {
            format!("{:#}", PartialTree { nodes: vec![node] }.to_dtb().expect_err("no good"))
        };
        let at = |registers| DeviceNode { registers, ..gpio() };
        let apart = Mapping { host: 0x903_0000, bytes: 0x1000, guest: 0x903_0040 };
        assert!(complaint(at(vec![apart])).contains("as far into a page"));
        assert!(complaint(at(vec![Mapping::same(0x1000, 0)])).contains("cannot be mapped"));
        assert!(complaint(at(vec![Mapping::same(u64::MAX - 1, 8)])).contains("beyond"));
        assert!(complaint(at(vec![Mapping::same(0, u64::MAX)])).contains("beyond"));
        assert!(complaint(at(vec![])).contains("without registers"));
        assert!(complaint(DeviceNode { iommu: true, host_path: None, ..gpio() }).contains("IOMMU"));
        assert!(complaint(DeviceNode { children: vec![gpio()], ..gpio() }).contains("registers of its own"));
        let twice = PartialTree { nodes: vec![gpio(), gpio()] };
        assert!(format!("{:#}", twice.to_dtb().expect_err("no good")).contains("two of this name"));
    }
}
