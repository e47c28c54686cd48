//! `xtask clean-lab`: removes everything the lab fetched and built.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use fata_lab::Lab;

use crate::table;

pub(crate) fn run() -> Result<()> {
    let lab = Lab::open()?;
    let dir = lab.dir();
    if !dir.exists() {
        println!("{} is not there", dir.display());
        return Ok(());
    }
    let mut rows = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let entry = entry?;
        let megabytes = bytes_below(&entry.path())?.div_ceil(1_000_000);
        rows.push([entry.file_name().to_string_lossy().into_owned(), megabytes.to_string()]);
    }
    rows.sort();
    lab.clean()?;
    print!("{}", table::render(["removed", "MB"], &rows));
    Ok(())
}

fn bytes_below(path: &Path) -> Result<u64> {
    let metadata = fs::symlink_metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    fs::read_dir(path)?.map(|entry| bytes_below(&entry?.path())).sum()
}
