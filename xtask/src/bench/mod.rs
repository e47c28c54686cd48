//! `xtask bench`: measures, and says how the numbers stand against their aims and against Linux.

mod base;
mod block;
mod boards;
mod boot;
mod chart;
mod dns;
mod http;
mod https;
mod load;
mod machine;
mod net;
mod profile;
mod report;
mod tcp;
mod time;
mod vchan;
mod work;

use anyhow::Result;
use clap::Subcommand;

/// Measure
#[derive(Subcommand)]
pub(crate) enum Bench {
    Block(block::Options),
    /// Measure events, beside a Linux guest with the same peer in dom0
    Events(base::Options),
    /// Measure requests to Xenstore, beside a Linux guest with the same xenstored
    Xenstore(base::Options),
    Net(net::Options),
    Tcp(tcp::Options),
    Dns(dns::Options),
    Http(http::Options),
    Https(https::Options),
    Vchan(vchan::Options),
    Boards(boards::Options),
    Boot(boot::Options),
    Profile(profile::Options),
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Block(options) => block::run(options),
        Bench::Events(options) => base::events(options),
        Bench::Xenstore(options) => base::xenstore(options),
        Bench::Net(options) => net::run(options),
        Bench::Tcp(options) => tcp::run(options),
        Bench::Dns(options) => dns::run(options),
        Bench::Http(options) => http::run(options),
        Bench::Https(options) => https::run(options),
        Bench::Vchan(options) => vchan::run(options),
        Bench::Boards(options) => boards::run(options),
        Bench::Boot(options) => boot::run(options),
        Bench::Profile(options) => profile::run(options),
    }
}
