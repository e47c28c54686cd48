//! Packs the pages that are built in, for an image that was given no others.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

/// When they were last changed; it is part of the image, so it is not today.
const CHANGED: u64 = 1_795_600_000;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=site");
    let site = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("site");
    let blob = fata_site::pack::pack(fata_site::pack::read(&site)?, CHANGED)?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join("site.blob"), blob)?;
    Ok(())
}
