//! Three domains that Xen starts by itself, with vchans that were laid out before: a sensor, a logger, a console.

use std::fs;

use anyhow::{Result, ensure};
use fata_deploy::{DeviceNode, Mapping, PartialTree, Value};

use super::{Case, Context, Place, Spot, must_say};
use crate::dom0less::{Dom0less, DomU};
use crate::dtb::StaticEvent;
use crate::guest::{End, Guest};
use crate::machine::{Config, Gic};
use crate::parts::XenVersion;

const MEMORY_MIB: u32 = 512;
/// Memory of vchans: where there is RAM that neither Xen nor a module is in, and where its guests see it.
const HOST: u64 = 0x5f00_0000;
const APART: u64 = 1 << 20;
const GUEST: [u64; 2] = [0x3400_0000, 0x3410_0000];
const BYTES: u64 = 0x3000;
/// Ports are each domain's own.
const PORT: u32 = 10;
/// Readings that must have come.
const READINGS: u64 = 25;

pub(super) fn add(cases: &mut Vec<Case>) {
    for gic in Gic::ALL {
        for xen in XenVersion::ALL {
            let spot = Spot { place: Place::Dom0less, gic, xen };
            let mut add = |name: &str, run: fn(&Context<'_>, Spot) -> Result<()>| {
                let case = Case::new(spot, name, move |ctx| run(ctx, spot));
                cases.push(Case { image: "log-console", beside: &["logger", "sensor"], ..case });
            };
            add("three-sensor-crashes", sensor_crashes);
            add("three-logger-crashes", logger_crashes);
        }
    }
    for board in fata_boards::BOARDS.iter().filter(|board| BOARDS.contains(&board.name)) {
        let name = format!("boards/{}/three-sensor-crashes", board.name);
        let run = move |ctx: &Context<'_>| {
            let config = Config { board, ..ctx.config(Spot::DOM0LESS) };
            // The end of the window that modules are in, of which these are few.
            let three = Three::start_on(ctx, config, board.xen.modules.end() - 2 * APART)?;
            crash_sensor(ctx, &three)
        };
        let case = Case::named(name, Box::new(run));
        cases.push(Case { image: "log-console", beside: &["logger", "sensor"], ..case });
    }
}

/// Models of boards that do this as well.
const BOARDS: [&str; 2] = ["raspberry-pi-4", "versal"];

/// An end of the vchan of this number: what the domain calls it, and whether it is the server.
fn end(host: u64, number: usize, port: u32, name: &str, serve: bool) -> (StaticEvent, DeviceNode) {
    let text = |text: &str| Value::Strings(vec![text.to_owned()]);
    let node = DeviceNode {
        name: format!("vchan@{:x}", GUEST[number]),
        compatible: vec!["fata,static-vchan".to_owned()],
        registers: vec![Mapping { host: host + number as u64 * APART, bytes: BYTES, guest: GUEST[number] }],
        properties: vec![
            ("fata,name".to_owned(), text(name)),
            ("fata,port".to_owned(), Value::Cells(vec![port])),
            ("fata,role".to_owned(), text(if serve { "server" } else { "client" })),
        ],
        ..DeviceNode::default()
    };
    (StaticEvent { port, channel: number as u32 }, node)
}

/// In the order of their numbers: console, logger, sensor.
struct Three {
    machine: Dom0less,
}

impl Three {
    fn start(ctx: &Context<'_>, spot: Spot) -> Result<Self> {
        let config = Config { memory_mib: Some(MEMORY_MIB), ..ctx.config(spot) };
        Self::start_on(ctx, config, HOST)
    }

    /// On this machine, with memory of vchans from `host` on.
    fn start_on(ctx: &Context<'_>, config: Config, host: u64) -> Result<Self> {
        let domu = |built: &crate::image::Built, args: &str, ends: Vec<(StaticEvent, DeviceNode)>| {
            let (events, nodes) = ends.into_iter().unzip();
            DomU {
                bootargs: args.to_owned(),
                events,
                devices: PartialTree { nodes },
                ..DomU::new(built.image.clone(), 8)
            }
        };
        let domus = [
            domu(ctx.built, "", vec![end(host, 1, PORT, "logger", false)]),
            domu(
                ctx.beside[0],
                "",
                vec![end(host, 0, PORT, "sensor", true), end(host, 1, PORT + 1, "console", true)],
            ),
            domu(ctx.beside[1], "every=100", vec![end(host, 0, PORT, "logger", false)]),
        ];
        let config = Config { reserved: vec![(host, BYTES), (host + APART, BYTES)], ..config };
        let machine = ctx.dom0less(&config, &domus)?;
        ctx.expect(&machine.guests[0], "reading 1,")?;
        // How long that takes says something of this host, too, so nothing is asked of it.
        let took = machine.started.elapsed();
        fs::write(machine.folder.file("first-line"), format!("{} ms\n", took.as_millis()))?;
        Ok(Self { machine })
    }

