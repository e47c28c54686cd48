//! Node by node, what a guest needs.

use super::DtError;
use super::blob::{Token, Tree, strings};
use super::node::{Buses, Key, Node, first_string};
use fata_arch_arm::tables::ADDRESS_BITS;
use fata_boot::info::{
    BootInfo, Conduit, Device, FIRST_SPI, Gic, Hypervisor, List, PAGE_SIZE, Region, Uart, UartKind,
};

/// What a node is to us, by what it is compatible with.
enum Role {
    GicV2,
    GicV3,
    Timer,
    Psci,
    Xen,
    Uart(UartKind),
}

impl Role {
    fn of(node: &Node<'_>) -> Option<Self> {
        strings(node.value(Key::Compatible)).find_map(|compatible| match compatible {
            b"arm,gic-v3" => Some(Self::GicV3),
            b"arm,gic-400" | b"arm,cortex-a15-gic" | b"arm,cortex-a9-gic" | b"arm,cortex-a7-gic" => {
                Some(Self::GicV2)
            }
            b"arm,armv8-timer" | b"arm,armv7-timer" => Some(Self::Timer),
            b"arm,psci" | b"arm,psci-0.2" | b"arm,psci-1.0" => Some(Self::Psci),
            b"xen,xen" => Some(Self::Xen),
            b"arm,sbsa-uart" => Some(Self::Uart(UartKind::Sbsa)),
            b"arm,pl011" => Some(Self::Uart(UartKind::Pl011)),
            b"ns16550a" | b"ns16550" | b"snps,dw-apb-uart" | b"brcm,bcm2835-aux-uart" => {
                Some(Self::Uart(UartKind::Ns16550 {
                    stride: 1 << node.number(Key::RegShift).unwrap_or(0).min(3),
                }))
            }
            _ => None,
        })
    }
}

pub(super) struct Found<'a> {
    info: BootInfo<'a>,
    /// The node below `/` that holds the one looked at.
    top: &'a [u8],
    /// The serial port is the one `stdout-path` names.
    uart_is_stdout: bool,
}

impl<'a> Found<'a> {
    pub(super) fn new(blob: &'a [u8]) -> Self {
        Self {
            info: BootInfo {
                model: "",
                compatible: "",
                memory: List::default(),
                reserved: List::default(),
                cmdline: "",
                net: "",
                initrd: None,
                rng_seed: &[],
                payload: &[],
                cpus: 0,
                gic: None,
                timer: None,
                psci: None,
                hypervisor: None,
                uart: None,
                devices: List::default(),
                dtb: blob,
                remarks: List::default(),
            },
            top: &[],
            uart_is_stdout: false,
        }
    }

    /// Looks at every node of `tree`.
    pub(super) fn walk(&mut self, tree: &Tree<'a>) -> Result<(), DtError> {
        for (address, size) in tree.reservations() {
            self.reserve(address.checked_add(size).map(|end| Region::between(address, end)))?;
        }
        let stdout = stdout(tree);
        let mut buses = Buses::new();
        let mut tokens = tree.tokens();
        while let Ok(token) = tokens.read() {
            match token {
                Token::Begin(name) => {
                    let left = tokens.left();
                    let node = Node::read(name, &mut tokens);
                    let depth = buses.depth();
                    if depth == 1 {
                        self.top = node.base_name();
                    }
                    match (depth, self.top) {
                        // What is in there is for drivers. Nothing of it is the machine's own.
                        (2, b"passthrough") if node.is_enabled() => self.device(&node, &buses, left),
                        (1.., b"passthrough") => {}
                        _ => self.take(&node, &buses, stdout == Some(left))?,
                    }
                    let is_ram = depth == 0 || depth == 1 && self.top == b"reserved-memory";
                    buses.enter(&node, is_ram);
                }
                Token::EndNode => buses.leave(),
                Token::Prop(_) => {}
                Token::End => break,
            }
        }
        Ok(())
    }

