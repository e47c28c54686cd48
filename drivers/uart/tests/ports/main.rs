//! Each kind of port against a model of its registers, behind a line that stays raised until it is answered.

mod models;

use fata_registers::Registers;
use fata_sim::{Rng, Tasks, World};
use fata_uart::{Chip, Speed, Uart, chip};
use models::{Cadence, Model, Ns16550, Pl011};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// A model, and an interrupt controller that keeps an interrupt away from when it is taken until it is let through.
struct Wired {
    model: Box<dyn Model>,
    kept_away: Cell<bool>,
    taken: Cell<u64>,
}

struct Wires(Rc<Wired>);

impl Registers for Wires {
    fn read(&self, offset: usize) -> u32 {
        self.0.model.read(offset)
    }
    fn write(&self, offset: usize, value: u32) {
        self.0.model.write(offset, value);
    }
    fn take_interrupt(&self) -> bool {
        let take = self.0.model.level() && !self.0.kept_away.get();
        if take {
            self.0.kept_away.set(true);
            self.0.taken.set(self.0.taken.get() + 1);
        }
        take
    }
    fn rearm(&self) {
        self.0.kept_away.set(false);
    }
}

const SPEED: Speed = Speed { clock_hz: 48_000_000, baud: 115_200 };

/// A port of each kind, by what it is compatible with.
fn ports() -> impl Iterator<Item = (&'static str, Rc<Wired>, Uart)> {
    let kinds: [(&str, usize, Box<dyn Model>); 6] = [
        ("arm,pl011", 1, Box::new(Pl011::default())),
        ("cdns,uart-r1p12", 1, Box::new(Cadence::default())),
        ("ns16550a", 1, Box::new(Ns16550::new(1, 16))),
        ("snps,dw-apb-uart", 4, Box::new(Ns16550::new(4, 16))),
        // A 16450, which has no FIFO.
        ("ns16550", 2, Box::new(Ns16550::new(2, 1))),
        ("brcm,bcm2835-aux-uart", 1, Box::new(Ns16550::mini())),
    ];
    kinds.into_iter().map(|(compatible, stride, model)| {
        let wired = Rc::new(Wired { model, kept_away: Cell::new(false), taken: Cell::new(0) });
        let driver = chip(|name| name == compatible, stride).expect(compatible);
        (compatible, wired.clone(), Uart::set_up(driver, Box::new(Wires(wired)), Some(SPEED)))
    })
}

