//! The whole application on the simulator: what a user types, and what they get to see.
#![forbid(unsafe_code)]

mod common;

use common::Screen;
use common::guest::{bare, golden, guest, info, machine};
use core::convert::Infallible;
use embedded_io_async::{ErrorType, Read, Write};
use fata_boot::info::BootInfo;
use fata_console::{Console, PvConsole};
use fata_kit::Gone;
use fata_rt::Executor;
use fata_sim::{Rng, Store, World, Xenconsoled, Xenstored};
use mir_console::{Exit, app};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use xen_hyp::Platform;

/// A user who types `input`, and then hangs up; and what they saw.
#[derive(Clone, Default)]
struct User {
    input: Rc<RefCell<Vec<u8>>>,
    seen: Rc<RefCell<Vec<u8>>>,
}

impl ErrorType for User {
    type Error = Infallible;
}

impl Read for User {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Infallible> {
        let length = into.len().min(self.input.borrow().len());
        into[..length].copy_from_slice(&self.input.borrow()[..length]);
        self.input.borrow_mut().drain(..length);
        Ok(length)
    }
}

impl Write for User {
    async fn write(&mut self, from: &[u8]) -> Result<usize, Infallible> {
        self.seen.borrow_mut().extend_from_slice(from);
        Ok(from.len())
    }
    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Runs a session; gives how it ended and what was seen.
fn run_as(user: &User, info: &BootInfo<'static>) -> (Result<Exit, Gone>, Vec<u8>) {
    let xen = guest(&World::new(), Store::Absent);
    let ended = fata_rt::run(&xen, async |rt| app(rt, xen.clone(), user.clone(), machine(info)).await);
    (ended, user.seen.take())
}

fn run(cmdline: &'static str, input: &str) -> (Result<Exit, Gone>, String) {
    let user = User::default();
    user.input.borrow_mut().extend_from_slice(input.as_bytes());
    let (ended, seen) = run_as(&user, &info(cmdline));
    (ended, String::from_utf8(seen).unwrap())
}

#[test]
fn greets_and_tells_what_was_found() {
    let (ended, seen) = run("exit=poweroff console=hvc0", "");
    assert_eq!(ended, Ok(Exit::Poweroff));
    let mut screen = Screen::new();
    screen.write(&seen);
    assert!(screen.colours > 40);
    let (_, plain) = run("exit=poweroff console=hvc0 colours=off", "");
    assert!(!plain.contains('\u{1b}'));
    assert_eq!(
        screen.text().replace("console=hvc0", "console=hvc0 colours=off"),
        plain.replace("\r\n", "\n") + "\n"
    );
    golden("greeting.txt", &plain);
}

#[test]
fn what_is_not_as_expected_is_told() {
    let told = |words: &str| {
        let cmdline = format!("greet=off exit=poweroff expect={words}");
        let (_, seen) = run(cmdline.leak(), "");
        let at = seen.find("two /memory nodes").unwrap();
        seen[at..].split_once("\r\n").unwrap().1.to_owned()
    };
    let met = "  \u{1b}[36mas expected   \u{1b}[0mgic3,timer27,event31,62500000Hz,5248MiB\r\n";
    assert_eq!(told("gic3,timer27,event31,62500000Hz"), met);
    assert_eq!(told("gic3,timer27,event31,62500000Hz,5248MiB"), met);
    let odd = |text| format!("  \u{1b}[33munexpected    \u{1b}[0m{text}\r\n");
    assert_eq!(
        told("gic2,timer27,event31,54000000Hz,32MiB"),
        ["gic3 instead of gic2", "62500000Hz instead of 54000000Hz", "5248MiB instead of 32MiB"]
            .map(odd)
            .concat()
    );
    // It is from outside.
    assert_eq!(told("\u{1b}[2J"), odd("gic3 instead of ?[2J"));
    // What is not there at all.
    let user = User::default();
    let cmdline = "greet=off colours=off exit=poweroff expect=gic3,timer27,event31,62500000Hz";
    let (_, seen) = run_as(&user, &BootInfo { cmdline, ..bare() });
    let seen = String::from_utf8(seen).unwrap();
    assert!(seen.contains("  unexpected    gic0 instead of gic3\r\n"), "{seen}");
}

#[test]
fn four_lines_take_three_seconds() {
    let xen = guest(&World::new(), Store::Present);
    let before_ns = xen.platform().now_ns();
    let ended = fata_rt::run(&xen, async |rt| {
        app(rt, xen.clone(), User::default(), machine(&info("exit=poweroff"))).await
    });
    assert_eq!(ended, Ok(Exit::Poweroff));
    assert_eq!(xen.platform().now_ns() - before_ns, 3_000_000_000);
}

#[test]
fn says_what_is_absent() {
    let user = User::default();
    let (_, seen) = run_as(&user, &BootInfo { cmdline: "greet=off colours=off exit=poweroff", ..bare() });
    golden("bare.txt", &String::from_utf8(seen).unwrap());
}

#[test]
fn each_command() {
    for command in
        ["help", "help crash", "help nonsense", "xen", "mem", "events", "clock", "log", "nonsense", "crash"]
    {
        let (_, seen) = run("quiet colours=off", &format!("{command}\r"));
        golden(&(command.replace(' ', "-") + ".txt"), &seen);
    }
}

#[test]
fn random_numbers_are_drawn_and_secrets_kept() {
    let cmdline = "quiet colours=off seed=0123456789abcdef0123456789abcdef";
    let (_, seen) = run(cmdline, "random\rrandom\rrandom raw 25\rrandom what\rabout\r");
    let drawn: Vec<_> = seen.lines().filter(|line| line.contains("drawn now")).collect();
    assert!(drawn.len() == 2 && drawn[0] != drawn[1], "{seen}");
    for row in ["device tree   256 bits", "command line  128 bits", "RNDR          absent"] {
        assert_eq!(seen.matches(row).count(), 2, "{row}: {seen}");
    }
    assert!(seen.contains("seed=(hidden)") && !seen.contains("0123456789abcdef"), "{seen}");
    // The clock of the simulator stands still while work is done.
    assert!(seen.contains(&format!("\r\n{}\r\n 0\r\n", " 0".repeat(12))), "{seen}");
    assert!(seen.contains("random [raw]"), "{seen}");
}

#[test]
fn the_time_is_told_and_by_whom() {
    let (_, seen) = run("quiet colours=off", "time\r");
    assert!(seen.contains("time of day   2026-11-22 ") && seen.contains("told by       Xen"), "{seen}");
}

#[test]
fn about_and_tasks() {
    let (_, seen) = run("quiet colours=off", "about\r");
    assert!(seen.contains("a unikernel made with Fata") && seen.contains("What the board found"));
    let (_, seen) = run("quiet colours=off", "tasks\r");
    assert!(seen.contains("sleeps") && seen.contains("0, and this one"), "{seen}");
}

#[test]
fn the_device_tree_is_printed_whole_whatever_its_size() {
    let (_, seen) = run("quiet colours=off", "dt\r");
    for i in 0..500 {
        assert!(seen.contains(&format!("/* tree {i} */\r\n")), "line {i}");
    }
    assert_eq!(seen.matches("/* tree").count(), 500);
    assert!(run("quiet", "dt /nowhere\r").1.contains("no node /nowhere"));
}

#[test]
fn ends_when_told_to() {
    assert_eq!(run("quiet", "reboot\r").0, Ok(Exit::Reboot));
    assert_eq!(run("quiet", "mem\r\npoweroff\r\nreboot\r").0, Ok(Exit::Poweroff));
    assert_eq!(run("quiet", "help\r").0, Err(Gone), "the user hung up");
    assert_eq!(run("quiet exit=reboot", "").0, Ok(Exit::Reboot));
}

#[test]
fn runs_the_commands_of_the_command_line() {
    let (ended, seen) = run("quiet colours=off exec=\"echo one two; nonsense;echo three\"", "");
    assert_eq!(ended, Ok(Exit::Poweroff));
    golden("exec.txt", &seen);
    assert_eq!(run("quiet exec=reboot;poweroff", "").0, Ok(Exit::Reboot));
    let (ended, seen) = run("quiet exec=clock exit=stay", "echo typed\rreboot\r");
    assert_eq!(ended, Ok(Exit::Reboot));
    assert!(seen.contains("since start") && seen.contains("\r\ntyped\r\n"));
}

#[test]
fn colours_can_be_turned_off_and_on() {
    let (_, seen) = run("quiet", "colours off\rxen\rcolours on\rxen\r");
    let mut parts = seen.split("Xen  ");
    let (_, off, on) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    let until = off.find("colours on").unwrap();
    assert!(!off[..until].contains('\u{1b}'), "{off:?}");
    assert!(on.contains('\u{1b}'));
}

#[test]
#[should_panic(expected = "asked for with `crash panic`")]
fn crash_panics() {
    let _ = run("quiet", "crash panic\r");
}

#[test]
#[should_panic(expected = "committed WriteText")]
fn crash_leaves_faults_to_the_board() {
    let _ = run("quiet", "crash wx\r");
}

/// Runs a session over the real console driver and its ring, with xenconsoled taking and giving random amounts.
fn run_on_ring(input: &[u8], rng: Rng) -> Vec<u8> {
    let world = World::new();
    let xen = guest(&world, Store::Absent);
    let daemon = Xenconsoled::start(&world, xen.platform().domain());
    daemon.chunk_randomly(rng);
    daemon.input(input);
    let console = Rc::new(Console::Pv(PvConsole::open(&xen).unwrap().unwrap()));
    let info = info("quiet colours=off");
    let ended = fata_rt::run(&xen, async |rt| {
        let served = console.clone();
        rt.on_turn(move || served.service());
        let ended = app(rt.clone(), xen.clone(), &*console, machine(&info)).await;
        assert!(console.drain(rt.sleep(Duration::from_secs(1))).await, "the last output is stuck");
        ended
    });
    assert_eq!(ended, Ok(Exit::Poweroff));
    daemon.take_output()
}

/// A mebibyte of every byte.
#[test]
fn echo_raw_loses_nothing() {
    const COUNT: usize = 1 << 20;
    let mut rng = Rng::new();
    for line_end in ["\n", "\r\n"] {
        let bytes = rng.bytes(COUNT);
        let line = format!("echo raw {COUNT}{line_end}");
        let input = [line.as_bytes(), &bytes, b"echo after\npoweroff\n"].concat();
        let seen = run_on_ring(&input, rng.clone());
        let header = format!("echo: send {COUNT} bytes\r\n");
        let start = seen.windows(header.len()).position(|w| w == header.as_bytes()).unwrap() + header.len();
        assert!(seen[start..start + COUNT] == bytes, "bytes were changed or lost");
        let mut crc = fata_kit::Crc32::default();
        crc.update(&bytes);
        let rest = String::from_utf8_lossy(&seen[start + COUNT..]);
        assert!(
            rest.starts_with(&format!("\r\necho: {COUNT} bytes, crc32 {:08x}\r\n", crc.value())),
            "{rest}"
        );
        assert!(rest.contains("\r\nafter\r\n"));
    }
}

/// A mebibyte pasted into the editor: each line is run, and seen whole.
#[test]
fn a_paste_into_the_editor_loses_nothing() {
    let mut rng = Rng::new();
    let line = |i: usize| format!("echo line {i:05} {}", "x".repeat(rng.within(0..96)));
    let lines: Vec<String> = (0..1 << 14).map(line).collect();
    let seen = run_on_ring((lines.join("\r") + "\rpoweroff\r").as_bytes(), rng);
    let seen = String::from_utf8(seen).unwrap();
    let said: Vec<&str> = seen.split("\r\n").filter(|line| line.starts_with("line ")).collect();
    assert_eq!(said.len(), lines.len());
    assert!(said.iter().zip(&lines).all(|(said, line)| *said == line[5..].trim_end()));
}

#[test]
fn events_lists_the_console() {
    let seen = String::from_utf8(run_on_ring(b"events\rpoweroff\r", Rng::new())).unwrap();
    let row = seen.lines().find(|line| line.contains("d0 port")).expect("the console's port");
    assert!(row.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() > 0, "{row}");
}

/// A prompt nobody types at: no timer is set, nothing is woken, and yet the first key is noticed.
#[test]
fn waiting_costs_nothing() {
    let world = World::new();
    let server = Xenstored::start(&world);
    let xen = guest(&world, Store::Present);
    let daemon = Xenconsoled::start(&world, xen.platform().domain());
    let console = Rc::new(Console::Pv(PvConsole::open(&xen).unwrap().unwrap()));
    let executor = Executor::new(xen.clone());
    let rt = executor.rt();
    let served = console.clone();
    rt.on_turn(move || served.service());
    let ended = rt.spawn({
        let rt = rt.clone();
        async move {
            let info = info("greet=off colours=off");
            app(rt, xen, &*console, machine(&info)).await
        }
    });
    let settle = || while executor.turn() | world.run_backends() {};

    settle();
    assert!(String::from_utf8(daemon.take_output()).unwrap().ends_with("fata> "));
    let before = rt.stats();
    for _ in 0..100 {
        settle();
    }
    let after = rt.stats();
    assert_eq!((after.timers, after.wakes), (0, before.wakes));
    assert_eq!(server.served(), 8, "more is asked of Xenstore than orders, and a seed");

    daemon.input(b"poweroff\r");
    settle();
    assert!(ended.is_finished());
}
