//! Registers of serial ports, as the manuals that the drivers cite describe them; written apart from the drivers.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

pub(crate) trait Model {
    fn read(&self, offset: usize) -> u32;
    fn write(&self, offset: usize, value: u32);
    /// Whether the interrupt line is raised.
    fn level(&self) -> bool;
    /// A byte comes in; gives whether there was room.
    fn receive(&self, byte: u8) -> bool;
    /// Something comes in that is no byte; not all ports can tell.
    fn receive_broken(&self) -> bool;
    /// The line takes so many bytes out.
    fn transmit(&self, most: usize) -> Vec<u8>;
}

/// Both FIFOs of a port.
#[derive(Default)]
struct Fifos {
    rx: RefCell<VecDeque<u32>>,
    tx: RefCell<VecDeque<u8>>,
    overrun: Cell<bool>,
}

impl Fifos {
    fn push(&self, entry: u32, depth: usize) -> bool {
        let fits = self.rx.borrow().len() < depth;
        match fits {
            true => self.rx.borrow_mut().push_back(entry),
            false => self.overrun.set(true),
        }
        fits
    }

    fn send(&self, byte: u32, depth: usize) {
        assert!(self.tx.borrow().len() < depth, "written while full");
        self.tx.borrow_mut().push_back(byte as u8);
    }

    fn transmit(&self, most: usize) -> Vec<u8> {
        let mut tx = self.tx.borrow_mut();
        let len = most.min(tx.len());
        tx.drain(..len).collect()
    }

    fn received(&self) -> usize {
        self.rx.borrow().len()
    }

    fn waiting(&self) -> usize {
        self.tx.borrow().len()
    }
}

/// ARM DDI 0183, with FIFOs of 32.
#[derive(Default)]
pub(crate) struct Pl011 {
    fifos: Fifos,
    mask: Cell<u32>,
    /// The transmit interrupt is asserted when the FIFO runs down to half, and not before.
    tx_raised: Cell<bool>,
    control: Cell<u32>,
    line: Cell<u32>,
    divisor: Cell<(u32, u32)>,
}

impl Pl011 {
    fn on(&self) -> bool {
        assert_eq!(
            (self.line.get(), self.control.get()),
            (0x70, 0x301),
            "set up for 8 bits with FIFOs, both ways"
        );
        assert_eq!(self.divisor.get(), (26, 2), "48 MHz to 115,200");
        true
    }

    fn raw(&self) -> u32 {
        let received = if self.fifos.received() > 0 { 1 << 4 | 1 << 6 } else { 0 };
        received | u32::from(self.tx_raised.get()) << 5
    }
}

impl Model for Pl011 {
    fn read(&self, offset: usize) -> u32 {
        match offset {
            0x00 => {
                let entry = self.fifos.rx.borrow_mut().pop_front().expect("read while empty");
                entry | u32::from(self.fifos.overrun.take()) << 11
            }
            0x18 => u32::from(self.fifos.received() == 0) << 4 | u32::from(self.fifos.waiting() == 32) << 5,
            _ => panic!("read of register {offset:#x}"),
        }
    }

    fn write(&self, offset: usize, value: u32) {
        match offset {
            0x00 if self.on() => {
                self.fifos.send(value, 32);
                if self.fifos.waiting() > 16 {
                    self.tx_raised.set(false);
                }
            }
            0x24 => self.divisor.set((value, self.divisor.get().1)),
            0x28 => self.divisor.set((self.divisor.get().0, value)),
            0x2c => {
                assert_eq!(self.control.get() & 1, 0, "set while on");
                self.line.set(value);
            }
            0x30 => self.control.set(value),
            0x38 => self.mask.set(value),
            0x44 => self.tx_raised.set(self.tx_raised.get() && value & 1 << 5 == 0),
            _ => panic!("write of register {offset:#x}"),
        }
    }

    fn level(&self) -> bool {
        self.raw() & self.mask.get() != 0
    }

    fn receive(&self, byte: u8) -> bool {
        self.on() && self.fifos.push(byte.into(), 32)
    }

