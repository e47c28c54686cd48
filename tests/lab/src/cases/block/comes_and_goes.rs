//! Disks that are resized, pulled and plugged in, and backends that go away, while the guest works.

use anyhow::{Result, ensure};

use super::super::{Case, Spot};
use super::case;
use crate::checker::{Checker, number_after};
use crate::disk::{DiskWish, Vbd};
use crate::store::state;

const MIB: u64 = 1 << 20;
const GUEST: &str = "checker";

pub(super) fn add(cases: &mut Vec<Case>) {
    cases.push(case(Spot::XL, "block-resized", 120, resized));
    cases.push(case(Spot::XL, "block-late", 120, late));
    cases.push(case(Spot::XL, "block-closing", 120, closing));
}

/// Catches: a disk that stays as large as it was, or whose requests are lost when it grows under them.
fn resized(checker: &Checker<'_>) -> Result<()> {
    let dom0 = checker.dom0;
    let disk = checker.make("disk", 2)?;
    let guest = checker.start(GUEST, "seed=50 rounds=0", &[&disk])?;
    let vbd = Vbd::new(&guest, "xvda")?;
    checker.expect(&guest, "xvda: 4096 sectors")?;
    for mib in [3, 5] {
        checker.busy(vbd, 32)?;
        dom0.grow_disk(&disk, mib * MIB)?;
        checker.expect(&guest, &format!("xvda: {} sectors", mib * 2048))?;
        checker.expect(&guest, &format!("wrote {} bytes", mib * MIB))?;
        // And without a pause.
        let said = checker.expect(&guest, &format!("read {} bytes", mib * MIB))?;
        let line = said + &checker.expect(&guest, "resent")?;
        ensure!(number_after(&line, "connects")? == 1, "{line}");
    }
    let said = checker.finish(GUEST, &guest)?;
    checker.holds(&disk, number_after(&said, "seed")?, 5 * MIB)?;
    checker.remove(GUEST, &[&disk])
}

/// Catches: a guest that is lost without a disk, or takes another disk in its place for the same.
fn late(checker: &Checker<'_>) -> Result<()> {
    let dom0 = checker.dom0;
    let (first, second) =
        (checker.make("first", 2)?, DiskWish { sector_bytes: 4096, ..DiskWish::new("second", 3) });
    let second = dom0.make_disk(&second)?;
    let guest = checker.start(GUEST, "seed=60 rounds=0 mode=write", &[])?;
    checker.expect(&guest, "waiting for xvda")?;
    dom0.attach_disk(GUEST, &first.spec("xvda"))?;
    checker.expect(&guest, "xvda: 4096 sectors of 512 bytes, logical 512")?;
    checker.expect(&guest, "wrote 2097152 bytes")?;
    dom0.detach_disk(GUEST, "xvda")?;
    checker.expect(&guest, "xvda: away")?;
    dom0.attach_disk(GUEST, &second.spec("xvda"))?;
    checker.expect(&guest, "xvda: back, connects 2")?;
    checker.expect(&guest, "xvda: 6144 sectors of 512 bytes, logical 4096")?;
    checker.expect(&guest, "wrote 3145728 bytes")?;
    let said = checker.finish(GUEST, &guest)?;
    checker.holds(&second, number_after(&said, "seed")?, 3 * MIB)?;
    checker.remove(GUEST, &[&first, &second])
}

/// Catches: a guest that does not understand a backend which closes, in whichever state that finds them.
fn closing(checker: &Checker<'_>) -> Result<()> {
    let dom0 = checker.dom0;
    let disk = checker.make("disk", 4)?;
    let mut domu = checker.domu(GUEST, "seed=70 rounds=0", &[&disk]);
    domu.paused = true;
    let guest = dom0.create(&domu)?;
    let vbd = Vbd::new(&guest, "xvda")?;
    let (backend, frontend) = (format!("{}/state", vbd.backend()), format!("{}/state", vbd.frontend()));
    let is = |path: &str, value: &str| dom0.store_wait(path, value, checker.left());
    let ring = format!("{}/ring-ref", vbd.frontend());

    // Without this node the backend cannot connect, so that the guest is kept waiting.
    let node = format!("{}/physical-device", vbd.backend());
    let device = dom0.store_read(&node)?.unwrap_or_default();
    dom0.unbind_backend(vbd)?;
    dom0.store_remove(&node)?;
    dom0.bind_backend(vbd)?;
    is(&backend, state::INIT_WAIT)?;
    // Before the guest has begun, as if another had left the backend to it: it closes, and both start over.
    dom0.store_write(&backend, state::CLOSING)?;
    dom0.sh(&format!("xl unpause {GUEST}"))?;
    checker.expect(&guest, "waiting for xvda")?;
    // When it has told where its ring is.
    is(&frontend, state::INITIALISED)?;
    for end in [state::CLOSING, state::CLOSED] {
        // It lets go, Linux follows, and both start over: then it says again where its ring is.
        dom0.store_remove(&ring)?;
        dom0.store_write(&backend, end)?;
        dom0.store_wait_any(&ring, checker.left())?;
        is(&frontend, state::INITIALISED)?;
    }
    dom0.store_write(&node, &device)?;
    // When both work, which they do again by themselves.
    for connects in 2..6 {
        checker.busy(vbd, 16)?;
        dom0.store_write(&backend, if connects % 2 == 0 { state::CLOSING } else { state::CLOSED })?;
        checker.expect(&guest, &format!("back, connects {connects}"))?;
    }
    let said = checker.finish(GUEST, &guest)?;
    checker.holds(&disk, number_after(&said, "seed")?, 4 * MIB)?;
    checker.remove(GUEST, &[&disk])
}
