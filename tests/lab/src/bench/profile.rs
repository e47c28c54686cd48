//! Where a guest's instructions went, as `tests/lab/plugin/count.c` wrote it down.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::backtrace::Symboliser;
use crate::machine::Folder;
use crate::symbols::XenSymbols;

use super::counter::{GUEST_RAM0_BASE, PROFILE};

/// Xen's addresses are above, an image's below.
const XEN_START: u64 = 0x0a00_0000_0000;

/// What a guest executed between two lines that it wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// How often each instruction was executed, by its address.
    counts: BTreeMap<u64, u64>,
    /// What Xen was entered for, and how often.
    pub traps: Vec<(Trap, u64)>,
}

/// What a function took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    /// The function.
    pub name: String,
    /// Xen's; else the image's.
    pub is_xen: bool,
    /// Instructions.
    pub instructions: u64,
}

impl Profile {
    /// From the line of this number to another one.
    pub fn of(folder: &Folder, from: usize, to: usize) -> Result<Self> {
        Self::read(folder, "line", from, to)
    }

    /// From one mark to another, which somebody else set.
    pub fn between_marks(folder: &Folder, from: usize, to: usize) -> Result<Self> {
        Self::read(folder, "mark", from, to)
    }

    fn read(folder: &Folder, kind: &str, from: usize, to: usize) -> Result<Self> {
        let file = folder.file(PROFILE);
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        Self::parse(&text, kind, from, to).with_context(|| format!("reading {}", file.display()))
    }

    /// What follows a line, or a mark, is from the one before it.
    fn parse(text: &str, kind: &str, from: usize, to: usize) -> Result<Self> {
        let mut profile = Self::default();
        let (mut has_begun, mut last, mut traps) = (from == 0, 0, BTreeMap::new());
        let (mut has_ended, mut wanted) = (false, false);
        for entry in text.lines() {
            let words: Vec<_> = entry.split(' ').collect();
            let hex = |word: &str| u64::from_str_radix(word, 16);
            match words[..] {
                ["line" | "mark", number] => {
                    // What is under way ends with the one that is looked for.
                    wanted = has_begun && !has_ended;
                    if words[0] == kind {
                        last = number.parse()?;
                        has_begun |= last == from;
                        has_ended |= has_begun && last == to;
                    }
                }
                ["block" | "trap", ..] if !wanted => {}
                ["block", start, insns, count] => {
                    let (start, insns, count) = (hex(start)?, insns.parse::<u64>()?, count.parse::<u64>()?);
                    for n in 0..insns.min(1 << 16) {
                        *profile.counts.entry(start + 4 * n).or_default() += count;
                    }
                }
                ["trap", vector, esr, x16, count] => {
                    let trap = Trap { vector: hex(vector)?, esr: hex(esr)?, x16: x16.parse()? };
                    *traps.entry(trap).or_default() += count.parse::<u64>()?;
                }
                _ => bail!("cannot read {entry:?}"),
            }
        }
        ensure!(last >= to, "there was no {kind} {to}, but {last} was the last");
        profile.traps = traps.into_iter().collect();
        profile.traps.sort_by_key(|(_, count)| u64::MAX - count);
        Ok(profile)
    }

    /// What each function took, the most expensive first. An inlined function counts for itself, but one of a
    /// library for ours that called it.
    #[must_use]
    pub fn functions(&self, image: &Symboliser, xen: &XenSymbols) -> Vec<Spent> {
        let mut sums = BTreeMap::<_, u64>::new();
        for (&address, count) in &self.counts {
            let is_xen = address >= XEN_START;
            let name = if is_xen { xen.name(address) } else { image.own(address - GUEST_RAM0_BASE) };
            *sums.entry((name.unwrap_or_else(|| format!("{address:#x}")), is_xen)).or_default() += count;
        }
        let spent = |((name, is_xen), instructions)| Spent { name, is_xen, instructions };
        let mut all: Vec<_> = sums.into_iter().map(spent).collect();
        all.sort_by_key(|spent| u64::MAX - spent.instructions);
        all
    }
}

/// A way into Xen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trap {
    vector: u64,
    esr: u64,
    x16: u64,
}

