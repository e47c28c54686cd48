//! What lies where in a board's memory when Xen starts, and the device tree that says so.

use anyhow::{Context, Result, bail, ensure};
use fata_boot::info::Region;
use fata_facts::Board;

use crate::deployment::{At, Deployment, Dom0, Domain, Start};
use crate::map::{Kind, MemoryMap, Part};
use crate::partial::{DeviceNode, Mapping, PartialTree, Value};
use crate::refusal::Refusals;
use crate::tree::{DomUNode, Enhanced, HostTree, Module, StaticEvent};

/// Keeps addresses readable; Xen wants pages.
const MODULE_ALIGNMENT: u64 = 2 << 20;
const PAGE: u64 = 4096;
/// The device tree has this much room to grow in: U-Boot adds to it.
const TREE_ROOM: u64 = 64 << 10;
/// What Xen needs for itself besides its image: page tables, its heap, a device tree unpacked.
const XEN_HEAP: u64 = 32 << 20;
/// Static event channels get the ports from here on.
const FIRST_PORT: u32 = 10;
/// Where domains see the memory of vchans: between what Xen keeps for PCI and for grants
/// (xen/include/public/arch-arm.h).
const VCHANS: Region = Region { base: 0x3400_0000, size: 0x400_0000 };
/// `GUEST_VPL011_SPI` of Xen.
const VPL011_INTERRUPT: u32 = 32;

/// All files that a plan is made of.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The hypervisor, an arm64 Image.
    pub xen: &'a [u8],
    /// The board's device tree.
    pub tree: &'a [u8],
    /// The domains' images, in the deployment's order.
    pub images: &'a [Vec<u8>],
    /// What runs as domain 0, if the deployment asks for it.
    pub dom0: Option<Dom0Files<'a>>,
}

/// What runs as domain 0.
#[derive(Clone, Copy, Debug)]
pub struct Dom0Files<'a> {
    /// Its kernel, an arm64 Image.
    pub kernel: &'a [u8],
    /// Its initial RAM disk.
    pub ramdisk: &'a [u8],
    /// Its command line.
    pub args: &'a str,
    /// Its memory.
    pub memory_mib: u64,
}

/// A file that is loaded before Xen starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its name on boot media.
    pub name: String,
    /// Where it is loaded.
    pub address: u64,
    /// What is in it.
    pub contents: Vec<u8>,
}

/// A deployment that fits on a board.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is loaded: Xen first, then modules, and the device tree last.
    pub files: Vec<Loaded>,
    /// Xen's command line.
    pub xen_args: String,
    /// What lies where.
    pub map: MemoryMap,
}

impl Plan {
    /// Fits a deployment on a board. What the deployment's file is to blame for is a [`Refusals`].
    pub fn make(deployment: &Deployment, board: &Board, sources: &Sources<'_>) -> Result<Self> {
        ensure!(sources.images.len() == deployment.domains.len(), "each domain has one image");
        let serial = board.xen.serial;
        let passed = devices(deployment, board)?;
        let kept: Vec<_> = passed.iter().map(|(_, device)| device.path).collect();
        let mut tree = HostTree::of(board, sources.tree, &kept).context("the board's device tree")?;
        ensure!(!serial.starts_with('/') || tree.has(serial), "the board's device tree has no {serial}");
        for (at, device) in &passed {
            if !tree.has(device.path) {
                let what = format!("the board's device tree has no node {}", device.path);
                let cure = format!("leave out {}, or boot with a device tree that has it", at.value);
                return Err(deployment.refusal(at.line, what, cure).into());
            }
            tree.pass(device.path)?;
        }

        let mut layout = Layout::new(board, sources.xen)?;
        let xen_args = xen_args(deployment, board, sources.dom0.as_ref());
        tree.xen_bootargs(&xen_args)?;
        layout.explicit(deployment, sources.images)?;
        let regions = layout.vchans(deployment)?;
        if let Some(dom0) = &sources.dom0 {
            ensure!(is_image(dom0.kernel), "dom0's kernel is no arm64 Image");
            let kernel = layout.module("dom0.img", dom0.kernel)?;
            let ramdisk = layout.module("dom0.cpio", dom0.ramdisk)?;
            tree.dom0(kernel, dom0.args, ramdisk)?;
        }
        ensure!(
            sources.dom0.is_some() == (deployment.dom0.value == Dom0::Debian),
            "a dom0's files are there if and only if one is asked for"
        );
        for (number, domain) in deployment.domains.iter().enumerate() {
            let image = &sources.images[number];
            check_image(deployment, domain, image)?;
            if domain.start == Start::Xen {
                let node = layout.domain(deployment, board, domain, image, &regions)?;
                tree.domu(&node)?;
            }
        }
        for region in &regions {
            tree.reserve("vchan", *region)?;
        }
        layout.finish(deployment, board, sources, &tree.to_dtb(), xen_args)
    }

