//! Numbers that nobody can foresee, and where they come from.

use anyhow::{Result, ensure};

use super::{Case, Context, GUEST, MIR_CONSOLE_FILES, Place, Spot, Wish, number, row};
use crate::host::{Dom0, XlDomU};
use crate::parts::XenVersion;

pub(super) fn add(cases: &mut Vec<Case>) {
    let mut case = |spot, name, run: fn(&Context<'_>, Spot) -> Result<()>| {
        let case = Case::new(spot, name, move |ctx: &Context<'_>| run(ctx, spot));
        cases.push(Case { image: MIR_CONSOLE_FILES, ..case }.limit(90));
    };
    case(Spot::DOM0LESS, "entropy-without-a-seed", without_a_seed);
    case(Spot::DOM0LESS, "entropy-of-the-cpu", of_the_cpu);
    for xen in XenVersion::ALL {
        case(Spot { place: Place::Xl, xen, ..Spot::XL }, "entropy-of-the-toolstack", of_the_toolstack);
    }
}

/// Catches: jitter that is credited on a machine without noise, or refused on one with it; boots that draw the same.
fn without_a_seed(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    let mut drawn = Vec::new();
    for _ in 0..2 {
        let running = ctx.start(spot, &Wish::args("quiet"))?;
        ctx.prompt(&running.guest)?;
        for _ in 0..2 {
            let said = ctx.ask(&running.guest, "random")?;
            ensure!(row(&said, "RNDR")? == "absent" && row(&said, "device tree")? == "absent", "{said}");
            ensure!(number(&said, "jitter")? >= 128, "{said}");
            drawn.push(row(&said, "drawn now")?.to_owned());
        }
    }
    all_differ(drawn)
}

/// Catches: the CPU's own numbers not found, or not read as they are; a secret that is shown; work that takes longer at
/// times without noise.
fn of_the_cpu(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    const SECRET: &str = "00112233445566778899aabbccddeeff";
    let mut drawn = Vec::new();
    for _ in 0..2 {
        // With a CPU that has it.
        let wish = Wish { icount: true, ..Wish::args(&format!("quiet seed={SECRET}")) };
        let running = ctx.start(spot, &wish)?;
        ctx.prompt(&running.guest)?;
        let said = ctx.ask(&running.guest, "random")?;
        ensure!(number(&said, "RNDR")? == 256 && number(&said, "command line")? == 128, "{said}");
        drawn.push(row(&said, "drawn now")?.to_owned());
        is_even(&ctx.ask(&running.guest, "random raw 300")?)?;
        for command in ["about", "dt /chosen", "log"] {
            let said = ctx.ask(&running.guest, command)?;
            ensure!(!said.contains(SECRET), "{command} shows the secret:\n{said}");
        }
    }
    all_differ(drawn)
}

/// Where time is instructions there is no noise, and work takes the same time each time: else what is taken for noise is not.
fn is_even(said: &str) -> Result<()> {
    let lines = said.lines().filter(|line| line.starts_with(' '));
    let times: Vec<u64> =
        lines.flat_map(str::split_ascii_whitespace).filter_map(|word| word.parse().ok()).collect();
    let alike = |time: &u64| times.iter().filter(|other| other.abs_diff(*time) <= 1).count();
    let most = times.iter().map(alike).max().unwrap_or(0);
    ensure!(times.len() == 300 && most * 10 > times.len() * 9, "{most} are alike of these:\n{said}");
    Ok(())
}

/// Catches: the seed that libxl gives not used; one in Xenstore not found, not removed, or not waited for.
fn of_the_toolstack(ctx: &Context<'_>, spot: Spot) -> Result<()> {
    let dom0 = ctx.dom0(spot)?;
    let mut drawn = Vec::new();
    for _ in 0..2 {
        let guest = dom0.create(&ctx.xl_domu(&Wish::args("quiet")))?;
        ctx.prompt(&guest)?;
        let said = ctx.ask(&guest, "random")?;
        ensure!(number(&said, "device tree")? == 256, "{said}");
        drawn.push(row(&said, "drawn now")?.to_owned());
        dom0.destroy(GUEST)?;
    }
    with_a_seed_in_the_store(ctx, &dom0)?;
    all_differ(drawn)
}

fn with_a_seed_in_the_store(ctx: &Context<'_>, dom0: &Dom0) -> Result<()> {
    let guest = dom0.create(&XlDomU { paused: true, ..ctx.xl_domu(&Wish::args("quiet")) })?;
    let path = format!("/local/domain/{}/data/seed", guest.domain);
    dom0.sh(&format!("xenstore-write {path} cafe0123456789abcdef0123456789ab && xl unpause {GUEST}"))?;
    ctx.prompt(&guest)?;
    // It is removed before it is used.
    dom0.sh(&format!("while xenstore-exists {path}; do usleep 50000; done"))?;
    let is_taken = |said: &str| row(said, "Xenstore").is_ok();
    let mut said = ctx.ask(&guest, "random")?;
    while !is_taken(&said) && !ctx.left().is_zero() {
        said = ctx.ask(&guest, "random")?;
    }
    ensure!(number(&said, "Xenstore")? == 128 && number(&said, "device tree")? == 256, "{said}");
    dom0.destroy(GUEST)
}

fn all_differ(drawn: Vec<String>) -> Result<()> {
    for (i, one) in drawn.iter().enumerate() {
        ensure!(one.len() == 32 && !drawn[..i].contains(one), "drawn twice: {drawn:?}");
    }
    Ok(())
}
