//! What a device tree says of a board, as far as Xen and its guests care.

use dtoolkit::model::{DeviceTree, DeviceTreeNode};
use dtoolkit::{Node as _, Property as _};
use fata_boot::info::Region;

use crate::blob::{NotATree, read};

/// UARTs that Debian's Xen 4.20 prints on (xen/drivers/char, Kconfig's defaults for 64-bit ARM).
const DRIVERS: [(&str, &[&str]); 9] = [
    ("pl011", &["arm,pl011", "arm,sbsa-uart"]),
    ("ns16550", &["ns16550", "ns16550a", "snps,dw-apb-uart", "brcm,bcm2835-aux-uart"]),
    ("cadence-uart", &["cdns,uart-r1p8", "cdns,uart-r1p12"]),
    (
        "meson-uart",
        &[
            "amlogic,meson-uart",
            "amlogic,meson6-uart",
            "amlogic,meson8-uart",
            "amlogic,meson8b-uart",
            "amlogic,meson-gx-uart",
        ],
    ),
    ("mvebu-uart", &["marvell,armada-3700-uart"]),
    ("imx-lpuart", &["fsl,imx8qxp-lpuart"]),
    ("linflex-uart", &["nxp,s32g2-linflexuart", "nxp,s32g3-linflexuart", "fsl,s32v234-linflexuart"]),
    ("omap-uart", &["ti,omap4-uart", "ti,am654-uart"]),
    ("scif-uart", &["renesas,scif", "renesas,scifa", "renesas,hscif"]),
];
/// Interrupt controllers that Xen knows (xen/arch/arm/include/asm/gic.h).
const CONTROLLERS: [(u32, &[&str]); 2] =
    [(2, &["arm,cortex-a15-gic", "arm,cortex-a7-gic", "arm,gic-400"]), (3, &["arm,gic-v3"])];

/// A board's device tree, looked through.
#[derive(Debug)]
pub struct Survey {
    /// `/model`.
    pub model: Option<String>,
    /// `/compatible`.
    pub compatible: Vec<String>,
    /// What `/memory` nodes have. Boards whose firmware fills that in have none.
    pub memory: Vec<Region>,
    /// What is not to be used of it: `/memreserve/` and nodes of `/reserved-memory` that have a place.
    pub reserved: Vec<Region>,
    /// The path and version of the interrupt controller.
    pub controller: Option<(String, u32)>,
    /// Interrupts of the timer: secure, physical, virtual and hypervisor's.
    pub timer: Vec<u32>,
    /// Ticks of the counter in a second, if the firmware is not trusted with that.
    pub timer_hz: Option<u32>,
    /// Serial ports.
    pub ports: Vec<Port>,
    /// The path of what `/chosen` says is for messages.
    pub stdout: Option<String>,
    /// How PSCI is reached, if there is any.
    pub psci: Option<String>,
    /// How each CPU is started, where that is said.
    pub cpus: Vec<Option<String>>,
    tree: DeviceTree,
    gics: Vec<Gic>,
}

/// An interrupt controller that Xen knows, as nodes refer to it.
#[derive(Debug)]
struct Gic {
    phandle: u32,
    /// How many cells name an interrupt of it.
    cells: usize,
}

/// A serial port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its alias, if it has one.
    pub alias: Option<String>,
    /// Xen's driver for it.
    pub driver: Option<&'static str>,
    /// The device.
    pub device: DeviceFound,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceFound {
    /// Its node.
    pub path: String,
    /// What it is.
    pub compatible: Vec<String>,
    /// Where its registers are to the CPUs, as far as that can be told.
    pub registers: Vec<Region>,
    /// Its interrupts by their numbers at the interrupt controller.
    pub interrupts: Vec<u32>,
    /// Whether it is in use.
    pub enabled: bool,
}

