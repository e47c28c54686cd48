//! The one command line: sets up, builds, runs, tests and measures Fata.
#![forbid(unsafe_code)]

mod build;
mod setup;
mod table;

use clap::{Parser, Subcommand};

/// Builds Fata's images and runs them under real Xen.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fetch and build everything the lab needs
    Setup,
    Build(build::Options),
}

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Setup => setup::run(),
        Command::Build(options) => build::run(&options),
    }
}
