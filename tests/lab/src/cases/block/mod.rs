//! Disks at work: block-check on real backends, and whatever may happen to these.
//!
//! Whatever happens, each case ends with the bytes looked at from dom0, and with nothing left there of its guests.

mod comes_and_goes;
mod kinds;
mod over_and_over;
mod store;
mod toolstack;

use anyhow::Result;

use super::{Case, Context, Spot};
use crate::checker::Checker;

const BLOCK_CHECK: &str = "block-check";

pub(super) fn add(cases: &mut Vec<Case>) {
    kinds::add(cases);
    comes_and_goes::add(cases);
    toolstack::add(cases);
    store::add(cases);
    over_and_over::add(cases);
}

/// A case that runs block-check on a dom0, and leaves nothing behind there.
fn case(
    spot: Spot,
    name: &str,
    seconds: u64,
    run: impl Fn(&Checker<'_>) -> Result<()> + Send + Sync + 'static,
) -> Case {
    let run = move |ctx: &Context<'_>| {
        let dom0 = ctx.dom0(spot)?;
        let left = || ctx.left();
        let checker = Checker::new(&dom0, ctx.built.image.clone(), &left)?;
        run(&checker)?;
        checker.nothing_left()
    };
    Case { image: BLOCK_CHECK, ..Case::new(spot, name, run) }.limit(seconds)
}
