//! What an image is made of, by `xtask size`. No machine runs.

use anyhow::{Result, ensure};

use super::{Case, Context, MIR_CONSOLE_FILES};
use crate::backtrace::Symboliser;
use crate::size::sizes;

pub(super) fn add(cases: &mut Vec<Case>) {
    for (name, image) in [("sizes", "mir-console"), ("sizes-default", MIR_CONSOLE_FILES)] {
        cases.push(Case { image, ..Case::bare(name, whole) });
    }
}

/// Catches: bytes of a real image that are counted twice or not at all, and crates that are not found.
fn whole(ctx: &Context<'_>) -> Result<()> {
    let file = std::fs::read(&ctx.built.elf)?;
    let sizes = sizes(&file, Some(&Symboliser::open(&ctx.built.elf)?))?;
    let image = std::fs::metadata(&ctx.built.image)?.len();
    ensure!(sizes.bytes == image, "{} bytes are told, the image has {image}", sizes.bytes);
    for shares in [&sizes.crates, &sizes.sections] {
        let sum: u64 = shares.iter().map(|share| share.bytes).sum();
        ensure!(sum == image, "the sum is {sum}, the image has {image}: {shares:?}");
    }
    let of = |name: &str| sizes.crates.iter().find(|share| share.name == name).map_or(0, |share| share.bytes);
    for name in ["mir_console", "fata_rt", "fata_block", "fata_arch_arm", "xen_hyp", "core"] {
        ensure!(of(name) > 0, "{name} has no bytes: {:?}", sizes.crates);
    }
    ensure!(of("[unnamed]") * 100 < image, "{} bytes of instructions have no name", of("[unnamed]"));
    Ok(())
}
