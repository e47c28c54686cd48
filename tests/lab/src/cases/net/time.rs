//! A time server that many have, chrony, and what mir-console takes from it.

use anyhow::{Result, ensure};

use super::super::{Case, Context, MIR_CONSOLE_FILES, Spot, row};
use crate::host::XlDomU;
use crate::net::{VifWish, address};
use crate::progress::Progress;
use crate::tools::On;

const GUEST: &str = "guest";
const MEMORY_MIB: u32 = 16;
/// What Xen has told the guest, and what the server says later.
const BEFORE: &str = "@1900000000";
const AFTER: (&str, &str) = ("@2000000000", "2033-05-18 03:3");
/// It has no other clock to go by; it sets none; nobody else talks to it.
const CONFIGURATION: &[u8] =
    b"local stratum 2\nallow all\nbindaddress 10.0.0.1\ncmdport 0\nbindcmdaddress /\n\
    pidfile /tmp/chronyd.pid\n";

pub(super) fn add(cases: &mut Vec<Case>) {
    let case = Case::new(Spot::XL, "net-time-server", time_server);
    cases.push(Case { image: MIR_CONSOLE_FILES, ..case }.limit(120));
}

/// Catches: questions that a real server does not answer, answers of its that are refused, and times that are misread.
fn time_server(ctx: &Context<'_>) -> Result<()> {
    let dom0 = ctx.dom0(Spot::XL)?;
    let before = dom0.footprint()?;
    let tools = ctx.lab.tools(On::Dom0, &Progress::quiet())?;
    dom0.push_tools(&tools, &["chronyd"])?;
    dom0.push("/tmp/chrony.conf", CONFIGURATION)?;
    dom0.sh(&format!("date -s {BEFORE}; echo root:x:0:0:::/bin/sh >/etc/passwd"))?;
    let domu = XlDomU {
        args: format!("quiet {}", address(2)),
        vifs: vec![VifWish::new(2).spec()],
        ..XlDomU::new(GUEST, ctx.built.image.clone(), MEMORY_MIB)
    };
    let guest = dom0.create(&domu)?;
    ctx.prompt(&guest)?;
    let told = ctx.ask(&guest, "time")?;
    ensure!(
        row(&told, "told by")? == "Xen" && row(&told, "time of day")?.starts_with("2030-03-17"),
        "{told}"
    );
    // Nobody is there yet.
    let silent = ctx.ask(&guest, "time 10.0.0.1")?;
    ensure!(!silent.contains("a server"), "{silent}");
    dom0.sh(&format!("date -s {}; /tools/chronyd -x -u root -f /tmp/chrony.conf", AFTER.0))?;
    dom0.sh("until [ -s /tmp/chronyd.pid ]; do usleep 10000; done")?;
    let told = ctx.ask(&guest, "time 10.0.0.1")?;
    ensure!(row(&told, "time of day")?.starts_with(AFTER.1), "{told}");
    ensure!(row(&told, "told by")?.starts_with("a server, "), "{told}");
    // Whoever knows better does not follow Xen any more.
    dom0.sh(&format!("date -s {BEFORE}"))?;
    let told = ctx.ask(&guest, "time")?;
    ensure!(row(&told, "time of day")?.starts_with(AFTER.1), "{told}");
    ensure!(row(&told, "told by")?.starts_with("a server, "), "{told}");
    dom0.sh("kill $(cat /tmp/chronyd.pid)")?;
    dom0.destroy(GUEST)?;
    let left = dom0.footprint()?.since(&before);
    ensure!(left.is_empty(), "left behind: {left:#?}");
    Ok(())
}
