//! `xtask check-unsafe`: where unsafe code is, whether each piece gives its reason, and that none left the wall.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use fata_lab::Lab;
use serde::Serialize;

use crate::table;
use crate::unsafe_code::{Kind, Scan, scan};

/// The directories that may hold unsafe code; docs/src/soundness.md says why each must.
const WALL: &[&str] = &["boot", "arch-arm", "xen-hyp", "tests/sim", "tests/peer"];

/// Say where unsafe code is; fail if a piece lacks its reason or left the wall
#[derive(Args)]
pub(crate) struct Options {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// What one crate holds.
#[derive(Serialize)]
struct Count {
    #[serde(rename = "crate")]
    name: String,
    path: String,
    below_the_wall: bool,
    lines: usize,
    blocks: usize,
    functions: usize,
    impls: usize,
    /// `#[unsafe(...)]`, `unsafe extern`, `unsafe trait`.
    other: usize,
    /// Blocks and impls with a `SAFETY:` comment.
    commented: usize,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let lab = Lab::open()?;
    let mut counts = Vec::new();
    let mut faults = Vec::new();
    for dir in crates(lab.workspace())? {
        counts.push(count(lab.workspace(), &dir, &mut faults)?);
    }
    if options.json {
        println!("{:#}", serde_json::json!({ "crates": counts, "faults": faults }));
    } else {
        print!("{}", as_table(&counts));
    }
    if !faults.is_empty() {
        bail!("the wall around unsafe code is broken:\n  {}", faults.join("\n  "));
    }
    Ok(())
}

fn count(workspace: &Path, dir: &Path, faults: &mut Vec<String>) -> Result<Count> {
    let path = dir.strip_prefix(workspace).unwrap_or(dir);
    let below_the_wall = WALL.iter().any(|wall| path.starts_with(wall));
    let mut count = Count {
        name: package_name(dir)?,
        path: path.display().to_string(),
        below_the_wall,
        lines: 0,
        blocks: 0,
        functions: 0,
        impls: 0,
        other: 0,
        commented: 0,
    };
    if !below_the_wall && !forbids(dir)? {
        faults.push(format!("{}: lacks #![forbid(unsafe_code)]", path.display()));
    }
    for file in sources(dir)? {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let scan = scan(&text).with_context(|| format!("cannot parse {}", file.display()))?;
        let shown = file.strip_prefix(workspace).unwrap_or(&file);
        faults
            .extend(faults_of(&scan, below_the_wall).into_iter().map(|f| format!("{}:{f}", shown.display())));
        count.lines += scan.lines;
        for piece in &scan.pieces {
            *match piece.kind {
                Kind::Block => &mut count.blocks,
                Kind::Function => &mut count.functions,
                Kind::Impl => &mut count.impls,
                Kind::Other => &mut count.other,
            } += 1;
            count.commented += usize::from(piece.kind.needs_reason() && piece.has_reason);
        }
    }
    Ok(count)
}

/// Whether the crate's library, or its program if it has none, gives unsafe code up for good.
fn forbids(dir: &Path) -> Result<bool> {
    let roots = ["src/lib.rs", "src/main.rs"].map(|root| dir.join(root));
    let Some(root) = roots.iter().find(|root| root.is_file()) else { return Ok(true) };
    let text = fs::read_to_string(root).with_context(|| format!("cannot read {}", root.display()))?;
    Ok(text.lines().any(|line| line == "#![forbid(unsafe_code)]"))
}

/// `LINE: what is wrong`.
fn faults_of(scan: &Scan, below_the_wall: bool) -> Vec<String> {
    let fault = |piece: &crate::unsafe_code::Piece| {
        let what = piece.kind.name();
        if !below_the_wall {
            Some(format!("{}: unsafe {what} outside the wall", piece.line))
        } else if piece.kind.needs_reason() && !piece.has_reason {
            Some(format!("{}: unsafe {what} without a `// SAFETY:` reason before it", piece.line))
        } else {
            None
        }
    };
    scan.pieces.iter().filter_map(fault).collect()
}

fn as_table(counts: &[Count]) -> String {
    let row = |name: &str, path: &str, wall: &str, n: [usize; 6]| {
        let [lines, blocks, functions, impls, other, commented] = n.map(|n| n.to_string());
        [name.to_owned(), path.to_owned(), wall.to_owned(), lines, blocks, functions, impls, other, commented]
    };
    let numbers = |c: &Count| [c.lines, c.blocks, c.functions, c.impls, c.other, c.commented];
    let mut rows: Vec<_> = counts
        .iter()
        .map(|c| row(&c.name, &c.path, if c.below_the_wall { "below" } else { "" }, numbers(c)))
        .collect();
    let total = counts.iter().map(numbers).fold([0; 6], |sum, n| std::array::from_fn(|i| sum[i] + n[i]));
    rows.push(row("total", "", "", total));
    let header = ["crate", "path", "wall", "lines", "blocks", "fns", "impls", "other", "commented"];
    table::render(header, &rows)
}

/// Every directory with a Cargo.toml that describes a package, in order.
fn crates(workspace: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    walk(workspace, &mut |dir| {
        if dir.join("Cargo.toml").is_file() && package_name(dir).is_ok() {
            found.push(dir.to_owned());
        }
        true
    })?;
    found.sort();
    Ok(found)
}

/// The Rust files of one crate, those of crates below it left out.
fn sources(package: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    walk(package, &mut |dir| {
        if dir != package && dir.join("Cargo.toml").is_file() {
            return false;
        }
        let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        files.extend(entries.filter(|path| path.extension().is_some_and(|e| e == "rs")));
        true
    })?;
    files.sort();
    Ok(files)
}

/// Visits `dir` and, as long as `enter` agrees, what lies below it; build output and hidden directories are left out.
fn walk(dir: &Path, enter: &mut dyn FnMut(&Path) -> bool) -> Result<()> {
    if !enter(dir) {
        return Ok(());
    }
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let skip = name == "target" || name.to_string_lossy().starts_with('.');
        if !skip && entry.file_type()?.is_dir() {
            walk(&entry.path(), enter)?;
        }
    }
    Ok(())
}