impl Survey {
    /// Looks through a device tree.
    pub fn read(blob: &[u8]) -> Result<Self, NotATree> {
        let mut survey = Self {
            model: None,
            compatible: Vec::new(),
            memory: Vec::new(),
            reserved: Vec::new(),
            controller: None,
            timer: Vec::new(),
            timer_hz: None,
            ports: Vec::new(),
            stdout: None,
            psci: None,
            cpus: Vec::new(),
            tree: read(blob)?,
            gics: Vec::new(),
        };
        survey.look();
        Ok(survey)
    }

    fn look(&mut self) {
        let mut gics = Vec::new();
        let root = &self.tree.root;
        let mut all = Vec::new();
        walk(root, &mut vec![root], &mut String::new(), &mut |path, line| {
            all.push((path.to_owned(), line.to_vec()));
            let known = |node: &&DeviceTreeNode| controller_version(node).is_some();
            if let Some(node) = line.last().filter(|node| known(node))
                && let Some(&phandle) = cells(node, "phandle").first()
            {
                gics.push(Gic { phandle, cells: count(node, "#interrupt-cells", 3).max(3) });
            }
        });
        let first = |node: &DeviceTreeNode, name| strings(node, name).into_iter().next();
        let model = first(root, "model");
        let compatible = strings(root, "compatible");
        let mut memory = Vec::new();
        let mut reserved: Vec<_> = self
            .tree
            .memory_reservations
            .iter()
            .map(|it| Region { base: it.address(), size: it.size() })
            .collect();
        let (mut controller, mut timer, mut timer_hz) = (None, Vec::new(), None);
        let (mut psci, mut cpus, mut ports) = (None, Vec::new(), Vec::new());
        for (path, line) in &all {
            let Some(&node) = line.last() else { continue };
            let is =
                |names: &[&str]| strings(node, "compatible").iter().any(|it| names.contains(&it.as_str()));
            match first(node, "device_type").as_deref() {
                Some("memory") => memory.extend(registers(line).into_iter().filter(|bank| bank.size > 0)),
                Some("cpu") => cpus.push(first(node, "enable-method")),
                _ => {}
            }
            if path.starts_with("/reserved-memory/") && is_enabled(node) {
                reserved.extend(registers(line));
            }
            if controller.is_none() {
                controller = controller_version(node).map(|version| (path.clone(), version));
            }
            if is(&["arm,armv8-timer"]) {
                timer = interrupts(&gics, line);
                timer_hz = cells(node, "clock-frequency").first().copied();
            }
            if is(&["arm,psci", "arm,psci-0.2", "arm,psci-1.0"]) {
                psci = first(node, "method");
            }
        }
        let alias = |path: &str| {
            let aliases = root.child("aliases")?;
            let named = aliases.properties().find(|alias| text(alias.value()).as_deref() == Some(path))?;
            Some(named.name().to_owned())
        };
        for (path, line) in &all {
            let Some(device) = device_at(&gics, path, line) else { continue };
            let driver =
                |it: &&(&str, &[&str])| device.compatible.iter().any(|name| it.1.contains(&name.as_str()));
            let driver = DRIVERS.iter().find(driver).map(|(name, _)| *name);
            // With both, `serial0` says more than `uart0`.
            let alias = alias(path).filter(|alias| alias.starts_with("serial"));
            let name = path.rsplit('/').next().unwrap_or_default();
            if driver.is_some() || alias.is_some() || name.starts_with("serial@") || name.starts_with("uart@")
            {
                ports.push(Port { alias, driver, device });
            }
        }
        let stdout = root.child("chosen").and_then(|chosen| first(chosen, "stdout-path"));
        let stdout = stdout.and_then(|name| self.resolve(name.split(':').next().unwrap_or_default()));
        (self.model, self.compatible, self.memory, self.reserved) = (model, compatible, memory, reserved);
        (self.controller, self.timer, self.timer_hz) = (controller, timer, timer_hz);
        (self.ports, self.stdout, self.psci, self.cpus) = (ports, stdout, psci, cpus);
        self.gics = gics;
    }

