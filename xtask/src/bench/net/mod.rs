//! `xtask bench net`: what a network costs, beside a Linux guest on the same bridge in the same run.

mod recovery;

use anyhow::Result;
use clap::{Args, ValueEnum};
use fata_lab::{Lab, Vif, VifWish, XlDomU, address};

use super::load::{Common, Job, Load, NUMBER, Per};
use super::work::{Guest, PEER, Wish, mark};

/// Measure packets and streams, beside a Linux guest on the same bridge
#[derive(Args)]
pub(crate) struct Options {
    /// What is measured
    #[arg(long, value_delimiter = ',', default_value = "jobs,plain")]
    only: Vec<Group>,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    /// Packets and streams
    Jobs,
    /// Streams without sums and segmentation by the device
    Plain,
    /// From a backend's return until the guest answers again
    Recovery,
}

pub(super) const JOBS: [Job; 9] = [
    Job::new("UDP in, 64 bytes", "udp-in,64,4000", Per::Packet, Some(2_000)),
    Job::new("UDP out, 64 bytes", "udp-out,64,4000", Per::Packet, Some(2_000)),
    Job::new("UDP in, 1472 bytes", "udp-in,1472,4000", Per::Packet, None),
    Job::new("UDP out, 1472 bytes", "udp-out,1472,4000", Per::Packet, None),
    Job::new("UDP 64 bytes, there and back", "udp-echo,64,1000", Per::Packet, Some(12_000)),
    Job::new("ping, 56 bytes", "ping,56,1000", Per::Packet, None),
    Job::new("TCP 1 byte, there and back", "tcp-echo,1,1000", Per::Packet, None),
    Job::new("TCP in, 1000 bytes", "tcp-in,65536,256", Per::KB, Some(440)),
    Job::new("TCP out, 1000 bytes", "tcp-out,65536,256", Per::KB, Some(320)),
];
pub(super) const PLAIN_JOBS: [Job; 2] = [
    Job::new("TCP in, 1000 bytes, no offloads", "tcp-in,65536,128", Per::KB, Some(2_950)),
    Job::new("TCP out, 1000 bytes, no offloads", "tcp-out,65536,128", Per::KB, Some(1_350)),
];

/// What the guest is asked to do without, and what Linux's backend in dom0 no longer offers.
const NO_OFFLOADS: &str = "offloads=off";
const NOT_OFFERED: [(&str, &str); 4] = [
    ("feature-gso-tcpv4", "0"),
    ("feature-gso-tcpv6", "0"),
    ("feature-ipv6-csum-offload", "0"),
    ("feature-no-csum-offload", "1"),
];
const AT_WORK: &str = "at work";

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut run = Run::new(&options.common)?;
    let wants = |group| options.only.contains(&group);
    if wants(Group::Jobs) {
        run.jobs(&JOBS, Offloads::On)?;
    }
    if wants(Group::Plain) {
        run.jobs(&PLAIN_JOBS, Offloads::Off)?;
    }
    if wants(Group::Recovery) {
        run.recovery()?;
    }
    run.load.finish("Instructions for a packet or 1000 bytes, Linux = 100 %")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offloads {
    On,
    Off,
}

pub(super) struct Run<'a> {
    pub(super) load: Load<'a>,
}

impl<'a> Run<'a> {
    pub(super) fn new(common: &'a Common) -> Result<Self> {
        let wish = Wish { image: "net-bench", work: "serve", result: "net ", ..Wish::default() };
        let load = Load::new(&Lab::open()?, common, &wish, "a packet, or for 1000 bytes of a stream")?;
        Ok(Self { load })
    }

    /// What some jobs take, as often as asked.
    pub(super) fn jobs(&mut self, jobs: &[Job], offloads: Offloads) -> Result<()> {
        let jobs = self.load.chosen(jobs);
        if jobs.is_empty() {
            return Ok(());
        }
        for guest in self.load.guests() {
            let step = self.load.ui.step(&format!("offloads {offloads:?}, {guest:?}"));
            step.busy(AT_WORK);
            let (domu, _) = self.start(guest, offloads, "")?;
            self.load.measure(guest, &jobs, "")?;
            self.load.shop.dom0.destroy(&domu.name)?;
            step.done("measured");
        }
        Ok(())
    }

    /// A guest with one network card and more words on its command line, that has answered and come to rest.
    pub(super) fn start(&self, guest: Guest, offloads: Offloads, more: &str) -> Result<(XlDomU, Vif)> {
        let mut words = format!("{} {} {more}", address(NUMBER), self.load.common.args);
        if offloads == Offloads::Off {
            words = format!("{words} {NO_OFFLOADS}");
        }
        let shop = &self.load.shop;
        let domu = XlDomU {
            vifs: vec![VifWish::new(NUMBER).spec()],
            paused: true,
            ..shop.server(guest, words.trim())
        };
        let domain = shop.dom0.create_after(&domu, &mark(1))?;
        let vif = Vif { domain, device: 0 };
        let mut script = String::new();
        if offloads == Offloads::Off {
            for (node, value) in NOT_OFFERED {
                script += &format!("xenstore-write {}/{node} {value}\n", vif.backend());
            }
            script += &format!("{PEER} offloads {} off\n", vif.interface());
        }
        shop.dom0.sh(&format!("{script}xl unpause {domain}"))?;
        self.load.await_answer()?;
        shop.dom0.sh("sleep 3")?;
        Ok((domu, vif))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_named_after_what_they_do() {
        for Job { name, words, per, .. } in JOBS.into_iter().chain(PLAIN_JOBS) {
            let kind = words.split(',').next().unwrap_or_default();
            let (what, way) = kind.split_once('-').unwrap_or((kind, ""));
            assert!(name.to_lowercase().starts_with(what), "{name}");
            assert!(way.is_empty() || way == "echo" || name.contains(&format!(" {way},")), "{name}");
            assert_eq!(per == Per::KB, name.contains("1000 bytes"), "{name}");
        }
    }
}