    fn console(&self) -> &Guest {
        &self.machine.guests[0]
    }

    /// What the console has said: without lines of other domains, which Xen puts amid its own.
    fn shown(&self) -> String {
        let text = self.console().console.output.text().replace('\r', "");
        let (mut shown, mut rest) = (String::new(), text.as_str());
        while let Some((before, line)) = rest.split_once("DOM") {
            let others = line.starts_with("2: ") || line.starts_with("3: ");
            shown += before;
            rest = match line.split_once('\n') {
                Some((_, after)) if others => after,
                None if others => "",
                _ => {
                    shown += "DOM";
                    line
                }
            };
        }
        shown + rest
    }
}

/// Fails unless all lines up to the last are there, in order, with all readings among them up to `readings`.
fn in_order(shown: &str, readings: u64) -> Result<()> {
    let number = |line: &str| line.split_whitespace().next()?.parse::<u64>().ok();
    let lines: Vec<_> =
        shown.lines().filter(|line| line.contains("  reading ") || line.contains("  the sensor ")).collect();
    let reading = |line: &&str| line.split_once("reading ")?.1.split_once(',')?.0.parse::<u64>().ok();
    let found: Vec<_> = lines.iter().filter_map(reading).collect();
    ensure!(found == (1..=found.len() as u64).collect::<Vec<_>>(), "readings are missing:\n{shown}");
    ensure!(found.len() as u64 >= readings, "there are {} readings:\n{shown}", found.len());
    let numbers: Vec<_> = lines.iter().filter_map(|line| number(line)).collect();
    ensure!(numbers.is_sorted() && !shown.contains("lines are missing"), "lines are missing:\n{shown}");
    Ok(())
}

/// All lines arrive. The sensor crashes; logger and console say so, and go on.
fn sensor_crashes(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    crash_sensor(ctx, &Three::start(ctx, spot)?)
}

fn crash_sensor(ctx: &Context<'_>, three: &Three) -> Result<()> {
    let console = three.console();
    ctx.expect(console, &format!("reading {READINGS},"))?;
    in_order(&three.shown(), READINGS)?;
    console.console.send("crash sensor\r")?;
    ctx.end(&three.machine.guests[2], End::Crash)?;
    must_say(&three.machine.guests[2].console.output.text(), "told to crash")?;
    let silent = "the sensor has fallen silent: nothing for 300 ms";
    ctx.expect(console, silent)?;
    ctx.expect(&three.machine.guests[1], silent)?;
    console.console.send("stats\r")?;
    let said = ctx.expect(console, "a sensor came 1 times")?;
    must_say(&said, " 0 missing")?;
    console.console.send("last 2\r")?;
    ctx.expect(console, "  the sensor has fallen silent")?;
    in_order(three.shown().split("> last 2").next().unwrap_or_default(), READINGS)?;
    ensure!(three.machine.guests[..2].iter().all(|guest| guest.ended().is_none()), "another ended, too");
    Ok(())
}

/// The logger crashes: the console says so and takes commands; the sensor says that nobody takes its readings.
fn logger_crashes(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    let three = Three::start(ctx, spot)?;
    let console = three.console();
    console.console.send("sensor every 10\r")?;
    ctx.expect(console, "reading 60,")?;
    console.console.send("crash logger\r")?;
    ctx.end(&three.machine.guests[1], End::Crash)?;
    ctx.expect(console, "console: the logger has fallen silent: nothing for 3000 ms")?;
    console.console.send("quiet\rquiet\r")?;
    ctx.expect(console, "console: lines are shown again")?;
    ctx.expect(&three.machine.guests[2], "sensor: nobody takes the readings")?;
    ensure!(three.machine.guests[2].ended().is_none() && console.ended().is_none(), "another ended, too");
    Ok(())
}
