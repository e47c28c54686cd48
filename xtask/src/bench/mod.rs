//! `xtask bench`: measures, and says how the numbers stand against their aims and against Linux.

mod block;
mod boot;
mod chart;
mod machine;
mod profile;
mod report;
mod time;
mod work;

use anyhow::Result;
use clap::Subcommand;

/// Measure
#[derive(Subcommand)]
pub(crate) enum Bench {
    Block(block::Options),
    Boot(boot::Options),
    Profile(profile::Options),
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Block(options) => block::run(options),
        Bench::Boot(options) => boot::run(options),
        Bench::Profile(options) => profile::run(options),
    }
}
