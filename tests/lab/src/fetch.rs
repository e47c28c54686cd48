//! Gets several parts at the same time: while one downloads, another unpacks or compiles.

use std::thread;

use anyhow::{Result, bail};

use crate::image::ARCHES;
use crate::lab::Lab;
use crate::parts::XenVersion;
use crate::progress::Progress;

/// One part's name, and how to get it.
type Job<'a> = (String, Box<dyn FnOnce() -> Result<()> + Send + 'a>);

impl Lab {
    /// Gets what an image needs to be built and run under each of `versions`. Says everything that went wrong.
    pub fn fetch(&self, versions: &[XenVersion], ui: &Progress) -> Result<()> {
        let mut jobs: Vec<Job<'_>> = vec![("QEMU".to_owned(), Box::new(|| self.qemu(ui).map(drop)))];
        for arch in ARCHES {
            let job = Box::new(|| self.sysroot(arch.target, ui).map(drop));
            jobs.push((format!("library for {}", arch.name), job));
        }
        for &version in versions {
            jobs.push((format!("Xen {version}"), Box::new(move || self.xen(version, ui).map(drop))));
        }
        let failures = at_once(jobs);
        if !failures.is_empty() {
            bail!("{}", failures.join("\n\n"));
        }
        Ok(())
    }
}

fn at_once(jobs: Vec<Job<'_>>) -> Vec<String> {
    thread::scope(|scope| {
        let running: Vec<_> = jobs.into_iter().map(|(name, job)| (name, scope.spawn(job))).collect();
        let ended = running.into_iter().map(|(name, thread)| (name, thread.join()));
        ended
            .filter_map(|(name, outcome)| match outcome {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(format!("{name}: {error:#}")),
                Err(_) => Some(format!("{name}: panicked")),
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_is_told_and_successes_are_not() {
        let jobs: Vec<Job<'_>> = vec![
            ("one".into(), Box::new(|| Ok(()))),
            ("two".into(), Box::new(|| bail!("no network"))),
            ("three".into(), Box::new(|| bail!("no space"))),
        ];
        assert_eq!(at_once(jobs), ["two: no network", "three: no space"]);
    }
}
