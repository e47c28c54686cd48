//! A port with its interrupt and what it received.

use crate::{Chip, Pl011, Speed};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::cell::{Cell, RefCell};
use core::convert::Infallible;
use core::fmt;
use fata_registers::Registers;
use xen_hyp::Signal;

/// Input kept before bytes are left in the hardware's FIFO.
const KEPT: usize = 1024;
/// Looks at a full transmitter before a blocking write gives up: about a second where each traps to Xen.
const LOOKS: u32 = 1_000_000;

/// A serial port. One task may read while another writes.
pub struct Uart<C: Chip = Box<dyn Chip>> {
    registers: Box<dyn Registers>,
    chip: C,
    /// Interrupts that are enabled: for what is received, for room.
    enabled: Cell<(bool, bool)>,
    received: RefCell<VecDeque<u8>>,
    readable: Signal,
    writable: Signal,
    counts: Cell<Counts>,
    /// A blocking write gave up, and nothing has moved since.
    stalled: Cell<bool>,
}

/// What went wrong on the line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Times the hardware said that it had to drop input.
    pub overruns: u64,
    /// Times something came that was no byte: at another speed, or a break.
    pub broken: u64,
}

/// Nobody takes the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stalled;

impl Uart<Pl011> {
    /// Takes charge of a PL011 or SBSA UART that firmware or Xen has set up.
    pub fn new(registers: Box<dyn Registers>) -> Self {
        Self::attend(Pl011, registers)
    }
}

impl<C: Chip> Uart<C> {
    /// Sets a port up. Its speed stays what firmware made it, unless it is given.
    pub fn set_up(chip: C, registers: Box<dyn Registers>, speed: Option<Speed>) -> Self {
        chip.set_up(&*registers, speed);
        Self::attend(chip, registers)
    }

    fn attend(chip: C, registers: Box<dyn Registers>) -> Self {
        chip.enable(&*registers, true, false);
        Self {
            registers,
            chip,
            enabled: Cell::new((true, false)),
            received: RefCell::default(),
            readable: Signal::new(),
            writable: Signal::new(),
            counts: Cell::default(),
            stalled: Cell::new(false),
        }
    }

    /// What kind of port it is.
    pub fn chip(&self) -> &C {
        &self.chip
    }

    /// What went wrong so far.
    pub fn counts(&self) -> Counts {
        self.counts.get()
    }

    /// Fires when there is something to read, though maybe not for whoever looks last.
    pub fn readable(&self) -> &Signal {
        &self.readable
    }

    /// Fires when there is room, after a [`try_write`](Self::try_write) that found none.
    pub fn writable(&self) -> &Signal {
        &self.writable
    }

    /// Answers an interrupt, if one was taken. Once a turn of the run loop.
    pub fn service(&self) {
        if !self.registers.take_interrupt() {
            return;
        }
        self.count(self.chip.acknowledge(&*self.registers));
        let (receive, send) = self.enabled.get();
        if send && self.chip.has_room(&*self.registers) {
            self.enable(receive, false);
            self.writable.fire();
        }
        if self.receive() {
            self.readable.fire();
        }
        self.registers.rearm();
    }

    /// Reads at least one byte, waiting for it.
    pub async fn read(&self, into: &mut [u8]) -> usize {
        self.readable.until(|| self.try_read(into)).await
    }

    /// Writes at least one byte, waiting for room.
    pub async fn write(&self, bytes: &[u8]) -> usize {
        self.writable.until(|| self.try_write(bytes)).await
    }

    /// Writes what there is room for; if there is none, [`writable`](Self::writable) fires when there is.
    pub fn try_write(&self, bytes: &[u8]) -> Option<usize> {
        let written = self.transmit(bytes);
        if written == 0 && !bytes.is_empty() {
            self.enable(self.enabled.get().0, true);
            return None;
        }
        Some(written)
    }

    /// Writes at least one byte, holding up everything until there is room. Where nobody takes the output it gives up
    /// after a second, and from then on at once.
    pub fn write_blocking(&self, bytes: &[u8]) -> Result<usize, Stalled> {
        let looks = if self.stalled.get() { 1 } else { LOOKS };
        for _ in 0..looks {
            let written = self.transmit(bytes);
            if written > 0 || bytes.is_empty() {
                self.stalled.set(false);
                return Ok(written);
            }
            core::hint::spin_loop();
        }
        self.stalled.set(true);
        Err(Stalled)
    }

    fn transmit(&self, bytes: &[u8]) -> usize {
        for (i, byte) in bytes.iter().enumerate() {
            if !self.chip.has_room(&*self.registers) {
                return i;
            }
            self.chip.send(&*self.registers, *byte);
        }
        bytes.len()
    }

    /// Reads what there is.
    pub fn try_read(&self, into: &mut [u8]) -> Option<usize> {
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
        // A port that always has something would be read for ever.
        for _ in received.len()..KEPT {
            let Some(next) = self.chip.receive(&*self.registers) else {
                empty = true;
                break;
            };
            if next.overrun || next.broken {
                self.count(Counts { overruns: next.overrun.into(), broken: next.broken.into() });
            }
            if !next.broken {
                received.push_back(next.byte);
            }
        }
        self.enable(empty || received.len() < KEPT, self.enabled.get().1);
        !received.is_empty()
    }

    fn count(&self, more: Counts) {
        let Counts { overruns, broken } = self.counts.get();
        self.counts.set(Counts { overruns: overruns + more.overruns, broken: broken + more.broken });
    }

    fn enable(&self, receive: bool, send: bool) {
        if self.enabled.replace((receive, send)) != (receive, send) {
            self.chip.enable(&*self.registers, receive, send);
        }
    }
}

impl<C: Chip> fmt::Debug for Uart<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uart").field("chip", &self.chip.name()).field("counts", &self.counts).finish()
    }
}

impl<C: Chip> embedded_io::ErrorType for &Uart<C> {
    type Error = Infallible;
}

impl<C: Chip> embedded_io_async::Read for &Uart<C> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Infallible> {
        Ok(Uart::read(self, into).await)
    }
}

impl<C: Chip> embedded_io_async::Write for &Uart<C> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        Ok(Uart::write(self, bytes).await)
    }

    /// Nothing: what was written is on its way.
    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
