//! A controller and its pins.

use crate::{Chip, Pin};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use fata_registers::Registers;
use xen_hyp::Signal;

/// A controller of pins.
pub struct Gpio {
    registers: Box<dyn Registers>,
    chip: Box<dyn Chip>,
    claimed: RefCell<Vec<u32>>,
    watched: RefCell<Vec<Rc<Watched>>>,
}

struct Watched {
    line: u32,
    edges: Signal,
}

/// Why a pin cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The controller has no such line.
    NoLine {
        /// The one asked for.
        line: u32,
        /// How many it has.
        lines: u32,
    },
    /// Somebody has it already.
    Claimed,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLine { line, lines } => write!(f, "there is no line {line}, they end at {}", lines - 1),
            Self::Claimed => f.write_str("the line is somebody else's already"),
        }
    }
}

impl core::error::Error for Error {}

impl Gpio {
    /// Takes charge of a controller. Its lines stay as they are, but interrupt no more.
    pub fn new(chip: Box<dyn Chip>, registers: Box<dyn Registers>) -> Rc<Self> {
        chip.silence(&*registers);
        Rc::new(Self { registers, chip, claimed: RefCell::default(), watched: RefCell::default() })
    }

    /// What kind of controller it is.
    pub fn name(&self) -> &'static str {
        self.chip.name()
    }

    /// Claims a pin as an output, on or off from the first moment on.
    pub fn output(self: &Rc<Self>, pin: Pin, on: bool) -> Result<Output, Error> {
        self.claim(pin.line)?;
        self.chip.make_output(&*self.registers, pin.line, on != pin.active_low);
        Ok(Output { gpio: self.clone(), pin, on: Cell::new(on) })
    }

    /// Claims a pin as an input, whose edges interrupt from now on.
    pub fn input(self: &Rc<Self>, pin: Pin) -> Result<Input, Error> {
        self.claim(pin.line)?;
        self.chip.make_input(&*self.registers, pin.line, pin.pull);
        self.chip.watch(&*self.registers, pin.line);
        let watched = Rc::new(Watched { line: pin.line, edges: Signal::new() });
        self.watched.borrow_mut().push(watched.clone());
        let input = Input { gpio: self.clone(), pin, watched, settled: Cell::new(false) };
        input.settled.set(input.is_on());
        Ok(input)
    }

    fn claim(&self, line: u32) -> Result<(), Error> {
        let lines = self.chip.lines();
        if line >= lines {
            return Err(Error::NoLine { line, lines });
        }
        let mut claimed = self.claimed.borrow_mut();
        if claimed.contains(&line) {
            return Err(Error::Claimed);
        }
        claimed.push(line);
        Ok(())
    }

    /// Answers an interrupt, if one was taken. Once a turn of the run loop.
    pub fn service(&self) {
        if !self.registers.take_interrupt() {
            return;
        }
        for watched in self.watched.borrow().iter() {
            if self.chip.take_edge(&*self.registers, watched.line) {
                watched.edges.fire();
            }
        }
        self.registers.rearm();
    }
}

impl fmt::Debug for Gpio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpio").field("chip", &self.name()).field("claimed", &self.claimed).finish()
    }
}

/// A pin that we drive, such as a lamp's.
#[derive(Debug)]
pub struct Output {
    gpio: Rc<Gpio>,
    pin: Pin,
    on: Cell<bool>,
}

impl Output {
    /// Turns it on or off.
    pub fn set(&self, on: bool) {
        self.on.set(on);
        self.gpio.chip.drive(&*self.gpio.registers, self.pin.line, on != self.pin.active_low);
    }

    /// What it was set to last.
    pub fn is_on(&self) -> bool {
        self.on.get()
    }

    /// Whether the controller finds it so, which it does not where something else drives the line.
    pub fn is_obeyed(&self) -> bool {
        let high = self.gpio.chip.is_high(&*self.gpio.registers, self.pin.line);
        (high != self.pin.active_low) == self.on.get()
    }
}

/// A pin that somebody else drives, such as a button's.
pub struct Input {
    gpio: Rc<Gpio>,
    pin: Pin,
    watched: Rc<Watched>,
    /// What it was when it had last come to rest.
    settled: Cell<bool>,
}

impl Input {
    /// Whether it is on at this moment.
    pub fn is_on(&self) -> bool {
        self.gpio.chip.is_high(&*self.gpio.registers, self.pin.line) != self.pin.active_low
    }

    /// How many edges there were.
    pub fn edges(&self) -> u64 {
        self.watched.edges.count()
    }

    /// Waits until it is another than before, and gives what it is. Contacts bounce: it counts once there was no edge
    /// during a `pause`, and not at all if it is as before by then.
    pub async fn changed(&self, pause: impl AsyncFn()) -> bool {
        let edges = &self.watched.edges;
        loop {
            let seen = edges.seen();
            if self.is_on() == self.settled.get() {
                edges.after(seen).await;
            }
            loop {
                let seen = edges.seen();
                pause().await;
                if edges.seen() == seen {
                    break;
                }
            }
            let on = self.is_on();
            if self.settled.replace(on) != on {
                return on;
            }
        }
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("pin", &self.pin).field("edges", &self.edges()).finish_non_exhaustive()
    }
}
