//! Registers of controllers, as the manuals that the drivers cite describe them; written apart from the drivers.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

pub(crate) trait Model {
    fn read(&self, offset: usize) -> u32;
    fn write(&self, offset: usize, value: u32);
    /// Leaves interrupts on, as firmware might.
    fn leave_on(&self);
    /// Whether the interrupt line is raised.
    fn raised(&self) -> bool;
    fn lines(&self) -> u32;
    /// The level that a line is driven to, if it is an output.
    fn driven(&self, line: u32) -> Option<bool>;
    /// What is outside drives a line.
    fn set_outside(&self, line: u32, high: bool);
    fn outside(&self, line: u32) -> bool;
    fn pull(&self, _: u32) -> Option<u32> {
        None
    }
    /// Whether a line became an output at one level and was set to the other at once.
    fn glitched(&self) -> bool {
        false
    }
}

/// What is outside: high where nothing is.
#[derive(Default)]
struct Outside(RefCell<HashMap<u32, bool>>);

impl Outside {
    fn level(&self, line: u32) -> bool {
        self.0.borrow().get(&line).copied().unwrap_or(true)
    }

    /// Gives whether that was an edge.
    fn set(&self, line: u32, high: bool) -> bool {
        let before = self.level(line);
        self.0.borrow_mut().insert(line, high);
        before != high
    }
}

/// ARM DDI 0190.
#[derive(Default)]
pub(crate) struct Pl061 {
    outside: Outside,
    data: Cell<u32>,
    direction: Cell<u32>,
    level_sensitive: Cell<u32>,
    both: Cell<u32>,
    enabled: Cell<u32>,
    raw: Cell<u32>,
    alternate: Cell<u32>,
}

impl Pl061 {
    fn levels(&self) -> u32 {
        (0..8).fold(0, |all, line| {
            let high = match self.direction.get() >> line & 1 {
                1 => self.data.get() >> line & 1 == 1,
                _ => self.outside.level(line),
            };
            all | u32::from(high) << line
        })
    }
}

impl Model for Pl061 {
    fn read(&self, offset: usize) -> u32 {
        match offset {
            0..0x400 => self.levels() & (offset as u32 >> 2),
            0x400 => self.direction.get(),
            0x404 => self.level_sensitive.get(),
            0x408 => self.both.get(),
            0x410 => self.enabled.get(),
            0x414 => self.raw.get(),
            0x420 => self.alternate.get(),
            _ => panic!("read of register {offset:#x}"),
        }
    }

    fn write(&self, offset: usize, value: u32) {
        assert!(value < 256);
        match offset {
            0..0x400 => {
                let mask = offset as u32 >> 2;
                self.data.set(self.data.get() & !mask | value & mask);
            }
            0x400 => self.direction.set(value),
            0x404 => self.level_sensitive.set(value),
            0x408 => self.both.set(value),
            0x410 => self.enabled.set(value),
            0x41c => self.raw.set(self.raw.get() & !value),
            0x420 => self.alternate.set(value),
            _ => panic!("write of register {offset:#x}"),
        }
    }

    fn leave_on(&self) {
        self.enabled.set(0xff);
        self.raw.set(0x81);
        self.alternate.set(0xff);
    }

    fn raised(&self) -> bool {
        self.raw.get() & self.enabled.get() != 0
    }

    fn lines(&self) -> u32 {
        8
    }

    fn driven(&self, line: u32) -> Option<bool> {
        let is_output = (self.direction.get() & !self.alternate.get()) >> line & 1 == 1;
        is_output.then_some(self.data.get() >> line & 1 == 1)
    }

    fn set_outside(&self, line: u32, high: bool) {
        let watched = self.both.get() & !self.level_sensitive.get() & !self.direction.get();
        if self.outside.set(line, high) && watched >> line & 1 == 1 {
            self.raw.set(self.raw.get() | 1 << line);
        }
    }

    fn outside(&self, line: u32) -> bool {
        self.outside.level(line)
    }
}

/// BCM2711 ARM Peripherals, chapter 5.
pub(crate) struct Bcm {
    outside: Outside,
    lines: u32,
    registers: RefCell<HashMap<usize, u32>>,
    latch: Cell<u64>,
    events: Cell<u64>,
}

impl Bcm {
    pub(crate) fn new(lines: u32) -> Self {
        Self {
            outside: Outside::default(),
            lines,
            registers: RefCell::default(),
            latch: Cell::new(0),
            events: Cell::new(0),
        }
    }

    fn function(&self, line: u32) -> u32 {
        self.plain(4 * (line / 10) as usize) >> (line % 10 * 3) & 7
    }

    fn plain(&self, offset: usize) -> u32 {
        self.registers.borrow().get(&offset).copied().unwrap_or(0)
    }

    fn pair(&self, offset: usize) -> u64 {
        u64::from(self.plain(offset)) | u64::from(self.plain(offset + 4)) << 32
    }

    fn high(&self, line: u32) -> bool {
        self.driven(line).unwrap_or_else(|| self.outside.level(line))
    }
}

impl Model for Bcm {
    fn read(&self, offset: usize) -> u32 {
        let bank = |first: usize| 32 * ((offset - first) as u32 / 4);
        match offset {
            0x00..=0x14 | 0x4c | 0x50 | 0x58 | 0x5c => self.plain(offset),
            0xe4..=0xf0 if self.lines == 58 => self.plain(offset),
            0x34 | 0x38 => {
                let first = bank(0x34);
                (first..self.lines.min(first + 32))
                    .fold(0, |all, line| all | u32::from(self.high(line)) << (line % 32))
            }
            0x40 | 0x44 => (self.events.get() >> bank(0x40)) as u32,
            _ => panic!("read of register {offset:#x}"),
        }
    }

