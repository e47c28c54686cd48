//! Runs cases, a few at a time, and keeps what they leave behind.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use crate::cases::{Case, Context};
use crate::host::Dom0;
use crate::image::{BuildRequest, Built};
use crate::lab::Lab;
use crate::machine::{Config, Folder};
use crate::progress::Progress;

/// How much of a failed guest's console is shown.
const LAST_LINES: usize = 15;

/// What became of a case.
#[derive(Debug)]
pub struct Outcome {
    /// Nothing if it passed.
    pub failure: Option<Failure>,
    /// What it took, the start of its machine included.
    pub took: Duration,
}

/// Why a case failed.
#[derive(Debug)]
pub struct Failure {
    /// In words.
    pub reason: String,
    /// The last that its guest said.
    pub last_lines: Vec<String>,
    /// The folder with QEMU's command line, Xen's and the guest's output.
    pub folder: PathBuf,
}

/// Makes sure that what the cases share is there: QEMU, Xen, a snapshot of each dom0.
pub fn prepare(lab: &Lab, cases: &[&Case], ui: &Progress) -> Result<()> {
    lab.qemu(ui)?;
    let hosts: BTreeSet<_> =
        cases.iter().filter_map(|case| case.dom0).map(|(xen, gic)| (xen.number(), gic.to_string())).collect();
    for (xen, gic) in hosts {
        let (xen, gic) =
            (xen.parse().map_err(|e: String| anyhow!(e))?, gic.parse().map_err(|e: String| anyhow!(e))?);
        let config = Config { name: format!("tests/prepare-{xen}-gic{gic}"), xen, gic, ..Config::default() };
        Dom0::start(lab, &config, ui)?;
    }
    Ok(())
}

/// What some cases run.
pub struct Images {
    /// Images by name.
    built: BTreeMap<&'static str, Built>,
    /// The program for Linux, in dom0 and in other guests, if one of them wants it.
    peer: Option<PathBuf>,
}

/// Builds whatever a case runs.
pub fn build(lab: &Lab, cases: &[&Case], ui: &Progress) -> Result<Images> {
    let names: BTreeSet<_> =
        cases.iter().flat_map(|case| case.beside.iter().copied().chain([case.image])).collect();
    let build = |name| Ok((name, lab.build(&BuildRequest::new(name), ui)?));
    let built = names.into_iter().map(build).collect::<Result<_>>()?;
    let peer = cases.iter().any(|case| case.peer).then(|| lab.build_peer(ui)).transpose()?;
    Ok(Images { built, peer })
}

/// Runs all, `jobs` at a time; `report` is called as each ends.
pub fn run(
    lab: &Lab,
    originals: &Images,
    cases: &[&Case],
    jobs: usize,
    report: impl Fn(&Case, Outcome) + Sync,
) -> Result<()> {
    // Whoever builds meanwhile does not change what is being tested.
    let folder = Folder::take(lab, "tests/images")?;
    let copy = |(&name, original): (&&'static str, &Built)| -> Result<_> {
        let (image, elf) = (folder.file(&format!("{name}.Image")), folder.file(&format!("{name}.elf")));
        fs::copy(&original.image, &image)?;
        fs::copy(&original.elf, &elf)?;
        Ok((name, Built { image, elf, ..original.clone() }))
    };
    let built = originals.built.iter().map(copy).collect::<Result<_>>()?;
    let peer = originals.peer.as_ref().map(|original| -> Result<_> {
        let peer = folder.file("fata-peer");
        fs::copy(original, &peer)?;
        Ok(peer)
    });
    let images = Images { built, peer: peer.transpose()? };
    let queue: Mutex<VecDeque<&Case>> = Mutex::new(cases.iter().copied().collect());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(case) = next() {
                    report(case, run_one(lab, &images, case));
                }
            });
        }
    });
    Ok(())
}

fn run_one(lab: &Lab, images: &Images, case: &Case) -> Outcome {
    let started = Instant::now();
    let deadline = Cell::new(None);
    let result = catch_unwind(AssertUnwindSafe(|| {
        let image = |name: &str| images.built.get(name).with_context(|| format!("{name} was not built"));
        let built = image(case.image)?;
        let beside = case.beside.iter().map(|name| image(name)).collect::<Result<_>>()?;
        let (peer, name, limit) = (images.peer.as_deref(), &case.name, case.limit);
        (case.run)(&Context { lab, built, beside, peer, name, limit, deadline: &deadline })
    }));
    let failure = match result {
        Ok(Ok(())) => None,
        Ok(Err(error)) => {
            let late = deadline.get().is_some_and(|d| Instant::now() >= d);
            let over = if late { format!("out of time ({:.0?}): ", case.limit) } else { String::new() };
            Some(format!("{over}{error:#}"))
        }
        Err(panic) => Some(format!("the case itself panicked: {}", words(&*panic))),
    };
    let folder = lab.dir().join("runs/tests").join(&case.name);
    let failure = failure.map(|reason| Failure { reason, last_lines: last_lines(&folder), folder });
    Outcome { failure, took: started.elapsed() }
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}

/// The end of the guests' consoles; of Xen's output if no guest said anything.
fn last_lines(folder: &Path) -> Vec<String> {
    let logs = |prefix: &str| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut logs: Vec<_> = entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
            .filter_map(|entry| fs::read(entry.path()).ok())
            .filter(|log| !log.is_empty())
            .collect();
        logs.sort();
        logs
    };
    let mut found = logs("console");
    if found.is_empty() {
        found = logs("xen.log");
    }
    let mut lines = Vec::new();
    for log in found {
        let text = String::from_utf8_lossy(&log).replace('\r', "");
        let all: Vec<_> = text.lines().collect();
        lines.extend(all[all.len().saturating_sub(LAST_LINES)..].iter().map(|&l| l.to_owned()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_the_guests_or_else_xens() {
        let dir = std::env::temp_dir().join(format!("fata-runner-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("xen.log"), "(XEN) one\n(XEN) two\n").unwrap();
        assert_eq!(last_lines(&dir), ["(XEN) one", "(XEN) two"]);
        let long: String = (0..40).map(|n| format!("{n}\r\n")).collect();
        fs::write(dir.join("console-1.log"), long).unwrap();
        let lines = last_lines(&dir);
        assert_eq!((lines.len(), lines[0].as_str(), lines[14].as_str()), (LAST_LINES, "25", "39"));
        fs::remove_dir_all(&dir).unwrap();
    }
}
