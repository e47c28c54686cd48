//! Sensor, logger and console in three guests of the simulator, without Xenstore.
#![forbid(unsafe_code)]

use embedded_io_async::{ErrorType, Read, Write};
use fata_devices::conduit::Vchans;
use fata_kit::Gone;
use fata_rt::{Executor, Rt};
use fata_sim::{Page, Rng, Setup, SimCpu, Store, World};
use fata_vchan::StaticPlace;
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use xen_hyp::{PAGE_SIZE, SharedMem, Xen};

const AT: [u64; 2] = [0x3400_0000, 0x3410_0000];
const TICK_NS: u64 = 1_000_000;

/// A serial line and somebody at its end.
#[derive(Clone, Default)]
struct Serial(Rc<RefCell<Line>>);

#[derive(Default)]
struct Line {
    typed: Vec<u8>,
    shown: String,
    waits: Option<Waker>,
}

impl Serial {
    fn type_in(&self, text: &str) {
        let mut line = self.0.borrow_mut();
        line.typed.extend_from_slice(text.as_bytes());
        line.waits.take().into_iter().for_each(Waker::wake);
    }

    fn shown(&self) -> String {
        self.0.borrow().shown.clone()
    }
}

impl ErrorType for Serial {
    type Error = Infallible;
}

impl Read for Serial {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Infallible> {
        poll_fn(|cx| {
            let mut line = self.0.borrow_mut();
            let len = into.len().min(line.typed.len());
            if len == 0 {
                line.waits = Some(cx.waker().clone());
                return Poll::Pending;
            }
            into[..len].copy_from_slice(&line.typed[..len]);
            line.typed.drain(..len);
            Poll::Ready(Ok(len))
        })
        .await
    }
}

impl Write for Serial {
    async fn write(&mut self, from: &[u8]) -> Result<usize, Infallible> {
        self.0.borrow_mut().shown += &String::from_utf8_lossy(from);
        Ok(from.len())
    }
    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

struct Guest {
    xen: Rc<Xen<SimCpu>>,
    executor: Executor,
    serial: Serial,
    statics: Vec<(String, StaticPlace)>,
    /// It has crashed, and Xen keeps it as it is.
    crashed: Cell<bool>,
}

impl Guest {
    fn new(xen: Rc<Xen<SimCpu>>) -> Self {
        let executor = Executor::new(xen.clone());
        let (serial, statics, crashed) = (Serial::default(), Vec::new(), Cell::new(false));
        Self { xen, executor, serial, statics, crashed }
    }

    fn start<F: Future<Output = Result<(), Gone>> + 'static>(
        &self,
        app: impl FnOnce(Rt, Vchans<SimCpu>, Serial) -> F,
    ) {
        let rt = self.executor.rt();
        let vchans = Vchans::new(&rt, &self.xen, None).with_statics(self.statics.clone());
        drop(rt.spawn(app(rt.clone(), vchans, self.serial.clone())));
    }

    fn is_shown(&self, words: &str) -> bool {
        self.serial.shown().contains(words)
    }
}

struct Three {
    world: World,
    sensor: Guest,
    logger: Guest,
    console: Guest,
}

/// Lays a vchan out between two, by the names that each has for the other.
fn lay(world: &World, at: u64, memory: &Rc<Page>, server: (&mut Guest, &str), client: (&mut Guest, &str)) {
    let [a, b] = [&server.0.xen, &client.0.xen].map(|xen| xen.platform().domain().clone());
    let (a_port, b_port) = world.static_event_channel(&a, &b);
    for ((guest, name), port, serve) in [(server, a_port, true), (client, b_port, false)] {
        guest.xen.platform().domain().pass(at, memory);
        let place = StaticPlace { at, size: memory.size(), port, serve };
        guest.statics.push((name.to_owned(), place));
    }
}

impl Three {
    fn new() -> Self {
        let (world, mut rng) = (World::new(), Rng::new());
        let guest = || Guest::new(world.guest_with(Setup { store: Store::Absent, ..Setup::default() }));
        let (mut sensor, mut logger, mut console) = (guest(), guest(), guest());
        let memory = AT.map(|_| {
            let memory = world.spare_memory(1);
            memory.copy_out(0, &rng.bytes(PAGE_SIZE));
            memory
        });
        lay(&world, AT[0], &memory[0], (&mut logger, "sensor"), (&mut sensor, "logger"));
        lay(&world, AT[1], &memory[1], (&mut logger, "console"), (&mut console, "logger"));
        Self { world, sensor, logger, console }
    }

    fn start_sensor(&self) {
        self.sensor.start(|rt, vchans, serial| sensor::app(rt, vchans, serial, "every=100"));
    }

    fn start_logger(&self) {
        self.logger.start(|rt, vchans, serial| logger::app(rt, vchans, serial, ""));
    }

    fn start_console(&self) {
        self.console.start(|rt, vchans, serial| log_console::app(rt, vchans, serial, ""));
    }

    /// Runs those that have not crashed until something is so, which must be within 20 s.
    fn until(&self, is_so: impl Fn() -> bool) {
        let end_ns = self.world.now_ns() + 20_000_000_000;
        while !is_so() {
            let guests = [&self.sensor, &self.logger, &self.console];
            let alive = || guests.into_iter().filter(|guest| !guest.crashed.get());
            let busy = alive().fold(false, |busy, guest| guest.executor.turn() | busy);
            if busy || alive().any(|guest| !guest.executor.settle()) {
                continue;
            }
            assert!(
                self.world.now_ns() < end_ns,
                "it does not come to that:\n{}",
                self.console.serial.shown()
            );
            self.world.pass(TICK_NS);
        }
    }

