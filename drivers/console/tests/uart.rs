//! The UART driver against a model of the hardware.

use fata_console::{Console, Error, Uart};
use fata_registers::Registers;
use fata_sim::{Rng, SimCpu, Tasks, World};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

const FIFO: usize = 32;
const RX: u32 = 1 << 4 | 1 << 6;
const TX: u32 = 1 << 5;

/// A PL011 whose interrupt is raised when a new condition becomes enabled and true, as Xen's vpl011 does it.
#[derive(Default)]
struct Model {
    rx: RefCell<VecDeque<u8>>,
    tx: RefCell<VecDeque<u8>>,
    overrun: Cell<bool>,
    enabled: Cell<u32>,
    raised: Cell<u32>,
    signalled: Cell<u32>,
    interrupt: Cell<bool>,
    reads_of_nothing: Cell<u32>,
}

impl Model {
    fn update(&self) {
        let now = self.raised.get() & self.enabled.get();
        if now & !self.signalled.replace(now) != 0 {
            self.interrupt.set(true);
        }
    }

    /// A byte comes in over the line.
    fn receive(&self, byte: u8) -> bool {
        if self.rx.borrow().len() == FIFO {
            self.overrun.set(true);
            return false;
        }
        self.rx.borrow_mut().push_back(byte);
        self.raised.set(self.raised.get() | RX);
        self.update();
        true
    }

    /// The line takes bytes out.
    fn transmit(&self, most: usize) -> Vec<u8> {
        let mut tx = self.tx.borrow_mut();
        let len = most.min(tx.len());
        let out = tx.drain(..len).collect();
        if tx.len() <= FIFO / 2 {
            self.raised.set(self.raised.get() | TX);
            self.update();
        }
        out
    }
}

struct Hardware(Rc<Model>);

impl Registers for Hardware {
    fn read(&self, offset: usize) -> u32 {
        let model = &self.0;
        match offset {
            0x00 => {
                let Some(byte) = model.rx.borrow_mut().pop_front() else {
                    model.reads_of_nothing.set(model.reads_of_nothing.get() + 1);
                    return 0;
                };
                if model.rx.borrow().is_empty() {
                    model.raised.set(model.raised.get() & !RX);
                    model.update();
                }
                u32::from(byte) | u32::from(model.overrun.take()) << 11
            }
            0x18 => {
                u32::from(model.rx.borrow().is_empty()) << 4 | u32::from(model.tx.borrow().len() == FIFO) << 5
            }
            0x40 => model.raised.get() & model.enabled.get(),
            _ => panic!("read of register {offset:#x}"),
        }
    }

    fn write(&self, offset: usize, value: u32) {
        let model = &self.0;
        match offset {
            0x00 => {
                assert!(model.tx.borrow().len() < FIFO, "written while full");
                model.tx.borrow_mut().push_back(value as u8);
                if model.tx.borrow().len() > FIFO / 2 {
                    model.raised.set(model.raised.get() & !TX);
                }
            }
            0x38 => model.enabled.set(value),
            _ => panic!("write of register {offset:#x}"),
        }
        model.update();
    }

    fn take_interrupt(&self) -> bool {
        self.0.interrupt.take()
    }

    fn rearm(&self) {}
}

fn uart() -> (Rc<Model>, Console<SimCpu>) {
    let model = Rc::new(Model::default());
    (model.clone(), Console::Uart(Uart::new(Box::new(Hardware(model)))))
}

#[test]
fn what_comes_in_goes_out_again_at_any_pace() {
    let len = if cfg!(miri) { 500 } else { 50_000 };
    let rng = RefCell::new(Rng::new());
    let sent = rng.borrow_mut().bytes(len);
    let (model, console) = uart();
    let world = World::new();
    let (at, out) = (Cell::new(0), RefCell::new(Vec::new()));
    let mut tasks = Tasks::new(&world);
    tasks.each_turn(|| {
        console.service();
        for _ in 0..rng.borrow_mut().within(0..20) {
            if at.get() < len && model.receive(sent[at.get()]) {
                at.set(at.get() + 1);
            }
        }
        let most = rng.borrow_mut().within(0..20);
        out.borrow_mut().extend(model.transmit(most));
    });
    tasks.spawn(async {
        let mut buffer = [0; 7];
        let mut left = len;
        while left > 0 {
            let read = console.read(&mut buffer).await.unwrap();
            let mut rest = &buffer[..read];
            while !rest.is_empty() {
                rest = &rest[console.write(rest).await.unwrap()..];
            }
            left -= read;
        }
    });
    // Keeps turns coming, as time does for real hardware.
    tasks.spawn(async {
        while out.borrow().len() < len {
            world.sleep(1).await;
        }
    });
    assert_eq!(tasks.run(), 0);
    drop(tasks);
    assert!(out.into_inner() == sent, "bytes differ");
    assert_eq!(model.reads_of_nothing.get(), 0);
}

#[test]
fn with_no_reader_bytes_stay_in_the_fifo_and_its_interrupt_is_off_until_there_is_room() {
    let (model, console) = uart();
    let mut received = 0;
    for _ in 0..10_000 {
        received += usize::from(model.receive(received as u8));
        console.service();
    }
    assert_eq!(received, 1024 + FIFO);
    assert_eq!(model.enabled.get() & RX, 0);
    let world = World::new();
    let got = RefCell::new(Vec::new());
    let mut tasks = Tasks::new(&world);
    tasks.each_turn(|| console.service());
    tasks.spawn(async {
        let mut buffer = [0; 100];
        while got.borrow().len() <= received {
            let read = console.read(&mut buffer).await.unwrap();
            got.borrow_mut().extend_from_slice(&buffer[..read]);
        }
    });
    assert_eq!(tasks.run(), 1);
    assert_eq!(*got.borrow(), (0..received).map(|i| i as u8).collect::<Vec<_>>());
    assert_eq!(model.enabled.get() & RX, RX);
    // And the next byte wakes the reader.
    model.receive(1);
    assert_eq!(tasks.run(), 0);
    let Console::Uart(uart) = &console else { unreachable!() };
    assert_eq!(uart.counts().overruns, 1);
}

#[test]
fn a_transmitter_that_is_stuck_stops_blocking_writes() {
    let (model, console) = uart();
    let mut written = 0;
    while let Ok(n) = console.write_blocking(&[b'x'; 10]) {
        written += n;
    }
    assert_eq!(written, FIFO);
    assert_eq!(console.write_blocking(b"y"), Err(Error::Stalled));
    model.transmit(1);
    assert_eq!(console.write_blocking(b"yz"), Ok(1));
}