    fn take(&mut self, node: &Node<'a>, buses: &Buses<'a>, is_stdout: bool) -> Result<(), DtError> {
        match (buses.depth(), self.top) {
            (0, _) => {
                self.info.model = self.text(node.value(Key::Model));
                self.info.compatible = self.text(node.value(Key::Compatible));
            }
            (1, b"chosen") => self.chosen(node),
            (2, b"reserved-memory") => {
                for region in buses.regions(node.value(Key::Reg)) {
                    self.reserve(region)?;
                }
            }
            _ if !node.is_enabled() => {}
            (1, _) if node.string(Key::DeviceType) == b"memory" => self.memory(node, buses)?,
            (2, b"cpus") if node.base_name() == b"cpu" => self.info.cpus += 1,
            // Of each the first counts.
            _ => match Role::of(node) {
                Some(Role::GicV2) if self.info.gic.is_none() => self.gic(node, buses, false)?,
                Some(Role::GicV3) if self.info.gic.is_none() => self.gic(node, buses, true)?,
                Some(Role::Timer) if self.info.timer.is_none() => self.timer(node)?,
                Some(Role::Psci) if self.info.psci.is_none() => self.psci(node),
                Some(Role::Xen) if self.info.hypervisor.is_none() => self.hypervisor(node, buses)?,
                Some(Role::Uart(kind)) => self.uart(node, buses, kind, is_stdout),
                _ => {}
            },
        }
        Ok(())
    }

    fn chosen(&mut self, node: &Node<'a>) {
        self.info.cmdline = self.text(node.value(Key::Bootargs));
        self.info.net = self.text(node.value(Key::FataNet));
        self.info.rng_seed = node.value(Key::RngSeed);
        match (node.number(Key::InitrdStart), node.number(Key::InitrdEnd)) {
            (Some(start), Some(end)) if start < end => self.info.initrd = Some(Region::between(start, end)),
            (None, None) => {}
            _ => self.remark("/chosen: linux,initrd-start and -end make no range"),
        }
    }

    fn psci(&mut self, node: &Node<'a>) {
        match node.string(Key::Method) {
            b"hvc" => self.info.psci = Some(Conduit::Hvc),
            b"smc" => self.info.psci = Some(Conduit::Smc),
            _ => self.remark("/psci: method is neither hvc nor smc"),
        }
    }

    fn memory(&mut self, node: &Node<'a>, buses: &Buses<'a>) -> Result<(), DtError> {
        let why = "reg is not a list of addresses and sizes";
        for bank in buses.regions(node.value(Key::Reg)) {
            let bank = bank.ok_or(DtError::Absurd { node: "memory", why })?;
            let kept = below_limit(bank);
            if kept != bank {
                self.remark("memory: what lies above 512 GiB is not used");
            }
            let pages = kept.pages_inside();
            if !pages.is_empty() && self.info.memory.merge(pages).is_err() {
                self.remark("memory: more banks than are kept are not used");
                break;
            }
        }
        Ok(())
    }

    /// Keeps a range out of use. To forget one would be worse than not to start.
    fn reserve(&mut self, region: Option<Region>) -> Result<(), DtError> {
        let absurd = |why| DtError::Absurd { node: "reserved memory", why };
        let region = region.ok_or_else(|| absurd("reg is not a list of addresses and sizes"))?;
        if region.is_empty() {
            return Ok(());
        }
        self.info.reserved.merge(region).map_err(|_| absurd("more separate ranges than can be kept"))
    }

    fn gic(&mut self, node: &Node<'a>, buses: &Buses<'a>, is_v3: bool) -> Result<(), DtError> {
        let absurd = |why| DtError::Absurd { node: "interrupt controller", why };
        let mut registers = buses.regions(node.value(Key::Reg)).flatten();
        let (Some(dist), Some(second)) = (registers.next(), registers.next()) else {
            return Err(absurd("reg does not name two ranges of registers"));
        };
        let (least_dist, least_second) = if is_v3 { (0x1_0000, 0x2_0000) } else { (0x1000, 0x1000) };
        if dist.size < least_dist || second.size < least_second || !is_device(&dist) || !is_device(&second) {
            return Err(absurd("its registers are too few, or lie where none can"));
        }
        self.info.gic = Some(match is_v3 {
            true => Gic::V3 { dist, redist: second },
            false => Gic::V2 { dist, cpu: second },
        });
        Ok(())
    }

