//! Device trees that Xen would never write, under real Xen: each gets a named error and a crash, not a fault.
//!
//! Xen writes a guest's tree itself. So the image is wrapped into another one, whose few instructions exchange the
//! tree for one of ours.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeProperty};
use dtoolkit::{Node as _, Property as _, ToPropertyValue};

use super::{Case, Context, PROMPT, READY, Spot, Wish, must_say};
use crate::dom0less::{Dom0less, DomU};
use crate::guest::{End, Guest};
use crate::machine::Folder;
use crate::mutate::{Random, mutant, seed};

/// A tree that Xen 4.20 made for such a guest.
const TREE: &str = "tests/fuzz/corpus/device-trees/dom0less-enhanced-gicv3.dtb";
/// Domains that Xen starts at a time.
const AT_ONCE: usize = 6;
const MUTANTS: usize = 36;
/// Mutants that showed something once, by seed and number; they come before the others.
const SEEN: [(u64, usize); 1] = [(396_940_511, 9)];
/// The command line of the mutants: the image runs a command and powers off, if it gets so far.
const COMMAND: &str = "quiet exec=xen";

pub(super) fn add(cases: &mut Vec<Case>) {
    let mut case = |name, run: fn(&Context<'_>) -> Result<()>| {
        cases.push(Case::new(Spot::DOM0LESS, name, run).limit(120));
    };
    case("trees-named-errors", named_errors);
    case("trees-silent-interrupts", silent_interrupts);
    case("trees-mutated", mutated);
}

/// Catches: a missing or absurd node that becomes a fault, an error without a name, an end that is no crash.
fn named_errors(ctx: &Context<'_>) -> Result<()> {
    let whole = base(ctx.lab.workspace())?;
    let truncated = whole[..whole.len() / 2].to_vec();
    let mut magic = whole.clone();
    magic[0] = 0;
    let no_memory = changed(&whole, |tree| remove(tree, "memory@"))?;
    // The wrapper and the image in it, and a little.
    let bytes = (IMAGE_AT + ctx.built.memory_bytes + (64 << 10)) / 4096 * 4096;
    let little = with(&whole, "memory@", "reg", [0, 0x4000_0000, 0, bytes as u32].as_slice())?;
    let absurd = with(&whole, "interrupt-controller@", "reg", [u32::MAX; 8].as_slice())?;
    let trees = [
        (truncated, "device tree: "),
        (magic, "device tree: x0 did not point to one"),
        (no_memory, "device tree: memory is missing"),
        (little, "too little memory: "),
        (absurd, "device tree: "),
    ];
    all_crash(ctx, &trees)
}

/// Catches: an image that waits for good because an interrupt has another number, or the GIC another place, than the
/// tree says.
fn silent_interrupts(ctx: &Context<'_>) -> Result<()> {
    let whole = base(ctx.lab.workspace())?;
    let ppis = |node: &str, numbers: &[u32]| {
        let cells: Vec<_> = numbers.iter().flat_map(|ppi| [1, *ppi, 0xf08]).collect();
        with(&whole, node, "interrupts", cells.as_slice())
    };
    let gic = [0u32, 0x0310_1000, 0, 0x1_0000, 0, 0x0312_0000, 0, 0x100_0000];
    let silent = |id, what| format!("interrupt {id}, {what} by the device tree, does not arrive");
    let (timer, events) = ("the virtual timer", "the event upcall");
    let trees = [
        (ppis("timer", &[13, 14, 12])?, silent(28, timer)),
        (ppis("timer", &[13, 14, 15])?, silent(31, timer)),
        (ppis("hypervisor", &[14])?, silent(30, events)),
        (ppis("hypervisor", &[11])?, silent(27, events)),
        (with(&whole, "interrupt-controller@", "reg", gic.as_slice())?, "data abort, ".to_owned()),
    ];
    let trees: Vec<_> = trees.iter().map(|(tree, said)| (tree.clone(), said.as_str())).collect();
    all_crash(ctx, &trees)
}

/// Starts a domain with each of `trees`, which must say why it stops, and crash.
fn all_crash(ctx: &Context<'_>, trees: &[(Vec<u8>, &str)]) -> Result<()> {
    let blobs: Vec<_> = trees.iter().map(|(blob, _)| blob.as_slice()).collect();
    let (machine, _folder) = boot(ctx, &ctx.folder_name(), &blobs)?;
    for guest in &machine.guests {
        ctx.end(guest, End::Crash).with_context(|| format!("domain {}", guest.domain))?;
    }
    for (guest, (_, expected)) in machine.guests.iter().zip(trees) {
        // The machine ends with its last domain, and the streams with it.
        guest.console.output.wait_for_end(ctx.left());
        must_say(&guest.console.output.text(), &format!("*** Fata stops: {expected}"))?;
    }
    Ok(())
}

/// Catches: a mutation that makes the image fault before it can say so, loop, or wait for good.
fn mutated(ctx: &Context<'_>) -> Result<()> {
    let (tree, seed) = (commanded(ctx.lab.workspace())?, seed());
    let seen =
        SEEN.into_iter().map(|(seed, n)| (format!("FATA_SEED={seed}, mutant {n}"), nth(&tree, seed, n)));
    let mut random = Random::new(seed);
    let fresh = (0..MUTANTS).map(|n| (format!("FATA_SEED={seed}, mutant {n}"), mutant(&tree, &mut random)));
    let mutants: Vec<_> = seen.chain(fresh).collect();
    for (n, batch) in mutants.chunks(AT_ONCE).enumerate() {
        let blobs: Vec<_> = batch.iter().map(|(_, blob)| blob.as_slice()).collect();
        let (machine, _folder) = boot(ctx, &format!("{}-{n}", ctx.folder_name()), &blobs)?;
        for (guest, (which, blob)) in machine.guests.iter().zip(batch) {
            comes_to_rest(ctx, guest, blob)
                .with_context(|| format!("{which}, batch {n}, domain {}", guest.domain))?;
        }
    }
    Ok(())
}

