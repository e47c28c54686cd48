//! Lamps, serial ports and buttons, each looked after by a task of its own.

use crate::found::{Button, Found, Lamp, Opened, Port};
use crate::options::Options;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::{Cell, RefCell};
use embedded_io_async::{Read, Write};
use fata_boot::info::BootInfo;
use fata_kit::{Gone, Terminal};
use fata_rt::Rt;
use xen_hyp::Signal;

/// What tasks have to say, and what they have done.
#[derive(Default)]
struct Told {
    lines: RefCell<VecDeque<String>>,
    more: Signal,
    over: Cell<bool>,
    changes: Cell<u64>,
    presses: Cell<u64>,
    echoed: Cell<u64>,
}

impl Told {
    fn say(&self, line: String) {
        self.lines.borrow_mut().push_back(line);
        self.more.fire();
    }

    fn add(counter: &Cell<u64>, more: u64) -> u64 {
        counter.set(counter.get() + more);
        counter.get()
    }
}

/// Drives what it finds in `info`, as the command line says; `open` opens a device by its number there.
pub async fn app<C: Read + Write>(
    rt: Rt,
    console: C,
    info: &BootInfo<'_>,
    open: &dyn Fn(usize) -> Option<Opened>,
) -> Result<(), Gone> {
    let mut terminal = Terminal::new(console);
    let options = match Options::parse(info.cmdline) {
        Ok(options) => Rc::new(options),
        Err(word) => {
            let line = |out: &mut dyn core::fmt::Write| {
                writeln!(out, "FAILURE: the command line makes no sense at {word:?}")
            };
            return terminal.print(&line).await;
        }
    };
    let found = Found::look(info, options.baud, open);
    let told = Rc::new(Told::default());
    for controller in found.controllers {
        told.say(format!("pins: {}", controller.gpio.name()));
        rt.on_turn(move || controller.gpio.service());
    }
    let things = (found.lamps.len(), found.buttons.len(), found.ports.len());
    for lamp in found.lamps {
        told.say(format!("lamp {}: changes every {} ms", lamp.name, options.half.as_millis() as u64));
        drop(rt.spawn(blink(rt.clone(), lamp, options.clone(), told.clone())));
    }
    for button in found.buttons {
        told.say(format!("button {}: {}", button.name, position(button.input.is_on())));
        drop(rt.spawn(watch(rt.clone(), button, told.clone())));
    }
    for port in found.ports {
        use fata_uart::Chip as _;
        told.say(format!("serial port {}: {}", port.name, port.uart.chip().name()));
        let uart = port.uart.clone();
        rt.on_turn(move || uart.service());
        drop(rt.spawn(echo(port, told.clone())));
    }
    for remark in found.remarks {
        told.say(remark);
    }
    if things == (0, 0, 0) {
        told.over.set(true);
    }
    // What they say together goes out together.
    while let Some(line) = told.more.until(|| next(&told)).await {
        terminal.print(&|out| writeln!(out, "{line}")).await?;
    }
    if things == (0, 0, 0) {
        return terminal.say("FAILURE: nothing to drive was passed through\n").await;
    }
    let (changes, presses, echoed) = (told.changes.get(), told.presses.get(), told.echoed.get());
    let sleeps = rt.stats().idles;
    let line = |out: &mut dyn core::fmt::Write| {
        writeln!(
            out,
            "SUCCESS: {changes} changes, {presses} presses, {echoed} bytes echoed, slept {sleeps} times"
        )
    };
    terminal.print(&line).await
}

/// The next line, `None` inside if there will be none.
fn next(told: &Told) -> Option<Option<String>> {
    match told.lines.borrow_mut().pop_front() {
        None if told.over.get() => Some(None),
        None => None,
        line => Some(line),
    }
}

async fn blink(rt: Rt, lamp: Lamp, options: Rc<Options>, told: Rc<Told>) {
    let (mut done, mut obeyed) = (0, true);
    let mut at_ns = rt.now_ns();
    while options.times != Some(done) {
        lamp.output.set(!lamp.output.is_on());
        if obeyed && !lamp.output.is_obeyed() {
            obeyed = false;
            told.say(format!("lamp {}: its line does not follow", lamp.name));
        }
        done += 1;
        Told::add(&told.changes, 1);
        // From when it was due, so that delays do not add up.
        at_ns += options.half.as_secs() * 1_000_000_000 + u64::from(options.half.subsec_nanos());
        rt.sleep_until(at_ns).await;
    }
    told.over.set(true);
    told.more.fire();
}

async fn watch(rt: Rt, button: Button, told: Rc<Told>) {
    loop {
        let on = button.input.changed(async || rt.sleep(button.debounce).await).await;
        Told::add(&told.presses, on.into());
        told.say(format!("button {}: {}", button.name, position(on)));
    }
}

fn position(on: bool) -> &'static str {
    if on { "pressed" } else { "released" }
}

async fn echo(port: Port, told: Rc<Told>) {
    let mut piece = [0; 256];
    send(&port, b"blink echoes what comes.\r\n").await;
    loop {
        let len = port.uart.read(&mut piece).await;
        let came = &piece[..len];
        send(&port, came).await;
        let echoed = Told::add(&told.echoed, len as u64);
        if came.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
            told.say(format!("serial port {}: {echoed} bytes echoed", port.name));
        }
    }
}

async fn send(port: &Port, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        bytes = &bytes[port.uart.write(bytes).await..];
    }
}