    /// The file of this name.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&Loaded> {
        self.files.iter().find(|file| file.name == name)
    }
}

/// The devices that are given to domains.
fn devices<'a>(
    deployment: &'a Deployment,
    board: &'a Board,
) -> Result<Vec<(&'a At<String>, &'a fata_facts::Device)>, Refusals> {
    let mut found = Vec::new();
    for domain in &deployment.domains {
        for at in &domain.devices {
            let Some(device) = board.device(&at.value) else {
                let names: Vec<_> = board.devices.iter().map(|device| device.name).collect();
                let what = format!("{} has no device {}", board.name, at.value);
                let cure = match names.is_empty() {
                    true => "it has none that can be given to a domain".to_owned(),
                    false => format!("it has {}", names.join(", ")),
                };
                return Err(deployment.refusal(at.line, what, cure));
            };
            if domain.vpl011 && device.interrupts.contains(&VPL011_INTERRUPT) {
                let what = format!("{} has the interrupt that Xen's emulated UART has", at.value);
                return Err(deployment.refusal(at.line, what, "give this domain console = \"none\""));
            }
            found.push((at, device));
        }
    }
    Ok(found)
}

fn xen_args(deployment: &Deployment, board: &Board, dom0: Option<&Dom0Files<'_>>) -> String {
    // Without guest_loglvl Xen drops most of what guests write to its console, last words among them.
    let mut words =
        vec![format!("console=dtuart dtuart={} bootscrub=0 loglvl=info guest_loglvl=all", board.xen.serial)];
    words.extend(dom0.map(|dom0| format!("dom0_mem={}M", dom0.memory_mib)));
    words.extend(board.xen.args.iter().map(|&args| args.to_owned()));
    words.extend(Some(deployment.xen_args.value.clone()).filter(|args| !args.is_empty()));
    words.join(" ")
}

/// `linux/Documentation/arch/arm64/booting.rst`: where the magic number is, and the size in memory.
fn image_size(image: &[u8]) -> Option<u64> {
    let magic = image.get(56..60)?;
    let size = image.get(16..24)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))?;
    (magic == b"ARM\x64").then_some(size)
}

fn is_image(image: &[u8]) -> bool {
    image_size(image).is_some()
}

fn check_image(deployment: &Deployment, domain: &Domain, image: &[u8]) -> Result<(), Refusals> {
    let Some(size) = image_size(image) else {
        return Err(deployment.refusal(
            domain.image.line,
            format!("{} is no arm64 Image", domain.image.value),
            "cargo xtask build makes one",
        ));
    };
    let memory = domain.memory_mib.value << 20;
    let least = size.max(image.len() as u64);
    if least > memory {
        return Err(deployment.refusal(
            domain.memory_mib.line,
            format!("{} takes more than {} MiB of memory", domain.image.value, domain.memory_mib.value),
            format!("memory_mib = {} is the least", least.div_ceil(1 << 20) + 1),
        ));
    }
    Ok(())
}

/// Finds room.
struct Layout {
    window: Region,
    map: MemoryMap,
    files: Vec<Loaded>,
}

impl Layout {
    fn new(board: &Board, xen: &[u8]) -> Result<Self> {
        let size = image_size(xen).context("the hypervisor is no arm64 Image")?;
        let mut layout = Self {
            window: board.xen.modules,
            map: MemoryMap::new(board.title, board.ram),
            files: Vec::new(),
        };
        let at = Region { base: board.uboot.xen, size: size.max(xen.len() as u64) };
        layout.put("xen", Kind::Xen, at)?;
        layout.files.push(Loaded { name: "xen".to_owned(), address: at.base, contents: xen.to_vec() });
        Ok(layout)
    }

    /// Takes a region that has to be there.
    fn put(&mut self, name: &str, kind: Kind, region: Region) -> Result<()> {
        if let Some(other) = self.map.overlapping(region) {
            bail!("{name} at {:#x} lies over {}", region.base, other.name);
        }
        ensure!(self.map.is_memory(region), "{name} at {:#x} is not in the board's memory", region.base);
        self.map.parts.push(Part { name: name.to_owned(), kind, region });
        Ok(())
    }

