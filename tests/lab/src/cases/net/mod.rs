//! Networks: images on a bridge with dom0 and with Linux, and whatever may happen to their backends.
//!
//! Each case ends with nothing left in dom0 and Xen of its guests.

mod addresses;
mod comes_and_goes;
mod dns;
mod echo;
mod features;
mod first;
mod names;
mod pings;
mod scans;
mod streams;
mod time;
mod website;

use anyhow::{Context as _, Result};

use super::{Case, Context, Spot};
use crate::guest::Guest;
use crate::net::Vif;
use crate::network::{Network, SUBJECT};
use crate::progress::Progress;

/// Answers pings, and sends some.
const PING: &str = "ping";
/// Serves the measurement protocol, which has streams.
const NET_BENCH: &str = "net-bench";

pub(super) fn add(cases: &mut Vec<Case>) {
    addresses::add(cases);
    dns::add(cases);
    pings::add(cases);
    first::add(cases);
    names::add(cases);
    streams::add(cases);
    features::add(cases);
    comes_and_goes::add(cases);
    echo::add(cases);
    website::add(cases);
    scans::add(cases);
    time::add(cases);
}

/// A case with an image on a network, which leaves nothing behind in dom0.
fn case(
    image: &'static str,
    name: &str,
    seconds: u64,
    run: impl Fn(&Network<'_>) -> Result<()> + Send + Sync + 'static,
) -> Case {
    case_with(image, name, seconds, move |_, network| run(network))
}

/// The same that needs to know of the lab.
fn case_with(
    image: &'static str,
    name: &str,
    seconds: u64,
    run: impl Fn(&Context<'_>, &Network<'_>) -> Result<()> + Send + Sync + 'static,
) -> Case {
    let run = move |ctx: &Context<'_>| {
        let dom0 = ctx.dom0(Spot::XL)?;
        let left = || ctx.left();
        let parts = ctx.lab.xen(Spot::XL.xen, &Progress::quiet())?;
        let peer = ctx.peer.context("the program for Linux was not built")?;
        let network = Network::new(&dom0, ctx.lab, &parts, ctx.built.image.clone(), peer, &left)?;
        run(ctx, &network)?;
        network.nothing_left()
    };
    Case { image, peer: true, ..Case::new(Spot::XL, name, run) }.limit(seconds)
}

/// The guest, with more words on its command line, told that its backend can do this.
fn start(network: &Network<'_>, words: &str, offer: &[(&str, &str)]) -> Result<Guest> {
    let mut domu = network.subject(words);
    domu.paused = true;
    let guest = network.dom0.create(&domu)?;
    let backend = Vif::new(&guest).backend();
    for (feature, value) in offer {
        network.dom0.store_write(&format!("{backend}/{feature}"), value)?;
    }
    network.dom0.sh(&format!("xl unpause {}", guest.domain))?;
    network.await_answer(SUBJECT)?;
    Ok(guest)
}