    fn receive_broken(&self) -> bool {
        self.fifos.push(1 << 8, 32)
    }

    fn transmit(&self, most: usize) -> Vec<u8> {
        let before = self.fifos.waiting();
        let out = self.fifos.transmit(most);
        if before > 16 && self.fifos.waiting() <= 16 {
            self.tx_raised.set(true);
        }
        out
    }
}

/// UG1087, module UART, with FIFOs of 64.
#[derive(Default)]
pub(crate) struct Cadence {
    fifos: Fifos,
    mask: Cell<u32>,
    status: Cell<u32>,
    control: Cell<u32>,
    mode: Cell<u32>,
    trigger: Cell<u32>,
    speed: Cell<(u32, u32)>,
}

impl Cadence {
    fn on(&self) -> bool {
        assert_eq!(self.control.get() & 0x3c, 0x14, "on both ways");
        assert_eq!(self.mode.get(), 0x20, "eight bits, no parity");
        let (generator, divider) = self.speed.get();
        let baud = 48_000_000 / (generator * (divider + 1));
        assert!(baud.abs_diff(115_200) < 1152, "{baud} baud");
        true
    }

    /// Conditions of the FIFOs, which set bits in ISR as long as they last.
    fn conditions(&self) -> u32 {
        let (rx, tx) = (self.fifos.received(), self.fifos.waiting());
        let trigger = self.trigger.get() as usize;
        u32::from(trigger > 0 && rx >= trigger)
            | u32::from(rx == 0) << 1
            | u32::from(rx == 64) << 2
            | u32::from(tx == 0) << 3
            | u32::from(tx == 64) << 4
    }

    fn update(&self) {
        self.status.set(self.status.get() | self.conditions() | u32::from(self.fifos.overrun.take()) << 5);
    }
}

impl Model for Cadence {
    fn read(&self, offset: usize) -> u32 {
        self.update();
        match offset {
            0x14 => self.status.get(),
            0x2c => self.conditions(),
            0x30 => self.fifos.rx.borrow_mut().pop_front().expect("read while empty"),
            _ => panic!("read of register {offset:#x}"),
        }
    }

    fn write(&self, offset: usize, value: u32) {
        match offset {
            0x00 => {
                if value & 3 != 0 {
                    self.fifos.rx.borrow_mut().clear();
                    self.fifos.tx.borrow_mut().clear();
                }
                self.control.set(value);
            }
            0x04 => self.mode.set(value),
            0x08 => self.mask.set(self.mask.get() | value),
            0x0c => self.mask.set(self.mask.get() & !value),
            0x14 => self.status.set(self.status.get() & !value),
            0x18 => self.speed.set((value, self.speed.get().1)),
            0x1c => {}
            0x20 => self.trigger.set(value),
            0x30 if self.on() => self.fifos.send(value, 64),
            0x34 => self.speed.set((self.speed.get().0, value)),
            _ => panic!("write of register {offset:#x}"),
        }
        self.update();
    }

    fn level(&self) -> bool {
        self.update();
        self.status.get() & self.mask.get() != 0
    }

    fn receive(&self, byte: u8) -> bool {
        let fits = self.on() && self.fifos.push(byte.into(), 64);
        self.update();
        fits
    }

    fn receive_broken(&self) -> bool {
        self.fifos.push(0, 64);
        self.status.set(self.status.get() | 1 << 6);
        true
    }

    fn transmit(&self, most: usize) -> Vec<u8> {
        let out = self.fifos.transmit(most);
        self.update();
        out
    }
}

/// SNLS378, or BCM2835 ARM Peripherals 2.2.
pub(crate) struct Ns16550 {
    fifos: Fifos,
    stride: usize,
    depth: usize,
    mini: bool,
    enabled: Cell<u32>,
    /// The transmitter's interrupt is pending: it ran empty, or was enabled empty, and nobody has read IIR since.
    empty_pending: Cell<bool>,
    lcr: Cell<u32>,
    fifo_on: Cell<bool>,
    divisor: Cell<u32>,
    control: Cell<u32>,
}

