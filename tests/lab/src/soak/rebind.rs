//! A backend's driver is taken away and given back while the disk is being written and verified.

use anyhow::Result;

use super::{Figures, Meter};
use crate::checker::{Checker, number_after};
use crate::disk::Vbd;
use crate::mutate::Random;
use crate::store::state;

const GUEST: &str = "rebind";
const MIB: u64 = 1 << 20;

/// So much of a disk, whatever becomes of its backend meanwhile; at the end dom0 looks at every byte.
pub(crate) fn run(checker: &Checker<'_>, meter: &Meter<'_>, mib: u64, seed: u64) -> Result<Figures> {
    let dom0 = checker.dom0;
    let mut random = Random::new(seed);
    let disk = checker.make(GUEST, mib)?;
    let guest = checker.start(GUEST, "seed=2000 rounds=0", &[&disk])?;
    let vbd = Vbd::new(&guest, "xvda")?;
    checker.busy(vbd, 1)?;
    let (mut cycles, mut again) = (0, false);
    while meter.again(cycles) {
        if !again {
            checker.busy(vbd, random.below(200).saturating_sub(20) as u64)?;
        }
        dom0.unbind_backend(vbd)?;
        dom0.bind_backend(vbd)?;
        cycles += 1;
        // The next one may come at once: the guest has not seen anything yet, or is halfway.
        again = random.below(4) == 0;
        if again {
            continue;
        }
        // It works again, and counts from nothing.
        dom0.store_wait(&format!("{}/state", vbd.backend()), state::CONNECTED, checker.left())?;
        checker.busy(vbd, 1)?;
    }
    checker.busy(vbd, 1)?;
    let said = checker.finish(GUEST, &guest)?;
    let last = number_after(&said, "seed")?;
    checker.holds(&disk, last, mib * MIB)?;
    checker.remove(GUEST, &[&disk])?;
    checker.nothing_left()?;
    Ok(vec![
        ("cycles", cycles),
        ("connects", number_after(&said, "connects")?),
        ("MiB verified", said.matches("read ").count() as u64 * mib),
        ("requests sent again", number_after(&said, "resent")?),
        ("seconds", meter.seconds()),
    ])
}