    /// The path that `name` stands for: its own, or an alias's.
    pub fn resolve(&self, name: &str) -> Option<String> {
        if name.starts_with('/') {
            return self.tree.find_node(name).map(|_| name.to_owned());
        }
        let path = text(self.tree.root.child("aliases")?.property(name)?.value())?;
        self.tree.find_node(&path).map(|_| path)
    }

    /// The device at `path`.
    pub fn device(&self, path: &str) -> Option<DeviceFound> {
        let mut line = vec![&self.tree.root];
        for name in path.strip_prefix('/')?.split('/') {
            line.push(line.last()?.child(name)?);
        }
        device_at(&self.gics, path, &line)
    }

    /// How many CPUs Xen can start: the first runs already, and of the others it has to be told how.
    pub fn startable_cpus(&self) -> usize {
        self.cpus.iter().enumerate().filter(|(n, method)| *n == 0 || method.is_some()).count()
    }

    /// The cells of a property of the node at `path`.
    pub fn cells(&self, path: &str, name: &str) -> Option<Vec<u32>> {
        self.tree.find_node(path).filter(|node| node.property(name).is_some()).map(|node| cells(node, name))
    }

    /// Blocks of pins, those in use.
    pub fn pins(&self) -> Vec<DeviceFound> {
        let mut found = Vec::new();
        let root = &self.tree.root;
        walk(root, &mut vec![root], &mut String::new(), &mut |path, line| {
            if line.last().is_some_and(|node| node.property("gpio-controller").is_some()) {
                let device = device_at(&self.gics, path, line);
                found.extend(device.filter(|it| it.enabled && !it.registers.is_empty()));
            }
        });
        found
    }

    /// Whether the node at `path` has this property.
    pub fn has_property(&self, path: &str, name: &str) -> bool {
        self.tree.find_node(path).is_some_and(|node| node.property(name).is_some())
    }
}

fn device_at(gics: &[Gic], path: &str, line: &[&DeviceTreeNode]) -> Option<DeviceFound> {
    let node = line.last()?;
    let compatible = strings(node, "compatible");
    (!compatible.is_empty()).then(|| DeviceFound {
        path: path.to_owned(),
        compatible,
        registers: registers(line),
        interrupts: interrupts(gics, line),
        enabled: is_enabled(node),
    })
}

fn controller_version(node: &DeviceTreeNode) -> Option<u32> {
    node.property("interrupt-controller")?;
    let names = strings(node, "compatible");
    let is = |known: &[&str]| names.iter().any(|name| known.contains(&name.as_str()));
    CONTROLLERS.iter().find(|(_, known)| is(known)).map(|(version, _)| *version)
}

/// Calls `each` for every node below `node`, with its path and all nodes from the root to it.
fn walk<'a>(
    node: &'a DeviceTreeNode,
    line: &mut Vec<&'a DeviceTreeNode>,
    path: &mut String,
    each: &mut impl FnMut(&str, &[&'a DeviceTreeNode]),
) {
    for child in node.children() {
        let before = path.len();
        path.push('/');
        path.push_str(child.name());
        line.push(child);
        each(path, line);
        walk(child, line, path, each);
        line.pop();
        path.truncate(before);
    }
}

fn is_enabled(node: &DeviceTreeNode) -> bool {
    node.property("status").is_none_or(|status| [&b"okay\0"[..], b"ok\0"].contains(&status.value()))
}

/// The one string in these bytes.
fn text(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.strip_suffix(b"\0")?;
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).map(str::to_owned)
}

