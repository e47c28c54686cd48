//! A disk is pulled and plugged in again while it is being written and verified.

use anyhow::{Result, ensure};

use super::{Figures, Meter};
use crate::checker::{Checker, number_after};
use crate::disk::Vbd;
use crate::mutate::Random;

const GUEST: &str = "detach";
const MIB: u64 = 1 << 20;

/// So much of a disk, whatever becomes of it meanwhile; at the end dom0 looks at every byte.
pub(crate) fn run(checker: &Checker<'_>, meter: &Meter<'_>, mib: u64, seed: u64) -> Result<Figures> {
    let dom0 = checker.dom0;
    let mut random = Random::new(seed);
    let disk = checker.make(GUEST, mib)?;
    let guest = checker.start(GUEST, "seed=1000 rounds=0", &[&disk])?;
    let vbd = Vbd::new(&guest, "xvda")?;
    let mut cycles = 0;
    while meter.again(cycles) {
        // At any point of the work, and once in a while before it has begun.
        checker.busy(vbd, random.below(200).saturating_sub(20) as u64)?;
        dom0.detach_disk(GUEST, "xvda")?;
        ensure!(dom0.store_tree(&vbd.backend())?.is_empty(), "the backend's nodes stay");
        dom0.attach_disk(GUEST, &disk.spec("xvda"))?;
        cycles += 1;
        checker.expect(&guest, &format!("back, connects {}", cycles + 1))?;
    }
    let said = checker.finish(GUEST, &guest)?;
    let last = number_after(&said, "seed")?;
    checker.holds(&disk, last, mib * MIB)?;
    checker.remove(GUEST, &[&disk])?;
    checker.nothing_left()?;
    let verified = said.matches("read ").count() as u64 * mib;
    Ok(vec![
        ("cycles", cycles),
        ("MiB verified", verified),
        ("requests sent again", number_after(&said, "resent")?),
        ("seconds", meter.seconds()),
    ])
}
