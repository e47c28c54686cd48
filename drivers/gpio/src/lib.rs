//! Pins: of PL061, BCM2835 and BCM2711, and Zynq UltraScale+.
//!
//! A [`Gpio`] is a controller with its interrupt, a [`Chip`] is how one kind of controller is driven. Its pins are
//! claimed one by one, as an [`Output`], such as a lamp, or an [`Input`], such as a button. Nothing here knows an
//! executor: who runs the loop calls [`Gpio::service`] once a turn.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod bcm2835;
mod controller;
mod pl061;
mod zynqmp;

pub use bcm2835::Bcm2835;
pub use controller::{Error, Gpio, Input, Output};
pub use pl061::Pl061;
pub use zynqmp::ZynqMp;

use alloc::boxed::Box;
use fata_registers::Registers;

/// How one kind of controller is driven. `line` is below [`lines`](Self::lines).
pub trait Chip {
    /// Its name, for people.
    fn name(&self) -> &'static str;

    /// How many lines it has.
    fn lines(&self) -> u32;

    /// Has no line interrupt.
    fn silence(&self, registers: &dyn Registers);

    /// Makes a line an output, at this level from the first moment on.
    fn make_output(&self, registers: &dyn Registers, line: u32, high: bool);

    /// Makes a line an input.
    fn make_input(&self, registers: &dyn Registers, line: u32, pull: Pull);

    /// Sets an output.
    fn drive(&self, registers: &dyn Registers, line: u32, high: bool);

    /// Whether a line is high, be it an input or an output.
    fn is_high(&self, registers: &dyn Registers, line: u32) -> bool;

    /// Has an input interrupt at each edge.
    fn watch(&self, registers: &dyn Registers, line: u32);

    /// Whether a watched line had an edge since this was last asked. Ends its interrupt.
    fn take_edge(&self, registers: &dyn Registers, line: u32) -> bool;
}

/// What an input is when nothing drives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pull {
    /// Whatever firmware made it.
    #[default]
    AsIs,
    /// High.
    Up,
    /// Low.
    Down,
}

/// A pin as a device tree names it: the second and third cell of `gpios` (`gpio/gpio.txt` of Linux's bindings).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pin {
    /// The controller's line.
    pub line: u32,
    /// It is on when it is low.
    pub active_low: bool,
    /// What it is to be when nothing drives it.
    pub pull: Pull,
}

impl Pin {
    /// With flags as in `dt-bindings/gpio/gpio.h`.
    pub const fn new(line: u32, flags: u32) -> Self {
        let pull = match (flags >> 4) & 3 {
            1 => Pull::Up,
            2 => Pull::Down,
            _ => Pull::AsIs,
        };
        Self { line, active_low: flags & 1 != 0, pull }
    }
}

/// The chip that something in a device tree is: `is` says whether that is compatible with a name.
pub fn chip(is: impl Fn(&str) -> bool) -> Option<Box<dyn Chip>> {
    Some(if is("arm,pl061") {
        Box::new(Pl061)
    } else if is("brcm,bcm2711-gpio") {
        Box::new(Bcm2835::of_bcm2711())
    } else if is("brcm,bcm2835-gpio") {
        Box::new(Bcm2835::new())
    } else if is("xlnx,zynqmp-gpio-1.0") {
        Box::new(ZynqMp)
    } else {
        return None;
    })
}