    /// Takes the lowest room that there is.
    fn find(&mut self, name: &str, kind: Kind, bytes: u64) -> Option<Region> {
        let mut region = Region { base: self.window.base.next_multiple_of(PAGE), size: bytes.max(1) };
        while let Some(other) = self.map.overlapping(region) {
            region.base = other.region.end().checked_next_multiple_of(MODULE_ALIGNMENT)?;
        }
        if region.end() > self.window.end() {
            return None;
        }
        self.map.parts.push(Part { name: name.to_owned(), kind, region });
        Some(region)
    }

    fn module(&mut self, name: &str, contents: &[u8]) -> Result<Module> {
        let bytes = contents.len() as u64;
        let region = self
            .find(name, Kind::Module, bytes)
            .with_context(|| format!("there is no room for {name}: {bytes} bytes"))?;
        self.files.push(Loaded { name: name.to_owned(), address: region.base, contents: contents.to_vec() });
        Ok(Module { address: region.base, bytes })
    }

    /// Images that have to be at certain addresses.
    fn explicit(&mut self, deployment: &Deployment, images: &[Vec<u8>]) -> Result<(), Refusals> {
        for (domain, image) in deployment.domains.iter().zip(images) {
            let Some(at) = domain.load_at else { continue };
            let region = Region { base: at.value, size: image.len().max(1) as u64 };
            let window = self.window;
            let cure = format!("modules may lie from {:#x} to {:#x}", window.base, window.end());
            if let Some(other) = self.map.overlapping(region) {
                let what = format!("{} at {:#x} lies over {}", domain.name.value, at.value, other.name);
                return Err(deployment.refusal(at.line, what, cure));
            }
            if region.base < window.base || region.end() > window.end() {
                let what = format!("{} does not fit at {:#x}", domain.name.value, at.value);
                return Err(deployment.refusal(at.line, what, cure));
            }
            let name = file_name(domain);
            self.map.parts.push(Part { name: name.clone(), kind: Kind::Module, region });
            self.files.push(Loaded { name, address: region.base, contents: image.clone() });
        }
        Ok(())
    }

    /// Regions for vchans, from the end of the room for modules down.
    fn vchans(&mut self, deployment: &Deployment) -> Result<Vec<Region>, Refusals> {
        let mut regions: Vec<Region> = Vec::new();
        for vchan in &deployment.vchans {
            let size = vchan.bytes.value;
            let end = regions.last().map_or_else(|| self.window.end() / PAGE * PAGE, |last| last.base);
            let region = Region { base: end.saturating_sub(size), size };
            let fits = region.base >= self.window.base && region.base > 0;
            if !fits || self.map.overlapping(region).is_some() {
                return Err(deployment.refusal(
                    vchan.bytes.line,
                    format!("there is no room for the vchan {} of {} KiB", vchan.title(), size >> 10),
                    "make it smaller",
                ));
            }
            let name = vchan.title();
            self.map.parts.push(Part { name, kind: Kind::Vchan, region });
            regions.push(region);
        }
        Ok(regions)
    }

    /// What Xen's device tree is to say of a domain.
    fn domain(
        &mut self,
        deployment: &Deployment,
        board: &Board,
        domain: &Domain,
        image: &[u8],
        regions: &[Region],
    ) -> Result<DomUNode> {
        let no_room = |what: &str| {
            deployment.refusal(
                domain.image.line,
                format!("there is no room for the {what} of {}", domain.name.value),
                format!("{} has {} MiB for modules", board.name, board.xen.modules.size >> 20),
            )
        };
        let name = file_name(domain);
        let there = self.files.iter().find(|file| file.name == name).map(|file| file.address);
        let kernel = match there {
            Some(address) => Module { address, bytes: image.len() as u64 },
            None => self.module(&name, image).map_err(|_| no_room("image"))?,
        };
        let (events, nodes) = connections(deployment, domain, regions)?;
        let devices = domain.devices.iter().filter_map(|at| board.device(&at.value)).map(DeviceNode::from);
        let partial = PartialTree { nodes: devices.chain(nodes).collect() };
        let devices = match partial.nodes.is_empty() {
            true => None,
            false => {
                let blob = partial.to_dtb().with_context(|| format!("devices of {}", domain.name.value))?;
                let name = format!("{}.dtb", domain.name.value);
                Some(self.module(&name, &blob).map_err(|_| no_room("devices"))?)
            }
        };
        let alone = deployment.dom0.value == Dom0::None;
        Ok(DomUNode {
            memory_kib: domain.memory_mib.value << 10,
            vcpus: domain.vcpus.value,
            vpl011: domain.vpl011,
            // Xen panics when it is to offer Xenstore without a dom0.
            enhanced: if alone { Enhanced::NoXenstore } else { Enhanced::Enabled },
            events,
            bootargs: domain.args.value.clone(),
            kernel,
            ramdisk: None,
            devices,
        })
    }

