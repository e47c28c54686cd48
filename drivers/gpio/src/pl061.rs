//! ARM's PL061: eight lines.
//!
//! PrimeCell General Purpose Input/Output (PL061) Technical Reference Manual, ARM DDI 0190, chapter 3.

use crate::{Chip, Pull};
use fata_registers::Registers;

const DIR: usize = 0x400;
const IS: usize = 0x404;
const IBE: usize = 0x408;
const IE: usize = 0x410;
const RIS: usize = 0x414;
const IC: usize = 0x41c;
const AFSEL: usize = 0x420;

/// A PL061.
#[derive(Clone, Copy, Debug)]
pub struct Pl061;

/// Where in `DATA` only this line is read and written: bits 9 to 2 of the address are a mask.
const fn data(line: u32) -> usize {
    4 << line
}

fn change(registers: &dyn Registers, at: usize, line: u32, on: bool) {
    let old = registers.read(at) & !(1 << line);
    registers.write(at, old | u32::from(on) << line);
}

impl Chip for Pl061 {
    fn name(&self) -> &'static str {
        "PL061"
    }

    fn lines(&self) -> u32 {
        8
    }

    fn silence(&self, registers: &dyn Registers) {
        registers.write(IE, 0);
        registers.write(IC, 0xff);
    }

    fn make_output(&self, registers: &dyn Registers, line: u32, high: bool) {
        change(registers, AFSEL, line, false);
        // Before it drives, and again after: some take it only once they do.
        self.drive(registers, line, high);
        change(registers, DIR, line, true);
        self.drive(registers, line, high);
    }

    /// Its pins are pulled by something else, if at all.
    fn make_input(&self, registers: &dyn Registers, line: u32, _: Pull) {
        change(registers, AFSEL, line, false);
        change(registers, DIR, line, false);
    }

    fn drive(&self, registers: &dyn Registers, line: u32, high: bool) {
        registers.write(data(line), u32::from(high) << line);
    }

    fn is_high(&self, registers: &dyn Registers, line: u32) -> bool {
        registers.read(data(line)) & 1 << line != 0
    }

    fn watch(&self, registers: &dyn Registers, line: u32) {
        change(registers, IS, line, false);
        change(registers, IBE, line, true);
        registers.write(IC, 1 << line);
        change(registers, IE, line, true);
    }

    fn take_edge(&self, registers: &dyn Registers, line: u32) -> bool {
        let edge = registers.read(RIS) & 1 << line != 0;
        if edge {
            registers.write(IC, 1 << line);
        }
        edge
    }
}
