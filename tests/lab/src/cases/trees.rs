//! Device trees that Xen would never write, under real Xen: each gets a named error and a crash, not a fault.
//!
//! Xen writes a guest's tree itself. So the image is wrapped into another one, whose few instructions exchange the
//! tree for one of ours.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeProperty};
use dtoolkit::{Node as _, ToPropertyValue};

use super::{Case, Context, Spot, Wish, must_say};
use crate::dom0less::DomU;
use crate::guest::End;
use crate::machine::Folder;
use crate::mutate::{Random, mutant, seed};

/// A tree that Xen 4.20 made for such a guest.
const TREE: &str = "tests/fuzz/corpus/device-trees/dom0less-enhanced-gicv3.dtb";
/// Domains that Xen starts at a time.
const AT_ONCE: usize = 6;
const MUTANTS: usize = 36;

pub(super) fn add(cases: &mut Vec<Case>) {
    let mut case = |name, run: fn(&Context<'_>) -> Result<()>| {
        cases.push(Case::new(Spot::DOM0LESS, name, run).limit(120));
    };
    case("trees-named-errors", named_errors);
    case("trees-mutated", mutated);
}

/// Catches: a missing or absurd node that becomes a fault, an error without a name, an end that is no crash.
fn named_errors(ctx: &Context<'_>) -> Result<()> {
    let whole = base(ctx)?;
    let truncated = whole[..whole.len() / 2].to_vec();
    let mut magic = whole.clone();
    magic[0] = 0;
    let no_memory = changed(&whole, |tree| remove(tree, "memory@"))?;
    let little = changed(&whole, |tree| {
        let name = child(tree, "memory@").context("no memory")?;
        let memory = tree.root.child_mut(&name).context("no memory")?;
        memory.remove_property("reg");
        // The wrapper and the image in it, and a little.
        let bytes = (IMAGE_AT + ctx.built.memory_bytes + (64 << 10)) / 4096 * 4096;
        memory.add_property(property("reg", [0, 0x4000_0000, 0, bytes as u32].as_slice())?);
        Ok(())
    })?;
    let absurd = changed(&whole, |tree| {
        let name = child(tree, "interrupt-controller@").context("no GIC")?;
        let gic = tree.root.child_mut(&name).context("no GIC")?;
        gic.remove_property("reg");
        gic.add_property(property("reg", [u32::MAX; 8].as_slice())?);
        Ok(())
    })?;
    let trees = [
        (truncated, "device tree: "),
        (magic, "device tree: x0 did not point to one"),
        (no_memory, "device tree: memory is missing"),
        (little, "too little memory: "),
        (absurd, "device tree: "),
    ];
    let blobs: Vec<_> = trees.iter().map(|(blob, _)| blob.as_slice()).collect();
    for ((end, said), (_, expected)) in boot(ctx, &ctx.folder_name(), &blobs)?.iter().zip(&trees) {
        must_say(said, &format!("*** Fata stops: {expected}"))?;
        ensure!(*end == End::Crash, "the domain {end} after:\n{said}");
    }
    Ok(())
}

/// Catches: a mutation that makes the image fault before it can say so, loop, or wait for good.
fn mutated(ctx: &Context<'_>) -> Result<()> {
    let tree = base(ctx)?;
    // It runs a command and powers off, if it gets so far.
    let tree = changed(&tree, |tree| {
        let chosen = tree.root.child_mut("chosen").context("no /chosen")?;
        chosen.remove_property("bootargs");
        chosen.add_property(property("bootargs", "quiet exec=xen")?);
        Ok(())
    })?;
    let (first, seed) = (tree.windows(5).position(|w| w == b"quiet").context("no bootargs")?, seed());
    let mut random = Random::new(seed);
    let mut mutants = Vec::new();
    while mutants.len() < MUTANTS {
        let blob = mutant(&tree, &mut random);
        // Without its command the image would wait for one, as it should.
        if blob[first..].starts_with(b"quiet exec=xen\0") {
            mutants.push(blob);
        }
    }
    for (n, batch) in mutants.chunks(AT_ONCE).enumerate() {
        let blobs: Vec<_> = batch.iter().map(Vec::as_slice).collect();
        let name = format!("{}-{n}", ctx.folder_name());
        let ends = boot(ctx, &name, &blobs).with_context(|| format!("FATA_SEED={seed}, batch {n}"))?;
        for (n, (end, said)) in ends.iter().enumerate() {
            let named = match end {
                End::Crash => said.contains("*** Fata stops: "),
                other => *other == End::PowerOff,
            };
            ensure!(named, "FATA_SEED={seed}, {name}, domain {}: it {end} after:\n{said}", n + 1);
        }
    }
    Ok(())
}

/// The tree to spoil: without a serial port, since the domains have none either, so that Xen's own console takes
/// what they say whatever else is in the tree.
fn base(ctx: &Context<'_>) -> Result<Vec<u8>> {
    let file = ctx.lab.workspace().join(TREE);
    let blob = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
    changed(&blob, |tree| remove(tree, "sbsa-uart@"))
}