    /// Puts the device tree where it goes, and sees whether there is memory for all.
    fn finish(
        mut self,
        deployment: &Deployment,
        board: &Board,
        sources: &Sources<'_>,
        tree: &[u8],
        xen_args: String,
    ) -> Result<Plan> {
        let name = "board.dtb";
        let region = Region { base: board.uboot.tree, size: tree.len() as u64 + TREE_ROOM };
        self.put(name, Kind::Tree, region)?;
        self.files.push(Loaded { name: name.to_owned(), address: region.base, contents: tree.to_vec() });
        self.map.wants.push(("Xen's own".to_owned(), XEN_HEAP));
        if let Some(dom0) = &sources.dom0 {
            self.map.wants.push(("dom0".to_owned(), dom0.memory_mib << 20));
        }
        let mut free = self.map.free().saturating_sub(self.map.wants.iter().map(|(_, bytes)| bytes).sum());
        for domain in &deployment.domains {
            let memory = domain.memory_mib.value << 20;
            // xen,domain-p2m-mem-mb in docs/misc/arm/device-tree/booting.txt.
            let tables =
                (u64::from(domain.vcpus.value) << 20) + (domain.memory_mib.value << 12) + (512 << 10);
            let Some(left) = free.checked_sub(memory + tables) else {
                return Err(deployment
                    .refusal(
                        domain.memory_mib.line,
                        format!(
                            "{} has too little memory: {} wants {} MiB, and {} are left",
                            board.name,
                            domain.name.value,
                            domain.memory_mib.value,
                            free.saturating_sub(tables) >> 20
                        ),
                        "give domains less",
                    )
                    .into());
            };
            free = left;
            self.map.wants.push((domain.name.value.clone(), memory));
            self.map.wants.push((format!("page tables of {}", domain.name.value), tables));
        }
        self.map.parts.sort_by_key(|part| part.region.base);
        Ok(Plan { files: self.files, xen_args, map: self.map })
    }
}

/// The file of a domain's image on boot media.
pub(crate) fn file_name(domain: &Domain) -> String {
    format!("{}.img", domain.name.value)
}

/// A domain's ends of vchans.
fn connections(
    deployment: &Deployment,
    domain: &Domain,
    regions: &[Region],
) -> Result<(Vec<StaticEvent>, Vec<DeviceNode>), Refusals> {
    let name = &domain.name.value;
    let (mut events, mut nodes) = (Vec::new(), Vec::new());
    let mut seen_at = VCHANS.base;
    for (channel, vchan) in deployment.vchans.iter().enumerate() {
        let Some(called) = vchan.called_by(name) else { continue };
        let region = regions[channel];
        let port = FIRST_PORT + events.len() as u32;
        if region.size > VCHANS.end() - seen_at {
            return Err(deployment.refusal(
                vchan.bytes.line,
                format!("the vchans of {name} come to more than {} MiB", VCHANS.size >> 20),
                "make them smaller",
            ));
        }
        events.push(StaticEvent { port, channel: channel as u32 });
        let role = if vchan.server.value == *name { "server" } else { "client" };
        let strings = |text: &str| Value::Strings(vec![text.to_owned()]);
        nodes.push(DeviceNode {
            name: format!("vchan@{seen_at:x}"),
            compatible: vec!["fata,static-vchan".to_owned()],
            registers: vec![Mapping { host: region.base, bytes: region.size, guest: seen_at }],
            properties: vec![
                ("fata,name".to_owned(), strings(called)),
                ("fata,port".to_owned(), Value::Cells(vec![port])),
                ("fata,role".to_owned(), strings(role)),
            ],
            ..DeviceNode::default()
        });
        seen_at += region.size;
    }
    Ok((events, nodes))
}