    fn timer(&mut self, node: &Node<'a>) -> Result<(), DtError> {
        // Secure, non-secure, virtual: `arm,arch_timer` binding.
        let why = "its third interrupt is not one of a GIC";
        let id = node.interrupt(2).ok_or(DtError::Absurd { node: "timer", why })?;
        self.info.timer = Some(id);
        Ok(())
    }

    /// `docs/misc/arm/device-tree/guest.txt` of Xen.
    fn hypervisor(&mut self, node: &Node<'a>, buses: &Buses<'a>) -> Result<(), DtError> {
        let absurd = |why| DtError::Absurd { node: "/hypervisor", why };
        let mut regions = buses.regions(node.value(Key::Reg)).flatten();
        let grants =
            regions.next().filter(is_device).ok_or_else(|| absurd("reg does not name a grant region"))?;
        let event = node.interrupt(0).ok_or_else(|| absurd("interrupts does not name the event upcall"))?;
        let mut extended = List::default();
        let mut usable = regions.map(|region| below_limit(region).pages_inside()).filter(|r| !r.is_empty());
        let cut_short = usable.any(|region| extended.push(region).is_err());
        let version = strings(node.value(Key::Compatible))
            .find_map(|c| c.strip_prefix(b"xen,xen-"))
            .unwrap_or_default();
        let version = self.text(version);
        if cut_short {
            self.remark("/hypervisor: more extended regions than are kept are not used");
        }
        self.info.hypervisor = Some(Hypervisor { version, grants, extended, event });
        Ok(())
    }

    /// The serial port that is standard output, else the first.
    fn uart(&mut self, node: &Node<'a>, buses: &Buses<'a>, kind: UartKind, is_stdout: bool) {
        if self.info.uart.is_some() && (self.uart_is_stdout || !is_stdout) {
            return;
        }
        let registers = buses.regions(node.value(Key::Reg)).next().flatten();
        match registers.filter(|r| r.size >= 0x20 && is_device(r)) {
            Some(registers) => {
                self.info.uart = Some(Uart { kind, registers, interrupt: node.interrupt(0) });
                self.uart_is_stdout = is_stdout;
            }
            None => self.remark("a serial port's reg makes no sense; it is not used"),
        }
    }

    /// A node below `/passthrough`. Where its registers are must be sure; without interrupts it may still be of use.
    fn device(&mut self, node: &Node<'a>, buses: &Buses<'a>, left: usize) {
        let mut device = Device {
            name: self.text(node.name),
            compatible: node.value(Key::Compatible),
            node: left,
            ..Device::default()
        };
        for region in buses.regions(node.value(Key::Reg)) {
            if region.filter(is_device).is_none_or(|region| device.registers.push(region).is_err()) {
                self.remark("/passthrough: a device's reg makes no sense, or is too long; it is not used");
                return;
            }
        }
        for id in node.interrupts() {
            let spi = id.filter(|id| id.0 >= FIRST_SPI);
            if spi.is_none_or(|id| device.interrupts.push(id).is_err()) {
                self.remark(
                    "/passthrough: a device's interrupts make no sense, or are too many; it gets none",
                );
                device.interrupts = List::default();
                break;
            }
        }
        if self.info.devices.push(device).is_err() {
            self.remark("/passthrough: more devices than are kept are not used");
        }
    }

