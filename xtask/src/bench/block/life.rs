//! A disk's coming, and its coming back.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fata_lab::{Span, Worker};

use super::super::work::{FIRST_MARK, Guest, IN_ALL, OWN, WITH_XEN, mark};
use super::Run;

const CREATED: &str = "xl create to the disk's first use";
const RECOVERED: &str = "backend bound to the next request's end";
/// Dom0 with Xen's work for it.
const DOM0: &str = "dom0's";
/// Microseconds for which the backend is away.
const AWAY_US: u32 = 100_000;
/// Set right before it comes back.
const BACK_MARK: u32 = 2;
/// Reads 4 KiB once, so that there is something to do.
const ONE_READ: &str = "read,seq,4096,4096,1";
const TIMEOUT: Duration = Duration::from_secs(60);
/// Of the guest's own time: enough for any driver to try again.
const PATIENCE: Duration = Duration::from_secs(30);

impl Run<'_> {
    /// From before `xl create` until the guest has the disk.
    pub(super) fn create(&mut self) -> Result<()> {
        for guest in self.guests() {
            let step = self.ui.step(&format!("xl create of {guest:?}"));
            for n in 1..=self.options.repeat {
                step.busy(&format!("{n} of {}", self.options.repeat));
                let domu = self.with_disk(self.shop.domain(guest, ONE_READ, &self.options.args));
                let done = self.shop.run(&domu, |_| Ok(()))?;
                let there = match guest {
                    Guest::Fata => done.lines("blk connected").first().map(|line| format!("line {line}")),
                    Guest::Linux => Some(format!("mark {}", Worker::DISK_MARK)),
                };
                let span = there.and_then(|there| done.counts.span_from_mark(1, &there));
                let span = span.context("the guest had its disk, but that was not counted")?;
                self.add_span(guest, CREATED, &span);
                self.shop.dom0.destroy(&domu.name)?;
            }
            step.done("measured");
        }
        Ok(())
    }

    /// From the backend's return until the guest's next request, which has waited for it, is done.
    pub(super) fn recovery(&mut self) -> Result<()> {
        for guest in self.guests() {
            let step = self.ui.step(&format!("recovery of {guest:?}"));
            for n in 1..=self.options.repeat {
                step.busy(&format!("{n} of {}", self.options.repeat));
                match self.recover(guest)? {
                    Some(span) => self.add_span(guest, RECOVERED, &span),
                    None => {
                        self.report.note(&format!("{guest:?} does not come back after its backend did"));
                        break;
                    }
                }
            }
            step.done("measured");
        }
        Ok(())
    }

    fn recover(&self, guest: Guest) -> Result<Option<Span>> {
        let args = format!("outages=1 {}", self.options.args);
        let domu = self.with_disk(self.shop.domain_for(guest, "outage", &args, ""));
        let dom0 = &self.shop.dom0;
        let domain = dom0.create_after(&domu, &mark(1))?;
        let reads = if guest == Guest::Fata { "blk connected" } else { "blk reads" };
        dom0.console_of(&domu.name, reads, TIMEOUT)?;
        let driver = "/sys/bus/xen-backend/drivers/vbd";
        dom0.sh(&format!(
            "sleep 1; echo vbd-{domain}-51712 >{driver}/unbind; usleep {AWAY_US}; {}\n\
             echo vbd-{domain}-51712 >{driver}/bind",
            mark(BACK_MARK)
        ))?;
        let came_back = dom0.console_of(&domu.name, "blk back", PATIENCE).is_ok();
        let span = if came_back {
            let done = self.shop.finish(&domu, domain)?;
            let back = match guest {
                Guest::Fata => done.lines("blk back").first().map(|line| format!("line {line}")),
                Guest::Linux => Some(format!("mark {FIRST_MARK}")),
            };
            let ns = done.number("blk back").context("an outage without a length")?;
            ensure!(ns > u64::from(AWAY_US) * 1000, "an outage of only {ns} ns");
            let span = back.and_then(|back| done.counts.span_from_mark(BACK_MARK, &back));
            Some(span.context("the disk came back, but that was not counted")?)
        } else {
            None
        };
        dom0.destroy(&domu.name)?;
        Ok(span)
    }

    fn add_span(&mut self, guest: Guest, name: &str, span: &Span) {
        for (unit, sample) in
            [(OWN, span.own), (WITH_XEN, span.total()), (DOM0, span.others), (IN_ALL, span.all)]
        {
            self.report.add(guest, name, unit, None, sample);
        }
    }
}
