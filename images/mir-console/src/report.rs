//! What the commands print about the machine.

use crate::commands;
use crate::devices::Devices;
use crate::ink::Ink;
use crate::machine::Machine;
use crate::table::{Bytes, Table};
use alloc::format;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use fata_boot::info::{Conduit, Gic, IntId, Region, UartKind};
use fata_boot::words::Shown;
use fata_facts::{Expectations, differences};
use fata_rt::Rt;
use fata_time::Utc;
use xen_hyp::{Platform, Xen, XenError};

const ABSENT: &str = "absent";

/// Everything there is to report about.
pub struct Report<'a, P: Platform> {
    /// What the board knows.
    pub machine: &'a Machine<'a>,
    /// What Xen knows.
    pub xen: &'a Xen<P>,
    /// What the run loop knows.
    pub rt: &'a Rt,
    /// What the devices are up to.
    pub devices: &'a Devices<P>,
    /// Whether to use colours.
    pub ink: Ink,
}

impl<P: Platform> Report<'_, P> {
    /// Prints what there is to say to the command `name`.
    pub fn answer(&self, name: &str, argument: &str, out: &mut dyn Write) -> fmt::Result {
        match name {
            "help" => commands::help(argument, self.ink, out),
            "about" => self.about(out),
            FOUND => self.found(out),
            "dt" => (self.machine.print_dt)(self.machine.info.dtb, or(argument, "/"), out),
            "mem" => self.mem(out),
            "xen" => self.xen(out),
            "events" => self.events(out),
            "clock" => self.clock(out),
            "tasks" => self.tasks(out),
            "log" => log(out),
            "echo" => writeln!(out, "{argument}"),
            "colours" => self.colours(out),
            // Without a kind it knows.
            "crash" => commands::help(name, self.ink, out),
            _ => commands::unknown(name, self.ink, out),
        }
    }

    fn found(&self, out: &mut dyn Write) -> fmt::Result {
        let info = self.machine.info;
        let t = &mut Table::new(out, self.ink);
        t.heading("What the board found")?;
        self.version(t)?;
        t.row("model", format_args!("{}", or(info.model, ABSENT)))?;
        t.row("compatible", format_args!("{}", or(info.compatible, ABSENT)))?;
        regions(t, "memory", &info.memory)?;
        regions(t, "reserved", &info.reserved)?;
        t.row("cpus", format_args!("{}", info.cpus))?;
        match &info.gic {
            Some(Gic::V2 { dist, cpu }) => {
                t.row("gic", format_args!("v2 at {:#x}, {:#x}", dist.base, cpu.base))
            }
            Some(Gic::V3 { dist, redist }) => {
                t.row("gic", format_args!("v3 at {:#x}, {:#x}", dist.base, redist.base))
            }
            None => t.row("gic", format_args!("{ABSENT}")),
        }?;
        match info.timer {
            Some(id) => t.row("timer", format_args!("{}, {}", Interrupt(id), Hertz(self.machine.timer_hz))),
            None => t.row("timer", format_args!("{ABSENT}")),
        }?;
        match &info.hypervisor {
            Some(hypervisor) => {
                t.row("events", format_args!("{}", Interrupt(hypervisor.event)))?;
                regions(t, "grants", &[hypervisor.grants])?;
                regions(t, "extended", &hypervisor.extended)?;
            }
            None => t.row("events", format_args!("{ABSENT}, as is all of /hypervisor"))?,
        }
        match &info.uart {
            Some(uart) => {
                let kind = match uart.kind {
                    UartKind::Sbsa => "SBSA",
                    UartKind::Pl011 => "PL011",
                    UartKind::Ns16550 { .. } => "NS16550",
                };
                t.row("serial port", format_args!("{kind} at {:#x}", uart.registers.base))?;
            }
            None => t.row("serial port", format_args!("{ABSENT}"))?,
        }
        t.row("console", format_args!("{}", self.machine.console))?;
        self.devices.store_row(t)?;
        match info.psci {
            Some(Conduit::Hvc) => t.row("psci", format_args!("hvc")),
            Some(Conduit::Smc) => t.row("psci", format_args!("smc")),
            None => t.row("psci", format_args!("{ABSENT}")),
        }?;
        t.row("command line", format_args!("{}", Shown(or(info.cmdline, ABSENT))))?;
        match info.initrd {
            Some(initrd) => regions(t, "initrd", &[initrd]),
            None => t.row("initrd", format_args!("{ABSENT}")),
        }?;
        match info.rng_seed.len() {
            0 => t.row("random seed", format_args!("{ABSENT}")),
            bytes => t.row("random seed", format_args!("{bytes} bytes")),
        }?;
        self.wall_clock(t)?;
        for (i, remark) in info.remarks.iter().enumerate() {
            t.row(if i == 0 { "remarks" } else { "" }, format_args!("{remark}"))?;
        }
        self.compare(out)
    }

    /// Says what is not as `expect=` of the command line has it, or else that all is.
    fn compare(&self, out: &mut dyn Write) -> fmt::Result {
        let info = self.machine.info;
        let Some((_, expected)) = fata_kit::words(info.cmdline).find(|&(name, _)| name == "expect") else {
            return Ok(());
        };
        // None where there is no such thing.
        let found = Expectations {
            gic: info.gic.as_ref().map_or(0, |gic| if matches!(gic, Gic::V2 { .. }) { 2 } else { 3 }),
            timer: info.timer.map_or(0, |id| id.0),
            event: info.hypervisor.as_ref().map_or(0, |hypervisor| hypervisor.event.0),
            timer_hz: self.machine.timer_hz,
            memory_mib: Some(info.memory.iter().map(|bank| bank.size).sum::<u64>() >> 20),
        };
        let found = format!("{found}");
        let t = &mut Table::new(out, self.ink);
        let mut met = true;
        for (expected, found) in differences(expected, &found) {
            t.odd_row("unexpected", format_args!("{found} instead of {expected}"))?;
            met = false;
        }
        if met { t.row("as expected", format_args!("{found}")) } else { Ok(()) }
    }

    fn about(&self, out: &mut dyn Write) -> fmt::Result {
        let (on, off) = (self.ink.bold(), self.ink.off());
        writeln!(out, "{on}mir-console {}{off}, a unikernel made with Fata: an application and", VERSION)?;
        out.write_str("the little it needs of an operating system, in one image for Xen.\n\n")?;
        self.found(out)
    }

    fn xen(&self, out: &mut dyn Write) -> fmt::Result {
        let t = &mut Table::new(out, self.ink);
        self.version(t)?;
        known(t, "capabilities", self.xen.capabilities())?;
        known(t, "domain", self.xen.domid())
    }

    fn version(&self, t: &mut Table<'_>) -> fmt::Result {
        match (self.xen.version(), self.xen.extra_version()) {
            (Ok(version), Ok(extra)) => t.row("Xen", format_args!("{version}{extra}")),
            (version, _) => known(t, "Xen", version),
        }?;
        // Debian's builds do not say.
        let changeset = self.xen.changeset();
        known(t, "changeset", changeset.as_ref().map(|text| or(text, ABSENT)).map_err(|error| *error))?;
        known(t, "features", self.xen.features())
    }

    fn mem(&self, out: &mut dyn Write) -> fmt::Result {
        let usage = fata_boot::MEMORY.usage();
        let t = &mut Table::new(out, self.ink);
        regions(t, "memory", &self.machine.info.memory)?;
        t.row("allocator", format_args!("{} in all, {} free", size(usage.total), size(usage.free())))?;
        t.row("pages in use", format_args!("{}", size(usage.pages)))?;
        t.row("heap in use", format_args!("{} of {}", size(usage.heap_used), size(usage.heap)))?;
        let stack = (self.machine.stack)();
        t.row("stack in use", format_args!("{} of {}", Bytes(stack.used), Bytes(stack.size)))?;
        for &(name, region, rights) in self.machine.image {
            t.row(name, format_args!("{} {rights}", Span(region)))?;
        }
        Ok(())
    }

    fn events(&self, out: &mut dyn Write) -> fmt::Result {
        let (on, off) = (self.ink.cyan(), self.ink.off());
        writeln!(out, "  {on}{:>5} {:>10} {:>10}  connected to{off}", "port", "received", "sent")?;
        for port in self.xen.ports() {
            write!(out, "  {:5} {:10} {:10}  ", port.port.0, port.received, port.sent)?;
            match self.xen.status(port.port) {
                Ok(status) => writeln!(out, "{status}")?,
                Err(error) => writeln!(out, "{error}")?,
            }
        }
        let totals = self.xen.event_totals();
        writeln!(
            out,
            "  {:>5} {:10} {:10}  in {} upcalls",
            "all", totals.received, totals.sent, totals.upcalls
        )?;
        if totals.unknown + totals.send_errors > 0 {
            let (on, off) = (self.ink.yellow(), self.ink.off());
            writeln!(out, "  {on}{} on unknown ports, {} not sent{off}", totals.unknown, totals.send_errors)?;
        }
        Ok(())
    }

    fn clock(&self, out: &mut dyn Write) -> fmt::Result {
        let t = &mut Table::new(out, self.ink);
        let (seconds, ns) = (self.rt.now_ns() / NS_PER_S, self.rt.now_ns() % NS_PER_S);
        t.row("since start", format_args!("{seconds}.{ns:09} s"))?;
        self.wall_clock(t)?;
        t.row("counter", format_args!("{}", Hertz(self.machine.timer_hz)))
    }

    fn wall_clock(&self, t: &mut Table<'_>) -> fmt::Result {
        match self.xen.wall_clock() {
            Some(time) => t.row("time of day", format_args!("{} UTC", Utc { seconds: time.as_secs() })),
            None => t.row("time of day", format_args!("unknown: nobody has told Xen")),
        }
    }

    fn tasks(&self, out: &mut dyn Write) -> fmt::Result {
        let stats = self.rt.stats();
        let t = &mut Table::new(out, self.ink);
        t.row("turns", format_args!("{}", stats.turns))?;
        t.row("sleeps", format_args!("{}", stats.idles))?;
        t.row("task wake-ups", format_args!("{}", stats.wakes))?;
        t.row("tasks", format_args!("{}, and this one", stats.tasks))?;
        t.row("timers", format_args!("{}", stats.timers))
    }

    /// Prints what a key of `xl sysrq` asks for.
    pub fn sysrq(&self, key: char, out: &mut dyn Write) -> fmt::Result {
        let (on, off) = (self.ink.yellow(), self.ink.off());
        writeln!(out, "\n{on}sysrq {}{off}", if key.is_control() { '?' } else { key })?;
        let wants = |this| key == 's' || key == this;
        if wants('t') {
            self.tasks(out)?;
        }
        if wants('e') {
            self.events(out)?;
        }
        if wants('d') {
            self.devices.summary(&mut Table::new(out, self.ink))?;
        }
        if wants('m') {
            self.mem(out)?;
        }
        if !matches!(key, 's' | 't' | 'e' | 'd' | 'm') {
            out.write_str(
                "The keys are t (tasks), e (events), d (devices), m (memory), and s (all of these).\n",
            )?;
        }
        Ok(())
    }

    fn colours(&self, out: &mut dyn Write) -> fmt::Result {
        let ink = self.ink;
        let colours =
            [(ink.red(), "red"), (ink.yellow(), "yellow"), (ink.green(), "green"), (ink.cyan(), "cyan")];
        for (on, name) in colours {
            write!(out, "{on}{name}{} ", ink.off())?;
        }
        out.write_str(if ink.0 { "\n" } else { "(colours are off)\n" })
    }
}

