//! Each kind of controller against a model of its registers, behind a line that stays raised until it is answered.

mod models;

use fata_gpio::{Error, Gpio, Pin, Pull, chip};
use fata_registers::Registers;
use fata_sim::{Rng, Tasks, World};
use models::{Bcm, Model, Pl061, Zynq};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

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
        let take = self.0.model.raised() && !self.0.kept_away.get();
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

/// A controller of each kind, with two lines in different registers.
fn controllers() -> impl Iterator<Item = (&'static str, Rc<Wired>, Rc<Gpio>, [u32; 2])> {
    let kinds: [(&str, Box<dyn Model>, [u32; 2]); 4] = [
        ("arm,pl061", Box::new(Pl061::default()), [3, 7]),
        ("brcm,bcm2711-gpio", Box::new(Bcm::new(58)), [29, 42]),
        ("brcm,bcm2835-gpio", Box::new(Bcm::new(54)), [9, 53]),
        ("xlnx,zynqmp-gpio-1.0", Box::new(Zynq::default()), [22, 173]),
    ];
    kinds.into_iter().map(|(compatible, model, lines)| {
        model.leave_on();
        let wired = Rc::new(Wired { model, kept_away: Cell::new(false), taken: Cell::new(0) });
        let driver = chip(|name| name == compatible).expect(compatible);
        (compatible, wired.clone(), Gpio::new(driver, Box::new(Wires(wired))), lines)
    })
}

#[test]
fn lamps_are_on_and_off_and_nothing_else_changes() {
    for (kind, wired, gpio, lines) in controllers() {
        let [one, two] = lines;
        let before: Vec<_> = (0..8).map(|line| wired.model.driven(line)).collect();
        let lamp = gpio.output(Pin::new(one, 0), false).unwrap();
        let inverted = gpio.output(Pin::new(two, 1), false).unwrap();
        assert_eq!((wired.model.driven(one), wired.model.driven(two)), (Some(false), Some(true)), "{kind}");
        for n in 0..6 {
            lamp.set(n % 2 == 0);
            inverted.set(n % 3 == 0);
            assert_eq!(wired.model.driven(one), Some(n % 2 == 0), "{kind}");
            assert_eq!(wired.model.driven(two), Some(n % 3 != 0), "{kind}");
            assert!(lamp.is_on() == (n % 2 == 0) && lamp.is_obeyed() && inverted.is_obeyed());
        }
        for line in (0..8).filter(|line| !lines.contains(line)) {
            assert_eq!(wired.model.driven(line), before[line as usize], "{kind}: line {line}");
        }
        assert_eq!(wired.taken.get(), 0);
        // It never drove the other level, not even for a moment.
        assert!(!wired.model.glitched(), "{kind}");
    }
}

#[test]
fn lines_are_had_once_and_only_those_there_are() {
    for (kind, wired, gpio, [one, _]) in controllers() {
        let lines = wired.model.lines();
        let refused = gpio.output(Pin::new(lines, 0), true).unwrap_err();
        assert_eq!(refused, Error::NoLine { line: lines, lines }, "{kind}");
        assert!(gpio.input(Pin::new(u32::MAX, 0)).is_err());
        let _lamp = gpio.output(Pin::new(one, 0), true).unwrap();
        assert_eq!(gpio.input(Pin::new(one, 0)).unwrap_err(), Error::Claimed);
        assert!(gpio.output(Pin::new(lines - 1, 0), true).is_ok());
    }
    assert_eq!(Error::NoLine { line: 9, lines: 8 }.to_string(), "there is no line 9, they end at 7");
}

#[test]
fn a_press_is_seen_once_however_the_contact_bounces() {
    for (kind, wired, gpio, [one, two]) in controllers() {
        // A press pulls it down.
        let button = gpio.input(Pin::new(one, 1 | 1 << 4)).unwrap();
        let other = gpio.input(Pin::new(two, 0)).unwrap();
        if kind == "brcm,bcm2711-gpio" {
            assert_eq!(wired.model.pull(one), Some(1));
        }
        let world = World::new();
        let rng = RefCell::new(Rng::new());
        let seen = RefCell::new(Vec::new());
        {
            let mut tasks = Tasks::new(&world);
            tasks.each_turn(|| gpio.service());
            tasks.spawn(async {
                for _ in 0..20 {
                    let on = button.changed(async || world.sleep(5_000_000).await).await;
                    seen.borrow_mut().push(on);
                }
            });
            tasks.spawn(async {
                let press = async |down: bool| {
                    let bounces = 2 * rng.borrow_mut().within(0..6);
                    for _ in 0..bounces {
                        let level = !wired.model.outside(one);
                        wired.model.set_outside(one, level);
                        world.sleep(100_000).await;
                    }
                    wired.model.set_outside(one, !down);
                    world.sleep(50_000_000).await;
                };
                for _ in 0..10 {
                    press(true).await;
                    press(false).await;
                    // A spike is no press.
                    wired.model.set_outside(one, false);
                    world.sleep(1_000_000).await;
                    wired.model.set_outside(one, true);
                    world.sleep(50_000_000).await;
                }
            });
            assert_eq!(tasks.run(), 0, "{kind}");
        }
        assert_eq!(*seen.borrow(), [true, false].repeat(10), "{kind}");
        assert!(button.edges() >= 40 && other.edges() == 0, "{kind}: {button:?} {other:?}");
        assert!(!wired.model.raised(), "{kind}: the line stays raised");
    }
}

#[test]
fn a_press_before_anybody_waits_is_not_lost() {
    for (kind, wired, gpio, [one, _]) in controllers() {
        let button = gpio.input(Pin::new(one, 0)).unwrap();
        let was = button.is_on();
        wired.model.set_outside(one, !was);
        let world = World::new();
        let mut tasks = Tasks::new(&world);
        tasks.each_turn(|| gpio.service());
        tasks.spawn(async {
            assert_eq!(button.changed(async || world.sleep(5_000_000).await).await, !was);
        });
        assert_eq!(tasks.run(), 0, "{kind}");
    }
}

#[test]
fn flags_are_those_of_the_bindings() {
    assert_eq!(Pin::new(3, 0), Pin { line: 3, active_low: false, pull: Pull::AsIs });
    assert_eq!(Pin::new(3, 0x11), Pin { line: 3, active_low: true, pull: Pull::Up });
    assert_eq!(Pin::new(3, 0x20).pull, Pull::Down);
    assert_eq!(Pin::new(3, u32::MAX), Pin { line: 3, active_low: true, pull: Pull::AsIs });
    assert!(chip(|name| name == "arm,pl011").is_none());
}
