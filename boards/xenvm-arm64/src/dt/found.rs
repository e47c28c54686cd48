//! Node by node, what a guest needs.

use super::node::{Bus, Key, Node};
use super::{DtError, region};
use dtoolkit::Node as _;
use dtoolkit::fdt::FdtNode;
use fata_arch_arm::tables::ADDRESS_BITS;
use fata_boot::info::{BootInfo, Conduit, Gic, Hypervisor, List, Region, Uart, UartKind};

/// Deeper trees are refused: who walks them has a small stack.
const MAX_DEPTH: usize = 16;
const PAGE: u64 = 4096;

const GIC_V3: &[&str] = &["arm,gic-v3"];
const GIC_V2: &[&str] =
    &["arm,cortex-a15-gic", "arm,gic-400", "arm,cortex-a9-gic", "arm,cortex-a7-gic", "qcom,msm-qgic2"];

pub(super) struct Found<'a> {
    blob: &'a [u8],
    info: BootInfo<'a>,
    /// The serial port is the one `stdout-path` names.
    uart_is_stdout: bool,
}

impl<'a> Found<'a> {
    pub(super) fn new(blob: &'a [u8]) -> Self {
        Self {
            blob,
            info: BootInfo {
                model: "",
                compatible: "",
                memory: List::default(),
                reserved: List::default(),
                cmdline: "",
                initrd: None,
                rng_seed: &[],
                cpus: 0,
                gic: None,
                timer: None,
                psci: None,
                hypervisor: None,
                uart: None,
                dtb: blob,
                remarks: List::default(),
            },
            uart_is_stdout: false,
        }
    }

    /// Looks at `node` and what is below it. `stdout` is what is left of its path from here.
    pub(super) fn walk(
        &mut self,
        node: FdtNode<'a>,
        bus: &Bus<'_>,
        stdout: Option<&str>,
        depth: usize,
    ) -> Result<(), DtError> {
        if depth > MAX_DEPTH {
            return Err(DtError::TooDeep);
        }
        let this = Node::read(self.blob, &node);
        self.take(&this, bus, stdout == Some(""), depth)?;
        let below = bus.below(&this, depth == 0);
        if depth == 1 && this.name == "reserved-memory" {
            return self.reserved_memory(&node, &below);
        }
        let (head, rest) = stdout.map(|path| path.split_once('/').unwrap_or((path, ""))).unzip();
        for child in node.children() {
            let on_path =
                head.is_some_and(|head| child.name() == head || child.name_without_address() == head);
            self.walk(child, &below, rest.filter(|_| on_path), depth + 1)?;
        }
        Ok(())
    }

    fn take(&mut self, node: &Node<'a>, bus: &Bus<'_>, is_stdout: bool, depth: usize) -> Result<(), DtError> {
        let name = node.name.split('@').next().unwrap_or("");
        match (depth, name) {
            (0, _) => {
                self.info.model = node.text(Key::Model);
                self.info.compatible = node.compatibles().next().unwrap_or("");
            }
            (1, "chosen") => self.chosen(node),
            (1, "psci") => self.psci(node),
            (2, "cpu") => self.info.cpus += 1,
            _ if node.text(Key::DeviceType) == "memory" && node.is_enabled() => self.memory(node, bus)?,
            _ if node.value(Key::Compatible).is_none() || !node.is_enabled() => {}
            _ if node.is(GIC_V3) => self.gic(node, bus, true)?,
            _ if node.is(GIC_V2) => self.gic(node, bus, false)?,
            _ if node.is(&["arm,armv8-timer"]) => self.timer(node)?,
            _ if node.is(&["xen,xen"]) => self.hypervisor(node, bus)?,
            _ => self.uart(node, bus, is_stdout),
        }
        Ok(())
    }

    fn chosen(&mut self, node: &Node<'a>) {
        self.info.cmdline = node.text(Key::Bootargs);
        self.info.rng_seed = node.value(Key::RngSeed).unwrap_or(&[]);
        match (node.number(Key::InitrdStart), node.number(Key::InitrdEnd)) {
            (Some(start), Some(end)) if start < end => self.info.initrd = Some(Region::between(start, end)),
            (None, None) => {}
            _ => self.remark("/chosen: linux,initrd-start and -end make no range"),
        }
    }

    fn psci(&mut self, node: &Node<'a>) {
        self.info.psci = match node.text(Key::Method) {
            "hvc" => Some(Conduit::Hvc),
            "smc" => Some(Conduit::Smc),
            _ => None,
        };
    }

    fn memory(&mut self, node: &Node<'a>, bus: &Bus<'_>) -> Result<(), DtError> {
        const NODE: &str = "memory";
        let reg = node.value(Key::Reg);
        if !reg.is_some_and(|reg| bus.is_whole(reg)) {
            return Err(DtError::Absurd { node: NODE, why: "reg is not a list of addresses and sizes" });
        }
        for bank in bus.regions(reg) {
            let kept = Region::between(bank.base, bank.end().min(1 << ADDRESS_BITS));
            if kept != bank {
                self.remark("memory: what lies above 512 GiB is not used");
            }
            let pages = kept.pages_inside();
            if !pages.is_empty() && self.info.memory.merge(pages).is_err() {
                self.remark("memory: more banks than are kept are not used");
            }
        }
        Ok(())
    }

    fn reserved_memory(&mut self, node: &FdtNode<'a>, bus: &Bus<'_>) -> Result<(), DtError> {
        for child in node.children() {
            let child = Node::read(self.blob, &child);
            for region in bus.regions(child.value(Key::Reg)) {
                self.reserve(region.base, region.size)?;
            }
        }
        Ok(())
    }

