//! `host`: what names have.

use super::super::{Devices, Out, Trouble};
use alloc::format;
use core::fmt;
use core::slice;
use fata_netstack::IpAddress;
use fata_resolve::{Answer, Error, Kind, Source};
use xen_hyp::Platform;

impl<P: Platform> Devices<P> {
    /// Shows what a name has: addresses, or something else.
    pub(in super::super) async fn host(&self, argument: &str, out: &Out) -> Result<(), Trouble> {
        let mut words = argument.split_ascii_whitespace();
        let name = words.next().ok_or(Trouble::Usage)?;
        let kind = words.next().map(|kind| Kind::parse(kind).ok_or(Trouble::Usage)).transpose()?;
        if words.next().is_some() {
            return Err(Trouble::Usage);
        }
        let net = self.first_net(out).await?;
        self.net_up(&net, out).await;
        let (mut any, mut why) = (false, Error::NoData);
        for kind in kind.as_ref().map_or(&[Kind::AAAA, Kind::A][..], slice::from_ref) {
            match net.resolver.lookup(name, *kind).await {
                Ok(answer) => {
                    any = true;
                    out.say(&|w| table(w, &answer));
                    out.room().await;
                }
                Err(error) => why = if why == Error::NoData { error } else { why },
            }
        }
        if any { Ok(()) } else { Err(Trouble::Words(format!("{name}: {why}"))) }
    }

    /// The address of a host to ping.
    pub(in crate::devices) async fn address(
        &self,
        net: &super::Net<P>,
        host: &str,
    ) -> Result<IpAddress, Trouble> {
        let all = net.resolver.addresses(host).await;
        let all = all.map_err(|error| Trouble::Words(format!("{host}: {error}")))?;
        // The best one, and there is one.
        all.first().copied().ok_or(Trouble::Usage)
    }
}

/// Who says so, and a line for each record.
fn table(out: &mut dyn fmt::Write, answer: &Answer) -> fmt::Result {
    match answer.source {
        Source::Own => writeln!(out, "known without asking")?,
        Source::Server(server) => writeln!(out, "by {server}")?,
        Source::Memory(server) => writeln!(out, "by {server}, remembered")?,
    }
    for record in answer.records() {
        writeln!(out, "{:>8} {:6} {}", answer.ttl_s(record), record.kind, record.data)?;
    }
    Ok(())
}