/// Starts a domain with each tree; says how they ended and what they said.
fn boot(ctx: &Context<'_>, name: &str, trees: &[&[u8]]) -> Result<Vec<(End, String)>> {
    let folder = Folder::take(ctx.lab, &format!("{name}-images"))?;
    let image = fs::read(&ctx.built.image)?;
    let mut domus = Vec::new();
    for (n, tree) in trees.iter().enumerate() {
        let file = write(&folder.file(&format!("Image-{}", n + 1)), &wrapped(&image, tree)?)?;
        // Without a vpl011, what a domain says is told apart by its number.
        domus.push(DomU { vpl011: false, ..ctx.domu(&Wish { image: Some(file), ..Wish::default() }) });
    }
    let config = crate::machine::Config { name: name.to_owned(), ..ctx.config(Spot::DOM0LESS) };
    let machine = ctx.dom0less(&config, &domus)?;
    let mut ends = Vec::new();
    for guest in &machine.guests {
        let end = guest.wait(ctx.left());
        ends.push(end.with_context(|| {
            format!("domain {} does not end; see {}", guest.domain, folder.path.display())
        })?);
    }
    let said = machine.guests.iter().map(|guest| {
        guest.console.output.wait_for_end(ctx.left());
        guest.console.output.text()
    });
    Ok(ends.into_iter().zip(said).collect())
}

fn write(path: &Path, bytes: &[u8]) -> Result<PathBuf> {
    fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))?;
    Ok(path.to_owned())
}

/// Where the wrapper keeps the tree, and where the image. Both on pages of their own.
const TREE_AT: u64 = 0x1000;
const IMAGE_AT: u64 = 0x1_0000;

/// An image that enters `image` with `tree` in x0.
fn wrapped(image: &[u8], tree: &[u8]) -> Result<Vec<u8>> {
    const HEADER: u64 = 64;
    ensure!(TREE_AT + tree.len() as u64 <= IMAGE_AT, "the tree is too long for the wrapper");
    let mut bytes = image.get(..HEADER as usize).context("the image has no header")?.to_vec();
    let branch = |from: u64, to: u64| 0x1400_0000u32 | ((to - from) / 4) as u32;
    bytes[..4].copy_from_slice(&branch(0, HEADER).to_le_bytes());
    let size = u64::from_le_bytes(bytes[16..24].try_into()?) + IMAGE_AT;
    bytes[16..24].copy_from_slice(&size.to_le_bytes());
    // `adr x0, TREE_AT`
    let distance = (TREE_AT - HEADER) as u32;
    let adr = 0x1000_0000 | (distance & 3) << 29 | (distance >> 2) << 5;
    bytes.extend(adr.to_le_bytes());
    bytes.extend(branch(HEADER + 4, IMAGE_AT).to_le_bytes());
    bytes.resize(TREE_AT as usize, 0);
    bytes.extend(tree);
    bytes.resize(IMAGE_AT as usize, 0);
    bytes.extend(image);
    Ok(bytes)
}

fn changed(blob: &[u8], change: impl FnOnce(&mut DeviceTree) -> Result<()>) -> Result<Vec<u8>> {
    let fdt = Fdt::new(blob).map_err(|e| anyhow::anyhow!("{TREE}: {e}"))?;
    let mut tree = DeviceTree::from_fdt(&fdt);
    change(&mut tree)?;
    Ok(tree.to_dtb())
}

fn child(tree: &DeviceTree, start: &str) -> Option<String> {
    tree.root.children().map(|node| node.name().to_owned()).find(|name| name.starts_with(start))
}

fn remove(tree: &mut DeviceTree, start: &str) -> Result<()> {
    let name = child(tree, start).with_context(|| format!("{TREE} has no {start}"))?;
    tree.root.remove_child(&name);
    Ok(())
}

fn property(name: &str, value: impl ToPropertyValue) -> Result<DeviceTreeProperty> {
    DeviceTreeProperty::new(name, value).map_err(|e| anyhow::anyhow!("property {name}: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_image_branches_over_its_header_and_keeps_both_parts() {
        let mut image = vec![7; 300];
        image[16..24].copy_from_slice(&0x2000u64.to_le_bytes());
        let bytes = wrapped(&image, b"tree").unwrap();
        assert_eq!(bytes[..4], 0x1400_0010u32.to_le_bytes());
        assert_eq!(bytes[16..24], 0x1_2000u64.to_le_bytes());
        // adr x0, +0xfc0; b +0xffbc
        assert_eq!(bytes[64..72], [0x00, 0x7e, 0x00, 0x10, 0xef, 0x3f, 0x00, 0x14]);
        assert_eq!(bytes[TREE_AT as usize..][..4], *b"tree");
        assert_eq!(bytes[IMAGE_AT as usize..], image);
        assert!(wrapped(&image, &[0; 0x1_0000]).is_err());
    }
}
