//! Pings of all sizes, with dom0 and Linux as neighbours.

use anyhow::{Result, ensure};

use super::super::Case;
use super::{PING, case};
use crate::net::{Vif, VifWish};
use crate::network::{NEIGHBOUR, Network, SUBJECT};
use crate::pcap::{Frame, Kind};

/// Around what fits into a frame of each MTU, and into pages; the greatest is cut into 51 frames of 1280 bytes.
const SIZES: [usize; 12] = [1, 64, 1252, 1253, 1472, 1473, 4068, 4097, 8972, 8973, 32_768, 65_000];

pub(super) fn add(cases: &mut Vec<Case>) {
    for mtu in [1280, 1500, 9000] {
        cases.push(case(PING, &format!("net-ping-{mtu}"), 120, move |network| sizes(network, mtu)));
    }
    cases.push(case(PING, "net-dhcp", 60, dhcp));
}

/// Catches: packets that are cut up or put together wrongly, with or without scatter-gather and large frames.
fn sizes(network: &Network<'_>, mtu: u32) -> Result<()> {
    network.set_mtu(mtu)?;
    network.neighbour(&format!("mtu={mtu}"))?;
    let pings = format!("ping=10.0.0.{NEIGHBOUR}");
    let guest = network.dom0.create(&network.subject(&pings))?;
    network.await_answer(SUBJECT)?;
    for size in SIZES {
        network.ping(&format!("10.0.0.{SUBJECT}"), size, 3)?;
    }
    // What it asks of its neighbour is answered, too.
    let capture = network.capture(Vif::new(&guest))?;
    network.dom0.sh("sleep 3")?;
    let frames: Vec<_> = capture.finish()?.iter().map(Frame::kind).collect();
    let (asked, answered) = echoes(&frames);
    // One may be under way at either end.
    ensure!(asked >= 2 && asked.abs_diff(answered) <= 1, "of {asked} pings, {answered} were answered");
    network.remove("subject", &guest)?;
    network.remove_neighbour()
}

/// How many echoes the guest under test asked its neighbour for, and how many it got.
fn echoes(frames: &[Kind]) -> (usize, usize) {
    let count = |wanted: fn(&Kind) -> bool| frames.iter().filter(|kind| wanted(kind)).count();
    let asked = count(|kind| {
        matches!(kind, Kind::EchoRequest { from, to, .. }
            if from.octets()[3] == SUBJECT && to.octets()[3] == NEIGHBOUR)
    });
    let answered = count(|kind| {
        matches!(kind, Kind::EchoReply { from, to, .. }
            if from.octets()[3] == NEIGHBOUR && to.octets()[3] == SUBJECT)
    });
    (asked, answered)
}

/// Catches: a guest that does not ask for an address, or does not use the one it is given.
fn dhcp(network: &Network<'_>) -> Result<()> {
    let guest = network.dom0.create(&network.domu("subject", "ip=dhcp"))?;
    // The server keeps this one for this card (tests/lab/dom0/udhcpd.conf).
    network.await_answer(100 + SUBJECT)?;
    network.ping(&format!("10.0.0.{}", 100 + SUBJECT), 1000, 3)?;
    ensure!(VifWish::new(SUBJECT).mac().ends_with(":02"));
    network.remove("subject", &guest)
}
