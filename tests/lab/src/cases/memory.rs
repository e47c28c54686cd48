//! Little memory, too little, and much.

use anyhow::Result;

use super::{Case, Context, Spot, Wish, must_say, plain, row};
use crate::guest::End;

pub(super) fn add(cases: &mut Vec<Case>) {
    // With 4 MiB Xen itself finds no room for the device tree, which it keeps 2 MiB for.
    cases.push(Case::new(Spot::DOM0LESS, "memory-5-mib", |ctx| runs_in(ctx, Spot::DOM0LESS, 5)));
    cases.push(Case::new(Spot::XL, "memory-4-mib", |ctx| runs_in(ctx, Spot::XL, 4)));
    cases.push(Case::new(Spot::XL, "memory-3-mib", |ctx| runs_in(ctx, Spot::XL, 3)));
    cases.push(Case::new(Spot::DOM0LESS, "memory-two-banks", two_banks));
    cases.push(Case { image: "base-bench", ..Case::new(Spot::DOM0LESS, "memory-moved", moved) });
}

/// Catches: an image that has grown, or takes memory for granted.
fn runs_in(ctx: &Context<'_>, spot: Spot, memory_mib: u32) -> Result<()> {
    let running = ctx.start(spot, &Wish { memory_mib, ..Wish::args("greet=off") })?;
    let table = plain(&ctx.prompt(&running.guest)?);
    must_say(row(&table, "memory")?, &format!("{memory_mib} MiB"))?;
    let mem = ctx.ask(&running.guest, "mem")?;
    must_say(row(&mem, "allocator")?, "free")?;
    running.guest.console.send("poweroff\r")?;
    ctx.end(&running.guest, End::PowerOff)
}

/// Catches: a second bank that is not found, not mapped, or whose addresses above 4 GiB are cut short.
fn two_banks(ctx: &Context<'_>) -> Result<()> {
    const MIB: u32 = 4 << 10;
    let running = ctx.start(Spot::DOM0LESS, &Wish { memory_mib: MIB, ..Wish::args("greet=off") })?;
    let table = plain(&ctx.prompt(&running.guest)?);
    let mem = ctx.ask(&running.guest, "mem")?;
    must_say(row(&mem, "allocator")?, "3.9 GiB in all, 3.9 GiB free")?;
    for bank in ["0x040000000 - 0x0ffffffff  3 GiB", "0x200000000 - 0x23fffffff  1 GiB"] {
        must_say(&table, bank)?;
    }
    // Takes all there is, and so touches the books of both banks.
    running.guest.console.send("crash oom\r")?;
    ctx.end(&running.guest, End::Crash)
}

/// Catches: routines that move bytes (arch-arm/src/machine/memory.rs) and get a length, an overlap or an end wrong.
fn moved(ctx: &Context<'_>) -> Result<()> {
    let running = ctx.start(Spot::DOM0LESS, &Wish::args("check=copies"))?;
    ctx.expect(&running.guest, "SUCCESS")?;
    ctx.end(&running.guest, End::PowerOff)
}
