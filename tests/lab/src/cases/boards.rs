//! Each board that QEMU has a model of, as its crate describes it.

use anyhow::{Result, ensure};
use fata_facts::{Board, Model};

use super::crash::{self, NULL};
use super::{Case, Context, Spot, Wish, number, plain, row};
use crate::boards::is_virt;
use crate::dom0less::Dom0less;
use crate::guest::End;
use crate::machine::Config;

pub(super) fn add(cases: &mut Vec<Case>) {
    // The cases before run on it.
    for &board in fata_boards::BOARDS.iter().filter(|board| !is_virt(board)) {
        if let Model::Qemu(_) = board.model {
            cases.push(case(board, "greets", greets));
            cases.push(case(board, "crash", crashes));
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
