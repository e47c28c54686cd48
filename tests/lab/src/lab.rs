//! The directory `target/lab`: each part in it is filled once, whole or not at all.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::progress::{Progress, Step};
use crate::tool::Log;

/// Written last into a part: its recipe, then what it was made of, a line each.
const STAMP: &str = ".fata-complete";

/// Where the lab lives.
#[derive(Clone, Debug)]
pub struct Lab {
    workspace: PathBuf,
    dir: PathBuf,
}

impl Lab {
    /// Finds the workspace above the running crate's directory, or above the current one.
    pub fn open() -> Result<Self> {
        let start = match std::env::var_os("CARGO_MANIFEST_DIR") {
            Some(dir) => PathBuf::from(dir),
            None => std::env::current_dir().context("cannot tell the current directory")?,
        };
        let is_root = |dir: &&Path| dir.join("Cargo.toml").is_file() && dir.join("tests/lab").is_dir();
        let workspace = start.ancestors().find(is_root);
        let workspace =
            workspace.with_context(|| format!("{} is not inside Fata's tree", start.display()))?;
        // Always here, whatever CARGO_TARGET_DIR says: every checkout keeps its parts once.
        Ok(Self { workspace: workspace.to_owned(), dir: workspace.join("target/lab") })
    }

    /// The root of the source tree.
    #[must_use]
    pub fn workspace(&self) -> &Path {
        &self.workspace
    }

    /// `target/lab`.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where `name`'s log goes.
    #[must_use]
    pub fn log_path(&self, name: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{name}.log"))
    }

    pub(crate) fn log(&self, name: &str) -> Result<Log> {
        Log::create(self.log_path(name))
    }

    pub(crate) fn apt_root(&self, name: &str) -> PathBuf {
        self.dir.join("apt").join(name)
    }

    /// Whether part `name` is complete, and made of what.
    #[must_use]
    pub fn has_part(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.dir.join(name).join(STAMP)).ok()
    }

    /// Holds everybody else off `name` until the file is dropped.
    pub(crate) fn lock(&self, name: &str, ui: &Progress) -> Result<File> {
        let dir = self.dir.join("locks");
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let path = dir.join(name);
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        if file.try_lock().is_err() {
            ui.note(&format!("{name}: waiting for another xtask, which holds {}", path.display()));
            file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Ok(file)
    }

    /// The directory of part `name`, made by `fill` unless it is there and follows the same `recipe`.
    ///
    /// `fill` gets an empty directory and returns the names of what it put there. Its work appears under
    /// the final name only when complete, so whatever interrupts it, the next run starts afresh.
    pub(crate) fn part(
        &self,
        name: &str,
        recipe: &str,
        ui: &Progress,
        fill: impl FnOnce(&Path, Log, &Step) -> Result<Vec<String>>,
    ) -> Result<PathBuf> {
        let done = self.dir.join(name);
        let is_current = || self.has_part(name).is_some_and(|stamp| stamp.lines().next() == Some(recipe));
        if is_current() {
            return Ok(done);
        }
        let _lock = self.lock(&name.replace('/', "-"), ui)?;
        if is_current() {
            return Ok(done);
        }
        let step = ui.step(without_hash(name));
        let log = self.log(&name.replace('/', "-"))?;
        let fresh = self.dir.join(format!("{name}.new"));
        remove_if_there(&fresh)?;
        fs::create_dir_all(&fresh)?;
        let contents = fill(&fresh, log, &step).with_context(|| format!("cannot prepare {name}"))?;
        fs::write(fresh.join(STAMP), format!("{recipe}\n{}\n", contents.join("\n")))?;
        remove_if_there(&done)?;
        fs::rename(&fresh, &done).with_context(|| format!("cannot rename {}", fresh.display()))?;
        step.done("ready");
        Ok(done)
    }

    /// A short hash of what a part was made of; of its file names when it was unpacked by hand.
    pub(crate) fn contents_of(part: &Path) -> Result<String> {
        let by_hand = || -> Result<String> {
            let boot = part.join("boot");
            let files = fs::read_dir(&boot).with_context(|| format!("cannot read {}", boot.display()))?;
            let mut names: Vec<_> = files.map(|file| Ok(file?.file_name())).collect::<Result<_>>()?;
            names.sort();
            Ok(format!("{names:?}"))
        };
        Ok(short_hash(&fs::read_to_string(part.join(STAMP)).or_else(|_| by_hand())?))
    }

    /// Removes all of `target/lab`, unless somebody is at work in it.
    pub fn clean(&self) -> Result<()> {
        if self.dir.file_name().is_none_or(|name| name != "lab") {
            bail!("{} does not look like the lab", self.dir.display());
        }
        for entry in fs::read_dir(self.dir.join("locks")).into_iter().flatten().flatten() {
            let path = entry.path();
            let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
            file.try_lock().with_context(|| format!("another xtask holds {}", path.display()))?;
        }
        fs::remove_dir_all(&self.dir).with_context(|| format!("cannot remove {}", self.dir.display()))
    }
}

/// A part's name as people want to read it.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((title, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => title,
        _ => name,
    }
}

fn remove_if_there(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    Ok(())
}

/// FNV-1a, 64 bits: tells one text from another in file names, in every release of Rust alike.
pub(crate) fn short_hash(text: &str) -> String {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> Lab {
        let workspace = std::env::temp_dir().join(format!("fata-lab-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&workspace);
        fs::create_dir_all(&workspace).expect("temporary directory");
        Lab { dir: workspace.join("target/lab"), workspace }
    }

    #[test]
    fn a_part_is_made_once_per_recipe_and_never_half() {
        let lab = scratch("part");
        let ui = Progress::quiet();
        let make = |recipe: &str| {
            let mut ran = false;
            let part = lab.part("thing", recipe, &ui, |into, _, _| {
                ran = true;
                fs::write(into.join("file"), recipe)?;
                Ok(vec!["file".to_owned()])
            });
            (ran, part.expect("part"))
        };
        assert!(make("one").0);
        let (again, part) = make("one");
        assert!(!again, "a complete part is not made twice");
        let hash = Lab::contents_of(&part).expect("hash");

        let failed = lab.part("thing", "two", &ui, |into, _, _| {
            fs::write(into.join("file"), "half")?;
            bail!("no network")
        });
        assert!(format!("{:#}", failed.expect_err("fails")).contains("no network"));
        let kept = fs::read_to_string(part.join("file")).expect("file");
        assert_eq!(kept, "one", "half of a new part does not replace a whole old one");

        assert!(make("two").0);
        assert_eq!(fs::read_to_string(part.join("file")).expect("file"), "two");
        assert_ne!(Lab::contents_of(&part).expect("hash"), hash);
        fs::remove_dir_all(&lab.workspace).expect("clean up");
    }

    #[test]
    fn the_hash_is_fnv1a() {
        assert_eq!(short_hash("a"), "af63dc4c8601ec8c");
    }

    #[test]
    fn hashes_are_not_for_people() {
        assert_eq!(without_hash("sysroot/1.95.0-x-af63dc4c8601ec8c"), "sysroot/1.95.0-x");
        assert_eq!(without_hash("xen-4.20"), "xen-4.20");
    }

    #[test]
    fn two_threads_make_a_part_once() {
        let lab = scratch("threads");
        let made = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    lab.part("thing", "r", &Progress::quiet(), |_, _, _| {
                        made.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        Ok(Vec::new())
                    })
                    .expect("part");
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
        fs::remove_dir_all(&lab.workspace).expect("clean up");
    }
}
