//! Domains with a disk come and go, in the middle of whatever they do.

use anyhow::{Context as _, Result, ensure};

use super::{Figures, Meter};
use crate::checker::Checker;
use crate::disk::Vbd;
use crate::guest::End;
use crate::host::{Dom0, XlDomU};
use crate::mutate::Random;

const GUEST: &str = "fleeting";
/// All is looked at after so many domains, for Xen takes its time to say what is granted.
const LOOK: u64 = 25;
/// By then everything has been allocated that is allocated once.
const WARM: u64 = 25;

/// One at a time; each is destroyed at another point of its life.
pub(crate) fn run(checker: &Checker<'_>, meter: &Meter<'_>, seed: u64) -> Result<Figures> {
    let dom0 = checker.dom0;
    let mut random = Random::new(seed);
    let (mut cycles, mut working) = (0, 0);
    let mut free = None;
    while meter.again(cycles) {
        let disk = checker.make(GUEST, 2)?;
        let mut domu = checker.domu(GUEST, "rounds=0 depth=4", &[&disk]);
        let point = random.below(6);
        domu.paused = point == 0;
        if point == 5 {
            domu.args = "bytes=262144".to_owned();
        }
        let domain = dom0.create_alone(&XlDomU { memory_mib: 8, ..domu })?;
        let vbd = Vbd { domain, device: 51712 };
        match point {
            // It never ran; or it is anywhere between its first instruction and its first request.
            0 | 1 => {}
            // In the middle of its work, under load, or told to end and about to.
            2 | 3 => {
                checker.busy(vbd, 1 + random.below(64) as u64)?;
                working += 1;
            }
            4 => {
                checker.busy(vbd, 1)?;
                dom0.sh(&format!("xl shutdown {GUEST}"))?;
            }
            // At its end.
            _ => {
                let end = dom0.ended(domain, checker.left());
                ensure!(end == Some(End::PowerOff), "it ended with {end:?}");
                dom0.console_of(GUEST, "SUCCESS", checker.left())?;
            }
        }
        checker.remove(GUEST, &[&disk])?;
        cycles += 1;
        if cycles == WARM {
            free = Some(free_memory(dom0)?);
        }
        if cycles % LOOK == 0 {
            checker.nothing_left().with_context(|| format!("after {cycles} domains"))?;
        }
    }
    checker.nothing_left()?;
    let mut figures = vec![("cycles", cycles), ("destroyed at work", working)];
    if let Some((xen, dom0s)) = free {
        let (xen_now, dom0_now) = free_memory(dom0)?;
        ensure!(xen_now >= xen, "Xen had {xen} MiB free after {WARM} domains, and has {xen_now} now");
        figures.push(("KiB less in dom0", dom0s.saturating_sub(dom0_now)));
    }
    figures.push(("seconds", meter.seconds()));
    Ok(figures)
}

/// Xen's in MiB, and dom0's in KiB after it has let go of what it could make again, what its logs take counted as free.
fn free_memory(dom0: &Dom0) -> Result<(u64, u64)> {
    let text =
        dom0.sh("xl info | sed -n 's/^free_memory *: //p'; sync; echo 3 >/proc/sys/vm/drop_caches; \
         free=$(sed -n 's/^MemFree: *\\([0-9]*\\).*/\\1/p' /proc/meminfo); logs=$(du -sk /var/log); \
         echo $((free + ${logs%%[!0-9]*}))")?;
    let mut numbers = text.lines().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(xen)), Some(Ok(dom0))) => Ok((xen, dom0)),
        _ => anyhow::bail!("dom0 does not say what is free: {text}"),
    }
}
