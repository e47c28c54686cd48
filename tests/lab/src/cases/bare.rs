//! No Xen at all: on QEMU's board, with its device tree or with a broken one.

use anyhow::{Context as _, Result, ensure};
use dtoolkit::Node as _;
use dtoolkit::fdt::Fdt;
use dtoolkit::model::DeviceTree;

use super::{Case, Context};
use crate::backtrace::Symboliser;
use crate::bare::{Board, Load, Stop};
use crate::machine::{Folder, Gic};
use crate::mutate::{Random, mutant, seed};

/// Where the image is loaded unless the case is about that.
const IMAGE: u64 = 0x4400_0000;
/// Above the image, and at no round address.
const TREE: u64 = 0x4800_3008;
/// How many broken trees are tried.
const MUTANTS: u64 = 60;

pub(super) fn add(cases: &mut Vec<Case>) {
    for gic in Gic::ALL {
        for el2 in [false, true] {
            let board = Board { gic, el2, memory_mib: 256 };
            let name = format!("el{}-gicv{gic}", 1 + u8::from(el2));
            cases.push(Case::bare(&name, move |ctx| says_so(ctx, board, &Load::Kernel)));
        }
    }
    let board = Board { gic: Gic::V3, el2: false, memory_mib: 256 };
    let above = Board { memory_mib: 5 << 10, ..board };
    for (name, board, at) in [
        ("address-2-mib", board, 0x46e0_0000),
        ("address-4-kib", board, 0x4500_3000),
        ("address-above-4-gib", above, 0x1_0020_0000),
    ] {
        cases.push(Case::bare(name, move |ctx| loaded_at(ctx, board, at)));
    }
    cases.push(Case::bare("address-unaligned", move |ctx| unaligned(ctx, board)));
    cases.push(Case::bare("no-tree", move |ctx| no_tree(ctx, board)).limit(120));
    cases.push(Case::bare("missing-nodes", move |ctx| missing_nodes(ctx, board)));
    cases.push(Case::bare("mutated-trees", move |ctx| mutated_trees(ctx, board)).limit(240));
}

/// Catches: an hvc that kills the image where no Xen answers it, an EL2 that is left badly, silence or a hang in
/// place of a hint. QEMU ends by itself only if the image powers the machine off.
fn says_so(ctx: &Context<'_>, board: Board, load: &Load<'_>) -> Result<()> {
    let folder = Folder::take(ctx.lab, &ctx.folder_name())?;
    let mut bare = board.start(ctx.lab, &folder, "1", &ctx.built.image, load, ctx.limit)?;
    ctx.begin();
    let level = 1 + u8::from(board.el2);
    bare.serial
        .expect(&format!("Fata: no Xen here (entered at EL{level} on linux,dummy-virt)"), ctx.left())?;
    bare.serial.expect("give it to Xen as a domain's kernel.", ctx.left())?;
    let stop = bare.stopped(|_| false, ctx.left())?;
    ensure!(stop == Stop::PoweredOff, "{stop:?}");
    Ok(())
}

/// Catches: code or data that is only right at the address it was first tried at.
fn loaded_at(ctx: &Context<'_>, board: Board, at: u64) -> Result<()> {
    let folder = Folder::take(ctx.lab, &format!("{}-tree", ctx.folder_name()))?;
    let tree = board.tree(ctx.lab, &folder)?;
    says_so(ctx, board, &Load::At { image: at, x0: TREE, tree: Some((TREE, &tree)) })
}

/// Catches: an image that runs on at an address where its pages cannot be mapped. There is no console to say so
/// without Xen (`hardship` has that case), but the machine is powered off.
fn unaligned(ctx: &Context<'_>, board: Board) -> Result<()> {
    let folder = Folder::take(ctx.lab, &ctx.folder_name())?;
    let tree = board.tree(ctx.lab, &folder)?;
    let load = Load::At { image: IMAGE + 0x10, x0: TREE, tree: Some((TREE, &tree)) };
    let mut bare = board.start(ctx.lab, &folder, "1", &ctx.built.image, &load, ctx.limit)?;
    ctx.begin();
    ensure!(bare.stopped(|_| false, ctx.left())? == Stop::PoweredOff);
    Ok(())
}

