//! The pins of Zynq UltraScale+: 78 of its own and 96 towards its logic, in six banks.
//!
//! Zynq UltraScale+ Device Technical Reference Manual, Xilinx UG1085, chapter 27, and Register Reference, UG1087, module
//! GPIO; `gpio/gpio-zynq.yaml` of Linux's bindings.

use crate::{Chip, Pull};
use fata_registers::Registers;

/// The first line of each bank; the last one counts them.
const BANKS: [u32; 7] = [0, 26, 52, 78, 110, 142, 174];
/// Writes half of a bank: below, levels; above, the lines that keep theirs.
const MASKED_DATA: usize = 0x000;
const LEVEL: usize = 0x060;
// Of each bank, a bit a line.
const BANK_REGISTERS: usize = 0x204;
const BANK_STRIDE: usize = 0x40;
const DIRECTION: usize = 0x00;
const OUTPUT_ON: usize = 0x04;
const INTERRUPT_ON: usize = 0x0c;
const INTERRUPT_OFF: usize = 0x10;
const INTERRUPT: usize = 0x14;
/// Edge or level.
const KIND: usize = 0x18;
const BOTH_EDGES: usize = 0x20;

/// Zynq UltraScale+'s.
#[derive(Clone, Copy, Debug)]
pub struct ZynqMp;

/// A line's bank, and its number there.
fn place(line: u32) -> (usize, u32) {
    let bank = BANKS.iter().rposition(|first| *first <= line).unwrap_or(0);
    (bank, line - BANKS[bank])
}

/// A register of the line's bank, and the line's bit there.
fn bit(register: usize, line: u32) -> (usize, u32) {
    let (bank, within) = place(line);
    (BANK_REGISTERS + BANK_STRIDE * bank + register, 1 << within)
}

fn change(registers: &dyn Registers, register: usize, line: u32, on: bool) {
    let (at, bit) = bit(register, line);
    let old = registers.read(at) & !bit;
    registers.write(at, if on { old | bit } else { old });
}

impl Chip for ZynqMp {
    fn name(&self) -> &'static str {
        "Zynq UltraScale+ pins"
    }

    fn lines(&self) -> u32 {
        BANKS[BANKS.len() - 1]
    }

    fn silence(&self, registers: &dyn Registers) {
        for bank in 0..BANKS.len() - 1 {
            let bank = BANK_REGISTERS + BANK_STRIDE * bank;
            registers.write(bank + INTERRUPT_OFF, u32::MAX);
            registers.write(bank + INTERRUPT, u32::MAX);
        }
    }

    fn make_output(&self, registers: &dyn Registers, line: u32, high: bool) {
        self.drive(registers, line, high);
        change(registers, DIRECTION, line, true);
        change(registers, OUTPUT_ON, line, true);
    }

    /// How pins are pulled is another unit's business.
    fn make_input(&self, registers: &dyn Registers, line: u32, _: Pull) {
        change(registers, OUTPUT_ON, line, false);
        change(registers, DIRECTION, line, false);
    }

    fn drive(&self, registers: &dyn Registers, line: u32, high: bool) {
        let (bank, within) = place(line);
        let (half, within) = (within / 16, within % 16);
        let others = !(1 << within) << 16;
        registers.write(MASKED_DATA + 8 * bank + 4 * half as usize, others | u32::from(high) << within);
    }

    fn is_high(&self, registers: &dyn Registers, line: u32) -> bool {
        let (bank, within) = place(line);
        registers.read(LEVEL + 4 * bank) & 1 << within != 0
    }

    fn watch(&self, registers: &dyn Registers, line: u32) {
        change(registers, KIND, line, true);
        change(registers, BOTH_EDGES, line, true);
        for register in [INTERRUPT, INTERRUPT_ON] {
            let (at, bit) = bit(register, line);
            registers.write(at, bit);
        }
    }

    fn take_edge(&self, registers: &dyn Registers, line: u32) -> bool {
        let (at, bit) = bit(INTERRUPT, line);
        let edge = registers.read(at) & bit != 0;
        if edge {
            registers.write(at, bit);
        }
        edge
    }
}
