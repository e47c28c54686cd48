//! Commands typed at the console, and their answers.

use anyhow::{Result, ensure};

use super::{Case, Context, PROMPT, Place, Spot, Wish, must_say, plain, row};

pub(super) fn add(spot: Spot, cases: &mut Vec<Case>) {
    cases.push(Case::new(spot, "dialogue", move |ctx| dialogue(ctx, spot)));
}

/// Catches: input that does not arrive or arrives twice, a command that fails on this Xen, a clock that stands
/// still, events that are not counted, an editor that this console's path garbles.
fn dialogue(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    let running = ctx.start(spot, &Wish::args("quiet"))?;
    let guest = &running.guest;
    ctx.prompt(guest)?;

    let help = ctx.ask(guest, "help")?;
    for command in [
        "about", "dt", "mem", "xen", "events", "devices", "store", "blk", "clock", "tasks", "log", "echo",
        "crash", "poweroff",
    ] {
        must_say(&help, &format!("  {command} "))?;
    }

    let mem = ctx.ask(guest, "mem")?;
    must_say(row(&mem, "memory")?, "16 MiB")?;
    must_say(row(&mem, "instructions")?, "r-x")?;
    must_say(row(&mem, "constants")?, "r--")?;
    must_say(row(&mem, "data")?, "rw-")?;

    let xen = ctx.ask(guest, "xen")?;
    must_say(row(&xen, "Xen")?, spot.xen.number())?;
    must_say(row(&xen, "capabilities")?, "xen-3.0-aarch64")?;
    must_say(row(&xen, "domain")?, &format!("d{}", guest.domain))?;

    let events = ctx.ask(guest, "events")?;
    must_say(&events, "upcalls")?;
    if spot.place == Place::Xl {
        // The console's port: what was typed came as events.
        // Below Xenstore's.
        let console = events.lines().rfind(|line| line.contains("  d0 port "));
        let received = console.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0);
        ensure!(
            received >= 4u64,
            "four commands were typed, but the console's port had {received} events:\n{events}"
        );
    }

    let clock = ctx.ask(guest, "clock")?;
    let later = ctx.ask(guest, "clock")?;
    let (first, second) = (row(&clock, "since start")?, row(&later, "since start")?);
    ensure!(nanoseconds(first)? < nanoseconds(second)?, "time stands still: {first}, then {second}");

    let tree = ctx.ask(guest, "dt /")?;
    must_say(&tree, &format!("xen,xen-{}", spot.xen))?;
    must_say(&tree, "timer {")?;
    must_say(&tree, "interrupt-controller")?;

    ensure!(ctx.ask(guest, "echo  twice  as  much ")? == "twice  as  much\n".to_owned() + PROMPT);
    must_say(&ctx.ask(guest, "frobnicate")?, "There is no command frobnicate.")?;

    // Arrow up twice: the command before the unknown one, run again.
    guest.console.send("\x1b[A\x1b[A\r")?;
    ctx.expect(guest, "\ntwice  as  much\r\n")?;
    ctx.expect(guest, PROMPT)?;

    // Editing in the middle of a line: left, left, a letter, delete.
    guest.console.send("echo axyd\x1b[D\x1b[D\x1b[Db\x1b[3~\x1b[3~c\r")?;
    ctx.expect(guest, "\nabcd\r\n")?;

    // Tab completes.
    guest.console.send("chal\x15cl\t\r")?;
    let seen = plain(&ctx.expect(guest, "since start")?);
    must_say(&seen, "clock")
}

/// `12.345678901 s`.
fn nanoseconds(text: &str) -> Result<u128> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    Ok(digits.parse()?)
}