    fn write(&self, offset: usize, value: u32) {
        let wide = |first: usize| u64::from(value) << (8 * (offset - first));
        match offset {
            0x1c | 0x20 => self.latch.set(self.latch.get() | wide(0x1c)),
            0x28 | 0x2c => self.latch.set(self.latch.get() & !wide(0x28)),
            0x40 | 0x44 => self.events.set(self.events.get() & !wide(0x40)),
            0x00..=0x14 | 0x4c | 0x50 | 0x58 | 0x5c => {
                self.registers.borrow_mut().insert(offset, value);
            }
            0x64 | 0x68 | 0x70 | 0x74 | 0x7c | 0x80 | 0x88 | 0x8c => {
                self.registers.borrow_mut().insert(offset, value);
            }
            0xe4..=0xf0 if self.lines == 58 => {
                self.registers.borrow_mut().insert(offset, value);
            }
            _ => panic!("write of register {offset:#x}"),
        }
    }

    fn leave_on(&self) {
        self.events.set(1 << 5 | 1 << 40);
        self.registers.borrow_mut().extend([(0x4c, 1 << 5), (0x70, 1 << 3)]);
    }

    fn raised(&self) -> bool {
        assert_eq!(self.pair(0x64) | self.pair(0x70), 0, "levels are watched");
        self.events.get() != 0
    }

    fn lines(&self) -> u32 {
        self.lines
    }

    fn driven(&self, line: u32) -> Option<bool> {
        (self.function(line) == 1).then_some(self.latch.get() >> line & 1 == 1)
    }

    fn set_outside(&self, line: u32, high: bool) {
        let watched = self.pair(if high { 0x4c } else { 0x58 });
        if self.outside.set(line, high) && self.function(line) == 0 && watched >> line & 1 == 1 {
            self.events.set(self.events.get() | 1 << line);
        }
    }

    fn outside(&self, line: u32) -> bool {
        self.outside.level(line)
    }

    fn pull(&self, line: u32) -> Option<u32> {
        Some(self.plain(0xe4 + 4 * (line / 16) as usize) >> (line % 16 * 2) & 3)
    }
}

/// UG1087, module GPIO.
#[derive(Default)]
pub(crate) struct Zynq {
    outside: Outside,
    /// Of each bank: data, direction, output on, interrupts on, interrupts, edges, both.
    banks: [[Cell<u32>; 7]; 6],
    glitched: Cell<bool>,
}

const FIRST: [u32; 7] = [0, 26, 52, 78, 110, 142, 174];

impl Zynq {
    fn place(line: u32) -> (usize, u32) {
        let bank = (0..6).find(|bank| line < FIRST[bank + 1]).unwrap();
        (bank, line - FIRST[bank])
    }
}

impl Model for Zynq {
    fn read(&self, offset: usize) -> u32 {
        if let 0x60..0x78 = offset {
            let bank = (offset - 0x60) / 4;
            return (FIRST[bank]..FIRST[bank + 1]).fold(0, |all, line| {
                let high = self.driven(line).unwrap_or_else(|| self.outside.level(line));
                all | u32::from(high) << (line - FIRST[bank])
            });
        }
        let [_, direction, on, _, interrupts, edges, both] = &self.banks[(offset - 0x204) / 0x40];
        match (offset - 0x204) % 0x40 {
            0x00 => direction.get(),
            0x04 => on.get(),
            0x14 => interrupts.get(),
            0x18 => edges.get(),
            0x20 => both.get(),
            _ => panic!("read of register {offset:#x}"),
        }
    }

    fn write(&self, offset: usize, value: u32) {
        if offset < 0x30 {
            let (bank, shift) = (offset / 8, offset % 8 / 4 * 16);
            let lines = (!(value >> 16) & 0xffff) << shift;
            let data = &self.banks[bank][0];
            data.set(data.get() & !lines | (value & 0xffff) << shift & lines);
            return;
        }
        let [_, direction, on, enabled, interrupts, edges, both] = &self.banks[(offset - 0x204) / 0x40];
        match (offset - 0x204) % 0x40 {
            0x00 => direction.set(value),
            0x04 => {
                self.glitched.set(self.glitched.get() || value & !direction.get() != 0);
                on.set(value);
            }
            0x0c => enabled.set(enabled.get() | value),
            0x10 => enabled.set(enabled.get() & !value),
            0x14 => interrupts.set(interrupts.get() & !value),
            0x18 => edges.set(value),
            0x20 => both.set(value),
            _ => panic!("write of register {offset:#x}"),
        }
    }

    fn leave_on(&self) {
        self.banks[2][3].set(1 << 7);
        self.banks[2][4].set(1 << 7);
    }

    fn raised(&self) -> bool {
        self.banks.iter().any(|bank| bank[3].get() & bank[4].get() != 0)
    }

    fn lines(&self) -> u32 {
        FIRST[6]
    }

    fn driven(&self, line: u32) -> Option<bool> {
        let (bank, within) = Self::place(line);
        let [data, direction, on, ..] = &self.banks[bank];
        (direction.get() & on.get() & 1 << within != 0).then_some(data.get() & 1 << within != 0)
    }

    fn set_outside(&self, line: u32, high: bool) {
        let (bank, within) = Self::place(line);
        let [.., interrupts, edges, both] = &self.banks[bank];
        if self.outside.set(line, high) && edges.get() & both.get() & 1 << within != 0 {
            interrupts.set(interrupts.get() | 1 << within);
        }
    }

    fn outside(&self, line: u32) -> bool {
        self.outside.level(line)
    }

    fn glitched(&self) -> bool {
        self.glitched.get()
    }
}
