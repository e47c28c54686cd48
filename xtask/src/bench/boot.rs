//! `xtask bench boot`: what an image and its way to its prompt cost, beside a Linux guest booted the same way.

use std::fs;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use fata_lab::{
    BuildRequest, Built, Counter, Counts, Event, Folder, Gic, Lab, Peer, Progress, XenVersion,
    address_of_main,
};

use super::machine::{Bench, IDLE_SECONDS, Subject};
use super::report::Report;
use super::time;

/// Measure an image's size, memory and boot, beside a Linux guest
#[derive(Args)]
pub(crate) struct Options {
    /// The package below images/, which features of it may follow: mir-console+files
    #[arg(default_value = "mir-console")]
    name: String,
    /// How often each boot is repeated
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Only these measures
    #[arg(long, value_delimiter = ',')]
    only: Vec<Group>,
    /// Print JSON with all samples instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    /// Bytes
    Size,
    /// The least memory that is enough
    Memory,
    /// Booted by Xen
    Dom0less,
    /// Booted by Xen with more and more memory
    Growth,
    /// Created by dom0: boot, cost for dom0, wake-ups
    Xl,
    /// Wake-ups without dom0
    Idle,
    /// Seconds to build it
    Build,
}

/// What the project promises (bytes, MiB, instructions, wake-ups).
mod aim {
    pub(super) const IMAGE: u64 = 128 << 10;
    pub(super) const MEMORY_UNDER_XL: u64 = 3;
    pub(super) const FIRST_BYTE: u64 = 200;
    pub(super) const MAIN: u64 = 200_000;
    pub(super) const IDLE_UNDER_XL: u64 = 500_000;
    pub(super) const WAKEUPS: u64 = 0;
}

/// Memory sizes between which nothing may change, in MiB.
const GROWTH_MIB: [u32; 3] = [64, 1024, 8192];
/// No image should need more, in MiB.
const LARGEST_LEAST_MIB: u32 = 64;
/// Instructions that the guest executed itself.
const OWN: &str = "own instr.";
/// The same and what Xen executed on the guest's behalf.
const WITH_XEN: &str = "with Xen's";
/// The stage that can be compared best: the first line of the image's own program, and the first of Linux's init.
const MAIN: &str = "to main (Linux: user space)";
const IDLE: &str = "to idle at the prompt";
const FIRST_BYTE: &str = "to first console byte";

pub(crate) fn run(options: &Options) -> Result<()> {
    let lab = Lab::open()?;
    let ui = Progress::new();
    let built = lab.build(&BuildRequest::new(&options.name), &ui)?;
    let (qemu, parts) = (lab.qemu(&ui)?, lab.xen(XenVersion::V4_20, &ui)?);
    let peer = Peer::new(&lab, &parts, &ui)?;
    // A copy, so that a build meanwhile does not change what is measured.
    let folder = Folder::take(&lab, "bench")?;
    let image = folder.file("Image");
    fs::copy(&built.image, &image).with_context(|| format!("copying {}", built.image.display()))?;
    let fata = Subject::fata(image, address_of_main(&built.elf)?);
    let linux = Subject::linux(&peer);
    let bench = Bench { lab: &lab, ui: &ui, counter: Counter::build(&lab, &ui)? };
    let setting = format!(
        "{} ({} MiB) and Linux {} ({} MiB) on Xen {}, QEMU {}; {} of each; one vCPU; instructions since the guest's first",
        options.name,
        fata.memory_mib,
        parts.kernel_release,
        linux.memory_mib,
        parts.version,
        qemu.version.map(|n| n.to_string()).join("."),
        options.repeat,
    );
    let mut run = Run { bench, fata, linux, repeat: options.repeat, report: Report::new(setting) };

    let wants = |group| options.only.is_empty() || options.only.contains(&group);
    if wants(Group::Size) {
        run.size(&built, &peer);
    }
    if wants(Group::Memory) {
        run.memory()?;
    }
    if wants(Group::Dom0less) {
        run.dom0less()?;
    }
    if wants(Group::Growth) {
        run.growth()?;
    }
    if wants(Group::Xl) {
        run.xl()?;
    }
    if wants(Group::Idle) {
        run.idle()?;
    }
    if wants(Group::Build) {
        run.build(&options.name)?;
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&run.report)?);
    } else {
        print!("{}", run.report.to_table());
    }
    Ok(())
}

struct Run<'a> {
    bench: Bench<'a>,
    fata: Subject,
    linux: Subject,
    repeat: u32,
    report: Report,
}

