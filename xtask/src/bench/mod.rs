//! `xtask bench`: measures, and says how the numbers stand against their aims and against Linux.

mod boot;
mod machine;
mod report;
mod time;

use anyhow::Result;
use clap::Subcommand;

/// Measure
#[derive(Subcommand)]
pub(crate) enum Bench {
    Boot(boot::Options),
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Boot(options) => boot::run(options),
    }
}
