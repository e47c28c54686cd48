//! A xenstored that is slow, is exchanged, or is no more.

use anyhow::{Result, ensure};

use super::super::{Case, Context, Place, Spot};
use super::{BLOCK_CHECK, case};
use crate::checker::{Checker, number_after};
use crate::disk::Vbd;
use crate::parts::XenVersion;
use crate::store::state;

const MIB: u64 = 1 << 20;
const GUEST: &str = "checker";
const PID: &str = "$(cat /run/xenstored.pid)";

pub(super) fn add(cases: &mut Vec<Case>) {
    for xen in XenVersion::ALL {
        let spot = Spot { place: Place::Xl, xen, ..Spot::XL };
        cases.push(case(spot, "block-store-slow", 120, slow));
        cases.push(case(spot, "block-store-updated", 120, updated));
    }
    let killed = Case::new(Spot::XL, "block-store-killed", killed);
    cases.push(Case { image: BLOCK_CHECK, ..killed });
}

/// Catches: a guest that needs Xenstore to read and write, or takes its silence for an answer.
fn slow(checker: &Checker<'_>) -> Result<()> {
    let dom0 = checker.dom0;
    let disk = checker.make("disk", 4)?;
    let mut domu = checker.domu(GUEST, "seed=100 rounds=0", &[&disk]);
    domu.paused = true;
    let guest = dom0.create(&domu)?;
    let vbd = Vbd::new(&guest, "xvda")?;
    // It stands still most of the time, and goes on for as long as it takes to answer one question of dom0's.
    dom0.sh(&format!(
        "(while [ ! -e /tmp/quick ]; do kill -STOP {PID}; usleep 150000; kill -CONT {PID}; xenstore-exists /; done; \
         rm /tmp/quick) >/dev/null 2>&1 &"
    ))?;
    dom0.sh(&format!("xl unpause {}", guest.domain))?;
    checker.busy(vbd, 1)?;
    for _ in 0..3 {
        dom0.unbind_backend(vbd)?;
        dom0.bind_backend(vbd)?;
        dom0.store_wait(&format!("{}/state", vbd.backend()), state::CONNECTED, checker.left())?;
        checker.busy(vbd, 1)?;
    }
    dom0.sh("touch /tmp/quick; while [ -e /tmp/quick ]; do usleep 10000; done")?;
    // Linux's backend may have done that one request with the ring it found when it was started, and the guest be about to
    // leave it. One that is new has nothing of the kind.
    dom0.detach_disk(GUEST, "xvda")?;
    dom0.attach_disk(GUEST, &disk.spec("xvda"))?;
    for half in [vbd.frontend(), vbd.backend()] {
        dom0.store_wait(&format!("{half}/state"), state::CONNECTED, checker.left())?;
    }
    // Now it says nothing at all, but the disk works.
    dom0.sh(&format!("kill -STOP {PID}"))?;
    let done = dom0.backend_statistic(vbd, "wr_req")?;
    checker.busy(vbd, done + 128)?;
    checker.expect(&guest, ": read ")?;
    dom0.sh(&format!("kill -CONT {PID}"))?;
    let said = checker.finish(GUEST, &guest)?;
    checker.holds(&disk, number_after(&said, "seed")?, 4 * MIB)?;
    checker.remove(GUEST, &[&disk])
}

/// Catches: a guest whose watches or requests are lost when xenstored is exchanged for a new one, which goes on with
/// the old one's tree and connections.
fn updated(checker: &Checker<'_>) -> Result<()> {
    const UPDATE: &str = "xenstore-control live-update /usr/sbin/xenstored";
    let dom0 = checker.dom0;
    let disk = checker.make("disk", 4)?;
    let guest = checker.start(GUEST, "seed=110 rounds=0", &[&disk])?;
    let vbd = Vbd::new(&guest, "xvda")?;
    checker.busy(vbd, 16)?;
    dom0.sh(UPDATE)?;
    // In the middle of what the guest and Linux tell each other.
    dom0.sh(&format!(
        "(for n in 1 2 3 4 5 6 7 8; do {UPDATE} && echo OK; done; echo done) \
         >/tmp/updates 2>&1 &"
    ))?;
    let mut cycles = 0;
    while !dom0.sh("cat /tmp/updates 2>/dev/null; true")?.contains("done") || cycles < 3 {
        dom0.unbind_backend(vbd)?;
        dom0.bind_backend(vbd)?;
        dom0.store_wait(&format!("{}/state", vbd.backend()), state::CONNECTED, checker.left())?;
        checker.busy(vbd, 1)?;
        cycles += 1;
    }
    let updates = dom0.sh("cat /tmp/updates")?;
    ensure!(updates == "OK\n".repeat(8) + "done\n", "{updates}");
    dom0.detach_disk(GUEST, "xvda")?;
    dom0.attach_disk(GUEST, &disk.spec("xvda"))?;
    let said = checker.finish(GUEST, &guest)?;
    checker.holds(&disk, number_after(&said, "seed")?, 4 * MIB)?;
    checker.remove(GUEST, &[&disk])
}

/// Catches: a guest that cannot do without Xenstore what needs none. xenstored is killed, and the one that is started
/// then knows nothing of the domain.
fn killed(ctx: &Context<'_>) -> Result<()> {
    let dom0 = ctx.dom0(Spot::XL)?;
    let left = || ctx.left();
    let checker = Checker::new(&dom0, ctx.built.image.clone(), &left)?;
    let disk = checker.make("disk", 4)?;
    let guest = checker.start(GUEST, "seed=120 rounds=0", &[&disk])?;
    checker.expect(&guest, ": read ")?;
    dom0.sh(&format!("kill -9 {PID}"))?;
    for _ in 0..2 {
        checker.expect(&guest, ": read ")?;
    }
    dom0.sh("rm /run/xenstored.pid; xenstored --pid-file /run/xenstored.pid")?;
    for _ in 0..2 {
        checker.expect(&guest, ": read ")?;
    }
    ensure!(guest.ended().is_none());
    dom0.sh(&format!("xl destroy {}", guest.domain)).map(drop)
}
