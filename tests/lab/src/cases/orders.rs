//! What the toolstack orders a running guest to do.

use anyhow::{Context as _, Result, ensure};

use super::{Case, Context, GUEST, PROMPT, Place, Spot, Wish, must_say, plain, row};
use crate::guest::{End, Guest};
use crate::host::{Dom0, XlDomU};
use crate::parts::XenVersion;

pub(super) fn add(cases: &mut Vec<Case>) {
    for xen in XenVersion::ALL {
        let spot = Spot { place: Place::Xl, xen, ..Spot::XL };
        cases.push(Case::new(spot, "orders", move |ctx| orders(ctx, spot)));
        cases.push(Case::new(spot, "orders-sysrq", move |ctx| sysrq(ctx, spot)));
    }
    cases.push(Case::new(Spot::XL, "orders-suspend", suspend));
    cases.push(Case::new(Spot::XL, "orders-unread", unread));
}

/// Catches: an order that is not heard, not acknowledged or ends with another reason; and one that is lost because the
/// console is in the middle of something.
fn orders(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    let dom0 = ctx.dom0(spot)?;
    let orders = [
        ("xl shutdown NAME", "", End::PowerOff),
        ("xl reboot NAME", "", End::Reboot),
        ("xenstore-write CONTROL/shutdown halt", "", End::PowerOff),
        ("xenstore-write CONTROL/shutdown crash", "", End::Crash),
        ("xl shutdown NAME", "echo half a li", End::PowerOff),
        ("xl reboot NAME", "store watch data\r", End::Reboot),
        ("xl shutdown NAME", "echo raw 1000000\r", End::PowerOff),
    ];
    for (n, (order, typed, end)) in orders.into_iter().enumerate() {
        let name = format!("{GUEST}-{n}");
        let guest = dom0.create(&XlDomU { name: name.clone(), ..ctx.xl_domu(&Wish::args("quiet")) })?;
        ctx.prompt(&guest)?;
        let control = format!("/local/domain/{}/control", guest.domain);
        for feature in ["poweroff", "reboot"] {
            let path = format!("{control}/feature-{feature}");
            dom0.store_wait(&path, "1", ctx.left())?;
        }
        guest.console.send(typed)?;
        if typed.ends_with('\r') {
            ctx.expect(&guest, "\n")?;
        }
        dom0.sh(&order.replace("NAME", &name).replace("CONTROL", &control))?;
        ctx.end(&guest, end).with_context(|| format!("after {order}, having typed {typed:?}"))?;
        let left = dom0.store_read(&format!("{control}/shutdown"))?;
        ensure!(left.as_deref() == Some(""), "{order} was not acknowledged: {left:?}");
        dom0.destroy(&name)?;
    }
    Ok(())
}

/// Catches: a key that shows nothing, or a line being typed that is lost with it.
fn sysrq(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    let (dom0, guest) = start(ctx, spot)?;
    guest.console.send("echo half")?;
    ctx.expect(&guest, "echo half")?;
    dom0.sh(&format!("xl sysrq {GUEST} s"))?;
    // What the prompt is drawn anew with.
    let seen = plain(&ctx.expect(&guest, "echo half")?);
    must_say(&seen, "sysrq s")?;
    for label in ["turns", "tasks", "xenstore", "memory", "heap in use"] {
        row(&seen, label)?;
    }
    must_say(&seen, "connected to")?;
    must_say(&ctx.ask(&guest, " a line")?, "half a line")?;
    // While a command waits.
    guest.console.send("store watch data\r")?;
    ctx.expect(&guest, "Any key ends this.")?;
    dom0.sh(&format!("xl sysrq {GUEST} t"))?;
    ctx.expect(&guest, "turns")?;
    dom0.sh(&format!("xl sysrq {GUEST} h"))?;
    ctx.expect(&guest, "The keys are")?;
    guest.console.send("q")?;
    ctx.expect(&guest, PROMPT)?;
    Ok(())
}

/// Catches: an answer to an order that cannot be followed that the toolstack would take for following it.
fn suspend(ctx: &Context<'_>) -> Result<()> {
    let (dom0, guest) = start(ctx, Spot::XL)?;
    let control = format!("/local/domain/{}/control", guest.domain);
    dom0.store_wait(&format!("{control}/feature-suspend"), "0", ctx.left())?;
    dom0.store_write(&format!("{control}/shutdown"), "suspend")?;
    ctx.expect(&guest, "wants to suspend us, which we cannot do yet")?;
    must_say(&ctx.ask(&guest, "echo alive")?, "alive")?;
    let stands = dom0.store_read(&format!("{control}/shutdown"))?;
    ensure!(stands.as_deref() == Some("suspend"), "the order was taken: {stands:?}");
    // As libxl does when it has waited long enough.
    dom0.store_write(&format!("{control}/shutdown"), "")?;
    dom0.sh(&format!("xl shutdown {GUEST}"))?;
    ctx.end(&guest, End::PowerOff)
}

/// Catches: an end that waits for a console that nobody reads.
fn unread(ctx: &Context<'_>) -> Result<()> {
    let (dom0, guest) = start(ctx, Spot::XL)?;
    dom0.sh("kill -STOP $(cat /run/xenconsoled.pid)")?;
    // More than the ring holds.
    guest.console.send("dt\r")?;
    dom0.sh(&format!("xl shutdown {GUEST}"))?;
    let ended = guest.wait(ctx.left());
    dom0.sh("kill -CONT $(cat /run/xenconsoled.pid)")?;
    ensure!(ended == Some(End::PowerOff), "{ended:?}");
    Ok(())
}

fn start(ctx: &Context<'_>, spot: Spot) -> Result<(Dom0, Guest)> {
    let dom0 = ctx.dom0(spot)?;
    let guest = dom0.create(&ctx.xl_domu(&Wish::args("quiet")))?;
    ctx.prompt(&guest)?;
    Ok((dom0, guest))
}
