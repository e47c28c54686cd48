//! `xtask bench http`: what a page costs, and the way to the first, beside nginx on a Linux guest that serves the same ones,
//! on the same bridge in the same run.

use anyhow::Result;
use clap::{Args, ValueEnum};
use fata_lab::{Folder, Lab, On, Pages, Progress, VifWish, XlDomU, address};

use super::load::{Common, Job, Load, NUMBER, Per, target};
use super::work::{Guest, WITH_XEN, Wish};

/// Measure a web server, beside nginx on a Linux guest with the same pages
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

const JOBS: [Job; 5] = [
    Job::new("612 bytes, 1 connection", "http,1,1000", Per::Packet, None),
    Job::new("612 bytes, 16 connections", "http,16,4000", Per::Packet, Some(15_000)),
    Job::new("612 bytes, 256 connections", "http,256,4096", Per::Packet, None),
    Job::new("612 bytes, a connection each, 16 at a time", "http-each,16,1600", Per::Packet, Some(40_000)),
    Job::new("1 MiB, 1 connection", "http-file,1,32", Per::Packet, None),
];

/// What is measured.
pub(super) const IMAGE: &str = "website";
const CREATED: &str = "xl create to the first answer";
/// What the image is to do with.
const MEMORY_MIB: u32 = 16;
/// Of a Linux guest's way to the first answer.
const CREATION: u64 = 100;

pub(crate) fn run(options: &Options) -> Result<()> {
    let lab = Lab::open()?;
    let pages = Pages::new();
    let folder = Folder::take(&lab, "bench-http-pages")?;
    pages.write(&folder.path)?;
    let wish = Wish {
        pages: Some(&folder.path),
        image: IMAGE,
        memory_mib: Some(MEMORY_MIB),
        more_of_linux: &pages.nginx(&lab.tools(On::Dom0, &Progress::new())?, None)?,
        ..Wish::default()
    };
    let load = Load::new(&lab, &options.common, &wish, "a page")?;
    // Or dom0 would ask for the guest's address once a second, and the first answer be as late.
    load.shop.dom0.sh(&format!("arp -s {} {}", target(), VifWish::new(NUMBER).mac()))?;
    let mut run = Run { load };
    if options.only.contains(&Group::Jobs) {
        run.jobs()?;
    }
    if options.only.contains(&Group::Create) {
        run.create()?;
    }
    run.load.finish("Instructions for a page, nginx on Linux = 100 %")
}

struct Run<'a> {
    load: Load<'a>,
}

impl Run<'_> {
    fn jobs(&mut self) -> Result<()> {
        let jobs = self.load.chosen(&JOBS);
        for guest in self.load.guests().filter(|_| !jobs.is_empty()) {
            let domu = Self::domu(&self.load, guest);
            self.load.serve(guest, &domu, "await-page", &jobs)?;
        }
        Ok(())
    }

    fn domu(load: &Load<'_>, guest: Guest) -> XlDomU {
        let words = format!("{} {}", address(NUMBER), load.common.args);
        XlDomU { vifs: vec![VifWish::new(NUMBER).spec()], ..load.shop.web_server(guest, words.trim()) }
    }

    fn create(&mut self) -> Result<()> {
        self.load.creation(CREATED, "await-page", Self::domu)?;
        self.load.report.aim_at_part(CREATED, WITH_XEN, CREATION);
        Ok(())
    }
}
