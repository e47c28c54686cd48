//! How long a build takes: by the clock on the wall, and so only a hint.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, bail};
use fata_lab::Lab;

/// Milliseconds for a build from nothing, and for one after a change in the image's main file.
pub(crate) fn builds(lab: &Lab, image: &str) -> Result<(u64, u64)> {
    let target = lab.dir().join("bench-target");
    if target.exists() {
        fs::remove_dir_all(&target).with_context(|| format!("removing {}", target.display()))?;
    }
    let clean = build(image, &target)?;
    let package = image.split('+').next().unwrap_or_default();
    let main = lab.workspace().join("images").join(package).join("src/main.rs");
    let touched = File::options().append(true).open(&main).and_then(|f| f.set_modified(SystemTime::now()));
    touched.with_context(|| format!("touching {}", main.display()))?;
    let incremental = build(image, &target)?;
    fs::remove_dir_all(&target).with_context(|| format!("removing {}", target.display()))?;
    Ok((clean, incremental))
}

fn build(image: &str, target: &Path) -> Result<u64> {
    let xtask = std::env::current_exe().context("finding xtask's own program")?;
    let mut build = Command::new(xtask);
    build.args(["build", image]).env("CARGO_TARGET_DIR", target).stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let status = build.status().context("starting xtask build")?;
    if !status.success() {
        bail!("`cargo xtask build {image}` failed: {status}");
    }
    Ok(started.elapsed().as_millis() as u64)
}
