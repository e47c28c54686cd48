//! The 16550 and its descendants: with registers 1, 2 or 4 bytes apart, DesignWare's, and the mini UART of BCM2835.
//!
//! PC16550D Universal Asynchronous Receiver/Transmitter with FIFOs, Texas Instruments SNLS378; BCM2835 ARM Peripherals,
//! chapter 2.2, and its errata, and BCM2711 ARM Peripherals, chapter 2.2; `serial/8250.yaml`,
//! `serial/snps-dw-apb-uart.yaml` and `serial/brcm,bcm2835-aux-uart.yaml` of Linux's bindings.

use crate::{Chip, Counts, Received, Speed};
use core::cell::Cell;
use fata_registers::Registers;

// Registers, by number.
const DATA: usize = 0;
const IER: usize = 1;
const IER_RX: u32 = 1;
const IER_TX: u32 = 1 << 1;
/// The mini UART does not interrupt without these, which it says are of no effect.
const IER_MINI: u32 = 3 << 2;
/// Read: which interrupt. Written: what FIFOs do.
const IIR: usize = 2;
const IIR_BUSY: u32 = 7;
const IIR_FIFO: u32 = 3 << 6;
/// On, emptied, an interrupt for the first byte.
const FCR_ON: u32 = 7;
const LCR: usize = 3;
const LCR_8_BITS: u32 = 3;
const LCR_DIVISOR: u32 = 1 << 7;
const MCR: usize = 4;
/// DTR and RTS, and OUT2, which lets interrupts out of a PC's.
const MCR_ON: u32 = 1 << 3 | 3;
const LSR: usize = 5;
const LSR_RECEIVED: u32 = 1;
const LSR_OVERRUN: u32 = 1 << 1;
const LSR_BROKEN: u32 = 7 << 2;
const LSR_ROOM: u32 = 1 << 5;
/// Of DesignWare's: reading it ends the interrupt for an LCR that was written too early.
const USR: usize = 31;
// Of the mini UART, by number like the others.
const MINI_CONTROL: usize = 8;
const MINI_BAUD: usize = 10;

/// What fits into the FIFO once it is empty.
const FIFO: u8 = 16;

/// A 16550 or something like it.
#[derive(Debug)]
pub struct Ns16550 {
    stride: usize,
    mini: bool,
    /// What LSR's bit for room means: so many bytes.
    depth: Cell<u8>,
    /// How many of them are left.
    room: Cell<u8>,
}

impl Ns16550 {
    /// One with registers so many bytes apart.
    pub const fn new(stride: usize) -> Self {
        Self { stride, mini: false, depth: Cell::new(1), room: Cell::new(0) }
    }

    /// The mini UART of BCM2835 and later.
    pub const fn mini() -> Self {
        Self { stride: 4, mini: true, depth: Cell::new(1), room: Cell::new(0) }
    }

    fn read(&self, registers: &dyn Registers, number: usize) -> u32 {
        registers.read(number * self.stride)
    }

    fn write(&self, registers: &dyn Registers, number: usize, value: u32) {
        registers.write(number * self.stride, value);
    }

    fn set_speed(&self, registers: &dyn Registers, speed: Speed) {
        if self.mini {
            self.write(registers, MINI_BAUD, (speed.divisor(8) - 1).min(0xffff));
            return;
        }
        let divisor = speed.divisor(16).min(0xffff);
        self.write(registers, LCR, LCR_8_BITS | LCR_DIVISOR);
        self.write(registers, DATA, divisor & 0xff);
        self.write(registers, IER, divisor >> 8);
    }
}

impl Chip for Ns16550 {
    fn name(&self) -> &'static str {
        if self.mini { "BCM2835 mini UART" } else { "16550" }
    }

    fn set_up(&self, registers: &dyn Registers, speed: Option<Speed>) {
        if self.mini {
            self.write(registers, MINI_CONTROL, 0);
        }
        self.write(registers, IER, 0);
        if let Some(speed) = speed {
            self.set_speed(registers, speed);
        }
        self.write(registers, LCR, LCR_8_BITS);
        self.write(registers, IIR, FCR_ON);
        self.write(registers, MCR, if self.mini { 0 } else { MCR_ON });
        if self.mini {
            self.write(registers, MINI_CONTROL, 3);
        } else if self.read(registers, IIR) & IIR_FIFO == IIR_FIFO {
            self.depth.set(FIFO);
        }
    }

    fn enable(&self, registers: &dyn Registers, receive: bool, send: bool) {
        let mini = if self.mini && (receive || send) { IER_MINI } else { 0 };
        self.write(registers, IER, mini | if receive { IER_RX } else { 0 } | if send { IER_TX } else { 0 });
    }

    fn acknowledge(&self, registers: &dyn Registers) -> Counts {
        // Reading it ends the interrupt for room; the one for what was received ends when that is read.
        if self.read(registers, IIR) & 0xf == IIR_BUSY {
            self.read(registers, USR);
        }
        Counts::default()
    }

    fn receive(&self, registers: &dyn Registers) -> Option<Received> {
        let status = self.read(registers, LSR);
        if status & LSR_RECEIVED == 0 {
            return None;
        }
        // The mini UART has only the one for overruns.
        let broken = !self.mini && status & LSR_BROKEN != 0;
        let byte = self.read(registers, DATA) as u8;
        Some(Received { byte, overrun: status & LSR_OVERRUN != 0, broken })
    }

    fn has_room(&self, registers: &dyn Registers) -> bool {
        if self.room.get() == 0 && self.read(registers, LSR) & LSR_ROOM != 0 {
            self.room.set(self.depth.get());
        }
        self.room.get() > 0
    }

    fn send(&self, registers: &dyn Registers, byte: u8) {
        self.room.set(self.room.get().saturating_sub(1));
        self.write(registers, DATA, byte.into());
    }
}
