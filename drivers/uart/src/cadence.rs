//! Cadence's UART, as Zynq UltraScale+ has it.
//!
//! Zynq UltraScale+ Device Technical Reference Manual, Xilinx UG1085, chapter 21, and Register Reference, UG1087,
//! module UART; `serial/cdns,uart.yaml` of Linux's bindings.

use crate::{Chip, Counts, Received, Speed};
use fata_registers::Registers;

const CR: usize = 0x00;
const CR_RESET: u32 = 3;
const CR_RX_ON: u32 = 1 << 2;
const CR_RX_OFF: u32 = 1 << 3;
const CR_TX_ON: u32 = 1 << 4;
const CR_TX_OFF: u32 = 1 << 5;
const CR_RESTART_TIMEOUT: u32 = 1 << 6;
const MR: usize = 0x04;
/// Eight bits, no parity, one stop bit, the clock as it is.
const MR_8_BITS: u32 = 4 << 3;
const IER: usize = 0x08;
const IDR: usize = 0x0c;
const ISR: usize = 0x14;
const BAUDGEN: usize = 0x18;
const RXTOUT: usize = 0x1c;
const RXWM: usize = 0x20;
const SR: usize = 0x2c;
const SR_RX_EMPTY: u32 = 1 << 1;
const SR_TX_FULL: u32 = 1 << 4;
const FIFO: usize = 0x30;
const BAUDDIV: usize = 0x34;
// Interrupts.
const RX_TRIGGER: u32 = 1;
const TX_EMPTY: u32 = 1 << 3;
const OVERRUN: u32 = 1 << 5;
const FRAMING: u32 = 1 << 6;
const PARITY: u32 = 1 << 7;
const RX_TIMEOUT: u32 = 1 << 8;
const ALL: u32 = 0x3fff;

/// A Cadence UART.
#[derive(Clone, Copy, Debug)]
pub struct Cadence;

impl Chip for Cadence {
    fn name(&self) -> &'static str {
        "Cadence UART"
    }

    fn set_up(&self, registers: &dyn Registers, speed: Option<Speed>) {
        registers.write(IDR, ALL);
        registers.write(CR, CR_RX_OFF | CR_TX_OFF);
        if let Some(speed) = speed {
            let (generator, divider) = dividers(speed);
            registers.write(BAUDGEN, generator);
            registers.write(BAUDDIV, divider);
        }
        registers.write(CR, CR_RX_OFF | CR_TX_OFF | CR_RESET);
        registers.write(MR, MR_8_BITS);
        // An interrupt for each byte that finds the FIFO empty.
        registers.write(RXWM, 1);
        registers.write(RXTOUT, 10);
        registers.write(ISR, ALL);
        registers.write(CR, CR_RX_ON | CR_TX_ON | CR_RESTART_TIMEOUT);
    }

    fn enable(&self, registers: &dyn Registers, receive: bool, send: bool) {
        let wanted = if receive { RX_TRIGGER | RX_TIMEOUT } else { 0 } | if send { TX_EMPTY } else { 0 };
        registers.write(IDR, (RX_TRIGGER | RX_TIMEOUT | TX_EMPTY) & !wanted);
        registers.write(IER, wanted);
    }

    /// Bits of ISR stay set until they are cleared; what holds still, as a FIFO that is not empty, sets them again.
    fn acknowledge(&self, registers: &dyn Registers) -> Counts {
        let status = registers.read(ISR);
        registers.write(ISR, status);
        Counts {
            overruns: u64::from(status & OVERRUN != 0),
            broken: u64::from(status & (FRAMING | PARITY) != 0),
        }
    }

    fn receive(&self, registers: &dyn Registers) -> Option<Received> {
        if registers.read(SR) & SR_RX_EMPTY != 0 {
            return None;
        }
        Some(Received { byte: registers.read(FIFO) as u8, ..Received::default() })
    }

    fn has_room(&self, registers: &dyn Registers) -> bool {
        registers.read(SR) & SR_TX_FULL == 0
    }

    fn send(&self, registers: &dyn Registers, byte: u8) {
        registers.write(FIFO, byte.into());
    }
}

/// What to divide the clock by, in two steps, to come closest: the generator's value, and the second's less one, which is
/// to be from 4 to 255.
fn dividers(speed: Speed) -> (u32, u32) {
    let mut best = (u32::MAX, 1, 4);
    for divider in 4..=255 {
        let generator = speed.divisor(divider + 1).min(0xffff);
        let off = (speed.clock_hz / (generator * (divider + 1))).abs_diff(speed.baud);
        if off < best.0 {
            best = (off, generator, divider);
        }
    }
    (best.1, best.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_met() {
        for (clock_hz, baud) in
            [(100_000_000, 115_200), (99_999_001, 9600), (50_000_000, 921_600), (1, 0), (0, 1)]
        {
            let (generator, divider) = dividers(Speed { clock_hz, baud });
            assert!((1..=0xffff).contains(&generator) && (4..=255).contains(&divider));
            if clock_hz > 1 {
                let made = clock_hz / (generator * (divider + 1));
                assert!(made.abs_diff(baud) * 50 < baud, "{made} for {baud}");
            }
        }
    }
}
