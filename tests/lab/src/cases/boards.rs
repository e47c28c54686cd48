//! Each board that QEMU has a model of, as its crate describes it.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use fata_facts::{Board, Model};
use serde_json::json;

use super::crash::{self, NULL};
use super::{Case, Context, Spot, Wish, must_say, number, plain, row};
use crate::boards::is_virt;
use crate::dom0less::Dom0less;
use crate::guest::End;
use crate::machine::Config;
use crate::progress::Progress;

pub(super) fn add(cases: &mut Vec<Case>) {
    for &board in fata_boards::BOARDS {
        cases.push(case(board, "facts", facts));
    }
    // The cases before run on it.
    for &board in fata_boards::BOARDS.iter().filter(|board| !is_virt(board)) {
        match board.model {
            Model::Qemu(_) => {
                cases.push(case(board, "greets", greets));
                cases.push(case(board, "crash", crashes));
                if board.xen.cpus > 1 {
                    cases.push(case(board, "all-cpus", all_cpus));
                }
            }
            Model::Mute(..) => cases.push(case(board, "greets-unheard", greets_unheard)),
            Model::None(_) => {}
        }
    }
}

fn case(board: &'static Board, name: &str, run: fn(&Context<'_>, &'static Board) -> Result<()>) -> Case {
    Case::named(format!("boards/{}/{name}", board.name), Box::new(move |ctx| run(ctx, board)))
}

fn start(ctx: &Context<'_>, board: &'static Board, args: &str) -> Result<Dom0less> {
    let config = Config { board, ..ctx.config(Spot::DOM0LESS) };
    ctx.dom0less(&config, &[ctx.domu(&Wish::args(args))])
}

/// Catches: a board of which a fact is wrong that Xen or a guest depends on, such as its serial port in either
/// direction, its interrupt controller, its timers, or where modules may lie.
fn greets(ctx: &Context<'_>, board: &'static Board) -> Result<()> {
    let machine = start(ctx, board, "greet=off")?;
    let guest = &machine.guests[0];
    let table = plain(&ctx.prompt(guest)?);
    let expected = board.guest_on_model();
    ensure!(row(&table, "gic")?.starts_with(&format!("v{} at ", expected.gic)), "another GIC:\n{table}");
    for (label, id) in [("timer", expected.timer), ("events", expected.event)] {
        let found = row(&table, label)?;
        ensure!(found.contains(&format!("(interrupt {id})")), "{label} is not interrupt {id}, but {found}");
    }
    let clock = ctx.ask(guest, "clock")?;
    ensure!(number(&clock, "counter")? * 1_000_000 <= expected.timer_hz, "another rate:\n{clock}");
    guest.console.send("poweroff\r")?;
    ctx.end(guest, End::PowerOff)
}

/// Catches: a board whose other CPUs Xen does not find, or cannot start.
fn all_cpus(ctx: &Context<'_>, board: &'static Board) -> Result<()> {
    let config = Config { board, all_cpus: true, ..ctx.config(Spot::DOM0LESS) };
    let machine = ctx.dom0less(&config, &[ctx.domu(&Wish::args("quiet"))])?;
    ctx.prompt(&machine.guests[0])?;
    must_say(&machine.xen.text(), &format!("Brought up {} CPUs", board.xen.cpus))
}

/// Catches: the same, where Xen cannot print: what it would have is in its console ring.
fn greets_unheard(ctx: &Context<'_>, board: &'static Board) -> Result<()> {
    let config = Config { board, ..ctx.config(Spot::DOM0LESS) };
    // The machine ends with its last domain, and the second one stays.
    let domu = |args| ctx.domu(&Wish::args(args));
    let mut machine = ctx.dom0less(&config, &[domu("greet=off exit=poweroff"), domu("quiet")])?;
    ctx.end(&machine.guests[0], End::PowerOff)?;
    ensure!(machine.xen.text().is_empty(), "Xen prints, after all:\n{}", machine.xen.text());
    let (base, bytes) = (board.ram[0].base, u64::from(config.model_memory_mib().unwrap_or_default()) << 20);
    machine.monitor.run("pmemsave", json!({ "val": base, "size": bytes, "filename": "memory" }))?;
    let file = machine.folder.file("memory");
    let memory = fs::read(&file)?;
    fs::remove_file(&file)?;
    let said = ring(&memory).context("Xen's console is not in its memory")?;
    fs::write(machine.folder.file("ring.log"), &said)?;
    let expected = board.guest_on_model();
    for words in [
        "(XEN) *** LOADING DOMU cpus=1 memory=0x4000KB ***",
        "What the board found",
        &format!("v{} at ", expected.gic),
        &format!("(interrupt {})", expected.timer),
        &format!("(interrupt {})", expected.event),
        &format!(", {} MHz", expected.timer_hz / 1_000_000),
    ] {
        must_say(&plain(&said), words)?;
    }
    Ok(())
}

/// What is in Xen's console ring, which starts on a page's start (xen/drivers/char/console.c) and is not full.
fn ring(memory: &[u8]) -> Option<String> {
    let starts = memory.chunks(4096).enumerate().filter(|(_, page)| page.starts_with(b"(XEN) "));
    let texts = starts.filter_map(|(number, _)| memory[number * 4096..].split(|&byte| byte == 0).next());
    let mut texts = texts.map(|text| String::from_utf8_lossy(text).into_owned());
    texts.find(|text| text.contains("(XEN) Xen version "))
}

/// Catches: a report that needs something of QEMU's `virt`.
fn crashes(ctx: &Context<'_>, board: &'static Board) -> Result<()> {
    let machine = start(ctx, board, "quiet")?;
    let guest = &machine.guests[0];
    ctx.prompt(guest)?;
    guest.console.send(format!("crash {}\r", NULL.name))?;
    ctx.end(guest, End::Crash)?;
    ensure!(guest.console.output.wait_for_end(ctx.left()), "the machine did not end with its domain");
    crash::check(ctx, &NULL, &guest.console.output.text())
}

/// Catches: a fact that the board's device tree contradicts.
fn facts(ctx: &Context<'_>, board: &'static Board) -> Result<()> {
    let config = Config { board, ..ctx.config(Spot::DOM0LESS) };
    let blob = ctx.lab.tree_of(&config, &Progress::quiet())?;
    let contradictions = fata_deploy::contradictions(board, &fata_deploy::Survey::read(&blob)?);
    ensure!(contradictions.is_empty(), "by its device tree,\n{}", contradictions.join("\n"));
    Ok(())
}
