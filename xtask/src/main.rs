//! The one command line: sets up, builds, runs, tests and measures Fata.
#![forbid(unsafe_code)]

mod bench;
mod build;
mod check_unsafe;
mod clean_lab;
mod doctor;
mod far_end;
mod image;
mod lint;
mod new_board;
mod payload;
mod run;
mod setup;
mod site;
mod size;
mod soak;
mod table;
mod test;
mod trace;
mod unsafe_code;

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
    Doctor(doctor::Options),
    /// Remove everything the lab fetched and built
    CleanLab,
    Build(build::Options),
    CheckUnsafe(check_unsafe::Options),
    Image(image::Options),
    Payload(payload::Options),
    Run(run::Options),
    Site(site::Options),
    Size(size::Options),
    Test(test::Options),
    Trace(trace::Options),
    Lint(lint::Options),
    NewBoard(new_board::Options),
    Soak(soak::Options),
    #[command(subcommand)]
    Bench(bench::Bench),
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
        Command::Doctor(options) => doctor::run(&options),
        Command::CleanLab => clean_lab::run(),
        Command::Build(options) => build::run(&options),
        Command::CheckUnsafe(options) => check_unsafe::run(&options),
        Command::Image(options) => image::run(&options),
        Command::Payload(options) => payload::run(&options),
        Command::Run(options) => run::run(&options),
        Command::Site(options) => site::run(&options),
        Command::Size(options) => size::run(&options),
        Command::Test(options) => test::run(&options),
        Command::Trace(options) => trace::run(options),
        Command::Lint(options) => lint::run(&options),
        Command::NewBoard(options) => new_board::run(&options),
        Command::Soak(options) => soak::run(&options),
        Command::Bench(bench) => bench::run(&bench),
    }
}
