//! `xtask bench profile`: which functions an image's instructions are spent in, and what it enters Xen for.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use fata_lab::{
    BuildRequest, Config, Contents, Counter, DiskWish, Dom0, Folder, Gic, Lab, Optimise, Pages, Profile,
    Progress, SiteWish, Spent, Symboliser, Vif, VifWish, Worker, XenVersion, XlDomU, address, xen_symbols,
};

use super::dns::{self, Zone};
use super::http;
use super::work::{FIRST_MARK, PEER, mark};
use crate::table;

/// Show where an image's instructions go, under xl
#[derive(Args)]
pub(crate) struct Options {
    /// The package below images/
    name: String,
    /// Its command line, which must make it end
    #[arg(long, value_name = "STR", default_value = "", allow_hyphen_values = true)]
    args: String,
    /// Give it a disk of so many MiB, with random contents
    #[arg(long, value_name = "MiB")]
    disk: Option<u64>,
    /// What it does between these two lines of its output; otherwise, before its last line but one
    #[arg(long, value_name = "FROM:TO", value_parser = lines)]
    lines: Option<(usize, usize)>,
    /// Give it a network card, and have it driven from dom0 by this job (KIND,SIZE,COUNT), twice; the second time counts
    #[arg(long, value_name = "JOB", conflicts_with_all = ["disk", "lines"])]
    load: Option<String>,
    /// Give it a network card, and count from its start until it answers dom0
    #[arg(long, conflicts_with_all = ["disk", "lines", "load", "recovery"])]
    birth: bool,
    /// Give it a network card, and take its backend away and back, twice; the second time counts
    #[arg(long, conflicts_with_all = ["disk", "lines", "load"])]
    recovery: bool,
    /// Divide by this: how often it does that
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    per: u64,
    /// How many functions are shown
    #[arg(long, value_name = "N", default_value_t = 40)]
    top: usize,
    /// Compile it to be small, fast or both, whatever it asks for itself
    #[arg(long, value_name = "size|balance|speed")]
    optimise: Option<Optimise>,
    /// Interrupt controller of the board
    #[arg(long, default_value = "3", value_parser = ["2", "3"])]
    gic: String,
}

const MEMORY_MIB: u32 = 64;
/// Counting each block takes its time.
const TIMEOUT: Duration = Duration::from_secs(600);

pub(crate) fn run(options: &Options) -> Result<()> {
    let lab = Lab::open()?;
    let ui = Progress::new();
    // A name server is asked for names.
    let zone = (options.name == dns::IMAGE).then(|| Zone::new(&lab)).transpose()?;
    let input = zone.as_ref().map(|zone| zone.input.clone());
    let request = BuildRequest { optimise: options.optimise, input, ..BuildRequest::new(&options.name) };
    let built = lab.build(&request, &ui)?;
    let folder = Folder::take(&lab, "bench-profile-pages")?;
    let images = Folder::take(&lab, "bench-profile-images")?;
    // And a web server for pages.
    let image = if options.name == http::IMAGE {
        Pages::new().write(&folder.path)?;
        let wish = SiteWish {
            out: images.path.clone(),
            optimise: options.optimise,
            ..SiteWish::new(&lab, &options.name, &folder.path)?
        };
        lab.site(&wish, &ui)?.image
    } else {
        built.image.clone()
    };
    let symbols = Symboliser::open(&built.elf)?;
    let xen = xen_symbols(&lab.xen(XenVersion::V4_20, &ui)?.hypervisor)?;
    let mut config = Config {
        name: "bench-profile".to_owned(),
        gic: options.gic.parse::<Gic>().map_err(anyhow::Error::msg)?,
        icount: true,
        timeout: TIMEOUT,
        ..Config::default()
    };
    Counter::build(&lab, &ui)?.attach_profiler(&mut config);
    let dom0 = Dom0::start(&lab, &config, &ui)?;
    let mut domu = XlDomU { args: options.args.clone(), ..XlDomU::new(&options.name, image, MEMORY_MIB) };
    if let Some(mib) = options.disk {
        let wish = DiskWish { contents: Contents::Random, ..DiskWish::new("profile", mib) };
        domu.disks.push(dom0.make_disk(&wish)?.spec("xvda"));
    }
    let step = ui.step(&options.name);
    step.busy("at work");
    if let Some(zone) = &zone {
        zone.bring(&dom0)?;
    }
    if options.load.is_some() || options.birth {
        let parts = lab.xen(XenVersion::V4_20, &ui)?;
        let program = Worker::new(&lab, &parts, &ui)?.program;
        let await_it = if zone.is_some() { "await-name" } else { "await" };
        load(&dom0, &program, &mut domu, await_it, options.load.as_deref())?;
        step.done("profiled");
        let (from, to) =
            if options.birth { (BIRTH, FIRST_MARK as usize) } else { (SECOND_JOB, SECOND_JOB + 1) };
        let profile = Profile::between_marks(&dom0.folder, from, to)?;
        print!("\n{}", as_table(options, &profile, &profile.functions(&symbols, &xen)));
        return Ok(());
    }
    if options.recovery {
        let parts = lab.xen(XenVersion::V4_20, &ui)?;
        recovery(&dom0, &Worker::new(&lab, &parts, &ui)?.program, &mut domu)?;
        step.done("profiled");
        let profile = Profile::between_marks(&dom0.folder, BACK_MARK as usize, FIRST_MARK as usize)?;
        print!("\n{}", as_table(options, &profile, &profile.functions(&symbols, &xen)));
        return Ok(());
    }
    let domain = dom0.create_alone(&domu)?;
    let end = dom0.ended(domain, TIMEOUT);
    let said = dom0.console_of(&domu.name, "", Duration::from_secs(10))?;
    ensure!(end.is_some(), "{} does not end after:\n{said}", options.name);
    step.done("profiled");

    let count = said.lines().count();
    let last_but_one = (count.saturating_sub(2), count.saturating_sub(1));
    let (from, to) = options.lines.unwrap_or(last_but_one);
    for (number, line) in (1..).zip(said.lines()) {
        println!("{} {number:>3} {line}", if from < number && number <= to { '>' } else { ' ' });
    }
    let profile = Profile::of(&dom0.folder, from, to)?;
    print!("\n{}", as_table(options, &profile, &profile.functions(&symbols, &xen)));
    Ok(())
}

