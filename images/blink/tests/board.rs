//! The whole application on a tree that Xen wrote, with a lamp, a button and a serial port in a process.

use blink::{Opened, app};
use fata_boot::info::BootInfo;
use fata_registers::Registers;
use fata_rt::Rt;
use fata_sim::{Paper, alone};
use fata_xenvm_arm64::dt;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

const TREE: &[u8] = include_bytes!("../../../tests/fuzz/corpus/device-trees/dom0less-passthrough-gicv3.dtb");

/// As much of a PL061 as a lamp and a button take.
#[derive(Default)]
struct Pins {
    driven: Cell<u32>,
    outputs: Cell<u32>,
    outside: Cell<u32>,
    edges: Cell<u32>,
    changes: Cell<u32>,
    /// Nothing that is written has an effect.
    dead: bool,
}

impl Pins {
    fn set_outside(&self, levels: u32) {
        self.edges.set(self.edges.get() | (self.outside.replace(levels) ^ levels));
    }
}

struct PinsOf(Rc<Pins>);

impl Registers for PinsOf {
    fn read(&self, offset: usize) -> u32 {
        let pins = &self.0;
        match offset {
            0..0x400 => {
                let outputs = pins.outputs.get();
                (pins.driven.get() & outputs | pins.outside.get() & !outputs) & (offset as u32 >> 2)
            }
            0x400 => pins.outputs.get(),
            0x414 => pins.edges.get(),
            _ => 0,
        }
    }
    fn write(&self, offset: usize, value: u32) {
        let pins = &self.0;
        match offset {
            _ if pins.dead => {}
            0..0x400 => {
                let mask = offset as u32 >> 2;
                let driven = pins.driven.get() & !mask | value & mask;
                pins.changes.set(pins.changes.get() + u32::from(pins.driven.replace(driven) != driven));
            }
            0x400 => pins.outputs.set(value),
            0x41c => pins.edges.set(pins.edges.get() & !value),
            _ => {}
        }
    }
    fn take_interrupt(&self) -> bool {
        self.0.edges.get() != 0
    }
    fn rearm(&self) {}
}

/// As much of a PL011 as bytes both ways take.
#[derive(Default)]
struct Port {
    to: RefCell<VecDeque<u8>>,
    from: RefCell<Vec<u8>>,
    baud: RefCell<Vec<(usize, u32)>>,
}

struct PortOf(Rc<Port>);

impl Registers for PortOf {
    fn read(&self, offset: usize) -> u32 {
        match offset {
            0x00 => self.0.to.borrow_mut().pop_front().expect("read while empty").into(),
            0x18 => u32::from(self.0.to.borrow().is_empty()) << 4,
            _ => 0,
        }
    }
    fn write(&self, offset: usize, value: u32) {
        match offset {
            0x00 => self.0.from.borrow_mut().push(value as u8),
            0x24 | 0x28 => self.0.baud.borrow_mut().push((offset, value)),
            _ => {}
        }
    }
    fn take_interrupt(&self) -> bool {
        !self.0.to.borrow().is_empty()
    }
    fn rearm(&self) {}
}

struct Board {
    pins: Rc<Pins>,
    port: Rc<Port>,
    opened: RefCell<Vec<usize>>,
}

impl Board {
    fn new(dead: bool) -> Self {
        let pins = Pins { dead, ..Pins::default() };
        Self { pins: Rc::new(pins), port: Rc::default(), opened: RefCell::default() }
    }

    fn open(&self, device: usize, interrupts: bool) -> Option<Opened> {
        self.opened.borrow_mut().push(device);
        let registers: Box<dyn Registers> = match device {
            0 => Box::new(PinsOf(self.pins.clone())),
            1 => Box::new(PortOf(self.port.clone())),
            _ => panic!("device {device} is none to drive"),
        };
        Some(Opened { registers, interrupts })
    }
}

/// What blink says with this command line, while `meanwhile` happens.
fn run(
    cmdline: &str,
    open: &dyn Fn(usize) -> Option<Opened>,
    meanwhile: impl AsyncFnOnce(Rt) + 'static,
) -> String {
    let info = BootInfo { cmdline, ..dt::parse(TREE).unwrap() };
    let paper = Paper::default();
    let console = paper.clone();
    alone(async |rt| {
        let rt2 = rt.clone();
        drop(rt.spawn(async move { meanwhile(rt2).await }));
        app(rt, console, &info, open).await.unwrap();
    });
    paper.take()
}

#[test]
fn a_lamp_a_button_and_a_serial_port() {
    let board = Rc::new(Board::new(false));
    let (pins, port) = (board.pins.clone(), board.port.clone());
    let said = run("period=100 times=20", &|device| board.open(device, true), async move |rt| {
        rt.sleep(Duration::from_millis(120)).await;
        port.to.borrow_mut().extend(b"hello\rboard\r");
        pins.set_outside(1 << 3);
        rt.sleep(Duration::from_millis(120)).await;
        pins.set_outside(0);
        rt.sleep(Duration::from_millis(120)).await;
        // Too short to be a press.
        pins.set_outside(1 << 3);
        rt.sleep(Duration::from_millis(1)).await;
        pins.set_outside(0);
    });
    for line in [
        "pins: PL061\n",
        "lamp act: changes every 50 ms\n",
        "button button: released\n",
        "serial port serial@9040000: PL011\n",
        "serial port serial@9040000: 12 bytes echoed\n",
        "button button: pressed\nbutton button: released\nSUCCESS: 20 changes, 1 presses, 12 bytes echoed",
    ] {
        assert!(said.contains(line), "{line:?} is not in\n{said}");
    }
    assert_eq!(said.matches("pressed").count(), 1, "{said}");
    assert_eq!((board.pins.changes.get(), board.pins.outputs.get()), (20, 1 << 5));
    assert_eq!(*board.port.from.borrow(), b"blink echoes what comes.\r\nhello\rboard\r");
    assert_eq!(*board.opened.borrow(), [0, 1]);
    // The tree does not say what clocks the port.
    assert!(board.port.baud.borrow().is_empty());
}

#[test]
fn what_cannot_be_driven_is_said() {
    let board = Board::new(true);
    let said = run("times=2", &|device| board.open(device, false), async |_| {});
    for line in [
        "gpio@9030000 has no interrupt\n",
        "serial@9040000 has no interrupt\n",
        "button button: its pin does not interrupt\n",
        "lamp act: its line does not follow\n",
    ] {
        assert!(said.contains(line), "{line:?} is not in\n{said}");
    }
    let said = run("", &|_| None, async |_| {});
    for line in [
        "gpio@9030000 cannot be opened\n",
        "lamp act: its pin is at a device that cannot be driven\n",
        "FAILURE: nothing to drive was passed through\n",
    ] {
        assert!(said.contains(line), "{line:?} is not in\n{said}");
    }
    let said = run("period=100 blnk", &|_| panic!("opened"), async |_| {});
    assert_eq!(said, "FAILURE: the command line makes no sense at \"blnk\"\n");
}