    fn is_shown(&self, words: &str) -> bool {
        self.console.is_shown(words)
    }
}

/// The readings that a console has shown, which must come in order, with none missing.
fn readings(shown: &str) -> Vec<u64> {
    let number = |line: &str| line.split_once("reading ")?.1.split_once(',')?.0.parse().ok();
    shown.lines().filter_map(number).collect()
}

#[test]
fn lines_arrive_in_order_whoever_comes_first() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
        let three = Three::new();
        for who in order {
            [Three::start_sensor, Three::start_logger, Three::start_console][who](&three);
            let later_ns = three.world.now_ns() + 500_000_000;
            three.until(|| three.world.now_ns() > later_ns);
        }
        three.until(|| three.is_shown("reading 30,"));
        let all = readings(&three.console.serial.shown());
        assert_eq!(all, (1..=30).collect::<Vec<_>>());
        assert!(
            !three.is_shown("lines are missing")
                && !three.is_shown("makes no sense")
                && !three.is_shown("? ")
        );
        three.console.serial.type_in("last 3\rsta");
        three.console.serial.type_in("ts\r");
        three.until(|| three.is_shown("logger: "));
        let shown = three.console.serial.shown();
        let again = shown.split_once("> last 3").unwrap().1.split_once("logger: ").unwrap().0;
        assert!(readings(again).starts_with(&[28, 29, 30]), "{shown}");
        assert!(shown.contains("> stats\r\nconsole: ") && shown.contains(" lines, 0 missing"), "{shown}");
    }
}

#[test]
fn a_sensor_that_crashes_is_reported_and_harms_nobody_and_one_that_comes_again_is_heard() {
    let mut three = Three::new();
    three.start_sensor();
    three.start_logger();
    three.start_console();
    three.until(|| three.is_shown("reading 5,"));
    three.sensor.crashed.set(true);
    let silent = "the sensor has fallen silent: nothing for 300 ms";
    three.until(|| three.is_shown(silent) && three.logger.is_shown(silent));
    // The others go on.
    three.console.serial.type_in("stats\n");
    three.until(|| three.is_shown("a sensor came 1 times"));
    assert!(!three.is_shown("the logger has fallen silent"));
    let before = readings(&three.console.serial.shown()).len() as u64;

    let domain = three.sensor.xen.platform().domain().clone();
    let again =
        Guest { statics: three.sensor.statics.clone(), ..Guest::new(three.world.start_anew(&domain)) };
    // Kept, since it would say that it closes if it were dropped.
    let _crashed = std::mem::replace(&mut three.sensor, again);
    three.start_sensor();
    three.until(|| three.is_shown("a sensor has come again"));
    assert!(three.is_shown("the sensor: the other end is gone"));
    three.until(|| readings(&three.console.serial.shown()).len() as u64 == before + 5);
    let all = readings(&three.console.serial.shown());
    assert_eq!(all, (1..=before).chain(1..=5).collect::<Vec<_>>());
    assert!(!three.is_shown("lines are missing"));
}

#[test]
fn a_logger_that_crashes_is_reported_and_nobody_waits_for_it_in_vain() {
    let mut three = Three::new();
    three.start_sensor();
    three.start_logger();
    three.start_console();
    three.until(|| three.is_shown("reading 5,"));
    three.logger.crashed.set(true);
    three.until(|| three.is_shown("console: the logger has fallen silent: nothing for 3000 ms"));
    three.console.serial.type_in("quiet\n");
    three.until(|| three.is_shown("> quiet"));
    three.console.serial.type_in("quiet\n");
    three.until(|| three.is_shown("lines are shown again"));
    // Its ring fills.
    three.until(|| three.sensor.is_shown("nobody takes the readings"));

    let domain = three.logger.xen.platform().domain().clone();
    let again =
        Guest { statics: three.logger.statics.clone(), ..Guest::new(three.world.start_anew(&domain)) };
    let _crashed = std::mem::replace(&mut three.logger, again);
    three.start_logger();
    three.until(|| three.sensor.is_shown("vchan://logger: the other end is gone"));
    three.until(|| three.is_shown("console: the logger: the other end is gone"));
    let shown = || three.console.serial.shown();
    three.until(|| shown().rsplit_once("is gone").is_some_and(|(_, rest)| readings(rest).len() > 3));
}

#[test]
fn words_that_make_no_sense_are_named() {
    let three = Three::new();
    three.sensor.start(|rt, vchans, serial| sensor::app(rt, vchans, serial, "every=0"));
    three.logger.start(|rt, vchans, serial| logger::app(rt, vchans, serial, "keep=x"));
    three.console.start(|rt, vchans, serial| log_console::app(rt, vchans, serial, "to=x"));
    for (guest, word) in [(&three.sensor, "every=0"), (&three.logger, "keep=x"), (&three.console, "to=x")] {
        three.until(|| guest.is_shown(&format!("FAILURE: the command line makes no sense at {word}")));
    }
    three.sensor.start(|rt, vchans, serial| sensor::app(rt, vchans, serial, "to=nobody"));
    three.until(|| three.sensor.is_shown("FAILURE: vchan makes no sense at nobody"));
}