/// Has a server answer, and if there is one, do a job twice.
fn load(dom0: &Dom0, program: &Path, domu: &mut XlDomU, await_it: &str, job: Option<&str>) -> Result<()> {
    domu.args = format!("{} {}", address(NUMBER), domu.args);
    domu.vifs.push(VifWish::new(NUMBER).spec());
    dom0.push(PEER, &fs::read(program).with_context(|| format!("reading {}", program.display()))?)?;
    dom0.sh(&format!("chmod +x {PEER}"))?;
    dom0.create_after(domu, &mark(BIRTH as u32))?;
    let jobs = job.map(|job| format!(" && {PEER} load 10.0.0.{NUMBER} '{job};{job}'"));
    let script = format!("{PEER} {await_it} 10.0.0.{NUMBER} 30000{}", jobs.unwrap_or_default());
    let said = dom0.run(&script, TIMEOUT)?;
    ensure!(said.code == 0, "the load ended with:\n{}", said.text());
    Ok(())
}

/// Has a server lose its backend and get it back twice.
fn recovery(dom0: &Dom0, program: &Path, domu: &mut XlDomU) -> Result<()> {
    domu.args = format!("{} {}", address(NUMBER), domu.args);
    domu.vifs.push(VifWish::new(NUMBER).spec());
    dom0.push(PEER, &fs::read(program).with_context(|| format!("reading {}", program.display()))?)?;
    let vif = Vif { domain: dom0.create_alone(domu)?, device: 0 };
    let answer = format!("{PEER} await 10.0.0.{NUMBER} 60000");
    dom0.sh(&format!("chmod +x {PEER} && {answer}"))?;
    for mark in [String::new(), mark(BACK_MARK)] {
        dom0.unbind_vif(vif)?;
        dom0.sh(&format!("usleep 100000; {mark}\n{}\n{answer}; sleep 1", vif.bind_script()))?;
    }
    Ok(())
}

/// Set right before the backend comes back.
const BACK_MARK: u32 = 2;
/// Set right before it is created.
const BIRTH: usize = 1;
/// Its first mark.
const SECOND_JOB: usize = FIRST_MARK as usize + 2;
/// The last byte of the image's address.
const NUMBER: u8 = 2;

fn as_table(options: &Options, profile: &Profile, functions: &[Spent]) -> String {
    let each = |count: u64| format!("{:>10.2}", count as f64 / options.per as f64);
    let mut text = String::new();
    for (whose, is_xen) in [("its own", false), ("Xen's meanwhile", true)] {
        let these: Vec<_> = functions.iter().filter(|spent| spent.is_xen == is_xen).collect();
        let sum: u64 = these.iter().map(|spent| spent.instructions).sum();
        let row = |spent: &&Spent| [each(spent.instructions), spent.name.clone()];
        let mut rows: Vec<_> = these.iter().take(options.top).map(row).collect();
        rows.push([each(sum), format!("in all, in {} functions", these.len())]);
        text += &format!("{}\n", table::render(["instructions", whose], &rows));
    }
    let row = |(trap, count): &(fata_lab::Trap, u64)| [each(*count), trap.to_string()];
    let rows: Vec<_> = profile.traps.iter().map(row).collect();
    text + &table::render(["entries", "into Xen"], &rows)
}

fn lines(text: &str) -> Result<(usize, usize)> {
    let (from, to) = text.split_once(':').context("two numbers with a colon between them are wanted")?;
    let (from, to) = (from.parse()?, to.parse()?);
    ensure!(from < to, "the first of two lines comes before the second");
    Ok((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_two_numbers_in_order() {
        assert_eq!(lines("2:3").unwrap(), (2, 3));
        for odd in ["", "2", "3:2", "2:2", "a:b", "1:2:3"] {
            assert!(lines(odd).is_err(), "{odd}");
        }
    }
}
