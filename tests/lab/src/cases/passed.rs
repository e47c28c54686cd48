//! Devices of the board that a domain is given: a lamp, a button and a serial port, seen from both ends.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use fata_deploy::{DeviceNode, Mapping, PartialTree, Value};
use fata_facts::{Board, Device};

use super::{Case, Context, Spot};
use crate::console::Console;
use crate::dom0less::{Dom0less, DomU};
use crate::guest::End;
use crate::machine::{Config, Gic};
use crate::parts::XenVersion;
use crate::qmp::Monitor;

/// What an image of these cases is.
const BLINK: &str = "blink";
/// What blink says on a serial port before it echoes.
const HELLO: &str = "blink echoes what comes.\r\n";

pub(super) fn add(cases: &mut Vec<Case>) {
    let v3 = |xen| Spot { xen, ..Spot::DOM0LESS };
    let v2 = Spot { gic: Gic::V2, ..Spot::DOM0LESS };
    for spot in [v3(XenVersion::V4_20), v3(XenVersion::V4_17), v2] {
        cases.push(blink(Case::new(spot, "devices-passed", move |ctx| virt(ctx, spot))));
    }
    let spot = Spot::DOM0LESS;
    cases.push(blink(Case::new(spot, "device-without-interrupt", move |ctx| silent(ctx, spot))));
    cases.push(blink(Case::new(spot, "devices-passed-sleep", move |ctx| sleeps(ctx, spot))));
    for (name, port, lamp) in [
        // GPLEV1 of BCM2711 has pin 42's level.
        ("raspberry-pi-4", 0, Some((0xfe20_0038, 1 << 10))),
        // QEMU has no model of the pins: what is written there is lost.
        ("zcu102", 1, None),
    ] {
        for &board in fata_boards::BOARDS.iter().filter(|board| board.name == name) {
            let run = move |ctx: &Context<'_>| on_board(ctx, board, port, lamp);
            cases.push(blink(Case::named(format!("boards/{name}/devices-passed"), Box::new(run))));
        }
    }
}

fn blink(case: Case) -> Case {
    Case { image: BLINK, ..case }
}

/// QEMU's second PL011, which it has if a line is for it.
const UART: Device = Device {
    name: "uart",
    path: "/pl011@9040000",
    compatible: "arm,pl011",
    registers: fata_boot::info::Region { base: 0x904_0000, size: 0x1000 },
    interrupts: &[40],
    cells: &[],
};

/// The pins of QEMU's `virt`, with a lamp at the sixth and the board's own button at the fourth, and its second port.
fn virt_devices() -> PartialTree {
    let pins = fata_qemu_virt::BOARD.device("gpio").map(DeviceNode::from);
    // By the standard bindings, other than a board's crate says it.
    let pins = pins.map(|pins| DeviceNode { phandle: Some(1), properties: Vec::new(), ..pins });
    let holder = |kind: &str, label: &str, line| DeviceNode {
        name: kind.to_owned(),
        compatible: vec![kind.to_owned()],
        children: vec![DeviceNode {
            name: label.to_owned(),
            properties: vec![("gpios".to_owned(), Value::Cells(vec![1, line, 0]))],
            ..DeviceNode::default()
        }],
        ..DeviceNode::default()
    };
    let more = [DeviceNode::from(&UART), holder("gpio-leds", "act", 5), holder("gpio-keys", "power", 3)];
    PartialTree { nodes: pins.into_iter().chain(more).collect() }
}

fn start(ctx: &Context<'_>, config: &Config, devices: PartialTree, args: &str) -> Result<Dom0less> {
    let domu = DomU { devices, bootargs: args.to_owned(), ..DomU::new(ctx.built.image.clone(), 16) };
    ctx.dom0less(config, &[domu])
}

/// The 32-bit word at a physical address, as the machine has it.
fn word(monitor: &mut Monitor, address: u64) -> Result<u32> {
    let said = monitor.human(&format!("xp /1xw {address:#x}"))?;
    let value = said.rsplit("0x").next().context("no number")?.trim();
    u32::from_str_radix(value, 16).with_context(|| format!("QEMU's monitor said {said:?}"))
}

/// Waits until the register has had these bits set and cleared so many times.
fn blinks(ctx: &Context<'_>, monitor: &mut Monitor, address: u64, bits: u32, times: u32) -> Result<()> {
    let (mut last, mut changes) = (word(monitor, address)? & bits, 0);
    let deadline = Instant::now() + ctx.left();
    while changes < times {
        let now = word(monitor, address)? & bits;
        changes += u32::from(now != last);
        last = now;
        ensure!(Instant::now() < deadline, "{address:#x} changed {changes} times, not {times}");
    }
    Ok(())
}

