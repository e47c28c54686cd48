//! Disks of all kinds, and all that can be agreed on with a backend.

use anyhow::{Result, ensure};

use super::super::{Case, Place, Spot, must_say};
use super::case;
use crate::checker::{Checker, number_after, pattern};
use crate::disk::{Contents, DiskWish, Vbd};
use crate::parts::XenVersion;

const MIB: u64 = 1 << 20;
const GUEST: &str = "checker";

pub(super) fn add(cases: &mut Vec<Case>) {
    for xen in XenVersion::ALL {
        let spot = Spot { place: Place::Xl, xen, ..Spot::XL };
        cases.push(case(spot, "block-kinds", 120, kinds));
    }
    cases.push(case(Spot::XL, "block-agreements", 180, agreements));
    cases.push(case(Spot::XL, "block-several", 120, several));
    cases.push(case(Spot::XL, "block-operations", 120, operations));
}

/// Catches: sectors of a wrong size, a disk's end missed, writes to what is read-only, or bytes that are right only in
/// the guest's eyes.
fn kinds(checker: &Checker<'_>) -> Result<()> {
    let dom0 = checker.dom0;
    // No multiple of anything but its sectors.
    let odd = checker.dom0.make_disk(&DiskWish { bytes: 6 * MIB + 512, ..DiskWish::new("odd", 0) })?;
    let guest = checker.start(GUEST, "seed=11", &[&odd])?;
    let said = checker.success(&guest)?;
    must_say(&said, "xvda: 12289 sectors of 512 bytes, logical 512, physical 512\r\n")?;
    checker.holds(&odd, 11, 6 * MIB + 512)?;
    checker.remove(GUEST, &[&odd])?;

    let large = DiskWish { sector_bytes: 4096, bytes: 6 * MIB + 4096, ..DiskWish::new("large", 0) };
    let large = dom0.make_disk(&large)?;
    let guest = checker.start(GUEST, "seed=12", &[&large])?;
    let said = checker.success(&guest)?;
    must_say(&said, "xvda: 12296 sectors of 512 bytes, logical 4096, physical 4096\r\n")?;
    checker.holds(&large, 12, 6 * MIB + 4096)?;
    // Half a sector of this disk is none.
    dom0.destroy(GUEST)?;
    let guest = checker.start(GUEST, "mode=write chunk=2048", &[&large])?;
    checker.failure(&guest, "xvda: not a multiple of the disk's sectors at byte 0")?;
    checker.remove(GUEST, &[&large])?;

    let contents = Contents::Bytes(pattern(13, 0, 3 << 20));
    let fixed = dom0.make_disk(&DiskWish { read_only: true, contents, ..DiskWish::new("fixed", 3) })?;
    let guest = checker.start(GUEST, "seed=13 mode=verify", &[&fixed])?;
    must_say(&checker.success(&guest)?, "physical 512, read-only\r\n")?;
    dom0.destroy(GUEST)?;
    let guest = checker.start(GUEST, "seed=14 mode=write", &[&fixed])?;
    checker.failure(&guest, "xvda: the disk is read-only at byte 0")?;
    checker.holds(&fixed, 13, 3 * MIB)?;
    checker.remove(GUEST, &[&fixed])
}

