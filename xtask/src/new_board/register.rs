//! Makes a board's crate part of the workspace, and of the list of boards.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Adds the board wherever boards are listed, in order.
pub(super) fn register(root: &Path, name: &str) -> Result<()> {
    let all = root.join("boards/all");
    insert(&root.join("Cargo.toml"), "    \"boards/", &format!("    \"boards/{name}\","))?;
    insert(&root.join("Cargo.toml"), "fata-", &format!("fata-{name} = {{ path = \"boards/{name}\" }}"))?;
    insert(&all.join("Cargo.toml"), "fata-", &format!("fata-{name}.workspace = true"))?;
    insert(&all.join("src/lib.rs"), "    &fata_", &format!("    &fata_{}::BOARD,", name.replace('-', "_")))
}

/// Puts `new` into the file: among lines that start like it, before the first that sorts after it. Of the dependencies
/// in a workspace's manifest these are the boards' alone.
fn insert(file: &Path, start: &str, new: &str) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let alike =
        |line: &&str| line.starts_with(start) && (!new.contains("{ path") || line.contains("\"boards/"));
    let lines: Vec<_> = text.lines().collect();
    let later = lines.iter().position(|line| alike(line) && *line > new);
    let after_last = || lines.iter().rposition(alike).map(|at| at + 1);
    let at = later.or_else(after_last).with_context(|| format!("{} lists no boards", file.display()))?;
    let mut lines: Vec<_> = lines;
    lines.insert(at, new);
    fs::write(file, lines.join("\n") + "\n").with_context(|| format!("cannot write {}", file.display()))
}
