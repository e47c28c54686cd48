//! One node's properties, and the address space its `reg` is in.

use super::{region, within};
use dtoolkit::fdt::FdtNode;
use dtoolkit::{Node as _, Property as _};
use fata_boot::info::{IntId, Region};

/// The properties that anything here looks at, gathered in one pass.
#[derive(Default)]
pub(super) struct Node<'a> {
    pub(super) name: &'a str,
    pub(super) compatible: &'a [u8],
    pub(super) device_type: &'a str,
    pub(super) status: &'a str,
    pub(super) model: &'a str,
    pub(super) method: &'a str,
    pub(super) bootargs: &'a str,
    pub(super) initrd: (Option<u64>, Option<u64>),
    pub(super) rng_seed: &'a [u8],
    pub(super) reg: Option<&'a [u8]>,
    interrupts: &'a [u8],
    interrupts_extended: &'a [u8],
    pub(super) reg_shift: u8,
    address_cells: Option<u8>,
    size_cells: Option<u8>,
    ranges: Option<&'a [u8]>,
}

impl<'a> Node<'a> {
    pub(super) fn read(blob: &'a [u8], node: &FdtNode<'a>) -> Self {
        let mut this = Self { name: node.name(), ..Self::default() };
        for property in node.properties() {
            let value = within(blob, property.value());
            let text = || first_string(value).unwrap_or("");
            // More cells than fit into a byte are as absurd as 255.
            let cells = || number(value).map(|n| n.min(255) as u8);
            match property.name() {
                "compatible" => this.compatible = value,
                "device_type" => this.device_type = text(),
                "status" => this.status = text(),
                "model" => this.model = text(),
                "method" => this.method = text(),
                "bootargs" => this.bootargs = text(),
                "linux,initrd-start" => this.initrd.0 = number(value),
                "linux,initrd-end" => this.initrd.1 = number(value),
                "rng-seed" => this.rng_seed = value,
                "reg" => this.reg = Some(value),
                "interrupts" => this.interrupts = value,
                "interrupts-extended" => this.interrupts_extended = value,
                "reg-shift" => this.reg_shift = number(value).map_or(0, |n| n.min(3) as u8),
                "#address-cells" => this.address_cells = cells(),
                "#size-cells" => this.size_cells = cells(),
                "ranges" => this.ranges = Some(value),
                _ => {}
            }
        }
        this
    }

    /// The strings of `compatible`, most specific first.
    pub(super) fn compatibles(&self) -> impl Iterator<Item = &'a str> {
        self.compatible.split(|b| *b == 0).filter_map(|s| core::str::from_utf8(s).ok()).filter(|s| !s.is_empty())
    }

    /// Whether `compatible` has one of `names`.
    pub(super) fn is(&self, names: &[&str]) -> bool {
        self.compatibles().any(|c| names.contains(&c))
    }

    /// Whether firmware means it to be used.
    pub(super) fn is_enabled(&self) -> bool {
        matches!(self.status, "" | "okay" | "ok")
    }

    /// The `index`th interrupt, as a GIC numbers it: three cells, type, number, flags.
    pub(super) fn interrupt(&self, index: usize) -> Option<IntId> {
        // The extended form has the controller's phandle before each.
        let (cells, skip, stride) = match self.interrupts_extended {
            [] => (self.interrupts, 0, 12),
            extended => (extended, 4, 16),
        };
        let at = index.checked_mul(stride)?.checked_add(skip)?;
        let cell = |n: usize| number(cells.get(at + 4 * n..at + 4 * n + 4)?);
        match (cell(0)?, cell(1)?) {
            (0, spi) if spi < 988 => Some(IntId(32 + spi as u32)),
            (1, ppi) if ppi < 16 => Some(IntId(16 + ppi as u32)),
            _ => None,
        }
    }
}

/// The address space of a node's children.
pub(super) struct Bus<'b> {
    parent: Option<&'b Bus<'b>>,
    address_cells: u8,
    size_cells: u8,
    /// How addresses here translate to the parent's: `None`, not at all; empty, unchanged.
    ranges: Option<&'b [u8]>,
}

impl<'b> Bus<'b> {
    /// What the root node itself is on.
    pub(super) const ROOT: Bus<'static> =
        Bus { parent: None, address_cells: 2, size_cells: 1, ranges: Some(&[]) };

    /// The bus that `node`, itself on `self`, makes for its children. Defaults: Devicetree Specification, 2.3.5.
    pub(super) fn below(&'b self, node: &Node<'b>, is_root: bool) -> Bus<'b> {
        Bus {
            parent: Some(self),
            address_cells: node.address_cells.unwrap_or(2),
            size_cells: node.size_cells.unwrap_or(1),
            ranges: if is_root { Some(&[]) } else { node.ranges },
        }
    }

    /// The entries of a `reg` on this bus as the CPU sees them, up to the first that makes no sense.
    pub(super) fn regions(&'b self, reg: Option<&'b [u8]>) -> impl Iterator<Item = Region> + 'b {
        let (address, size) = (4 * usize::from(self.address_cells), 4 * usize::from(self.size_cells));
        let entries = reg.unwrap_or(&[]).chunks_exact((address + size).max(1));
        entries.map_while(move |entry| {
            let (base, size) = (number(entry.get(..address)?)?, number(entry.get(address..)?)?);
            region(self.translate(base, size)?, size)
        })
    }

    /// Whether `reg` is a whole number of entries, each of which makes sense or is empty.
    pub(super) fn is_whole(&self, reg: &[u8]) -> bool {
        let entry = 4 * (usize::from(self.address_cells) + usize::from(self.size_cells));
        entry > 0 && entry <= 16 && reg.len().is_multiple_of(entry)
    }

    fn translate(&self, base: u64, size: u64) -> Option<u64> {
        let Some(parent) = self.parent else { return Some(base) };
        let ranges = self.ranges?;
        if ranges.is_empty() {
            return parent.translate(base, size);
        }
        let (child, up, len) = (
            4 * usize::from(self.address_cells),
            4 * usize::from(parent.address_cells),
            4 * usize::from(self.size_cells),
        );
        let mut entries = ranges.chunks_exact((child + up + len).max(1));
        let up = entries.find_map(|entry| {
            let from = number(entry.get(..child)?)?;
            let to = number(entry.get(child..child + up)?)?;
            let length = number(entry.get(child + up..)?)?;
            let offset = base.checked_sub(from)?;
            (offset.checked_add(size)? <= length).then(|| to.checked_add(offset)).flatten()
        })?;
        parent.translate(up, size)
    }
}

/// A big-endian number of at most two cells.
pub(super) fn number(cells: &[u8]) -> Option<u64> {
    match cells.len() {
        0 => Some(0),
        4 | 8 => Some(cells.iter().fold(0, |n, b| n << 8 | u64::from(*b))),
        _ => None,
    }
}

/// The bytes before the first NUL, if they are text.
pub(super) fn first_string(value: &[u8]) -> Option<&str> {
    core::str::from_utf8(value.split(|b| *b == 0).next()?).ok()
}
