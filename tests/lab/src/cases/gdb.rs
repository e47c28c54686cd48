//! GDB on guests, as `xtask run --gdb` has people use it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use object::{Object as _, ObjectSymbol as _};

use super::{Case, Context, GUEST, Spot, Wish, must_say};
use crate::debugger::gdb_script;
use crate::disk::DiskWish;
use crate::host::Dom0;
use crate::machine::{Config, Folder};
use crate::progress::Progress;

pub(super) fn add(cases: &mut Vec<Case>) {
    let image = "mir-console+trace";
    cases.push(Case { image, ..Case::new(Spot::DOM0LESS, "gdb", from_the_start).limit(120) });
    cases.push(Case { image, ..Case::new(Spot::XL, "gdb-running", running).limit(120) });
}

/// A port that is free at this moment.
fn port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The script, and the address of a function in it.
fn script(ctx: &Context<'_>, port: u16, function: &str) -> Result<(std::path::PathBuf, Folder, u64)> {
    let folder = Folder::take(ctx.lab, &format!("{}-script", ctx.folder_name()))?;
    let file = folder.file("gdb-script");
    std::fs::write(&file, gdb_script(&ctx.built.elf, &format!("127.0.0.1:{port}"))?)?;
    let elf = std::fs::read(&ctx.built.elf)?;
    let elf = object::File::parse(&*elf)?;
    let is_it = |name: &str| format!("{:#}", addr2line::demangle_auto(name.into(), None)) == function;
    let symbol = elf.symbols().find(|symbol| symbol.name().is_ok_and(is_it));
    let address = symbol.with_context(|| format!("{function} is not in the image"))?.address();
    Ok((file, folder, address + 0x4000_0000))
}

fn commands(gdb: &mut Command, commands: &[&str]) {
    for command in commands {
        gdb.args(["-ex", command]);
    }
}

fn ended(mut child: Child, before: String) -> Result<String> {
    let mut text = before;
    child.stdout.take().context("no output")?.read_to_string(&mut text)?;
    child.wait()?;
    Ok(text)
}

const IDLE: &str = "<fata_arch_arm::machine::cpu::ArmCpu as xen_hyp::platform::Platform>::idle";
const LOOK: [&str; 6] = ["bt", "fata-ports", "fata-grants", "fata-rings", "fata-tasks", "fata-log"];

/// Catches: symbols at the wrong address, a breakpoint that QEMU's or Xen's own code hits, a backtrace without names, and
/// commands that fail or find nothing, from the first instruction on.
fn from_the_start(ctx: &Context<'_>) -> Result<()> {
    let gdb = ctx.lab.gdb(&Progress::quiet())?;
    let port = port()?;
    let (file, _folder, idle) = script(ctx, port, IDLE)?;
    let config = Config { gdb_port: Some(port), ..ctx.config(Spot::DOM0LESS) };
    let _machine = ctx.dom0less(&config, &[ctx.domu(&Wish::args("quiet"))])?;
    let mut gdb = gdb.command()?;
    gdb.arg("-batch").arg("-x").arg(&file);
    commands(&mut gdb, &["continue", "info registers pc", "echo entered\\n"]);
    commands(&mut gdb, &[&format!("hbreak *{idle:#x} if (($cpsr >> 2) & 3) == 1"), "continue"]);
    commands(&mut gdb, &LOOK);
    commands(&mut gdb, &["fata-help", "kill"]);
    let child = gdb.stdout(Stdio::piped()).stderr(Stdio::inherit()).stdin(Stdio::null()).spawn()?;
    let text = ended(child, String::new())?;
    let (entry, idle) = text.split_once("entered\n").context("GDB did not come that far")?;
    must_say(entry, "0x40000000 <_start>")?;
    for what in [
        "#0 ",
        "fata_arch_arm::machine::cpu::{impl#2}::idle",
        "fata_rt::exec::run<",
        "mir_console::main",
        "upcall pending 0, selector 0",
        "0 in use",
        "0 rings",
        "task 0: waiting, 1 polls  fata_xenvm_arm64::log::pump",
        "1 tasks beside the main one",
        "fata-grants  pages lent",
    ] {
        ensure!(idle.contains(what), "{what:?} is missing in:\n{text}");
    }
    Ok(())
}

/// Catches: commands that find nothing of what a domain under xl has: grants, rings of the console and of Xenstore, ports.
fn running(ctx: &Context<'_>) -> Result<()> {
    let gdb = ctx.lab.gdb(&Progress::quiet())?;
    let port = port()?;
    let (file, _folder, idle) = script(ctx, port, IDLE)?;
    let config = ctx.config(Spot::XL);
    let watch_args = vec!["-gdb".to_owned(), format!("tcp:127.0.0.1:{port}")];
    let dom0 = Dom0::start(ctx.lab, &Config { watch_args, ..config }, &Progress::quiet())?;
    ctx.begin();
    let mut domu = ctx.xl_domu(&Wish::args("quiet"));
    domu.disks.push(dom0.make_disk(&DiskWish::new("xvda", 4))?.spec("xvda"));
    let guest = dom0.create(&domu)?;
    ctx.prompt(&guest)?;
    ctx.ask(&guest, "blk read xvda 0 1")?;
    let mut gdb = gdb.command()?;
    gdb.arg("-batch").arg("-x").arg(&file);
    commands(
        &mut gdb,
        &[&format!("hbreak *{idle:#x} if (($cpsr >> 2) & 3) == 1"), "echo now\\n", "continue"],
    );
    commands(&mut gdb, &LOOK);
    commands(&mut gdb, &["kill"]);
    let mut child = gdb.stdout(Stdio::piped()).stderr(Stdio::inherit()).stdin(Stdio::null()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("no output")?);
    let mut text = String::new();
    while !text.contains("now\n") {
        ensure!(lines.read_line(&mut text)? > 0, "GDB ended early:\n{text}");
    }
    // Once it has been woken, it goes to sleep again.
    guest.console.send("\r")?;
    lines.read_to_string(&mut text)?;
    child.wait()?;
    for what in [
        "fata_arch_arm::machine::cpu::{impl#2}::idle",
        "fata_rt::exec::run<",
        "mir_console::main",
        "upcall pending 0, selector 0",
        "grant table at 0x38000000, 512 entries",
        "for domain 0",
        "console at 0x39000000",
        "Xenstore at 0x39001000",
        "disk 51712 at 0x4",
        "slots of 112 bytes",
        "3 rings",
        "fata_xenvm_arm64::log::pump",
    ] {
        ensure!(text.contains(what), "{what:?} is missing of {GUEST} in:\n{text}");
    }
    Ok(())
}