    /// Keeps a range out of use. To forget one would be worse than not to start.
    pub(super) fn reserve(&mut self, base: u64, size: u64) -> Result<(), DtError> {
        const NODE: &str = "reserved memory";
        let Some(range) = region(base, size) else { return Ok(()) };
        let full = DtError::Absurd { node: NODE, why: "more separate ranges than can be kept" };
        self.info.reserved.merge(range).map_err(|_| full)
    }

    fn gic(&mut self, node: &Node<'a>, bus: &Bus<'_>, v3: bool) -> Result<(), DtError> {
        const NODE: &str = "interrupt controller";
        let mut reg = bus.regions(node.value(Key::Reg));
        let least = if v3 { (0x1_0000, 0x2_0000) } else { (0x1000, 0x1000) };
        let (Some(dist), Some(second)) = (reg.next(), reg.next()) else {
            return Err(DtError::Absurd { node: NODE, why: "reg does not name two ranges of registers" });
        };
        if dist.size < least.0 || second.size < least.1 || !is_device(&dist) || !is_device(&second) {
            return Err(DtError::Absurd {
                node: NODE,
                why: "its registers are too few, or lie where none can",
            });
        }
        self.info.gic.get_or_insert(match v3 {
            true => Gic::V3 { dist, redist: second },
            false => Gic::V2 { dist, cpu: second },
        });
        Ok(())
    }

    fn timer(&mut self, node: &Node<'a>) -> Result<(), DtError> {
        // Secure, non-secure, virtual: `arm,arch_timer` binding.
        let Some(id) = node.interrupt(2) else {
            return Err(DtError::Absurd { node: "timer", why: "its third interrupt is not one of a GIC" });
        };
        self.info.timer = Some(id);
        Ok(())
    }

    fn hypervisor(&mut self, node: &Node<'a>, bus: &Bus<'_>) -> Result<(), DtError> {
        let absurd = |why| DtError::Absurd { node: "/hypervisor", why };
        let mut reg = bus.regions(node.value(Key::Reg));
        let grants = reg.next().filter(is_device).ok_or(absurd("reg does not name a grant region"))?;
        let event = node.interrupt(0).ok_or(absurd("interrupts does not name the event upcall"))?;
        let mut extended = List::default();
        for range in reg.filter(|r| !r.pages_inside().is_empty()) {
            let kept = Region::between(range.base, range.end().min(1 << ADDRESS_BITS)).pages_inside();
            if !kept.is_empty() && extended.push(kept).is_err() {
                self.remark("/hypervisor: more extended regions than are kept are not used");
                break;
            }
        }
        let version = node.compatibles().find_map(|c| c.strip_prefix("xen,xen-")).unwrap_or("");
        self.info.hypervisor = Some(Hypervisor { version, grants, extended, event });
        Ok(())
    }

    /// A serial port, if this is one: the one that is standard output, else the first.
    fn uart(&mut self, node: &Node<'a>, bus: &Bus<'_>, is_stdout: bool) {
        let kind = node.compatibles().find_map(|c| match c {
            "arm,sbsa-uart" => Some(UartKind::Sbsa),
            "arm,pl011" => Some(UartKind::Pl011),
            "ns16550a" | "ns16550" | "snps,dw-apb-uart" | "brcm,bcm2835-aux-uart" => {
                Some(UartKind::Ns16550 { stride: 1 << node.number(Key::RegShift).unwrap_or(0).min(3) })
            }
            _ => None,
        });
        let Some(kind) = kind else { return };
        if self.info.uart.is_some() && (self.uart_is_stdout || !is_stdout) {
            return;
        }
        let registers = bus.regions(node.value(Key::Reg)).next().filter(|r| r.size >= 0x40 && is_device(r));
        match registers {
            Some(registers) => {
                self.info.uart = Some(Uart { kind, registers, interrupt: node.interrupt(0) });
                self.uart_is_stdout = is_stdout;
            }
            None => self.remark("a serial port's reg makes no sense; it is not used"),
        }
    }

    pub(super) fn finish(mut self) -> Result<BootInfo<'a>, DtError> {
        if self.info.memory.is_empty() {
            return Err(DtError::Missing { node: "memory" });
        }
        let gic = match self.info.gic {
            Some(Gic::V2 { dist, cpu: second } | Gic::V3 { dist, redist: second }) => {
                [Some(dist), Some(second)]
            }
            None => [None; 2],
        };
        let grants = self.info.hypervisor.as_ref().map(|h| h.grants);
        let uart = self.info.uart.map(|u| u.registers);
        let named =
            [(gic[0], "interrupt controller"), (gic[1], "interrupt controller"), (grants, "/hypervisor")];
        for (range, node) in named.into_iter().chain([(uart, "serial port")]) {
            if range.is_some_and(|r| self.info.memory.iter().any(|bank| overlap(&r, bank))) {
                return Err(DtError::Absurd { node, why: "it lies in RAM" });
            }
        }
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

    fn remark(&mut self, remark: &'static str) {
        // A list that is full already says that much is wrong.
        if !self.info.remarks.contains(&remark) {
            let _ = self.info.remarks.push(remark);
        }
    }
}

/// Whether registers can be there: on a page other than page 0, in what page tables span.
fn is_device(r: &Region) -> bool {
    r.base >= PAGE && r.end() <= 1 << ADDRESS_BITS
}

fn overlap(a: &Region, b: &Region) -> bool {
    let (a, b) = (a.pages_touched(), b.pages_touched());
    a.base < b.end() && b.base < a.end()
}
