//! Idle costs nothing.

use anyhow::{Context as _, Result, ensure};

use super::{Case, Context, GUEST, Place, Spot, Wish, number};
use crate::dom0less::Dom0less;
use crate::machine::{Config, Gic};
use crate::parts::XenVersion;

/// QEMU's real-time clock, which Xen does not use: its first register is the machine's own time in seconds.
const CLOCK: &str = "xp /1wx 0x9010000";

/// What that clock shows when the machine is switched on: 2020 began.
const SWITCHED_ON: u64 = 1_577_836_800;

pub(super) fn add(cases: &mut Vec<Case>) {
    for gic in Gic::ALL {
        for xen in XenVersion::ALL {
            let spot = Spot { place: Place::Dom0less, gic, xen };
            cases.push(Case::new(spot, "idle", move |ctx| nothing_is_pending(ctx, spot)));
        }
    }
    cases.push(Case::new(Spot::XL, "idle", left_alone));
}

/// Catches: a timer that is set while there is nothing to wait for, however far ahead, and any polling. When
/// instructions are counted and every CPU sleeps, QEMU's time jumps to the next timer; if there is none in the whole
/// machine, it stands still. A tick once an hour would make it race.
fn nothing_is_pending(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    let config = Config {
        icount: true,
        qemu_args: ["-rtc", "base=2020-01-01T00:00:00,clock=vm"].map(str::to_owned).to_vec(),
        ..ctx.config(spot)
    };
    let mut machine = ctx.dom0less(&config, &[ctx.domu(&Wish::default())])?;
    let guest = machine.guests[0].clone();
    // The greeting sets timers. They must end; and that its three seconds pass shows that this clock can tell.
    ctx.prompt(&guest)?;
    ensure!(
        seconds(&mut machine)? >= SWITCHED_ON + 3,
        "the machine's clock does not show the seconds of the greeting"
    );
    for _ in 0..3 {
        let start = seconds(&mut machine)?;
        // The first of these may fall into the last of the guest's work; and it may pass a second's end.
        for _ in 0..500 {
            let now = seconds(&mut machine)?;
            ensure!(
                now <= start + 1,
                "time passes while all is idle: something in this machine has set a timer"
            );
        }
        // It can still be woken.
        ctx.ask(&guest, "tasks")?;
    }
    Ok(())
}

fn seconds(machine: &mut Dom0less) -> Result<u64> {
    // `0000000009010000: 0x6741f2a3`
    let answer = machine.monitor.human(CLOCK)?;
    let digits = answer.split("0x").nth(1).with_context(|| format!("QEMU said {answer:?}"))?;
    Ok(u64::from_str_radix(digits.trim(), 16)?)
}

/// Catches: events that keep coming from dom0, or that the guest brings about itself. It counts how often it went to
/// sleep; ten idle seconds must not add more than the keys of the question do.
fn left_alone(ctx: &Context<'_>) -> Result<()> {
    const QUESTION: &str = "tasks";
    let running = ctx.start(Spot::XL, &Wish::args("quiet"))?;
    let dom0 = running.dom0.as_ref().context("a case for xl")?;
    ctx.prompt(&running.guest)?;
    let ask = || -> Result<(u64, String)> {
        let sleeps = number(&ctx.ask(&running.guest, QUESTION)?, "sleeps")?;
        Ok((sleeps, dom0.sh(&format!("xl list {GUEST} | awk 'END {{ print $NF }}'"))?))
    };
    let (before, used_before) = ask()?;
    dom0.sh("sleep 10")?;
    let (after, used_after) = ask()?;
    // Back to sleep after the first answer; then, at worst, once for each key and for each piece of the answer.
    let keys = QUESTION.len() as u64 + 1;
    ensure!(after - before <= 2 * keys, "{} wake-ups in ten idle seconds and {keys} keys", after - before);
    let (used_before, used_after): (f64, f64) = (used_before.trim().parse()?, used_after.trim().parse()?);
    ensure!(
        used_after - used_before <= 0.2,
        "ten idle seconds took {:.1} s of CPU time",
        used_after - used_before
    );
    Ok(())
}
