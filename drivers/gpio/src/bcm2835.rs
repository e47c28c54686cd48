//! The pins of BCM2835 and BCM2711, the Raspberry Pi's.
//!
//! BCM2835 ARM Peripherals, chapter 6; BCM2711 ARM Peripherals, chapter 5; `pinctrl/brcm,bcm2835-gpio.txt` of Linux's
//! bindings.

use crate::{Chip, Pull};
use fata_registers::Registers;

const FUNCTION: usize = 0x00;
const SET: usize = 0x1c;
const CLEAR: usize = 0x28;
const LEVEL: usize = 0x34;
const EVENT: usize = 0x40;
const RISING: usize = 0x4c;
const FALLING: usize = 0x58;
/// High, low, and both edges once more, seen without a clock.
const OTHER_EVENTS: [usize; 4] = [0x64, 0x70, 0x7c, 0x88];
/// Of BCM2711 alone.
const PULL: usize = 0xe4;
const INPUT: u32 = 0;
const OUTPUT: u32 = 1;

/// BCM2835's or BCM2711's.
#[derive(Clone, Copy, Debug)]
pub struct Bcm2835 {
    lines: u32,
    has_pull: bool,
}

impl Default for Bcm2835 {
    fn default() -> Self {
        Self::new()
    }
}

impl Bcm2835 {
    /// BCM2835's, BCM2836's and BCM2837's. How to pull a pin differs from later ones, and is left to firmware.
    pub const fn new() -> Self {
        Self { lines: 54, has_pull: false }
    }

    /// BCM2711's.
    pub const fn of_bcm2711() -> Self {
        Self { lines: 58, has_pull: true }
    }

    fn select(&self, registers: &dyn Registers, line: u32, function: u32) {
        field(registers, FUNCTION, line, 10, 3, function);
    }
}

/// Sets the field of `bits` that a line has in registers which hold those of `per_register` lines.
fn field(registers: &dyn Registers, first: usize, line: u32, per_register: u32, bits: u32, value: u32) {
    let (at, shift) = (first + 4 * (line / per_register) as usize, line % per_register * bits);
    let old = registers.read(at) & !(((1 << bits) - 1) << shift);
    registers.write(at, old | value << shift);
}

/// The register that a line has a bit in, and that bit.
const fn bit(first: usize, line: u32) -> (usize, u32) {
    (first + 4 * (line / 32) as usize, 1 << (line % 32))
}

fn write_bit(registers: &dyn Registers, first: usize, line: u32) {
    let (at, bit) = bit(first, line);
    registers.write(at, bit);
}

fn read_bit(registers: &dyn Registers, first: usize, line: u32) -> bool {
    let (at, bit) = bit(first, line);
    registers.read(at) & bit != 0
}

impl Chip for Bcm2835 {
    fn name(&self) -> &'static str {
        if self.has_pull { "BCM2711 pins" } else { "BCM2835 pins" }
    }

    fn lines(&self) -> u32 {
        self.lines
    }

    fn silence(&self, registers: &dyn Registers) {
        for bank in [0, 4] {
            for events in [RISING, FALLING].into_iter().chain(OTHER_EVENTS) {
                registers.write(events + bank, 0);
            }
            registers.write(EVENT + bank, u32::MAX);
        }
    }

    fn make_output(&self, registers: &dyn Registers, line: u32, high: bool) {
        self.drive(registers, line, high);
        self.select(registers, line, OUTPUT);
    }

    fn make_input(&self, registers: &dyn Registers, line: u32, pull: Pull) {
        self.select(registers, line, INPUT);
        let pull = match pull {
            Pull::AsIs => return,
            Pull::Up => 1,
            Pull::Down => 2,
        };
        if self.has_pull {
            field(registers, PULL, line, 16, 2, pull);
        }
    }

    fn drive(&self, registers: &dyn Registers, line: u32, high: bool) {
        write_bit(registers, if high { SET } else { CLEAR }, line);
    }

    fn is_high(&self, registers: &dyn Registers, line: u32) -> bool {
        read_bit(registers, LEVEL, line)
    }

    fn watch(&self, registers: &dyn Registers, line: u32) {
        for events in [RISING, FALLING] {
            let (at, bit) = bit(events, line);
            registers.write(at, registers.read(at) | bit);
        }
        write_bit(registers, EVENT, line);
    }

    fn take_edge(&self, registers: &dyn Registers, line: u32) -> bool {
        let edge = read_bit(registers, EVENT, line);
        if edge {
            write_bit(registers, EVENT, line);
        }
        edge
    }
}
