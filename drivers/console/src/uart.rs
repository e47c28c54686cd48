//! An SBSA UART, which is the part of a PL011 that needs no set-up; Xen's vpl011 is one.

use crate::Error;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::cell::{Cell, RefCell};
use core::fmt;
use fata_registers::Registers;
use xen_hyp::Signal;

// Registers and bits: ARM Server Base System Architecture, appendix B (ARM DEN 0029), and PL011 (DDI 0183).
const DR: usize = 0x00;
const DR_OVERRUN: u32 = 1 << 11;
const FR: usize = 0x18;
const FR_RX_EMPTY: u32 = 1 << 4;
const FR_TX_FULL: u32 = 1 << 5;
const IMSC: usize = 0x38;
const MIS: usize = 0x40;
/// Receive and receive time-out interrupts.
const INT_RX: u32 = 1 << 4 | 1 << 6;
/// Transmit interrupt.
const INT_TX: u32 = 1 << 5;

/// Input kept before bytes are left in the hardware's FIFO.
const KEPT: usize = 1024;
/// Looks at a full transmitter before a blocking write gives up: about a second under Xen, where each traps.
const TX_LOOKS: u32 = 1_000_000;

/// A console on a UART.
pub struct Uart {
    registers: Box<dyn Registers>,
    /// Interrupts that are enabled.
    enabled: Cell<u32>,
    received: RefCell<VecDeque<u8>>,
    pub(crate) readable: Signal,
    pub(crate) writable: Signal,
    overruns: Cell<u64>,
    /// A blocking write gave up, and nothing has moved since.
    stalled: Cell<bool>,
}

impl Uart {
    /// Takes charge of a UART that firmware or Xen has set up.
    pub fn new(registers: Box<dyn Registers>) -> Self {
        registers.write(IMSC, INT_RX);
        Self {
            registers,
            enabled: Cell::new(INT_RX),
            received: RefCell::default(),
            readable: Signal::new(),
            writable: Signal::new(),
            overruns: Cell::new(0),
            stalled: Cell::new(false),
        }
    }

    /// Times the hardware said that it had to drop input.
    pub fn overruns(&self) -> u64 {
        self.overruns.get()
    }

    /// Answers an interrupt, if one was taken. Once a turn of the run loop.
    pub fn service(&self) {
        if !self.registers.take_interrupt() {
            return;
        }
        // Nothing needs clearing: emptying the FIFO ends a receive interrupt, and a transmit one is turned off.
        if self.registers.read(MIS) & INT_TX != 0 {
            self.enable(self.enabled.get() & !INT_TX);
            self.writable.fire();
        }
        if self.receive() {
            self.readable.fire();
        }
        self.registers.rearm();
    }

    /// Reads at least one byte, waiting for it.
    pub async fn read(&self, into: &mut [u8]) -> Result<usize, Error> {
        Ok(self.readable.until(|| self.try_read(into)).await)
    }

    /// Writes at least one byte, waiting for room.
    pub async fn write(&self, bytes: &[u8]) -> Result<usize, Error> {
        Ok(self.writable.until(|| self.try_write(bytes)).await)
    }

    /// Writes what there is room for; if there is none, `writable` fires when there is.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> Option<usize> {
        let written = self.transmit(bytes);
        if written == 0 && !bytes.is_empty() {
            self.enable(self.enabled.get() | INT_TX);
            return None;
        }
        Some(written)
    }

    pub(crate) fn write_blocking(&self, bytes: &[u8]) -> Result<usize, Error> {
        let looks = if self.stalled.get() { 1 } else { TX_LOOKS };
        for _ in 0..looks {
            let written = self.transmit(bytes);
            if written > 0 || bytes.is_empty() {
                self.stalled.set(false);
                return Ok(written);
            }
            core::hint::spin_loop();
        }
        self.stalled.set(true);
        Err(Error::Stalled)
    }

    fn transmit(&self, bytes: &[u8]) -> usize {
        for (i, byte) in bytes.iter().enumerate() {
            if self.registers.read(FR) & FR_TX_FULL != 0 {
                return i;
            }
            self.registers.write(DR, u32::from(*byte));
        }
        bytes.len()
    }

    pub(crate) fn try_read(&self, into: &mut [u8]) -> Option<usize> {
        if self.received.borrow().is_empty() {
            self.receive();
        }
        let mut received = self.received.borrow_mut();
        let len = into.len().min(received.len());
        for (to, byte) in into.iter_mut().zip(received.drain(..len)) {
            *to = byte;
        }
        (len > 0 || into.is_empty()).then_some(len)
    }

    /// Empties the FIFO as far as there is room, and gives whether there is something to read. While there is
    /// none the interrupt stays off, since its line would stay raised; reading turns it on again.
    fn receive(&self) -> bool {
        let mut received = self.received.borrow_mut();
        let mut empty = false;
        while received.len() < KEPT {
            empty = self.registers.read(FR) & FR_RX_EMPTY != 0;
            if empty {
                break;
            }
            let data = self.registers.read(DR);
            if data & DR_OVERRUN != 0 {
                self.overruns.set(self.overruns.get() + 1);
            }
            received.push_back(data as u8);
        }
        let enabled = self.enabled.get();
        self.enable(if empty { enabled | INT_RX } else { enabled & !INT_RX });
        !received.is_empty()
    }

    fn enable(&self, interrupts: u32) {
        if self.enabled.replace(interrupts) != interrupts {
            self.registers.write(IMSC, interrupts);
        }
    }
}

impl fmt::Debug for Uart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uart").field("overruns", &self.overruns).finish_non_exhaustive()
    }
}
