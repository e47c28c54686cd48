//! `xtask bench boards`: how soon each board's model has something to say, and what it has left.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use fata_facts::{Board, Model};
use fata_lab::{
    BuildRequest, Config, Counter, Counts, Dom0less, DomU, Folder, Lab, Progress, XenVersion, address_of_main,
};

use super::report::Report;

/// Measure the start of mir-console on each board's model, without dom0
#[derive(Args)]
pub(crate) struct Options {
    /// Only these boards
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How often each start is repeated
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Print JSON with all samples instead of a table
    #[arg(long)]
    json: bool,
}

const IMAGE: &str = "mir-console";
const MEMORY_MIB: u32 = 16;
const TIMEOUT: Duration = Duration::from_secs(120);
/// QEMU's start to the guest's first line, in milliseconds.
const AIM_MS: u64 = 1000;
/// How much the instructions to the first byte may differ from board to board.
const AIM_PERCENT: u64 = 5;
/// Has Xen take what is typed, and tell what memory is free (xen/drivers/char/console.c, xen/common/page_alloc.c).
const MEMORY_KEY: &str = "\x1e\x1e\x1em";

pub(crate) fn run(options: &Options) -> Result<()> {
    let lab = Lab::open()?;
    let ui = Progress::new();
    let built = lab.build(&BuildRequest::new(IMAGE), &ui)?;
    let (qemu, parts) = (lab.qemu(&ui)?, lab.xen(XenVersion::V4_20, &ui)?);
    // A copy, so that a build meanwhile does not change what is measured.
    let folder = Folder::take(&lab, "bench")?;
    let image = folder.file("Image");
    fs::copy(&built.image, &image).with_context(|| format!("copying {}", built.image.display()))?;
    let counter = Counter::build(&lab, &ui)?;
    let main = address_of_main(&built.elf)?;
    let version = qemu.version.map(|n| n.to_string()).join(".");
    let setting = format!(
        "{IMAGE} ({MEMORY_MIB} MiB, {} bytes) on Xen {}, QEMU {version}'s models, without dom0; {} of each",
        built.image_bytes, parts.version, options.repeat
    );
    let mut report = Report::new(setting);
    let mut first_bytes = Vec::new();
    for &board in fata_boards::BOARDS {
        if !options.only.is_empty() && !options.only.iter().any(|name| name == board.name) {
            continue;
        }
        if let Model::None(why) = board.model {
            report.note(&format!("{}: not run, because {why}", board.name));
            continue;
        }
        if let Model::Mute(_, why) = board.model {
            report.note(&format!("{}: not timed, because {why}", board.name));
        }
        let step = ui.step(board.name);
        let bench = Bench { lab: &lab, ui: &ui, image: &image, board };
        let repeat = if matches!(board.model, Model::Mute(..)) { 0 } else { options.repeat };
        for n in 1..=repeat {
            step.busy(&format!("start {n} of {}", options.repeat));
            bench.wall(&mut report)?;
        }
        step.busy("counting");
        first_bytes.push(bench.count(&counter, main, &mut report)?);
        step.done("measured");
    }
    let spread = first_bytes.iter().max().zip(first_bytes.iter().min());
    if let Some((most, least)) = spread {
        let percent = (most - least) * 100 / least.max(&1);
        report.fata("instructions to the first byte, most over least", "%", Some(AIM_PERCENT), percent);
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.to_table());
    }
    Ok(())
}

struct Bench<'a> {
    lab: &'a Lab,
    ui: &'a Progress,
    image: &'a Path,
    board: &'static Board,
}

impl Bench<'_> {
    /// By this machine's clock.
    fn wall(&self, report: &mut Report) -> Result<()> {
        let name = |what: &str| format!("{}: {what}", self.board.name);
        let machine = self.start(self.config(false), "greet=off")?;
        let ms = |since: Instant| u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        machine.xen.expect("(XEN) ", TIMEOUT)?;
        let first = ms(machine.started);
        let guest = &machine.guests[0].console;
        guest.expect("\n", TIMEOUT)?;
        report.fata(&name("QEMU's start to Xen's first line"), "ms", None, first);
        report.fata(&name("QEMU's start to the guest's first line"), "ms", Some(AIM_MS), ms(machine.started));
        guest.expect("fata> ", TIMEOUT)?;
        guest.send("mem\r")?;
        let told = guest.expect("pages in use", TIMEOUT)?;
        report.fata(
            &name("memory left to the guest"),
            "KiB",
            None,
            free_kib(&told).context("no free memory")?,
        );
        guest.send(MEMORY_KEY)?;
        // The last of Xen's heaps; with one guest the lab takes all that follows for what it says.
        let told = guest.expect("Dom heap", TIMEOUT)?;
        let free = told.lines().filter_map(heap_kib).sum::<u64>();
        report.fata(&name("memory left to the board"), "MiB", None, free >> 10);
        Ok(())
    }

    /// Instructions of the guest to its first byte, which it asks Xen to print, and to its main function.
    fn count(&self, counter: &Counter, main: u64, report: &mut Report) -> Result<u64> {
        let mut config = self.config(true);
        counter.attach(&mut config, Some(main));
        let machine = self.start(config, "greet=off")?;
        let deadline = Instant::now() + TIMEOUT;
        let counts = loop {
            let counts = Counts::of(&machine.folder)?;
            if counts.idle().is_some() || Instant::now() > deadline {
                break counts;
            }
            thread::sleep(Duration::from_millis(100));
        };
        let name = |what: &str| format!("{}: {what}", self.board.name);
        let byte = counts.first("hypercall 18").context("the guest ran, but nothing was printed")?.own;
        let main = counts.first("run main").context("the guest ran, but not main")?.own;
        report.fata(&name("to the first byte"), "instr.", None, byte);
        report.fata(&name("to main"), "instr.", None, main);
        Ok(byte)
    }

    fn config(&self, icount: bool) -> Config {
        Config {
            name: "bench-boards".to_owned(),
            board: self.board,
            icount,
            timeout: TIMEOUT,
            ..Config::default()
        }
    }

    fn start(&self, config: Config, args: &str) -> Result<Dom0less> {
        let mut domu = DomU::new(PathBuf::from(self.image), MEMORY_MIB);
        domu.bootargs = args.to_owned();
        Dom0less::boot(self.lab, &config, &[domu], self.ui)
    }
}

/// Of `allocator     13.1 MiB in all, 12.3 MiB free`.
fn free_kib(table: &str) -> Option<u64> {
    let (_, after) = table.split_once(" in all, ")?;
    let mut words = after.split_whitespace();
    let (number, unit) = (words.next()?.parse::<f64>().ok()?, words.next()?);
    Some((number * if unit == "MiB" { 1024.0 } else { 1.0 }) as u64)
}

/// Of `(XEN)     heap[node=0][zone=14]: 57344kB free` and the like.
fn heap_kib(line: &str) -> Option<u64> {
    let (_, after) = line.split_once("heap[")?;
    after.split_once(": ")?.1.split_once("kB free")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_is_read() {
        assert_eq!(free_kib("allocator     15.1 MiB in all, 12.5 MiB free\r\n"), Some(12_800));
        assert_eq!(free_kib("allocator     15.1 MiB in all, 512 KiB free\r\n"), Some(512));
        assert_eq!(free_kib("nothing"), None);
        assert_eq!(heap_kib("(XEN)     heap[14]: 57344kB free"), Some(57_344));
        assert_eq!(heap_kib("(XEN)     Dom heap: 57344kB free"), None);
    }
}