    /// Devices are where nothing else is. Extended regions may have been laid out without regard to them: of each that
    /// one lies in, the larger part is left.
    fn place_devices(&mut self) -> Result<(), DtError> {
        let BootInfo { devices, gic, memory, hypervisor, .. } = &mut self.info;
        for registers in devices.iter().flat_map(|device| device.registers.iter()) {
            let mut taken = memory.iter().any(|bank| overlap(registers, bank));
            for gic in gic.iter() {
                taken |= gic.regions().iter().any(|region| overlap(registers, region));
            }
            if let Some(xen) = hypervisor {
                taken |= overlap(registers, &xen.grants);
                let hole = registers.pages_touched();
                let mut left = List::default();
                for region in xen.extended.iter() {
                    let before = Region::between(region.base, region.end().min(hole.base));
                    let after = Region::between(region.base.max(hole.end()), region.end());
                    let larger = if before.size > after.size { before } else { after };
                    // No more than there were.
                    let _ = left.push(larger);
                }
                xen.extended = left;
            }
            if taken {
                let why = "a device lies over RAM, the interrupt controller or the grant table";
                return Err(DtError::Absurd { node: "/passthrough", why });
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<BootInfo<'a>, DtError> {
        if self.info.memory.is_empty() {
            return Err(DtError::Missing { node: "memory" });
        }
        for (range, node) in self.not_ram() {
            if self.info.memory.iter().any(|bank| overlap(&range, bank)) {
                return Err(DtError::Absurd { node, why: "it lies in RAM" });
            }
        }
        self.place_devices()?;
        let inside = |r: &Region| self.info.memory.iter().any(|b| b.base <= r.base && r.end() <= b.end());
        if self.info.initrd.is_some_and(|r| !inside(&r)) {
            self.info.initrd = None;
            self.remark("/chosen: the initrd is not in RAM; it is not used");
        }
        for (absent, remark) in [
            (self.info.gic.is_none(), "no interrupt controller: waiting takes all of the CPU"),
            (self.info.timer.is_none(), "no virtual timer: waiting for a time takes all of the CPU"),
            (self.info.hypervisor.is_none(), "no /hypervisor: no events, no grants, and so no PV devices"),
            (self.info.psci.is_none(), "no /psci: only Xen can end this machine"),
        ] {
            if absent {
                self.remark(remark);
            }
        }
        Ok(self.info)
    }

    /// The first string of `value`; what is not text is left out.
    fn text(&mut self, value: &'a [u8]) -> &'a str {
        core::str::from_utf8(first_string(value)).unwrap_or_else(|_| {
            self.remark("a string is not UTF-8; it is left out");
            ""
        })
    }

    /// What cannot be where RAM is, and the node that says it is there.
    fn not_ram(&self) -> impl Iterator<Item = (Region, &'static str)> {
        let gic = self.info.gic.iter().flat_map(Gic::regions).map(|r| (r, "interrupt controller"));
        let xen = self.info.hypervisor.iter().flat_map(|xen| xen.extended.iter().chain([&xen.grants]));
        let uart = self.info.uart.iter().map(|uart| (uart.registers, "serial port"));
        gic.chain(xen.map(|r| (*r, "/hypervisor"))).chain(uart)
    }

    fn remark(&mut self, remark: &'static str) {
        // A list that is full already says that much is wrong.
        if !self.info.remarks.contains(&remark) {
            let _ = self.info.remarks.push(remark);
        }
    }
}

/// Where in the tree the node is that `/chosen` calls standard output, by path or by alias.
fn stdout(tree: &Tree<'_>) -> Option<usize> {
    let value = tree.find("/chosen")?.prop("stdout-path")?;
    // What comes after a colon is for the serial port: `serial0:115200n8`.
    let name = core::str::from_utf8(first_string(value)).ok()?.split(':').next()?;
    let node = match name.starts_with('/') {
        true => tree.find(name)?,
        false => tree.find(core::str::from_utf8(first_string(tree.find("/aliases")?.prop(name)?)).ok()?)?,
    };
    Some(node.body.left())
}

/// What page tables span of a region.
fn below_limit(region: Region) -> Region {
    Region::between(region.base, region.end().min(1 << ADDRESS_BITS))
}

/// Whether registers can be there: on a page other than page 0, in what page tables span.
fn is_device(r: &Region) -> bool {
    r.base >= PAGE_SIZE && !r.is_empty() && below_limit(*r) == *r
}

fn overlap(a: &Region, b: &Region) -> bool {
    let (a, b) = (a.pages_touched(), b.pages_touched());
    a.base < b.end() && b.base < a.end()
}