/// What the image may do with a tree like this one.
fn survives(
    ctx: &Context<'_>,
    board: Board,
    folder: &Folder,
    run: &str,
    x0: u64,
    tree: Option<&[u8]>,
) -> Result<String> {
    let load = Load::At { image: IMAGE, x0, tree: tree.map(|blob| (TREE, blob)) };
    let mut bare = board.start(ctx.lab, folder, run, &ctx.built.image, &load, ctx.limit)?;
    if ctx.deadline.get().is_none() {
        ctx.begin();
    }
    let symbols = Symboliser::open(&ctx.built.elf)?;
    let at_rest = |pc: u64| {
        // `wfi` lets the program counter stand behind it.
        let before = pc.checked_sub(IMAGE + 4);
        before.is_some_and(|offset| symbols.names(offset).iter().any(|name| name.contains("power_off")))
    };
    bare.stopped(at_rest, ctx.left()).with_context(|| format!("run {run}"))?;
    Ok(bare.serial.text())
}

/// Catches: trust in x0. It may be nothing, odd, point outside of memory, at registers, or at something else.
fn no_tree(ctx: &Context<'_>, board: Board) -> Result<()> {
    let folder = Folder::take(ctx.lab, &ctx.folder_name())?;
    for (run, x0) in [
        ("null", 0),
        ("odd", TREE + 1),
        ("in-the-image", IMAGE),
        ("beyond-ram", 0x6000_0000),
        ("beyond-the-map", 0xffff_ffff_ffff_f000),
        ("a-device", 0x0900_0000),
    ] {
        survives(ctx, board, &folder, run, x0, None)?;
    }
    Ok(())
}

/// Catches: a missing node that becomes a fault or a hang, or keeps the image from saying that there is no Xen.
fn missing_nodes(ctx: &Context<'_>, board: Board) -> Result<()> {
    let folder = Folder::take(ctx.lab, &ctx.folder_name())?;
    let whole = board.tree(ctx.lab, &folder)?;
    let without = |node: &dyn Fn(&str) -> bool| -> Result<Vec<u8>> {
        let fdt = Fdt::new(&whole).map_err(|e| anyhow::anyhow!("QEMU's device tree: {e}"))?;
        let mut tree = DeviceTree::from_fdt(&fdt);
        let names: Vec<_> = tree.root.children().map(|n| n.name().to_owned()).filter(|n| node(n)).collect();
        ensure!(!names.is_empty(), "the board has no such node");
        names.iter().for_each(|name| drop(tree.root.remove_child(name)));
        Ok(tree.to_dtb())
    };
    // Nothing of these is needed to say that there is no Xen.
    for node in ["intc@", "timer", "cpus", "chosen"] {
        let tree = without(&|name| name.starts_with(node))?;
        let said = survives(ctx, board, &folder, node.trim_end_matches('@'), TREE, Some(&tree))?;
        ensure!(!said.is_empty(), "without {node} nothing was said");
    }
    // Without a serial port nobody hears anything, and without PSCI nobody can turn the machine off.
    for node in ["memory@", "pl011@", "psci"] {
        let tree = without(&|name| name.starts_with(node))?;
        survives(ctx, board, &folder, node.trim_end_matches('@'), TREE, Some(&tree))?;
    }
    Ok(())
}

/// Catches: a tree that makes the image fault, loop or hang. Whatever is in it, the image names an error, says that
/// there is no Xen, or rests; the machine never runs on.
fn mutated_trees(ctx: &Context<'_>, board: Board) -> Result<()> {
    let folder = Folder::take(ctx.lab, &ctx.folder_name())?;
    let tree = board.tree(ctx.lab, &folder)?;
    // QEMU leaves a mebibyte of room behind the tree.
    let used = Fdt::new(&tree).map_err(|e| anyhow::anyhow!("QEMU's device tree: {e}"))?;
    let tree = DeviceTree::from_fdt(&used).to_dtb();
    let seed = seed();
    for n in 0..MUTANTS {
        let blob = mutant(&tree, &mut Random::new(seed.wrapping_add(n)));
        survives(ctx, board, &folder, &format!("mutant-{n}"), TREE, Some(&blob))
            .with_context(|| format!("FATA_SEED={seed}, mutant {n}"))?;
    }
    Ok(())
}
