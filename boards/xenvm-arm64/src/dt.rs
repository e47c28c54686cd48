//! What the device tree says. (First version: trusts the blob's structure; the validating front door follows.)

use core::fmt;
use fata_boot::info::{BootInfo, Conduit, Gic, Hypervisor, IntId, List, Region, Uart, UartKind};
use fdt::Fdt;
use fdt::node::FdtNode;

/// Why a device tree cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtError {
    /// Not a device tree, or cut short.
    Blob,
    /// No RAM.
    NoMemory,
}

impl fmt::Display for DtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blob => "not a device tree, or cut short",
            Self::NoMemory => "/memory: there is none",
        })
    }
}

/// Reads `blob`.
pub fn parse(blob: &[u8]) -> Result<BootInfo<'_>, DtError> {
    let fdt = Fdt::new(blob).map_err(|_| DtError::Blob)?;
    let mut memory = List::default();
    for node in fdt.all_nodes().filter(|n| text(n, "device_type") == Some("memory")) {
        for r in regions(node) {
            let _ = memory.push(r.pages_inside());
        }
    }
    if memory.is_empty() {
        return Err(DtError::NoMemory);
    }
    let chosen = fdt.find_node("/chosen");
    let address = |name| chosen.and_then(|c| c.property(name)).and_then(|p| p.as_usize()).map(|v| v as u64);
    let initrd = match (address("linux,initrd-start"), address("linux,initrd-end")) {
        (Some(start), Some(end)) => Some(Region::between(start, end)),
        _ => None,
    };
    let gic = fdt.find_compatible(&["arm,gic-v3", "arm,cortex-a15-gic", "arm,gic-400"]).and_then(|node| {
        let mut r = regions(node);
        let (dist, second) = (r.next()?, r.next()?);
        Some(match text(&node, "compatible") {
            Some(c) if c.starts_with("arm,gic-v3") => Gic::V3 { dist, redist: second },
            _ => Gic::V2 { dist, cpu: second },
        })
    });
    let timer = fdt.find_compatible(&["arm,armv8-timer"]).and_then(|n| interrupt(&n, 2));
    let psci = fdt.find_node("/psci").and_then(|n| match text(&n, "method") {
        Some("hvc") => Some(Conduit::Hvc),
        Some("smc") => Some(Conduit::Smc),
        _ => None,
    });
    let hypervisor = fdt.find_compatible(&["xen,xen"]).and_then(|node| {
        let mut reg = regions(node);
        let grants = reg.next()?;
        let mut extended = List::default();
        for r in reg {
            let _ = extended.push(r);
        }
        let version = text(&node, "compatible").and_then(|c| c.strip_prefix("xen,xen-")).unwrap_or("");
        Some(Hypervisor { version, grants, extended, event: interrupt(&node, 0)? })
    });
    let uart = fdt.find_compatible(&["arm,sbsa-uart", "arm,pl011"]).and_then(|node| {
        let kind =
            if text(&node, "compatible") == Some("arm,pl011") { UartKind::Pl011 } else { UartKind::Sbsa };
        Some(Uart { kind, registers: regions(node).next()?, interrupt: interrupt(&node, 0) })
    });
    let root = fdt.find_node("/");
    let root_text =
        |name| root.and_then(|n| n.property(name)).and_then(|p| first_string(p.value)).unwrap_or("");
    Ok(BootInfo {
        model: root_text("model"),
        compatible: root_text("compatible"),
        memory,
        reserved: List::default(),
        cmdline: chosen
            .and_then(|c| c.property("bootargs"))
            .and_then(|p| first_string(p.value))
            .unwrap_or(""),
        initrd,
        rng_seed: &[],
        cpus: fdt.find_all_nodes("/cpus/cpu").count() as u32,
        gic,
        timer,
        psci,
        hypervisor,
        uart,
        dtb: blob,
        remarks: List::default(),
    })
}

/// Prints nothing yet.
pub fn print(_: &[u8], path: &str, out: &mut dyn fmt::Write) -> fmt::Result {
    writeln!(out, "{path}: not yet")
}

fn first_string(value: &[u8]) -> Option<&str> {
    core::str::from_utf8(value.split(|b| *b == 0).next()?).ok()
}

fn text<'a>(node: &FdtNode<'_, 'a>, name: &str) -> Option<&'a str> {
    first_string(node.property(name)?.value)
}

fn regions<'a>(node: FdtNode<'_, 'a>) -> impl Iterator<Item = Region> + 'a {
    let value: &'a [u8] = node.property("reg").map_or(&[], |p| p.value);
    value.chunks_exact(16).map(|c| {
        let cell = |at: usize| u64::from_be_bytes(c[at..at + 8].try_into().unwrap_or_default());
        Region { base: cell(0), size: cell(8) }
    })
}

fn interrupt(node: &FdtNode<'_, '_>, index: usize) -> Option<IntId> {
    let cells = node.property("interrupts")?.value.chunks_exact(12).nth(index)?;
    let cell = |at: usize| cells.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    let first = if cell(0)? == 0 { 32 } else { 16 };
    Some(IntId(first + cell(4)?))
}
