//! Jobs by Xen's own account of CPU time, for comparison with figures that were taken so.
//!
//! Where instructions are counted a nanosecond is one, so what a domain had of the CPU is instructions, its own and
//! Xen's between switches. A guest that does a job three times and one that does it once differ by two jobs.

use anyhow::{Context, Result};

use super::super::work::{Guest, PEER};
use super::{Job, Run};

/// By Xen's clock.
const CPU_TIME: &str = "CPU ns";

impl Run<'_> {
    pub(super) fn cpu_time(&mut self) -> Result<()> {
        let jobs: Vec<_> = self.jobs.iter().filter(|job| job.aims.is_some()).copied().collect();
        for guest in self.guests() {
            for job in &jobs {
                let step = self.ui.step(&format!("CPU time of {guest:?}: {}", job.name));
                step.busy(super::AT_WORK);
                let (once, thrice) = (self.cpu_ns(guest, job, 1)?, self.cpu_ns(guest, job, 3)?);
                let sample = thrice.saturating_sub(once) / (2 * job.requests);
                self.report.add(guest, job.name, CPU_TIME, None, sample);
                step.done("measured");
            }
        }
        Ok(())
    }

    fn cpu_ns(&self, guest: Guest, job: &Job, rounds: usize) -> Result<u64> {
        let words = vec![job.words; rounds].join(";");
        let domu = self.with_disk(self.shop.domain(guest, &words, &self.options.args));
        let done = self.shop.run(&domu, |_| Ok(()))?;
        let said = self.shop.dom0.sh(&format!("{PEER} cpu"))?;
        self.shop.dom0.destroy(&domu.name)?;
        let start = format!("cpu {} ", done.domain);
        let line = said.lines().find_map(|line| line.strip_prefix(&start)).map(str::trim);
        let ns = line.and_then(|ns| ns.parse().ok());
        ns.with_context(|| format!("Xen does not say what domain {} had of the CPU: {said}", done.domain))
    }
}