impl fmt::Display for Trap {
    /// Arm ARM D1.3.1 for vectors, D24.2.40 for syndromes; `xen/include/public/xen.h` for numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.vector & 0x180, self.esr >> 26 & 0x3f) {
            (0x080, _) => f.write_str("interrupt"),
            (0x000, 0x01) => f.write_str("WFI"),
            (0x000, 0x16) if self.esr as u16 != XEN_CALL => write!(f, "HVC {:#x}", self.esr as u16),
            (0x000, 0x16) => match self.x16 {
                12 => f.write_str("memory_op"),
                18 => f.write_str("console_io"),
                20 => f.write_str("grant_table_op"),
                24 => f.write_str("vcpu_op"),
                29 => f.write_str("sched_op"),
                32 => f.write_str("event_channel_op"),
                34 => f.write_str("hvm_op"),
                number => write!(f, "hypercall {number}"),
            },
            (0x000, 0x18) => {
                let field = |shift: u32, bits: u32| self.esr >> shift & ((1 << bits) - 1);
                let (op0, op1, crn, crm, op2) =
                    (field(20, 2), field(14, 3), field(10, 4), field(1, 4), field(17, 3));
                write!(f, "system register s{op0}_{op1}_c{crn}_c{crm}_{op2}")
            }
            (0x000, 0x20) => f.write_str("instruction abort"),
            (0x000, 0x24) => f.write_str("data abort"),
            (0x000, class) => write!(f, "exception of class {class:#x}"),
            (vector, _) => write!(f, "vector {vector:#x}"),
        }
    }
}

/// What an image's `hvc` says (xen/include/public/arch-arm.h).
const XEN_CALL: u16 = 0xea1;

/// Reads the names of Xen's functions.
pub fn xen_symbols(hypervisor: &Path) -> Result<XenSymbols> {
    let image = fs::read(hypervisor).with_context(|| format!("reading {}", hypervisor.display()))?;
    XenSymbols::of(&image).with_context(|| format!("{} has no symbols", hypervisor.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
line 1
block 40000000 2 1
line 2
block 40000000 2 10
block 40000004 1 5
trap 400 58000ea1 32 3
line 3
block a0000201000 1 7
trap 480 0 0 4
trap 400 58000ea1 32 2
";

    #[test]
    fn sums_up_what_lies_between_two_lines() {
        let profile = Profile::parse(TEXT, "line", 1, 3).unwrap();
        let expected = [(0x4000_0000, 10), (0x4000_0004, 15), (0xa00_0020_1000, 7)];
        assert_eq!(profile.counts, BTreeMap::from(expected));
        let traps: Vec<_> = profile.traps.iter().map(|(trap, count)| (trap.to_string(), *count)).collect();
        assert_eq!(traps, [("event_channel_op".to_owned(), 5), ("interrupt".to_owned(), 4)]);
        assert_eq!(Profile::parse(TEXT, "line", 0, 1).unwrap().traps, []);
        assert!(
            Profile::parse(TEXT, "line", 1, 4).is_err() && Profile::parse("line x", "line", 0, 0).is_err()
        );
    }

    #[test]
    fn marks_are_told_from_lines() {
        let text = "line 1\nblock 1 1 1\nmark 100\nblock 2 1 1\nline 2\nblock 3 1 1\nmark 101\nblock 4 1 1\n\
                    line 3\nblock 5 1 1\n";
        let profile = Profile::parse(text, "mark", 100, 101).unwrap();
        assert_eq!(profile.counts, BTreeMap::from([(3, 1), (4, 1)]));
        assert!(Profile::parse(text, "mark", 100, 102).is_err());
    }

    #[test]
    fn traps_have_names() {
        let name = |esr: u64| Trap { vector: 0x400, esr, x16: 0 }.to_string();
        // ICC_SGI1R_EL1, which is s3_0_c12_c11_5.
        assert_eq!(
            name(0x18 << 26 | 3 << 20 | 5 << 17 | 12 << 10 | 11 << 1),
            "system register s3_0_c12_c11_5"
        );
        assert_eq!(name(0x01 << 26), "WFI");
        assert_eq!(name(0x16 << 26), "HVC 0x0");
        assert_eq!(name(0x24 << 26), "data abort");
    }
}
