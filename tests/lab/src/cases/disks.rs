//! Disks under xl, and what is left of them in dom0.

use anyhow::{Result, ensure};

use super::{Case, Context, GUEST, Place, Spot, Wish};
use crate::disk::{Contents, DiskWish, Vbd};
use crate::parts::XenVersion;
use crate::store::state;

pub(super) fn add(cases: &mut Vec<Case>) {
    for xen in XenVersion::ALL {
        let spot = Spot { place: Place::Xl, xen, ..Spot::XL };
        cases.push(Case::new(spot, "disks-offered", move |ctx| offered(ctx, spot)));
    }
}

/// Catches: a lab whose disks are not what a case asked for, and one that would not see what a domain leaves behind.
/// The guest does not run, so that each backend stays as it begins.
fn offered(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    let dom0 = ctx.dom0(spot)?;
    let before = dom0.footprint()?;
    let contents: Vec<u8> = (0..1 << 20).map(|n: u32| (n * 7 + n / 256) as u8).collect();
    let plain = DiskWish { contents: Contents::Bytes(contents.clone()), ..DiskWish::new("plain", 8) };
    let large = DiskWish {
        sector_bytes: 4096,
        read_only: true,
        contents: Contents::Random,
        ..DiskWish::new("large", 4)
    };
    let (plain, large) = (dom0.make_disk(&plain)?, dom0.make_disk(&large)?);
    let sectors = |disk: &crate::Disk, what: &str| dom0.sh(&format!("cat /sys/block/{}/{what}", disk.name()));
    ensure!(sectors(&plain, "queue/logical_block_size")?.trim() == "512");
    ensure!(sectors(&large, "queue/logical_block_size")?.trim() == "4096");
    ensure!(dom0.read_disk(&plain, 0, contents.len())? == contents, "another disk was read than written");
    ensure!(dom0.read_disk(&plain, 1 << 20, 7 << 20)?.iter().all(|byte| *byte == 0));

    let mut domu = ctx.xl_domu(&Wish::default());
    domu.paused = true;
    domu.disks = vec![plain.spec("xvda")];
    let guest = dom0.create(&domu)?;
    dom0.attach_disk(GUEST, &large.spec("xvdb"))?;
    let (first, second) = (Vbd::new(&guest, "xvda")?, Vbd::new(&guest, "xvdb")?);
    for (vbd, mode) in [(first, "w"), (second, "r")] {
        dom0.store_wait(&format!("{}/state", vbd.backend()), state::INIT_WAIT, ctx.left())?;
        let tree = dom0.store_tree(&vbd.backend())?;
        let node = |name: &str| tree.get(&format!("{}/{name}", vbd.backend())).map(String::as_str);
        ensure!(node("mode") == Some(mode), "{tree:?}");
        ensure!(node("frontend") == Some(&vbd.frontend()), "{tree:?}");
        for feature in ["feature-max-indirect-segments", "max-ring-page-order", "multi-queue-max-queues"] {
            ensure!(node(feature).is_some_and(|value| value.parse::<u32>().is_ok()), "{feature}: {tree:?}");
        }
        let frontend = dom0.store_read(&format!("{}/state", vbd.frontend()))?;
        ensure!(frontend.as_deref() == Some(state::INITIALISING), "{frontend:?}");
    }
    ensure!(dom0.store_read(&format!("{}/none", first.backend()))?.is_none());

    // A backend that is taken up again says anew what it can do.
    let feature = format!("{}/feature-max-indirect-segments", first.backend());
    dom0.unbind_backend(first)?;
    dom0.store_remove(&feature)?;
    dom0.bind_backend(first)?;
    dom0.store_wait(&format!("{}/state", first.backend()), state::INIT_WAIT, ctx.left())?;
    ensure!(dom0.store_read(&feature)?.is_some(), "the backend did not start over");

    dom0.grow_disk(&plain, 12 << 20)?;
    ensure!(sectors(&plain, "size")?.trim() == "24576");

    // The way to see what is left sees what is still there.
    let held = dom0.footprint()?.since(&before);
    for kind in ["domain guest", "loop device", "Xenstore node", "grant of domain", "port of domain 0"] {
        ensure!(held.iter().any(|line| line.starts_with(kind)), "no {kind} in {held:#?}");
    }

    dom0.detach_disk_by_force(GUEST, "xvdb")?;
    ensure!(dom0.store_tree(&second.backend())?.is_empty());
    dom0.destroy(GUEST)?;
    dom0.remove_disk(&plain)?;
    dom0.remove_disk(&large)?;
    let left = dom0.footprint()?.since(&before);
    ensure!(left.is_empty(), "left behind: {left:#?}");
    Ok(())
}
