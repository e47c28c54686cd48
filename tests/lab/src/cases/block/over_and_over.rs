//! A little of what `cargo xtask soak` does over and over.

use anyhow::{Context as _, Result};

use super::super::{Case, Spot};
use super::case;
use crate::mutate::seed;
use crate::soak::{Meter, create_destroy, detach, fifty, rebind};

pub(super) fn add(cases: &mut Vec<Case>) {
    let mut add =
        |name, seconds, run: fn(&crate::checker::Checker<'_>, u64) -> Result<crate::soak::Figures>| {
            cases.push(case(Spot::XL, name, seconds, move |checker| {
                let seed = seed();
                run(checker, seed).map(drop).with_context(|| format!("with FATA_SEED={seed}"))
            }));
        };
    // Catches: a byte that is lost or comes twice when a disk is pulled under load.
    add("block-detached", 180, |checker, seed| detach::run(checker, &Meter::of(5), 8, seed));
    // Catches: the same when its backend is restarted, and again before the guest has got over it.
    add("block-rebound", 180, |checker, seed| rebind::run(checker, &Meter::of(8), 8, seed));
    // Catches: whatever a domain leaves behind when it is destroyed in the middle of something.
    add("block-fleeting", 240, |checker, seed| create_destroy::run(checker, &Meter::of(10), seed));
    // Catches: anything that only so many domains can have.
    add("block-of-many", 240, |checker, _| fifty::run(checker, &Meter::of(12)));
}
