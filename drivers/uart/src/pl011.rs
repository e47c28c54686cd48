//! ARM's PL011, and the part of it that is an SBSA UART, such as Xen's vpl011.
//!
//! PrimeCell UART (PL011) Technical Reference Manual, ARM DDI 0183, chapter 3; Server Base System Architecture, ARM
//! DEN 0029, appendix B.

use crate::{Chip, Counts, Received, Speed};
use fata_registers::Registers;

const DR: usize = 0x00;
const DR_BROKEN: u32 = 7 << 8;
const DR_OVERRUN: u32 = 1 << 11;
const FR: usize = 0x18;
const FR_RX_EMPTY: u32 = 1 << 4;
const FR_TX_FULL: u32 = 1 << 5;
const IBRD: usize = 0x24;
const FBRD: usize = 0x28;
const LCRH: usize = 0x2c;
/// Eight bits, FIFOs on.
const LCRH_8_BITS_FIFO: u32 = 3 << 5 | 1 << 4;
const CR: usize = 0x30;
const CR_ENABLED: u32 = 1 << 9 | 1 << 8 | 1;
const IMSC: usize = 0x38;
/// Receive and receive time-out interrupts.
const INT_RX: u32 = 1 << 4 | 1 << 6;
/// Transmit interrupt.
const INT_TX: u32 = 1 << 5;
const ICR: usize = 0x44;

/// A PL011.
#[derive(Clone, Copy, Debug)]
pub struct Pl011;

impl Chip for Pl011 {
    fn name(&self) -> &'static str {
        "PL011"
    }

    fn set_up(&self, registers: &dyn Registers, speed: Option<Speed>) {
        registers.write(IMSC, 0);
        registers.write(CR, 0);
        if let Some(speed) = speed {
            // In sixty-fourths; takes effect with the write to LCRH.
            let divisor = u64::from(speed.clock_hz) * 4 / u64::from(speed.baud.max(1));
            let divisor = divisor.clamp(64, 0xffff * 64) as u32;
            registers.write(IBRD, divisor / 64);
            registers.write(FBRD, divisor % 64);
        }
        registers.write(LCRH, LCRH_8_BITS_FIFO);
        registers.write(ICR, 0x7ff);
        registers.write(CR, CR_ENABLED);
    }

    fn enable(&self, registers: &dyn Registers, receive: bool, send: bool) {
        registers.write(IMSC, if receive { INT_RX } else { 0 } | if send { INT_TX } else { 0 });
    }

    /// Nothing needs clearing: emptying the FIFO ends a receive interrupt, and a transmit one is turned off.
    fn acknowledge(&self, _: &dyn Registers) -> Counts {
        Counts::default()
    }

    fn receive(&self, registers: &dyn Registers) -> Option<Received> {
        if registers.read(FR) & FR_RX_EMPTY != 0 {
            return None;
        }
        let data = registers.read(DR);
        Some(Received { byte: data as u8, overrun: data & DR_OVERRUN != 0, broken: data & DR_BROKEN != 0 })
    }

    fn has_room(&self, registers: &dyn Registers) -> bool {
        registers.read(FR) & FR_TX_FULL == 0
    }

    fn send(&self, registers: &dyn Registers, byte: u8) {
        registers.write(DR, byte.into());
    }
}
