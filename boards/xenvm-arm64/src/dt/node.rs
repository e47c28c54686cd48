//! One node's properties, and the address space its `reg` is in.

use super::{region, within};
use dtoolkit::fdt::FdtNode;
use dtoolkit::{Node as _, Property as _};
use fata_boot::info::{IntId, Region};

/// The properties that anything here looks at.
#[derive(Clone, Copy)]
pub(super) enum Key {
    Compatible,
    DeviceType,
    Status,
    Model,
    Method,
    Bootargs,
    InitrdStart,
    InitrdEnd,
    RngSeed,
    Reg,
    Interrupts,
    InterruptsExtended,
    RegShift,
    AddressCells,
    SizeCells,
    Ranges,
}

/// Their names, in the order of [`Key`].
const NAMES: [&str; 16] = [
    "compatible",
    "device_type",
    "status",
    "model",
    "method",
    "bootargs",
    "linux,initrd-start",
    "linux,initrd-end",
    "rng-seed",
    "reg",
    "interrupts",
    "interrupts-extended",
    "reg-shift",
    "#address-cells",
    "#size-cells",
    "ranges",
];

/// A node's properties, gathered in one pass.
pub(super) struct Node<'a> {
    pub(super) name: &'a str,
    values: [Option<&'a [u8]>; NAMES.len()],
}

impl<'a> Node<'a> {
    pub(super) fn read(blob: &'a [u8], node: &FdtNode<'a>) -> Self {
        let mut values = [None; NAMES.len()];
        for property in node.properties() {
            if let Some(key) = NAMES.iter().position(|name| *name == property.name()) {
                values[key] = Some(within(blob, property.value()));
            }
        }
        Self { name: node.name(), values }
    }

    pub(super) fn value(&self, key: Key) -> Option<&'a [u8]> {
        self.values[key as usize]
    }

    /// The first string of a property; empty if it has none.
    pub(super) fn text(&self, key: Key) -> &'a str {
        self.value(key).and_then(first_string).unwrap_or("")
    }

    pub(super) fn number(&self, key: Key) -> Option<u64> {
        self.value(key).and_then(number)
    }

    /// A count of cells; more than fit into a byte are as absurd as 255.
    fn cells(&self, key: Key, default: u8) -> u8 {
        self.number(key).map_or(default, |n| n.min(255) as u8)
    }

    /// The strings of `compatible`, most specific first.
    pub(super) fn compatibles(&self) -> impl Iterator<Item = &'a str> {
        self.value(Key::Compatible)
            .unwrap_or(&[])
            .split(|b| *b == 0)
            .filter_map(|s| core::str::from_utf8(s).ok())
            .filter(|s| !s.is_empty())
    }

    /// Whether `compatible` has one of `names`.
    pub(super) fn is(&self, names: &[&str]) -> bool {
        self.compatibles().any(|c| names.contains(&c))
    }

    /// Whether firmware means it to be used.
    pub(super) fn is_enabled(&self) -> bool {
        matches!(self.text(Key::Status), "" | "okay" | "ok")
    }

    /// The `index`th interrupt, as a GIC numbers it: three cells, type, number, flags.
    pub(super) fn interrupt(&self, index: usize) -> Option<IntId> {
        // The extended form has the controller's phandle before each.
        let (cells, skip, stride) = match self.value(Key::InterruptsExtended) {
            Some(extended) => (extended, 4, 16),
            None => (self.value(Key::Interrupts)?, 0, 12),
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
            address_cells: node.cells(Key::AddressCells, 2),
            size_cells: node.cells(Key::SizeCells, 1),
            ranges: if is_root { Some(&[]) } else { node.value(Key::Ranges) },
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
