//! Serial ports: PL011, Cadence, 16550, and the mini UART of BCM2835.
//!
//! A [`Uart`] is a port with its interrupt and what it received; a [`Chip`] is how one kind of port is driven. Nothing
//! here knows an executor: who runs the loop calls [`Uart::service`] once a turn.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod cadence;
mod ns16550;
mod pl011;
mod port;

pub use cadence::Cadence;
pub use ns16550::Ns16550;
pub use pl011::Pl011;
pub use port::{Counts, Stalled, Uart};

use alloc::boxed::Box;
use fata_registers::Registers;

/// How one kind of port is driven. Eight bits, no parity, one stop bit.
pub trait Chip {
    /// Its name, for people.
    fn name(&self) -> &'static str;

    /// Brings the port into a known state, with no interrupt enabled. Its speed stays what firmware made it, unless it
    /// is given.
    fn set_up(&self, registers: &dyn Registers, speed: Option<Speed>);

    /// Which interrupts may come: for something received, for room to send.
    fn enable(&self, registers: &dyn Registers, receive: bool, send: bool);

    /// Takes note of an interrupt. Comes before what was received is read. Gives what went wrong meanwhile, where the
    /// port tells that apart from the bytes.
    fn acknowledge(&self, registers: &dyn Registers) -> Counts;

    /// The next byte received, if there is one.
    fn receive(&self, registers: &dyn Registers) -> Option<Received>;

    /// Whether there is room to send a byte.
    fn has_room(&self, registers: &dyn Registers) -> bool;

    /// Sends a byte, for which there is room.
    fn send(&self, registers: &dyn Registers, byte: u8);
}

/// What a port received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// The byte.
    pub byte: u8,
    /// Bytes before this one were lost, as nobody fetched them in time.
    pub overrun: bool,
    /// It is no byte that was sent: it came at another speed, or the line was pulled down.
    pub broken: bool,
}

/// How fast a port is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed {
    /// Frequency of what clocks the port.
    pub clock_hz: u32,
    /// Bits a second.
    pub baud: u32,
}

impl Speed {
    /// The clock divided by `times` the speed, rounded; at least 1.
    fn divisor(&self, times: u32) -> u32 {
        let step = self.baud.saturating_mul(times).max(1);
        (self.clock_hz.saturating_add(step / 2) / step).max(1)
    }
}

/// The chip that something in a device tree is: `is` says whether that is compatible with a name, and registers are
/// `stride` bytes apart, where that varies (`1 << reg-shift`).
pub fn chip(is: impl Fn(&str) -> bool, stride: usize) -> Option<Box<dyn Chip>> {
    let is_one_of = |names: &[&str]| names.iter().any(|name| is(name));
    Some(if is_one_of(&["arm,pl011", "arm,sbsa-uart"]) {
        Box::new(Pl011)
    } else if is_one_of(&["cdns,uart-r1p12", "cdns,uart-r1p8", "xlnx,xuartps"]) {
        Box::new(Cadence)
    } else if is("brcm,bcm2835-aux-uart") {
        Box::new(Ns16550::mini())
    } else if is_one_of(&["ns16550a", "ns16550", "snps,dw-apb-uart"]) {
        Box::new(Ns16550::new(stride))
    } else {
        return None;
    })
}

impl Chip for Box<dyn Chip> {
    fn name(&self) -> &'static str {
        (**self).name()
    }
    fn set_up(&self, registers: &dyn Registers, speed: Option<Speed>) {
        (**self).set_up(registers, speed);
    }
    fn enable(&self, registers: &dyn Registers, receive: bool, send: bool) {
        (**self).enable(registers, receive, send);
    }
    fn acknowledge(&self, registers: &dyn Registers) -> Counts {
        (**self).acknowledge(registers)
    }
    fn receive(&self, registers: &dyn Registers) -> Option<Received> {
        (**self).receive(registers)
    }
    fn has_room(&self, registers: &dyn Registers) -> bool {
        (**self).has_room(registers)
    }
    fn send(&self, registers: &dyn Registers, byte: u8) {
        (**self).send(registers, byte);
    }
}