impl Run<'_> {
    fn size(&mut self, built: &Built, peer: &Peer) {
        let name = "image file (Linux: kernel and initramfs)";
        self.report.fata(name, "bytes", Some(aim::IMAGE), built.image_bytes);
        self.report.linux(name, "bytes", peer.bytes);
        self.report.fata("image in memory, with stacks", "bytes", None, built.memory_bytes);
    }

    fn memory(&mut self) -> Result<()> {
        let step = self.bench.ui.step("least memory");
        let mib = least(|mib| self.bench.boots_in(&self.fata.with_memory(mib)))?;
        self.report.fata("least memory, dom0less", "MiB", None, mib);
        let dom0 = self.bench.dom0(&self.fata, Gic::V3)?;
        let mib = least(|mib| self.bench.boots_under_xl(&dom0, &self.fata.with_memory(mib)))?;
        self.report.fata("least memory, xl", "MiB", Some(aim::MEMORY_UNDER_XL), mib);
        step.done("measured");
        Ok(())
    }

    fn dom0less(&mut self) -> Result<()> {
        for gic in Gic::ALL {
            let setup = format!("dom0less, GICv{gic}");
            let step = self.bench.ui.step(&setup);
            for n in 1..=self.repeat {
                step.busy(&format!("boot {n} of {}", self.repeat));
                let counts = self.bench.dom0less(&self.fata, gic)?;
                // Written by hypercall, and on the machine's serial port when Xen is done with it.
                let asked = found(counts.first("hypercall 18"), "CONSOLEIO_write")?;
                let printed = found(counts.first("uart"), "a byte on the serial port")?;
                let name = format!("{setup}: {FIRST_BYTE}");
                self.report.fata(&name, OWN, Some(aim::FIRST_BYTE), asked.own);
                self.report.fata(&name, WITH_XEN, None, printed.total());
                self.fata_stages(&setup, &counts, None)?;

                let first = self.bench.linux_first_byte(&self.linux, gic)?;
                self.report.linux(&name, OWN, first.own);
                self.report.linux(&name, WITH_XEN, first.total());
                let counts = self.bench.dom0less(&self.linux, gic)?;
                self.linux_stages(&setup, &counts)?;
            }
            step.done("measured");
        }
        Ok(())
    }

    fn growth(&mut self) -> Result<()> {
        for mib in GROWTH_MIB {
            let setup = format!("dom0less, GICv3, {mib} MiB");
            let step = self.bench.ui.step(&setup);
            for _ in 0..self.repeat {
                let counts = self.bench.dom0less(&self.fata.with_memory(mib), Gic::V3)?;
                self.fata_stages(&setup, &counts, None)?;
            }
            step.done("measured");
        }
        Ok(())
    }

    fn xl(&mut self) -> Result<()> {
        for gic in Gic::ALL {
            let setup = format!("xl, GICv{gic}");
            let step = self.bench.ui.step(&setup);
            for n in 1..=self.repeat {
                step.busy(&format!("boot {n} of {}", self.repeat));
                // A new machine each time, so that the runs are alike.
                let fata = self.bench.xl(&self.bench.dom0(&self.fata, gic)?, &self.fata)?;
                let first = found(fata.counts.first("store ring"), "a byte in the console's ring")?;
                let name = format!("{setup}: {FIRST_BYTE}");
                self.report.fata(&name, OWN, None, first.own);
                self.report.fata(&name, WITH_XEN, None, first.total());
                self.fata_stages(&setup, &fata.counts, Some(aim::IDLE_UNDER_XL))?;
                let linux = self.bench.xl(&self.bench.dom0(&self.linux, gic)?, &self.linux)?;
                self.linux_stages(&setup, &linux.counts)?;

                let name = format!("{setup}: xl create, dom0's part");
                self.report.fata(&name, WITH_XEN, None, fata.create);
                self.report.linux(&name, WITH_XEN, linux.create);
                self.wakeups(&setup, fata.wakeups, linux.wakeups);
            }
            step.done("measured");
        }
        Ok(())
    }

    fn idle(&mut self) -> Result<()> {
        let step = self.bench.ui.step("idling without dom0");
        let (fata, linux) = (self.bench.wakeups(&self.fata)?, self.bench.wakeups(&self.linux)?);
        self.wakeups("dom0less, GICv3", fata, linux);
        step.done("measured");
        Ok(())
    }

    fn wakeups(&mut self, setup: &str, fata: u64, linux: u64) {
        let name = format!("{setup}: wake-ups in {IDLE_SECONDS} s of idling");
        self.report.fata(&name, "WFI", Some(aim::WAKEUPS), fata);
        self.report.linux(&name, "WFI", linux);
    }

    fn build(&mut self, name: &str) -> Result<()> {
        let step = self.bench.ui.step("building from nothing");
        let (clean, incremental) = time::builds(self.bench.lab, name)?;
        self.report.fata("clean build, this machine", "ms", None, clean);
        self.report.fata("build after a change, this machine", "ms", None, incremental);
        step.done("measured");
        Ok(())
    }

    fn fata_stages(&mut self, setup: &str, counts: &Counts, idle_aim: Option<u64>) -> Result<()> {
        let main = found(counts.first("run main"), "main")?;
        let idle = found(self.fata.idle(counts), "idling")?;
        for (stage, event, aim) in [(MAIN, main, Some(aim::MAIN)), (IDLE, idle, idle_aim)] {
            let name = format!("{setup}: {stage}");
            self.report.fata(&name, OWN, None, event.own);
            self.report.fata(&name, WITH_XEN, aim, event.total());
        }
        Ok(())
    }

    fn linux_stages(&mut self, setup: &str, counts: &Counts) -> Result<()> {
        let user_space = found(counts.first("syscall"), "Linux's user space")?;
        let idle = found(self.linux.idle(counts), "Linux idling")?;
        for (stage, event) in [(MAIN, user_space), (IDLE, idle)] {
            let name = format!("{setup}: {stage}");
            self.report.linux(&name, OWN, event.own);
            self.report.linux(&name, WITH_XEN, event.total());
        }
        Ok(())
    }
}

fn found<'a>(event: Option<&'a Event>, what: &str) -> Result<&'a Event> {
    event.with_context(|| format!("the guest ran, but {what} was not seen"))
}

/// The least number of MiB that is enough.
fn least(boots: impl Fn(u32) -> Result<bool>) -> Result<u64> {
    for mib in 1..=LARGEST_LEAST_MIB {
        if boots(mib)? {
            return Ok(mib.into());
        }
    }
    bail!("it does not come up in {LARGEST_LEAST_MIB} MiB")
}
