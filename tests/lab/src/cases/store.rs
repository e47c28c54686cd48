//! Xenstore as a guest sees it: the real server's, early and late.

use anyhow::{Context as _, Result, ensure};

use super::{Case, Context, GUEST, PROMPT, Place, Spot, Wish, must_say, plain, row};
use crate::dom0less::DomU;
use crate::dtb::Enhanced;
use crate::guest::End;
use crate::host::Dom0;
use crate::parts::XenVersion;
use crate::progress::Progress;

pub(super) fn add(cases: &mut Vec<Case>) {
    for xen in XenVersion::ALL {
        let spot = Spot { place: Place::Xl, xen, ..Spot::XL };
        cases.push(Case::new(spot, "store", move |ctx| store(ctx, spot)));
        cases.push(Case::new(spot, "store-late", move |ctx| late(ctx, spot)).limit(90));
    }
    cases.push(Case::new(Spot::XL, "store-silent", silent));
}

/// Catches: values that do not arrive whole, in either direction; changes that a watch misses; what a terminal would
/// obey; a directory that is too long for one message.
fn store(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    let dom0 = ctx.dom0(spot)?;
    let guest = dom0.create(&ctx.xl_domu(&Wish::args("quiet")))?;
    ctx.prompt(&guest)?;
    let home = format!("/local/domain/{}", guest.domain);
    let ask = |command: &str| ctx.ask(&guest, command);

    must_say(row(&ask("about")?, "xenstore")?, "connected")?;
    ensure!(ask("store read name")? == format!("\"{GUEST}\"\n{PROMPT}"));
    ensure!(ask(&format!("store read {home}/domid"))? == format!("\"{}\"\n{PROMPT}", guest.domain));
    let all = ask("store ls")?;
    for line in ["  control/\n", "  device/\n", &format!("  name = \"{GUEST}\"\n")] {
        must_say(&all, line)?;
    }
    must_say(&ask("store read nowhere")?, "Xenstore refused: ENOENT")?;
    must_say(&ask("store write /tool/x y")?, "Xenstore refused: EACCES")?;

    ensure!(ask("store write data/one  two  words ")? == PROMPT);
    ensure!(dom0.store_read(&format!("{home}/data/one"))?.as_deref() == Some("two  words"));

    guest.console.send("store watch data\r")?;
    ctx.expect(&guest, "Any key ends this.\r\ndata = \"\"\r\n")?;
    for n in 0..3 {
        dom0.store_write(&format!("{home}/data/two"), &format!("value {n}"))?;
        ctx.expect(&guest, &format!("data/two = \"value {n}\"\r\n"))?;
    }
    dom0.sh(&format!("xenstore-write {home}/data/two \"$(printf 'a\\033[2J\\377')\""))?;
    ctx.expect(&guest, "data/two = \"a\\x1b[2J\\xff\"\r\n")?;
    dom0.store_remove(&format!("{home}/data/two"))?;
    ctx.expect(&guest, "data/two is gone\r\n")?;
    guest.console.send(" ")?;
    ctx.expect(&guest, PROMPT)?;

    // Far more than a message of 4 KiB.
    dom0.sh(&format!(
        "for n in $(seq 1000 1199); do echo {home}/data/many/a-name-that-is-not-the-shortest-$n; echo $n; done |\n\
         xargs xenstore-write"
    ))?;
    let many = ask("store ls data/many")?;
    for n in 1000..1200 {
        must_say(&many, &format!("  a-name-that-is-not-the-shortest-{n} = \"{n}\"\n"))?;
    }
    ensure!(many.lines().count() == 200 + 1, "more than there is:\n{many}");
    Ok(())
}

/// Catches: a command that cannot be given up when the server does not answer, and a reply that is then taken for
/// another's.
fn silent(ctx: &Context<'_>) -> Result<()> {
    let dom0 = ctx.dom0(Spot::XL)?;
    let guest = dom0.create(&ctx.xl_domu(&Wish::args("quiet")))?;
    ctx.prompt(&guest)?;
    dom0.sh("kill -STOP $(cat /run/xenstored.pid)")?;
    guest.console.send("store read name\r")?;
    ctx.expect(&guest, "store read name\r\n")?;
    guest.console.send("\x03")?;
    ctx.expect(&guest, "^C\r\n")?;
    ctx.expect(&guest, PROMPT)?;
    must_say(&ctx.ask(&guest, "echo alive")?, "alive")?;
    guest.console.send("store read domid\r")?;
    dom0.sh("kill -CONT $(cat /run/xenstored.pid)")?;
    ctx.expect(&guest, &format!("\"{}\"\r\n", guest.domain))?;
    Ok(())
}

/// Catches: a domain of Xen's own that does not wait for its store, does not say that it waits, or does not notice when
/// `init-dom0less` brings it; and then does not follow `xl`.
fn late(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    let exec = "about;store read domid;store write data/hello world;store ls data";
    let wish = Wish::args(&format!("quiet colours=off exit=stay exec=\"{exec}\""));
    let domu = DomU { enhanced: Enhanced::Enabled, ..ctx.domu(&wish) };
    let dom0 = Dom0::boot_beside(ctx.lab, &ctx.config(spot), &[domu], &Progress::quiet())?;
    ctx.begin();
    let expect = |text: &str| dom0.serial.expect(text, ctx.left());

    let table = plain(&expect("fata> store read domid")?);
    let state = table.lines().find(|line| line.contains("xenstore  ")).context("no row for Xenstore")?;
    must_say(state, "waiting for the toolstack to set it up")?;
    expect("Xenstore: waiting for the toolstack to set it up; Ctrl-C gives up")?;
    expect("waiting for Xenstore: the toolstack has not said yet where it is")?;

    dom0.sh("/usr/lib/xen/bin/init-dom0less")?;
    expect("\"1\"")?;
    expect("hello = \"world\"")?;
    must_say(&dom0.sh("xenstore-read /local/domain/1/data/hello")?, "world")?;
    let name = dom0.sh("xl list | awk '$2 == 1 { print $1 }'")?;
    dom0.sh(&format!("xl shutdown {}", name.trim()))?;
    let end = dom0.wait_for_end(1, ctx.left());
    ensure!(end == Some(End::PowerOff), "`xl shutdown` ended it thus: {end:?}");
    Ok(())
}
