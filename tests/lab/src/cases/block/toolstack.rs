//! What a toolstack does to domains, while they read and write.

use anyhow::{Result, ensure};

use super::super::{Case, Spot};
use super::case;
use crate::checker::{Checker, number_after};
use crate::disk::Vbd;
use crate::guest::End;
use crate::store::state;

const MIB: u64 = 1 << 20;
const GUEST: &str = "checker";

pub(super) fn add(cases: &mut Vec<Case>) {
    cases.push(case(Spot::XL, "block-paused", 120, paused));
    cases.push(case(Spot::XL, "block-ended", 120, ended));
}

/// Catches: answers that are missed because they came while the guest stood still, and a disk that is lost because it
/// went away meanwhile.
fn paused(checker: &Checker<'_>) -> Result<()> {
    let dom0 = checker.dom0;
    let disk = checker.make("disk", 4)?;
    let guest = checker.start(GUEST, "seed=80 rounds=0", &[&disk])?;
    let vbd = Vbd::new(&guest, "xvda")?;
    checker.busy(vbd, 16)?;
    for _ in 0..5 {
        dom0.sh(&format!("xl pause {GUEST}"))?;
        let list = dom0.sh(&format!("xl list {GUEST}"))?;
        ensure!(list.contains("--p---"), "xl does not call it paused:\n{list}");
        let before = dom0.backend_statistic(vbd, "rd_req")? + dom0.backend_statistic(vbd, "wr_req")?;
        dom0.sh(&format!("xl unpause {GUEST}"))?;
        checker.busy(vbd, before + 64)?;
    }
    // It wakes up without its backend, or with one that has started over. Linux's may have gone on with the same ring by
    // then, since the guest still says that it is connected.
    let again = || -> Result<()> {
        dom0.store_wait(&format!("{}/state", vbd.backend()), state::CONNECTED, checker.left())?;
        checker.busy(vbd, 64)
    };
    dom0.sh(&format!("xl pause {GUEST}"))?;
    dom0.unbind_backend(vbd)?;
    dom0.sh(&format!("xl unpause {GUEST}"))?;
    dom0.bind_backend(vbd)?;
    again()?;
    dom0.sh(&format!("xl pause {GUEST}"))?;
    dom0.unbind_backend(vbd)?;
    dom0.bind_backend(vbd)?;
    dom0.sh(&format!("xl unpause {GUEST}"))?;
    again()?;
    // Without its disk.
    dom0.sh(&format!("xl pause {GUEST}"))?;
    dom0.detach_disk_by_force(GUEST, "xvda")?;
    dom0.sh(&format!("xl unpause {GUEST}"))?;
    checker.expect(&guest, "xvda: away")?;
    dom0.attach_disk(GUEST, &disk.spec("xvda"))?;
    checker.expect(&guest, "back, connects")?;
    let said = checker.finish(GUEST, &guest)?;
    checker.holds(&disk, number_after(&said, "seed")?, 4 * MIB)?;
    checker.remove(GUEST, &[&disk])
}

/// Catches: a domain whose end is held up by its disks, or whose disks by its end.
fn ended(checker: &Checker<'_>) -> Result<()> {
    let dom0 = checker.dom0;
    let disks = [checker.make("first", 4)?, checker.make("second", 4)?];
    let disks: Vec<_> = disks.iter().collect();
    let work = |seed: u64| -> Result<_> {
        let args = format!("seed={seed} disk=xvda,xvdb rounds=0 mode=write");
        let guest = checker.start(GUEST, &args, &disks)?;
        let vbd = Vbd::new(&guest, "xvdb")?;
        checker.busy(vbd, 16)?;
        Ok((guest, vbd))
    };
    let gone = || -> Result<()> {
        dom0.destroy(GUEST)?;
        // The disks are free at once.
        let held = dom0.sh("for l in /sys/block/loop*; do ls $l/holders; done")?;
        ensure!(held.trim().is_empty(), "{held}");
        Ok(())
    };
    let (guest, _) = work(90)?;
    dom0.sh(&format!("xl reboot {GUEST}"))?;
    checker.end(&guest, End::Reboot)?;
    gone()?;

    // What it asked for before it was told to, it finishes.
    let (guest, _) = work(91)?;
    let said = checker.finish(GUEST, &guest)?;
    disks.iter().try_for_each(|disk| checker.holds(disk, number_after(&said, "seed")?, 4 * MIB))?;
    gone()?;

    // There is no Xenstore message for that, but the toolstack may take its CPU away at any time.
    work(92)?;
    gone()?;
    work(93)?;
    dom0.sh(&format!("xl pause {GUEST}"))?;
    gone()?;
    let (_, vbd) = work(94)?;
    dom0.unbind_backend(vbd)?;
    gone()?;
    disks.iter().try_for_each(|disk| dom0.remove_disk(disk))
}