impl Ns16550 {
    pub(crate) fn new(stride: usize, depth: usize) -> Self {
        Self {
            fifos: Fifos::default(),
            stride,
            depth,
            mini: false,
            enabled: Cell::new(0),
            empty_pending: Cell::new(false),
            lcr: Cell::new(0),
            fifo_on: Cell::new(false),
            divisor: Cell::new(0),
            control: Cell::new(0),
        }
    }

    pub(crate) fn mini() -> Self {
        Self { mini: true, ..Self::new(4, 8) }
    }

    fn on(&self) -> bool {
        assert_eq!(self.lcr.get(), 3, "eight bits");
        match self.mini {
            true => assert_eq!((self.divisor.get(), self.control.get()), (51, 3), "48 MHz / 8 / 52"),
            false => assert_eq!(self.divisor.get(), 26, "48 MHz / 16 / 26"),
        }
        true
    }

    fn room(&self) -> bool {
        match self.mini {
            true => self.fifos.waiting() < self.depth,
            false => self.fifos.waiting() == 0,
        }
    }

    fn interrupts(&self) -> u32 {
        let receive = self.enabled.get() & 1 != 0 && self.fifos.received() > 0;
        let send = self.enabled.get() & 2 != 0
            && if self.mini { self.fifos.waiting() == 0 } else { self.empty_pending.get() };
        let lets = !self.mini || self.enabled.get() & 0xc == 0xc;
        (u32::from(receive) | u32::from(send) << 1) * u32::from(lets)
    }

    fn status(&self) -> u32 {
        // Errors are those of the byte at the top, and reading them clears the overrun.
        let broken = self.fifos.rx.borrow().front().is_some_and(|entry| entry & 1 << 8 != 0);
        u32::from(self.fifos.received() > 0)
            | u32::from(self.fifos.overrun.take()) << 1
            | u32::from(broken) << 3
            | u32::from(self.room()) << 5
    }
}

impl Model for Ns16550 {
    fn read(&self, offset: usize) -> u32 {
        assert_eq!(offset % self.stride, 0);
        match offset / self.stride {
            0 => self.fifos.rx.borrow_mut().pop_front().expect("read while empty") & 0xff,
            2 => {
                let interrupts = self.interrupts();
                let fifo = u32::from(self.fifo_on.get() && self.depth > 1) * 0xc0;
                fifo | match interrupts {
                    0 => 1,
                    _ if interrupts & 1 != 0 => 4,
                    _ => {
                        self.empty_pending.set(false);
                        2
                    }
                }
            }
            5 => self.status(),
            number => panic!("read of register {number}"),
        }
    }

    fn write(&self, offset: usize, value: u32) {
        assert_eq!(offset % self.stride, 0);
        let divisor = self.lcr.get() & 0x80 != 0 && !self.mini;
        match offset / self.stride {
            0 if divisor => self.divisor.set(self.divisor.get() & 0xff00 | value),
            1 if divisor => self.divisor.set(self.divisor.get() & 0xff | value << 8),
            0 if self.on() => {
                self.empty_pending.set(false);
                self.fifos.send(value, self.depth);
            }
            1 => {
                let newly = value & !self.enabled.replace(value) & 2 != 0;
                if newly && self.fifos.waiting() == 0 {
                    self.empty_pending.set(true);
                }
            }
            2 => self.fifo_on.set(value & 1 != 0),
            3 => self.lcr.set(value),
            4 => {}
            8 if self.mini => self.control.set(value),
            10 if self.mini => self.divisor.set(value),
            number => panic!("write of register {number}"),
        }
    }

    fn level(&self) -> bool {
        self.interrupts() != 0
    }

    fn receive(&self, byte: u8) -> bool {
        self.on() && self.fifos.push(byte.into(), self.depth)
    }

    fn receive_broken(&self) -> bool {
        !self.mini && self.fifos.push(1 << 8, self.depth.max(2))
    }

    fn transmit(&self, most: usize) -> Vec<u8> {
        let before = self.fifos.waiting();
        let out = self.fifos.transmit(most);
        if before > 0 && self.fifos.waiting() == 0 {
            self.empty_pending.set(true);
        }
        out
    }
}
