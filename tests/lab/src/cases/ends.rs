//! Ends that are asked for.

use anyhow::{Context as _, Result, ensure};

use super::{Case, Context, GUEST, Spot, Wish, must_say};
use crate::guest::End;

pub(super) fn add(spot: Spot, cases: &mut Vec<Case>) {
    cases.push(Case::new(spot, "poweroff", move |ctx| ends(ctx, spot, "poweroff", End::PowerOff)));
    cases.push(Case::new(spot, "reboot", move |ctx| ends(ctx, spot, "reboot", End::Reboot)));
    if spot.place == super::Place::Xl {
        cases.push(Case::new(spot, "log-is-whole", move |ctx| log_is_whole(ctx, spot)));
    }
}

/// Catches: a domain that hangs instead of ending, or tells the toolstack the wrong reason.
fn ends(ctx: &Context<'_>, spot: Spot, command: &str, end: End) -> Result<()> {
    let running = ctx.start(spot, &Wish::args("quiet"))?;
    ctx.prompt(&running.guest)?;
    running.guest.console.send(format!("{command}\r"))?;
    ctx.end(&running.guest, end)
}

/// Catches: output that is still in the ring when the domain ends, and lost with it. The domain prints a screen
/// of text and ends at once; xenconsoled's log must have every byte of it, first and last.
fn log_is_whole(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    let running = ctx.start(spot, &Wish::args("quiet exec=\"help;dt;help;echo the very last words\""))?;
    ctx.end(&running.guest, End::PowerOff)?;
    let dom0 = running.dom0.as_ref().context("a case for xl")?;
    let log = dom0.pull(&format!("/var/log/xen/console/guest-{GUEST}.log"))?;
    let log = super::plain(&String::from_utf8_lossy(&log));
    ensure!(
        log.matches("Tab completes, the arrow keys").count() == 2,
        "not every line is in xenconsoled's log:\n{log}"
    );
    must_say(&log, "interrupt-controller")?;
    ensure!(
        log.ends_with("the very last words\n"),
        "the last words are missing in xenconsoled's log:\n{log}"
    );
    ensure!(
        running.everything(ctx.left())?.contains("the very last words"),
        "the console did not get what the log has"
    );
    Ok(())
}
