//! `xtask bench dns`: what an answer costs, and the way to the first, beside a Linux guest that serves the same zone with
//! NSD, on the same bridge in the same run.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use fata_lab::{Dom0, Folder, Lab, On, Progress, Traffic, VifWish, XlDomU, address};

use super::load::{Common, Job, Load, NUMBER, Per, TIME, target};
use super::report::grouped;
use super::work::{Guest, IN_ALL, WITH_XEN, Wish};

/// Measure a name server, beside NSD on a Linux guest with the same zone
#[derive(Args)]
pub(crate) struct Options {
    /// What is measured
    #[arg(long, value_delimiter = ',', default_value = "jobs,create")]
    only: Vec<Group>,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    /// Answers
    Jobs,
    /// From before `xl create` to the first answer
    Create,
}

const JOBS: [Job; 6] = [
    Job::new("UDP, 100 at a time", "dns-udp,100,4000", Per::Packet, None),
    Job::new("UDP, 10 at a time", "dns-udp,10,4000", Per::Packet, None),
    Job::new("UDP, one at a time", "dns-udp,1,1000", Per::Packet, None),
    Job::new("UDP, NXDOMAIN, 100 at a time", "dns-nothing,100,4000", Per::Packet, None),
    Job::new("TCP, 100 at a time", "dns-tcp,100,4000", Per::Packet, None),
    Job::new("TCP, one at a time", "dns-tcp,1,1000", Per::Packet, None),
];

const CREATED: &str = "xl create to the first answer";
/// The zone and the queries are the same in each run.
const SEED: u64 = 53;
const QUERIES: usize = 4000;
pub(super) const IMAGE: &str = "dns";
/// Where the load looks for queries (tests/peer/src/names.rs).
const HITS: &str = "/tmp/dns-hits";
const MISSES: &str = "/tmp/dns-misses";
/// What the image is to do with.
const MEMORY_MIB: u32 = 8;
/// What the image reads when it is built.
const ZONE: &str = "FATA_DNS_ZONE";
/// Of NSD's answers a second, and of a Linux guest's way to the first one.
const ANSWERS: u64 = 3;
const CREATION: u64 = 10;

/// A zone in a file, and queries for it.
pub(super) struct Zone {
    traffic: Traffic,
    /// For who builds an image that serves it.
    pub(super) input: (&'static str, PathBuf),
    _folder: Folder,
}

impl Zone {
    pub(super) fn new(lab: &Lab) -> Result<Self> {
        let traffic = Traffic::new(SEED, QUERIES)?;
        let folder = Folder::take(lab, "bench-dns-zone")?;
        let file = folder.file("zone");
        fs::write(&file, &traffic.zone).context("writing the zone")?;
        Ok(Self { traffic, input: (ZONE, file), _folder: folder })
    }

    /// Brings the queries to dom0, and tells it where the guest will be.
    pub(super) fn bring(&self, dom0: &Dom0) -> Result<()> {
        dom0.push(HITS, &self.traffic.hits)?;
        dom0.push(MISSES, &self.traffic.misses)?;
        // Or dom0 would ask for the guest's address once a second, and the first answer be as late.
        dom0.sh(&format!("arp -s {} {}", target(), VifWish::new(NUMBER).mac())).map(drop)
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let lab = Lab::open()?;
    let zone = Zone::new(&lab)?;
    let wish = Wish {
        image: IMAGE,
        memory_mib: Some(MEMORY_MIB),
        input: Some(&zone.input),
        more_of_linux: &zone.traffic.nsd(&lab.tools(On::Dom0, &Progress::new())?)?,
        ..Wish::default()
    };
    let load = Load::new(&lab, &options.common, &wish, "an answer")?;
    zone.bring(&load.shop.dom0)?;
    let mut run = Run { load };
    if options.only.contains(&Group::Jobs) {
        run.jobs()?;
    }
    if options.only.contains(&Group::Create) {
        run.create()?;
    }
    run.load.finish("Instructions for an answer, NSD on Linux = 100 %")
}

struct Run<'a> {
    load: Load<'a>,
}

impl Run<'_> {
    fn jobs(&mut self) -> Result<()> {
        let jobs = self.load.chosen(&JOBS);
        for guest in self.load.guests().filter(|_| !jobs.is_empty()) {
            let domu = Self::domu(&self.load, guest);
            self.load.serve(guest, &domu, "await-name", &jobs)?;
        }
        for job in jobs {
            let report = &mut self.load.report;
            report.aim_at_part(job.name, WITH_XEN, ANSWERS);
            if let Some((fata, linux)) = report.medians(job.name, WITH_XEN) {
                let rate = |instructions: u64| grouped(1_000_000_000 / instructions.max(1));
                let (ours, theirs) = (rate(fata), rate(linux));
                report.note(&format!(
                    "{}: {ours} answers for 1,000,000,000 instructions with Xen's, and {theirs} of NSD's",
                    job.name
                ));
            }
        }
        Ok(())
    }

    fn domu(load: &Load<'_>, guest: Guest) -> XlDomU {
        let words = format!("{} {}", address(NUMBER), load.common.args);
        XlDomU { vifs: vec![VifWish::new(NUMBER).spec()], ..load.shop.name_server(guest, words.trim()) }
    }

    fn create(&mut self) -> Result<()> {
        self.load.creation(CREATED, "await-name", Self::domu)?;
        for unit in [IN_ALL, TIME] {
            self.load.report.aim_at_part(CREATED, unit, CREATION);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_named_after_what_they_do() {
        for Job { name, words, .. } in JOBS {
            let mut words = words.split(',');
            let (kind, most) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            assert_eq!(kind.ends_with("tcp"), name.starts_with("TCP"), "{name}");
            assert_eq!(kind.ends_with("nothing"), name.contains("NXDOMAIN"), "{name}");
            let most = if most == "1" { "one" } else { most };
            assert!(name.ends_with(&format!(" {most} at a time")), "{name}");
        }
    }
}