/// What an image may do with `tree`: power off when it has done what the tree's command line says, crash with an
/// error that has a name, or, only if the tree has lost that command line, ask for commands.
fn comes_to_rest(ctx: &Context<'_>, guest: &Guest, tree: &[u8]) -> Result<()> {
    const STOPS: &str = "*** Fata stops: ";
    let is_told = command_line(tree).as_deref() == Some(COMMAND);
    if !is_told {
        // Nothing but these is said in a whole line and then waited for, or followed by the end.
        let (first, said) = guest.console.output.expect_any(&[READY, STOPS, PROMPT], ctx.left())?;
        if first == 0 {
            let row = said.lines().find(|line| line.contains("command line"));
            ensure!(
                !row.is_some_and(|row| row.contains(COMMAND)),
                "it does not do what it was told:\n{said}"
            );
            return Ok(());
        }
    }
    let said = || guest.console.output.text();
    match guest.wait(ctx.left()) {
        Some(End::PowerOff) => Ok(()),
        Some(End::Crash) if said().contains(STOPS) => Ok(()),
        // It may still be on its way to us.
        Some(End::Crash) => guest.console.expect(STOPS, ctx.left()).map(drop),
        Some(end) => bail!("it {end} after:\n{}", said()),
        None => bail!("it does not end after:\n{}", said()),
    }
}

/// The command line in `tree`, as dtoolkit reads it.
fn command_line(tree: &[u8]) -> Option<String> {
    let tree = Fdt::new(tree).ok()?;
    let bootargs = tree.find_node("/chosen")?.property("bootargs")?;
    let text = bootargs.value().split(|byte| *byte == 0).next()?;
    String::from_utf8(text.to_vec()).ok()
}

/// The `n`th mutant of a seed.
fn nth(tree: &[u8], seed: u64, n: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    (0..n).for_each(|_| drop(mutant(tree, &mut random)));
    mutant(tree, &mut random)
}

/// A tree with a command to run.
fn commanded(workspace: &Path) -> Result<Vec<u8>> {
    with(&base(workspace)?, "chosen", "bootargs", COMMAND)
}

/// The tree to spoil: without a serial port, since the domains have none either, so that Xen's own console takes
/// what they say whatever else is in the tree.
fn base(workspace: &Path) -> Result<Vec<u8>> {
    let file = workspace.join(TREE);
    let blob = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
    changed(&blob, |tree| remove(tree, "sbsa-uart@"))
}

/// Starts a domain with each tree. The folder has their images.
fn boot(ctx: &Context<'_>, name: &str, trees: &[&[u8]]) -> Result<(Dom0less, Folder)> {
    let folder = Folder::take(ctx.lab, &format!("{name}-images"))?;
    let image = fs::read(&ctx.built.image)?;
    let mut domus = Vec::new();
    for (n, tree) in trees.iter().enumerate() {
        let file = write(&folder.file(&format!("Image-{}", n + 1)), &wrapped(&image, tree)?)?;
        // Without a vpl011, what a domain says is told apart by its number.
        domus.push(DomU { vpl011: false, ..ctx.domu(&Wish { image: Some(file), ..Wish::default() }) });
    }
    let config = crate::machine::Config { name: name.to_owned(), ..ctx.config(Spot::DOM0LESS) };
    Ok((ctx.dom0less(&config, &domus)?, folder))
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<PathBuf> {
    fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))?;
    Ok(path.to_owned())
}

/// Where the wrapper keeps the tree, and where the image. Both on pages of their own.
const TREE_AT: u64 = 0x1000;
const IMAGE_AT: u64 = 0x1_0000;

/// An image that enters `image` with `tree` in x0.
pub(super) fn wrapped(image: &[u8], tree: &[u8]) -> Result<Vec<u8>> {
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

/// `blob` with another value for a property of the node whose name starts with `node`.
pub(super) fn with(blob: &[u8], node: &str, name: &str, value: impl ToPropertyValue) -> Result<Vec<u8>> {
    changed(blob, |tree| {
        let node = child(tree, node).and_then(|node| tree.root.child_mut(&node));
        let node = node.with_context(|| format!("{TREE} has no such node to change {name} of"))?;
        node.remove_property(name);
        let changed = DeviceTreeProperty::new(name, value);
        node.add_property(changed.map_err(|e| anyhow::anyhow!("property {name}: {e}"))?);
        Ok(())
    })
}

fn child(tree: &DeviceTree, start: &str) -> Option<String> {
    tree.root.children().map(|node| node.name().to_owned()).find(|name| name.starts_with(start))
}

fn remove(tree: &mut DeviceTree, start: &str) -> Result<()> {
    let name = child(tree, start).with_context(|| format!("{TREE} has no {start}"))?;
    tree.root.remove_child(&name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_once_is_made_again() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let tree = commanded(&root).unwrap();
        assert_eq!(command_line(&tree).as_deref(), Some(COMMAND));
        // Its command line has another name, so that the image waits for a command.
        let [(seed, n)] = SEEN;
        let blob = nth(&tree, seed, n);
        assert!(command_line(&blob).is_none());
        assert!(blob.windows(8).any(|w| w == b"\xe9ootargs"));
    }

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
