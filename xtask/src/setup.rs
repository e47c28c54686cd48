//! `xtask setup`: fetches and builds everything the lab needs, so that later commands start at once.

use std::time::Instant;

use anyhow::Result;
use fata_lab::{Lab, Progress, XenVersion};

pub(crate) fn run() -> Result<()> {
    let started = Instant::now();
    let (lab, progress) = (Lab::open()?, Progress::new());
    lab.fetch(&XenVersion::ALL, &progress)?;
    lab.device_trees(&progress)?;
    println!("ready after {:.1} s; next: cargo xtask run mir-console", started.elapsed().as_secs_f32());
    Ok(())
}
