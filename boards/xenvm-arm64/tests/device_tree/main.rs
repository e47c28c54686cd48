//! Device trees: those that Xen makes, odd ones, and broken ones.
//!
//! `tests/fuzz/corpus/device-trees` holds what libxl and Xen write for their guests (`xl-*`, `dom0less-*`), what
//! QEMU writes for its board, and `board`, which has what boards have: buses, aliases, several serial ports.

mod broken;
mod odd;
mod oracle;
mod sound;

use std::fs;
use std::path::PathBuf;

/// The trees of the corpus, by name.
fn trees() -> Vec<(String, Vec<u8>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/corpus/device-trees");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 12, "the corpus is not complete");
    let name = |path: &PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

fn tree(name: &str) -> Vec<u8> {
    let found = trees().into_iter().find(|(other, _)| other == name);
    found.unwrap_or_else(|| panic!("no tree called {name}")).1
}
