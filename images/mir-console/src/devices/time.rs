//! `time`: what time it is, who says so, and servers that know better.

use super::{Devices, Out, Trouble};
use crate::table::Table;
use alloc::format;
use alloc::vec::Vec;
use core::fmt;
use fata_netstack::IpEndpoint;
use fata_time::{Told, Utc, packet, sntp};
use xen_hyp::Platform;

impl<P: Platform> Devices<P> {
    /// What time it is; with names or addresses of servers, once they were asked.
    pub(super) async fn time(&self, argument: &str, out: &Out) -> Result<(), Trouble> {
        let mut step = None;
        if !argument.is_empty() {
            let net = self.first_net(out).await?;
            self.net_up(&net, out).await;
            let mut servers = Vec::new();
            for name in argument.split_ascii_whitespace() {
                servers.push(IpEndpoint::new(self.address(&net, name).await?, packet::PORT));
            }
            let random = self.seeded(out).await;
            let outcome = sntp::set(&net.stack, &random, &servers, &self.clock).await;
            step = outcome.map_err(|error| Trouble::Words(format!("{error}")))?.1;
        }
        out.say(&|w| {
            let t = &mut Table::new(w, out.ink);
            match self.clock.now() {
                Ok(now) => t.row("time of day", format_args!("{} UTC", Utc { seconds: now.as_secs() }))?,
                Err(unknown) => t.row("time of day", format_args!("unknown: {unknown}"))?,
            }
            match self.clock.told() {
                Some(Told::Xen) => t.row("told by", format_args!("Xen"))?,
                Some(Told::Server { error }) => {
                    let us = error.as_micros();
                    t.row(
                        "told by",
                        format_args!("a server, {}.{:03} ms or less off", us / 1000, us % 1000),
                    )?;
                }
                None => {}
            }
            if let Some(step) = step {
                t.row("set by", format_args!("{}", Step(step)))?;
            }
            Ok(())
        });
        Ok(())
    }
}

/// A number of nanoseconds as seconds, forward or back.
struct Step(i64);

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, ns) = (if self.0 < 0 { '-' } else { '+' }, self.0.unsigned_abs());
        write!(f, "{sign}{}.{:06} s", ns / 1_000_000_000, ns / 1000 % 1_000_000)
    }
}
