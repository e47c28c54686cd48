//! The one command line: sets up, builds, runs, tests and measures Fata.
#![forbid(unsafe_code)]

mod build;
mod setup;
mod table;

use std::process::ExitCode;

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

fn main() -> ExitCode {
    let Err(error) = run(Args::parse().command) else { return ExitCode::SUCCESS };
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because {cause}");
    }
    ExitCode::FAILURE
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Setup => setup::run(),
        Command::Build(options) => build::run(&options),
    }
}