/// Sends lines to the far end of the serial line, more than any FIFO holds, and has them come back.
fn echoes(ctx: &Context<'_>, line: &Console) -> Result<()> {
    line.output.expect(HELLO, ctx.left())?;
    for n in 0..40 {
        let text = format!("{n}: {}\r", "the quick brown fox jumps over the lazy dog. ".repeat(n % 5 * 3));
        line.send(&text)?;
        let came = line.output.expect("\r", ctx.left())?;
        ensure!(came == text, "sent {text:?}, and {came:?} came back");
    }
    Ok(())
}

/// Catches: registers that are mapped elsewhere or as memory, a passed serial port that becomes the console, interrupts
/// that do not arrive, arrive once, or storm, and pins that are driven wrongly or not at all.
fn virt(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    let config = Config { second_serial: Some(1), ..ctx.config(spot) };
    let mut machine = start(ctx, &config, virt_devices(), "period=100")?;
    let guest = machine.guests[0].clone();
    ctx.expect(&guest, "lamp act: changes every 50 ms")?;
    ctx.expect(&guest, "button power: released")?;
    ctx.expect(&guest, "serial port pl011@9040000: PL011")?;
    // PL061: of the data only the lamp's bit, and which pins are outputs.
    blinks(ctx, &mut machine.monitor, 0x903_0000 + (4 << 5), 1 << 5, 6)?;
    let outputs = word(&mut machine.monitor, 0x903_0400)?;
    ensure!(outputs == 1 << 5, "the outputs are {outputs:#x}");
    echoes(ctx, machine.serial.as_ref().context("no second line")?)?;
    ctx.expect(&guest, "bytes echoed")?;
    for _ in 0..3 {
        // The button of QEMU's board is on for a tenth of a second.
        machine.monitor.run("system_powerdown", serde_json::json!({}))?;
        ctx.expect(&guest, "button power: pressed")?;
        ctx.expect(&guest, "button power: released")?;
    }
    let said = guest.console.output.text();
    ensure!(said.matches("pressed").count() == 3, "a press is seen more than once:\n{said}");
    Ok(())
}

/// Catches: a driver that waits for an interrupt that it has not got, without a word; a device that Xen maps somewhere
/// else than where it is.
fn silent(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    let uart = DeviceNode {
        host_path: None,
        interrupts: Vec::new(),
        registers: vec![Mapping { guest: 0x1_0000_0000, ..Mapping::same(0x904_0000, 0x1000) }],
        ..DeviceNode::from(&UART)
    };
    // Marked as passed all the same, or Xen's tree would not have it.
    let config = Config { second_serial: Some(1), ..ctx.config(spot) };
    let machine = start(ctx, &config, PartialTree { nodes: vec![uart] }, "")?;
    ctx.expect(&machine.guests[0], "pl011@9040000 has no interrupt")?;
    machine.serial.as_ref().context("no second line")?.output.expect(HELLO, ctx.left())?;
    Ok(())
}

/// Catches: a machine that devices keep awake.
fn sleeps(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    let config = Config { second_serial: Some(1), icount: true, ..ctx.config(spot) };
    let machine = start(ctx, &config, virt_devices(), "period=2000 times=20")?;
    let guest = &machine.guests[0];
    let said = ctx.expect(guest, "times\r\n")?;
    let slept = said.split("slept ").nth(1).context("it does not say how often it slept")?;
    let slept: u32 = slept.split(' ').next().context("no number")?.parse()?;
    // Twenty seconds of the machine's time: once a change, and a few times for the console and the serial port.
    ensure!((20..=26).contains(&slept), "it slept {slept} times for 20 changes");
    ctx.end(guest, End::PowerOff)
}

/// The same on the model of a board, with what its crate says of its devices. `port` is QEMU's number of the serial
/// port, `lamp` where the lamp's level can be read, and its bit.
fn on_board(ctx: &Context<'_>, board: &'static Board, port: usize, lamp: Option<(u64, u32)>) -> Result<()> {
    let config = Config { board, second_serial: Some(port), ..ctx.config(Spot::DOM0LESS) };
    let devices = PartialTree { nodes: board.devices.iter().map(DeviceNode::from).collect() };
    let mut machine = start(ctx, &config, devices, "period=100")?;
    let guest = machine.guests[0].clone();
    ctx.expect(&guest, "lamp led: changes every 50 ms")?;
    ctx.expect(&guest, "serial port serial@")?;
    if let Some((address, bit)) = lamp {
        blinks(ctx, &mut machine.monitor, address, bit, 6)?;
    }
    echoes(ctx, machine.serial.as_ref().context("no second line")?)?;
    ctx.expect(&guest, "bytes echoed")?;
    let said = guest.console.output.text();
    let follows = !said.contains("its line does not follow");
    ensure!(follows == lamp.is_some(), "whether the lamp's line follows is not as expected:\n{said}");
    Ok(())
}
