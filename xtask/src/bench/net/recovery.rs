//! From a backend's return until the guest answers again.

use anyhow::{Context, Result};
use fata_lab::Counts;

use super::super::load::{PATIENCE_MS, TIMEOUT, target};
use super::super::work::{FIRST_MARK, IN_ALL, OWN, PEER, WITH_XEN, mark};
use super::{Offloads, Run};

const RECOVERED: &str = "backend bound to the next answer";
/// Dom0 with Xen's work for it.
const DOM0: &str = "dom0's";
/// Virtual time: instructions, and whatever time nobody had anything to do.
const TIME: &str = "µs";
/// Set right before it comes back.
const BACK_MARK: u32 = 2;
/// How long it is away.
const AWAY_US: u32 = 100_000;

impl Run<'_> {
    pub(super) fn recovery(&mut self) -> Result<()> {
        for guest in self.load.guests() {
            let step = self.load.ui.step(&format!("recovery of {guest:?}"));
            let (domu, vif) = self.start(guest, Offloads::On, "")?;
            for n in 1..=self.load.common.repeat {
                step.busy(&format!("{n} of {}", self.load.common.repeat));
                let dom0 = &self.load.shop.dom0;
                dom0.unbind_vif(vif)?;
                // The mark and what follows are one script, so that nothing of ours lies between.
                let script = format!(
                    "usleep {AWAY_US}; {}\n{}\n{PEER} await {} {PATIENCE_MS}",
                    mark(BACK_MARK),
                    vif.bind_script(),
                    target()
                );
                let output = dom0.run(&script, TIMEOUT)?;
                let text = output.text();
                let ns = text.trim().rsplit(' ').next().and_then(|ns| ns.parse::<u64>().ok());
                let Some(ns) = ns.filter(|_| output.code == 0) else {
                    self.load.report.note(&format!("{guest:?} does not come back after its backend did"));
                    break;
                };
                let span = Counts::of(&dom0.folder)?.span_of_marks(BACK_MARK, FIRST_MARK);
                let span = span.context("the network came back, but that was not counted")?;
                for (unit, sample) in [
                    (OWN, span.own),
                    (WITH_XEN, span.total()),
                    (DOM0, span.others),
                    (IN_ALL, span.all),
                    (TIME, ns / 1000),
                ] {
                    self.load.report.add(guest, RECOVERED, unit, None, sample);
                }
                dom0.sh("sleep 1")?;
            }
            self.load.shop.dom0.destroy(&domu.name)?;
            step.done("measured");
        }
        Ok(())
    }
}
