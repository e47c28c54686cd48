//! `xtask size`: says whose bytes an image is made of.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use fata_lab::{BuildRequest, Lab, Progress, Share, Sizes, Symboliser, sizes, treemap};
use serde_json::{Value, json};

use crate::table;

/// Say whose bytes an image is made of: by crate, by section, and the largest functions
#[derive(Args)]
pub(crate) struct Options {
    /// The package below images/, which features of it may follow: mir-console+files; or the path of an image's ELF file
    image: String,
    /// Compare with an image of before: the path of its ELF file
    #[arg(long, value_name = "OLD.elf")]
    diff: Option<PathBuf>,
    /// Draw crates and functions as rectangles into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// How many of the largest functions and statics are shown
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
    /// Print JSON instead of tables, with all functions and statics
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let elf = match options.image.contains('/') {
        true => PathBuf::from(&options.image),
        false => Lab::open()?.build(&BuildRequest::new(&options.image), &Progress::new())?.elf,
    };
    let now = read(&elf)?;
    let old = options.diff.as_deref().map(read).transpose()?;
    if let Some(file) = &options.svg {
        fs::write(file, treemap(&now, &options.image))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    match (&old, options.json) {
        (None, true) => println!("{:#}", as_json(&now)),
        (Some(old), true) => println!("{:#}", json!({ "old": as_json(old), "new": as_json(&now) })),
        (None, false) => print!("{}", as_tables(&now, options.top)),
        (Some(old), false) => print!("{}", as_difference(old, &now, options.top)),
    }
    Ok(())
}

fn read(elf: &Path) -> Result<Sizes> {
    let file = fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
    sizes(&file, Symboliser::open(elf).ok().as_ref())
        .with_context(|| format!("cannot take {} apart", elf.display()))
}

fn as_json(sizes: &Sizes) -> Value {
    let share =
        |s: &Share| json!({"name": s.name, "bytes": s.bytes, "code_bytes": s.code, "pieces": s.pieces});
    let items = sizes
        .items
        .iter()
        .map(|i| json!({"name": i.name, "crate": i.crate_name, "bytes": i.bytes, "instances": i.instances}));
    json!({
        "bytes": sizes.bytes,
        "crates": sizes.crates.iter().map(share).collect::<Vec<_>>(),
        "sections": sizes.sections.iter().map(share).collect::<Vec<_>>(),
        "items": items.collect::<Vec<_>>(),
    })
}

fn as_tables(sizes: &Sizes, top: usize) -> String {
    let row = |s: &Share| {
        [
            s.name.clone(),
            s.bytes.to_string(),
            percent(s.bytes, sizes.bytes),
            s.code.to_string(),
            s.pieces.to_string(),
        ]
    };
    let rows = |shares: &[Share]| shares.iter().map(row).collect::<Vec<_>>();
    let item = |i: &fata_lab::Item| {
        let several = if i.instances > 1 { format!(" ({} times)", i.instances) } else { String::new() };
        [i.bytes.to_string(), i.crate_name.clone(), format!("{}{several}", i.name)]
    };
    // Padding and the like are in the table of crates, as a whole.
    let named = sizes.items.iter().filter(|i| !i.name.starts_with('['));
    let items: Vec<_> = named.take(top).map(item).collect();
    format!(
        "{}\n{}\n{}\n{} bytes\n",
        table::render(["crate", "bytes", "share", "code", "pieces"], &rows(&sizes.crates)),
        table::render(["section", "bytes", "share", "code", "pieces"], &rows(&sizes.sections)),
        table::render(["bytes", "crate", "function or static"], &items),
        sizes.bytes,
    )
}

fn percent(part: u64, whole: u64) -> String {
    format!("{:.1} %", part as f64 * 100.0 / whole.max(1) as f64)
}

fn as_difference(old: &Sizes, new: &Sizes, top: usize) -> String {
    let shares = |shares: &[Share]| shares.iter().map(|s| (s.name.clone(), s.bytes)).collect::<Vec<_>>();
    let items = |sizes: &Sizes| {
        let mut sums = BTreeMap::<_, u64>::new();
        for item in &sizes.items {
            *sums.entry(item.name.clone()).or_default() += item.bytes;
        }
        sums.into_iter().collect::<Vec<_>>()
    };
    format!(
        "{}\n{}\n{}\n{} bytes, {} before, {}\n",
        table::render(
            ["crate", "before", "now", "change"],
            &changes(&shares(&old.crates), &shares(&new.crates))
        ),
        table::render(
            ["section", "before", "now", "change"],
            &changes(&shares(&old.sections), &shares(&new.sections))
        ),
        table::render(
            ["function or static", "before", "now", "change"],
            &changes(&items(old), &items(new)).into_iter().take(top).collect::<Vec<_>>()
        ),
        new.bytes,
        old.bytes,
        signed(old.bytes, new.bytes),
    )
}

/// What has another size than before, the largest change first.
fn changes(old: &[(String, u64)], new: &[(String, u64)]) -> Vec<[String; 4]> {
    let mut both = BTreeMap::<&str, (u64, u64)>::new();
    old.iter().for_each(|(name, bytes)| both.entry(name).or_default().0 = *bytes);
    new.iter().for_each(|(name, bytes)| both.entry(name).or_default().1 = *bytes);
    let mut rows: Vec<_> = both.into_iter().filter(|(_, (old, new))| old != new).collect();
    rows.sort_by_key(|(_, (old, new))| u64::MAX - old.abs_diff(*new));
    let row = |(name, (old, new)): (&str, (u64, u64))| {
        [name.to_owned(), old.to_string(), new.to_string(), signed(old, new)]
    };
    rows.into_iter().map(row).collect()
}

fn signed(old: u64, new: u64) -> String {
    format!("{}{}", if new < old { '-' } else { '+' }, old.abs_diff(new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_come_with_their_sign_and_the_largest_first() {
        let list =
            |shares: &[(&str, u64)]| shares.iter().map(|(n, b)| ((*n).to_owned(), *b)).collect::<Vec<_>>();
        let rows =
            changes(&list(&[("a", 10), ("b", 5), ("gone", 7)]), &list(&[("a", 30), ("b", 5), ("new", 1)]));
        let rows: Vec<_> = rows.iter().map(|row| row.join(" ")).collect();
        assert_eq!(rows, ["a 10 30 +20", "gone 7 0 -7", "new 0 1 +1"]);
    }
}