/// Catches: a ring, a queue, a table of segments or a pool of lent pages that is right only in the size that is used by
/// default; and options that are not what the backend is told.
fn agreements(checker: &Checker<'_>) -> Result<()> {
    // As many as dom0 has vCPUs, which is one, unless it is told otherwise.
    checker.dom0.sh("echo 4 >/sys/module/xen_blkback/parameters/max_queues")?;
    let disk = checker.make("disk", 4)?;
    let all = [
        "persistent=1 order=0 queues=1 segments=1 chunk=4096 depth=32",
        "persistent=0 order=0 queues=1 segments=11 chunk=65536 depth=16",
        "persistent=1 order=4 queues=1 segments=32 chunk=1048576 depth=4",
        "persistent=0 order=4 queues=2 segments=256 chunk=524288 depth=8 barrier=2",
        "persistent=1 order=2 queues=4 segments=512 chunk=262144 depth=8 barrier=3",
        "persistent=0 order=1 queues=1 segments=256 chunk=1536 depth=64 bytes=786432",
    ];
    for (seed, args) in (20..).zip(all) {
        let guest = checker.start(GUEST, &format!("seed={seed} {args}"), &[&disk])?;
        let said = checker.success(&guest)?;
        ensure!(number_after(&said, "resent")? == 0, "{args}: {said}");
        let bytes = number_after(&said, "read")?;
        checker.holds(&disk, seed, bytes)?;

        let vbd = Vbd::new(&guest, "xvda")?;
        let node = |name: &str| checker.dom0.store_read(&format!("{}/{name}", vbd.frontend()));
        let asked = |name: &str| args.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        ensure!(node("feature-persistent")?.as_deref() == asked("persistent"), "{args}");
        // What is usual goes without saying.
        let order = node("ring-page-order")?.unwrap_or_else(|| "0".to_owned());
        let queues = node("multi-queue-num-queues")?.unwrap_or_else(|| "1".to_owned());
        let agreed = (Some(order.as_str()), Some(queues.as_str()));
        ensure!(agreed == (asked("order"), asked("queues")), "{args}: {agreed:?}");
        checker.dom0.destroy(GUEST)?;
    }
    checker.dom0.remove_disk(&disk)
}

/// Catches: disks of a guest that get into each other's way.
fn several(checker: &Checker<'_>) -> Result<()> {
    let sizes = [5, 3, 2, 1];
    let wish = |n: usize| DiskWish {
        sector_bytes: if n.is_multiple_of(2) { 512 } else { 4096 },
        ..DiskWish::new(&format!("disk-{n}"), sizes[n])
    };
    let disks = (0..4).map(|n| checker.dom0.make_disk(&wish(n))).collect::<Result<Vec<_>>>()?;
    let disks: Vec<_> = disks.iter().collect();
    let guest = checker.start(GUEST, "disk=xvda,xvdb,xvdc,xvdd seed=30 rounds=2 depth=4", &disks)?;
    let said = checker.success(&guest)?;
    for ((letter, disk), mib) in ('a'..).zip(&disks).zip(sizes) {
        must_say(&said, &format!("xvd{letter}: read {} bytes, seed 31", mib * MIB))?;
        checker.holds(disk, 31, mib * MIB)?;
    }
    checker.remove(GUEST, &disks)
}

/// Catches: operations that say they were done and were not, or that reach the backend as something else.
fn operations(checker: &Checker<'_>) -> Result<()> {
    let dom0 = checker.dom0;
    let disk = checker.make("disk", 4)?;
    let run = |args: &str| -> Result<Vbd> {
        let guest = checker.start(GUEST, args, &[&disk])?;
        checker.success(&guest)?;
        Vbd::new(&guest, "xvda")
    };
    let vbd = run("mode=write seed=40 barrier=8")?;
    ensure!(dom0.disk_usage(&disk)? == 4 * MIB, "not all was written");
    // The barriers, of which blkback counts the flushes they are, and the flush at the end.
    let flushes = dom0.backend_statistic(vbd, "f_req")?;
    ensure!(flushes == 5, "{flushes} flushes instead of 5");
    dom0.destroy(GUEST)?;

    let vbd = run("mode=discard bytes=1048576")?;
    ensure!(dom0.backend_statistic(vbd, "ds_req")? > 0, "no discard came to the backend");
    ensure!(dom0.disk_usage(&disk)? == 3 * MIB, "the file has no hole of 1 MiB");
    checker.is_zero(&disk, MIB)?;
    dom0.destroy(GUEST)?;

    run("mode=zero bytes=2097152")?;
    checker.is_zero(&disk, 2 * MIB)?;
    ensure!(dom0.read_disk(&disk, 2 * MIB, 4096)? == pattern(40, 2 * MIB, 4096), "zeroed too much");
    dom0.destroy(GUEST)?;

    // A loop device promises nothing about what can be read from its file's medium.
    let guest = checker.start(GUEST, "mode=erase", &[&disk])?;
    checker.failure(&guest, "xvda: the disk cannot do this at byte 0")?;
    checker.remove(GUEST, &[&disk])
}