/// Not a command, but what is said at the start.
pub const FOUND: &str = "what the board found";
const VERSION: &str = env!("CARGO_PKG_VERSION");
const NS_PER_S: u64 = 1_000_000_000;

fn size(bytes: usize) -> Bytes {
    Bytes(bytes as u64)
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

/// The last lines of the log.
fn log(out: &mut dyn Write) -> fmt::Result {
    let mut recent = Vec::new();
    fata_log::recent(|piece| recent.extend_from_slice(piece));
    for c in core::str::from_utf8(&recent).unwrap_or_default().chars() {
        // A line may quote what came from outside.
        out.write_char(if c.is_control() && !matches!(c, '\n' | '\t') { '?' } else { c })?;
    }
    writeln!(out, "Shown: {} and what is more important.", fata_log::level())
}

fn known(t: &mut Table<'_>, label: &str, value: Result<impl fmt::Display, XenError>) -> fmt::Result {
    match value {
        Ok(value) => t.row(label, format_args!("{value}")),
        Err(error) => t.row(label, format_args!("unknown: {error}")),
    }
}

fn regions(t: &mut Table<'_>, label: &str, regions: &[Region]) -> fmt::Result {
    if regions.is_empty() {
        return t.row(label, format_args!("none"));
    }
    for (i, &region) in regions.iter().enumerate() {
        t.row(if i == 0 { label } else { "" }, format_args!("{}", Span(region)))?;
    }
    Ok(())
}

/// A region with its first and last byte.
struct Span(Region);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Region { base, size } = self.0;
        write!(f, "{base:#011x} - {:#011x}  {}", base + size.saturating_sub(1), Bytes(size))
    }
}

/// An interrupt as the device tree and as the GIC number it.
struct Interrupt(IntId);

impl fmt::Display for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.0 {
            id @ 0..16 => write!(f, "SGI {id}"),
            id @ 16..32 => write!(f, "PPI {} (interrupt {id})", id - 16),
            id => write!(f, "SPI {} (interrupt {id})", id - 32),
        }
    }
}

struct Hertz(u64);

impl fmt::Display for Hertz {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mhz, khz) = (self.0 / 1_000_000, self.0 / 1000 % 1000);
        if khz == 0 { write!(f, "{mhz} MHz") } else { write!(f, "{mhz}.{khz:03} MHz") }
    }
}
