//! Pages of dom0's that a guest maps and has Xen copy, as backends do with those of guests.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::trees::{with, wrapped, write};
use super::{Case, Context, GUEST, Place, Spot, Wish};
use crate::guest::End;
use crate::host::{Dom0, XlDomU};
use crate::machine::Folder;
use crate::parts::XenVersion;
use crate::progress::Progress;

const PEER: &str = "/tmp/fata-peer";
/// What it says in dom0.
const SAID: &str = "/tmp/lent";
const PAGES: usize = 5;
const ARGS: &str = "lent=1 bench=read,1";
/// What libxl wrote for a guest with so much memory.
const TREE: &str = "tests/fuzz/corpus/device-trees/xl-gicv3.dtb";
const MEMORY_MIB: u32 = 16;

pub(super) fn add(cases: &mut Vec<Case>) {
    for xen in XenVersion::ALL {
        let spot = Spot { place: Place::Xl, xen, ..Spot::XL };
        let mut case = |name: &str, regions: bool| {
            let run = move |ctx: &Context<'_>| lent(ctx, spot, regions);
            cases.push(Case { image: "base-bench", ..Case::new(spot, name, run) });
        };
        case("lent", true);
        case("lent-no-regions", false);
    }
}

/// Catches: pages that are mapped where something else is, are not what the other domain sees, stay mapped, or are
/// unmapped twice; copies to and from other bytes. Without regions of address space to map them in, room for them is made
/// in memory that is given back to Xen.
fn lent(ctx: &Context<'_>, spot: Spot, regions: bool) -> Result<()> {
    let program = fs::read(ctx.lab.build_peer(&Progress::quiet())?).context("reading fata-peer")?;
    let folder = Folder::take(ctx.lab, &format!("{}-image", ctx.folder_name()))?;
    let mut image = ctx.built.image.clone();
    if !regions {
        let tree = without_regions(ctx)?;
        image = write(&folder.file("Image"), &wrapped(&fs::read(image)?, &tree)?)?;
    }
    let dom0 = ctx.dom0(spot)?;
    dom0.push(PEER, &program)?;
    let before = dom0.footprint()?;
    let wish = Wish { image: Some(image), memory_mib: MEMORY_MIB, ..Wish::args(ARGS) };
    let guest = dom0.create(&XlDomU { paused: true, ..ctx.xl_domu(&wish) })?;
    lend(&dom0, guest.domain)?;
    dom0.sh(&format!("xl unpause {GUEST}"))?;
    let (which, _) = guest.console.output.expect_any(&["SUCCESS", "FAILURE"], ctx.left())?;
    ensure!(which == 0, "base-bench fails: {}", guest.console.output.text());
    ctx.end(&guest, End::PowerOff)?;
    let said = dom0.sh(&format!("{} cat {SAID}", until(&format!("grep -q '^[SF]' {SAID}"))))?;
    ensure!(said.ends_with("SUCCESS\n"), "dom0 finds in its pages: {said}");
    // Less than a MiB has gone, of which xl shows whole ones.
    let has = dom0.sh(&format!("xl list {GUEST} | sed -n '2s/^[^ ]* *[^ ]* *\\([0-9]*\\).*/\\1/p'"))?;
    let should = if regions { MEMORY_MIB } else { MEMORY_MIB - 1 };
    ensure!(has.trim() == should.to_string(), "the guest has {} MiB instead of {should}", has.trim());
    dom0.destroy(GUEST)?;
    let left = dom0.footprint()?.since(&before);
    ensure!(left.is_empty(), "left behind: {left:#?}");
    Ok(())
}

/// Has dom0 lend pages, and tells the guest which.
fn lend(dom0: &Dom0, domain: u16) -> Result<()> {
    let script = format!(
        "chmod +x {PEER}; setsid {PEER} lend {domain} {PAGES} </dev/null >{SAID} 2>&1 &\n\
         {} xenstore-write /local/domain/{domain}/data/lent \"$(sed -n 's/^lent //p' {SAID})\"",
        until(&format!("grep -q ^lent {SAID} 2>/dev/null"))
    );
    dom0.sh(&script).map(drop)
}

/// Of dom0's shell: waits until this is true, for ten seconds.
fn until(condition: &str) -> String {
    format!(
        "n=500; until {condition}; do n=$((n - 1)); [ $n -gt 0 ] || {{ cat {SAID}; exit 1; }}; usleep 20000; done;"
    )
}

/// The tree that the guest would have, but the regions in which there is nothing.
fn without_regions(ctx: &Context<'_>) -> Result<Vec<u8>> {
    let file = ctx.lab.workspace().join(TREE);
    let tree = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
    // The grant table's, as in that tree.
    let tree = with(&tree, "hypervisor", "reg", [0u32, 0x3800_0000, 0, 0x0100_0000])?;
    with(&tree, "chosen", "bootargs", ARGS)
}
