//! `xtask setup`: fetches and builds everything the lab needs, so that later commands start at once.

use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};
use fata_lab::{ARCHES, Lab, Progress, XenVersion};

/// What a part is called, and how to get it.
type Job<'a> = (String, Box<dyn FnOnce() -> Result<()> + Send + 'a>);

pub(crate) fn run() -> Result<()> {
    let lab = Lab::open()?;
    let ui = Progress::new();
    let started = Instant::now();
    let mut jobs: Vec<Job<'_>> = vec![("QEMU".into(), Box::new(|| lab.qemu(&ui).map(drop)))];
    for version in XenVersion::ALL {
        let (lab, ui) = (&lab, &ui);
        jobs.push((format!("Xen {version}"), Box::new(move || lab.xen(version, ui).map(drop))));
    }
    jobs.push(("standard library".into(), Box::new(|| lab.sysroot(ARCHES[0].target, &ui).map(drop))));
    let failures: Vec<String> = thread::scope(|scope| {
        let running: Vec<_> = jobs.into_iter().map(|(name, job)| (name, scope.spawn(job))).collect();
        running
            .into_iter()
            .filter_map(|(name, thread)| match thread.join() {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(format!("{name}: {error:#}")),
                Err(_) => Some(format!("{name}: panicked")),
            })
            .collect()
    });
    if failures.is_empty() {
        println!("ready after {:.1} s; next: cargo xtask run mir-console", started.elapsed().as_secs_f32());
        return Ok(());
    }
    Err(anyhow!("{}", failures.join("\n\n")))
}