#[test]
fn what_comes_in_goes_out_again_at_any_pace() {
    let len = if cfg!(miri) { 200 } else { 20_000 };
    for (kind, wired, uart) in ports() {
        let rng = RefCell::new(Rng::new());
        let sent = rng.borrow_mut().bytes(len);
        let world = World::new();
        let (at, out) = (Cell::new(0), RefCell::new(Vec::new()));
        let mut tasks = Tasks::new(&world);
        tasks.each_turn(|| {
            uart.service();
            for _ in 0..rng.borrow_mut().within(0..20) {
                if at.get() < len && wired.model.receive(sent[at.get()]) {
                    at.set(at.get() + 1);
                }
            }
            let most = rng.borrow_mut().within(0..20);
            out.borrow_mut().extend(wired.model.transmit(most));
        });
        tasks.spawn(async {
            let mut buffer = [0; 7];
            let mut left = len;
            while left > 0 {
                let read = uart.read(&mut buffer).await;
                let mut rest = &buffer[..read];
                while !rest.is_empty() {
                    rest = &rest[uart.write(rest).await..];
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
        assert_eq!(tasks.run(), 0, "{kind}");
        drop(tasks);
        assert!(out.into_inner() == sent, "{kind}: bytes differ");
        // What found the FIFO full came again.
        assert_eq!(uart.counts().broken, 0, "{kind}");
        world.assert_cleaned_up();
    }
}

#[test]
fn a_port_at_rest_interrupts_nobody() {
    for (kind, wired, uart) in ports() {
        let mut buffer = [0; 8];
        assert!(!wired.model.level(), "{kind}: interrupts at once");
        for byte in 0..100 {
            assert!(wired.model.receive(byte));
            let before = wired.taken.get();
            for _ in 0..5 {
                uart.service();
            }
            assert_eq!(uart.try_read(&mut buffer), Some(1), "{kind}");
            assert_eq!(buffer[0], byte);
            assert_eq!(uart.try_write(&buffer[..1]), Some(1), "{kind}");
            assert_eq!(wired.model.transmit(10), [byte], "{kind}");
            for _ in 0..5 {
                uart.service();
            }
            // One for the byte, and maybe one for what had not been cleared by then.
            assert!(wired.taken.get() - before <= 2, "{kind}: {} interrupts", wired.taken.get() - before);
            assert!(!wired.model.level(), "{kind}: the line stays raised");
        }
    }
}

#[test]
fn with_no_reader_the_interrupt_is_off_until_there_is_room() {
    for (kind, wired, uart) in ports() {
        let mut received = 0;
        for _ in 0..10_000 {
            received += usize::from(wired.model.receive(received as u8));
            uart.service();
        }
        assert!((1024..2000).contains(&received), "{kind}: {received}");
        // Nobody reads, so nothing raises the line.
        let taken = wired.taken.get();
        for _ in 0..10 {
            uart.service();
        }
        assert_eq!(wired.taken.get(), taken, "{kind}");
        let (mut got, mut buffer) = (Vec::new(), [0; 100]);
        while let Some(read) = uart.try_read(&mut buffer) {
            got.extend_from_slice(&buffer[..read]);
        }
        assert_eq!(got, (0..received).map(|i| i as u8).collect::<Vec<_>>(), "{kind}");
        wired.model.receive(7);
        uart.service();
        assert_eq!(uart.try_read(&mut buffer), Some(1), "{kind}: deaf from now on");
        assert!(uart.counts().overruns > 0, "{kind}: {:?}", uart.counts());
    }
}

#[test]
fn what_is_no_byte_is_counted() {
    for (kind, wired, uart) in ports() {
        if wired.model.receive_broken() {
            uart.service();
            assert!(wired.model.receive(b'x'));
            uart.service();
            let mut buffer = [0; 8];
            assert_eq!(uart.counts().broken, 1, "{kind}");
            let read = uart.try_read(&mut buffer).unwrap();
            assert_eq!(buffer[read - 1], b'x', "{kind}");
        }
    }
}

#[test]
fn a_transmitter_that_is_stuck_holds_up_nothing_for_ever() {
    for (kind, wired, uart) in ports() {
        let mut written = 0;
        while let Ok(n) = uart.write_blocking(&[b'x'; 10]) {
            written += n;
        }
        assert!((1..=64).contains(&written), "{kind}: {written}");
        wired.model.transmit(64);
        assert!(uart.write_blocking(b"yz").is_ok(), "{kind}");
    }
}

#[test]
fn ports_that_give_nonsense_are_no_danger() {
    struct Noise(RefCell<Rng>);
    impl Registers for Noise {
        fn read(&self, _: usize) -> u32 {
            self.0.borrow_mut().number() as u32
        }
        fn write(&self, _: usize, _: u32) {}
        fn take_interrupt(&self) -> bool {
            true
        }
        fn rearm(&self) {}
    }
    struct Constant(u32);
    impl Registers for Constant {
        fn read(&self, _: usize) -> u32 {
            self.0
        }
        fn write(&self, _: usize, _: u32) {}
        fn take_interrupt(&self) -> bool {
            true
        }
        fn rearm(&self) {}
    }
    let names = ["arm,pl011", "cdns,uart-r1p12", "ns16550a", "brcm,bcm2835-aux-uart"];
    for name in names {
        let registers: [Box<dyn Registers>; 3] =
            [Box::new(Noise(RefCell::new(Rng::new()))), Box::new(Constant(0)), Box::new(Constant(u32::MAX))];
        for registers in registers {
            let uart = Uart::set_up(chip(|n| n == name, 4).unwrap(), registers, None);
            let mut buffer = [0; 64];
            for _ in 0..1000 {
                uart.service();
                let _ = uart.try_write(b"abc");
                let _ = uart.try_read(&mut buffer);
            }
        }
    }
}

#[test]
fn what_is_no_port_has_no_driver() {
    assert!(chip(|name| name == "arm,pl061", 1).is_none());
    assert_eq!(chip(|name| name == "xlnx,xuartps", 1).unwrap().name(), "Cadence UART");
}
