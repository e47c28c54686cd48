//! The same jobs with other options of the driver, to choose its defaults by.

use anyhow::Result;

use super::super::report::grouped;
use super::super::work::Guest;
use super::{JOBS, Job, Run, job};
use crate::table;

/// What is tried: words of block-bench's command line.
const VARIANTS: [&str; 7] =
    ["persistent=1", "persistent=0", "segments=32", "segments=11", "order=2", "order=4", "queues=4"];

/// Deeper than a ring of one page is.
const DEEP: Job = job("read 4 KiB, depth 128", "read,rand,4096,16777216,128", 4096, None);

impl Run<'_> {
    /// A table of all jobs with each variant.
    pub(super) fn variants(&mut self) -> Result<String> {
        let mut jobs: Vec<_> = self.jobs.clone();
        if jobs.len() == JOBS.len() {
            jobs.push(DEEP);
        }
        let (mut own, mut with_xen, mut in_all) =
            (rows(&jobs, "own"), rows(&jobs, "Xen's"), rows(&jobs, "all"));
        for (column, variant) in (2..).zip(VARIANTS) {
            let step = self.ui.step(variant);
            step.busy(super::AT_WORK);
            let args = format!("{variant} {}", self.options.args);
            for (n, (job, span)) in self.spans(Guest::Fata, &jobs, &args, 1)?.into_iter().enumerate() {
                own[n][column] = number(span.own, &job);
                with_xen[n][column] = number(span.total(), &job);
                in_all[n][column] = number(span.all, &job);
            }
            step.done("measured");
        }
        let rows: Vec<_> =
            own.into_iter().zip(with_xen).zip(in_all).flat_map(|((a, b), c)| [a, b, c]).collect();
        let mut header = ["measure", "in", "", "", "", "", "", "", ""];
        header[2..].copy_from_slice(&VARIANTS);
        Ok(table::render(header, &rows))
    }
}

const COLUMNS: usize = 2 + VARIANTS.len();

fn rows(jobs: &[Job], what: &str) -> Vec<[String; COLUMNS]> {
    let row = |job: &Job| {
        let mut row = [const { String::new() }; COLUMNS];
        (row[0], row[1]) = (job.name.to_owned(), what.to_owned());
        row
    };
    jobs.iter().map(row).collect()
}

fn number(sum: u64, job: &Job) -> String {
    format!("{:>12}", grouped(sum / job.requests))
}
