//! What time it is.

use anyhow::{Context as _, Result, ensure};

use super::{Case, Context, Spot, Wish, row};

pub(super) fn add(cases: &mut Vec<Case>) {
    cases.push(Case::new(Spot::XL, "time-of-day", time_of_day));
}

/// Catches: a wall clock that is read wrongly or not at all, or only once. dom0 sets Xen's, as NTP would, before
/// the guest starts and again while it runs.
fn time_of_day(ctx: &Context<'_>) -> Result<()> {
    let dom0 = ctx.dom0(Spot::XL)?;
    dom0.sh("date -s @1900000000")?;
    let guest = dom0.create(&ctx.xl_domu(&Wish::args("quiet")))?;
    ctx.prompt(&guest)?;
    for (set, day) in [("true", "2030-03-17"), ("date -s @2000000000", "2033-05-18")] {
        dom0.sh(set)?;
        let clock = ctx.ask(&guest, "clock")?;
        let time = row(&clock, "time of day").context("after dom0 set the time")?;
        ensure!(time.starts_with(day), "the guest takes the day for {time}, and it is {day}");
    }
    Ok(())
}
