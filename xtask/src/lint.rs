//! `xtask lint`: what the compiler and its friends can find without running anything.

use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use fata_lab::{ARCHES, Lab, Progress};

/// Check the source: clippy, documentation, the unsafe wall, licences
#[derive(Args)]
pub(crate) struct Options {
    /// Which checks; all of them if none is named
    jobs: Vec<Job>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Job {
    /// Clippy for this machine
    Clippy,
    /// Clippy for bare metal, where the images run
    ClippyImage,
    /// Documentation: broken links and the like
    Doc,
    /// `check-unsafe`: where unsafe code is, and why
    Unsafe,
    /// Licences and advisories of dependencies; needs cargo-deny
    Deny,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let lab = Lab::open()?;
    let jobs = if options.jobs.is_empty() { Job::value_variants() } else { &options.jobs };
    let mut failed = Vec::new();
    for job in jobs {
        let name = job.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        eprintln!("lint {name}");
        if let Err(error) = job.run(&lab) {
            eprintln!("lint {name}: {error:#}");
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

impl Job {
    fn run(self, lab: &Lab) -> Result<()> {
        match self {
            Self::Clippy => {
                succeed(cargo(lab).args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
            }
            Self::ClippyImage => clippy_image(lab),
            Self::Doc => succeed(cargo(lab).env("RUSTDOCFLAGS", "-D warnings").args([
                "doc",
                "--no-deps",
                "--workspace",
            ])),
            Self::Unsafe => succeed(cargo(lab).args(["xtask", "check-unsafe"])),
            Self::Deny => deny(lab),
        }
    }
}

/// The images and, because they are built on them, every crate they use; and what else is built for their target.
fn clippy_image(lab: &Lab) -> Result<()> {
    for arch in ARCHES {
        let sysroot = lab.sysroot(arch.target, &Progress::new())?;
        let check = |feature: &str, packages: &[String]| {
            let mut cargo = cargo(lab);
            if let Some(sysroot) = &sysroot {
                let target = arch.target.replace('-', "_").to_uppercase();
                let variable = format!("CARGO_TARGET_{target}_RUSTFLAGS");
                cargo.env(variable, format!("--sysroot {}", sysroot.display()));
            }
            cargo.args(["clippy", "--features", feature, "--target", arch.target]);
            for package in packages {
                cargo.args(["--package", package]);
            }
            succeed(cargo.args(["--", "-D", "warnings"]))
        };
        check("image", &lab.images()?)?;
        check("program,libxenvchan", &["fata-peer".to_owned()])?;
    }
    Ok(())
}

fn deny(lab: &Lab) -> Result<()> {
    if !cargo(lab).args(["deny", "--version"]).output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: cargo-deny is not installed");
        return Ok(());
    }
    succeed(cargo(lab).args(["deny", "check"]))
}

fn cargo(lab: &Lab) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(lab.workspace());
    cargo
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().context("cannot start cargo")?;
    if !status.success() {
        bail!("{status}: see above");
    }
    Ok(())
}