fn package_name(dir: &Path) -> Result<String> {
    let manifest = dir.join("Cargo.toml");
    let text =
        fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    let name = text.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    Ok(name.with_context(|| format!("{} names no package", manifest.display()))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(source: &str, below_the_wall: bool) -> Vec<String> {
        faults_of(&scan(source).expect("parses"), below_the_wall)
    }

    #[test]
    fn a_reason_is_enough_below_the_wall_and_never_outside() {
        let source = "// SAFETY: the pointer is ours.\nlet x = unsafe { *p };";
        assert_eq!(faults(source, true), [""; 0]);
        assert_eq!(faults(source, false), ["2: unsafe block outside the wall"]);
    }

    #[test]
    fn missing_reasons_are_faults() {
        assert_eq!(
            faults("fn f() {\n    unsafe { g() }\n}\nunsafe impl Send for X {}", true),
            [
                "2: unsafe block without a `// SAFETY:` reason before it",
                "4: unsafe impl without a `// SAFETY:` reason before it"
            ]
        );
    }

    #[test]
    fn attributes_and_functions_must_stay_below_the_wall() {
        let source = "#[unsafe(no_mangle)]\npub unsafe fn f() {}";
        assert_eq!(faults(source, true), [""; 0]);
        assert_eq!(faults(source, false).len(), 2);
    }

    #[test]
    fn this_tree_passes() {
        let lab = Lab::open().expect("inside the tree");
        let mut faults = Vec::new();
        let dirs = crates(lab.workspace()).expect("readable");
        let counts: Vec<_> =
            dirs.iter().map(|dir| count(lab.workspace(), dir, &mut faults).expect("readable")).collect();
        assert_eq!(faults, [""; 0]);
        assert!(counts.iter().any(|c| c.below_the_wall && c.blocks > 0), "the wall has something behind it");
    }
}