fn strings(node: &DeviceTreeNode, name: &str) -> Vec<String> {
    let value = node.property(name).map(|property| property.value().to_vec()).unwrap_or_default();
    let value = std::str::from_utf8(&value).ok().and_then(|value| value.strip_suffix('\0'));
    value.unwrap_or_default().split('\0').filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

fn cells(node: &DeviceTreeNode, name: &str) -> Vec<u32> {
    let value = node.property(name).map(|property| property.value().to_vec()).unwrap_or_default();
    value.as_chunks().0.iter().map(|cell| u32::from_be_bytes(*cell)).collect()
}

/// How many cells a child of `bus` says this with. The specification's defaults are for trees that do not.
fn count(bus: &DeviceTreeNode, name: &str, otherwise: usize) -> usize {
    cells(bus, name).first().map_or(otherwise, |count| *count as usize)
}

fn number(cells: &[u32]) -> Option<u64> {
    match cells {
        [] => Some(0),
        [low] => Some(u64::from(*low)),
        [high, low] => Some(u64::from(*high) << 32 | u64::from(*low)),
        _ => None,
    }
}

/// `reg` of the last of `line`, as the CPUs see it.
fn registers(line: &[&DeviceTreeNode]) -> Vec<Region> {
    let [.., bus, node] = line else { return Vec::new() };
    let (address, size) = (count(bus, "#address-cells", 2), count(bus, "#size-cells", 1));
    if address == 0 || address > 2 || size > 2 {
        return Vec::new();
    }
    let one = |cells: &[u32]| {
        let (base, size) = cells.split_at(address);
        let region =
            Region { base: translated(number(base)?, &line[..line.len() - 1])?, size: number(size)? };
        region.base.checked_add(region.size).map(|_| region)
    };
    cells(node, "reg").chunks_exact(address + size).filter_map(one).collect()
}

/// An address on the last bus of `line`, as the CPUs see it; none if they do not.
fn translated(mut at: u64, line: &[&DeviceTreeNode]) -> Option<u64> {
    for pair in line.windows(2).rev() {
        let [above, bus] = pair else { return None };
        let all = bus.property("ranges").map(|_| cells(bus, "ranges"))?;
        if all.is_empty() {
            continue;
        }
        let (here, there) = (count(bus, "#address-cells", 2), count(above, "#address-cells", 2));
        let size = count(bus, "#size-cells", 1);
        if !(1..=2).contains(&here) || !(1..=2).contains(&there) || size > 2 {
            return None;
        }
        let mut windows = all.chunks_exact(here + there + size);
        at = windows.find_map(|window| {
            let (from, to) = (number(&window[..here])?, number(&window[here..here + there])?);
            let inside = at
                .checked_sub(from)
                .filter(|&inside| number(&window[here + there..]).is_some_and(|size| inside < size));
            to.checked_add(inside?)
        })?;
    }
    Some(at)
}

/// The interrupts of the last of `line`, if they are those of one of `gics`.
fn interrupts(gics: &[Gic], line: &[&DeviceTreeNode]) -> Vec<u32> {
    let Some(node) = line.last() else { return Vec::new() };
    let known = |phandle: u32| gics.iter().find(|gic| gic.phandle == phandle);
    let id = |cells: &[u32]| match cells {
        [0, spi, ..] => spi.checked_add(32),
        [1, ppi, ..] => ppi.checked_add(16),
        _ => None,
    };
    // Each with its own parent; how long those of others are is not known here.
    let mut found = Vec::new();
    let all = cells(node, "interrupts-extended");
    let mut rest = &all[..];
    while let Some((gic, after)) = rest.split_first().and_then(|(&at, after)| Some((known(at)?, after)))
        && let Some((one, after)) = after.split_at_checked(gic.cells)
    {
        found.extend(id(one));
        rest = after;
    }
    let parent = line.iter().rev().find_map(|node| cells(node, "interrupt-parent").first().copied());
    if let Some(gic) = parent.and_then(known).filter(|_| all.is_empty()) {
        found.extend(cells(node, "interrupts").chunks_exact(gic.cells).filter_map(id));
    }
    found
}
