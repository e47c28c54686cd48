//! Requests of the image `website`, on connections that stay until the client ends them: it must be as it was before.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use super::echo_requests::at_rest;
use super::{Figures, Meter};
use crate::lab::Lab;
use crate::network::{Network, SUBJECT};
use crate::progress::Progress;
use crate::site::SiteWish;
use crate::web::Pages;

const GUEST: &str = "subject";
/// What is asked at a time, on sixteen connections. The client ends them, since of those that the server ends something is
/// remembered until there are others.
const LOT: u64 = 20_000;

/// An image with the pages that are asked for.
pub(crate) fn image(lab: &Lab, ui: &Progress) -> Result<PathBuf> {
    let folder = lab.dir().join("sites/requests");
    let pages = folder.join("pages");
    std::fs::create_dir_all(&pages)?;
    Pages::new().write(&pages)?;
    let wish =
        SiteWish { out: folder.join("made"), changed: Some(0), ..SiteWish::new(lab, "requests", &pages)? };
    Ok(lab.site(&wish, ui)?.image)
}

pub(crate) fn run(network: &Network<'_>, meter: &Meter<'_>) -> Result<Figures> {
    let mut domu = network.subject("log=off");
    domu.memory_mib = 16;
    let guest = network.dom0.create(&domu)?;
    network.await_answer(SUBJECT)?;
    let idle = network.number(&guest, "sockets")?;
    let ask = || network.load(&format!("10.0.0.{SUBJECT}"), &format!("http,16,{LOT}"));
    // Tables grow once.
    ask()?;
    let before = at_rest(network, &guest, idle)?;
    let mut requests = 0;
    while meter.again(requests) {
        ask()?;
        requests += LOT;
    }
    let after = at_rest(network, &guest, idle)?;
    let served = network.number(&guest, "requests")?;
    ensure!(served >= requests + LOT, "{served} were answered of {requests} and the first");
    ensure!(network.number(&guest, "failed")? == 0, "some failed");
    ensure!(after <= before, "the heap had {before} bytes before {requests} requests, and has {after} now");
    network.remove(GUEST, &guest)?;
    network.nothing_left()?;
    let figures = [("requests", requests), ("heap before", before), ("heap after", after)];
    Ok(figures.into_iter().chain([("seconds", meter.seconds())]).collect())
}
