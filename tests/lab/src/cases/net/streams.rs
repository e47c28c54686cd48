//! Streams there and back, byte for byte, whatever the backend can do.

use anyhow::{Result, ensure};

use super::super::Case;
use super::{NET_BENCH, case};
use crate::guest::Guest;
use crate::net::Vif;
use crate::network::{Network, SUBJECT};

/// Enough for windows to open and sequence numbers to move.
const BYTES: u64 = 4 << 20;
/// What the backend offers, as Xenstore has it.
const OFFERS: [(&str, &[(&str, &str)]); 4] = [
    ("all", &[]),
    ("no segmentation", &[("feature-gso-tcpv4", "0"), ("feature-gso-tcpv6", "0")]),
    (
        "no sums",
        &[
            ("feature-gso-tcpv4", "0"),
            ("feature-gso-tcpv6", "0"),
            ("feature-ipv6-csum-offload", "0"),
            ("feature-no-csum-offload", "1"),
        ],
    ),
    ("one page", &[("feature-sg", "0"), ("feature-gso-tcpv4", "0"), ("feature-gso-tcpv6", "0")]),
];

pub(super) fn add(cases: &mut Vec<Case>) {
    cases.push(case(NET_BENCH, "net-streams", 240, streams));
    cases.push(case(NET_BENCH, "net-streams-mtu", 120, other_frames));
    cases.push(case(NET_BENCH, "net-queues", 120, queues));
}

/// Catches: bytes that are lost, doubled or exchanged, and sums that are wrong or missing, with each set of offloads on
/// either side.
fn streams(network: &Network<'_>) -> Result<()> {
    for (name, offer) in OFFERS {
        let context = |error: anyhow::Error| error.context(format!("with {name}"));
        start(network, offer).and_then(|guest| both(network, &guest)).map_err(context)?;
    }
    Ok(())
}

/// The guest, told that its backend can do this.
fn start(network: &Network<'_>, offer: &[(&str, &str)]) -> Result<Guest> {
    let mut domu = network.subject("");
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

/// A stream with what dom0 leaves to the device, and one with what it does itself.
fn both(network: &Network<'_>, guest: &Guest) -> Result<()> {
    let target = format!("10.0.0.{SUBJECT}");
    for on in [true, false] {
        network.offloads(Vif::new(guest), on)?;
        network.verify(&target, BYTES)?;
        // One way alone, with as much under way as there is room for.
        for job in ["tcp-in,65536,64", "tcp-out,65536,64"] {
            ensure!(network.load(&target, job)? == 4 << 20, "{job}");
        }
    }
    network.remove("subject", guest)
}

/// Catches: segments that are longer than a frame may be.
fn other_frames(network: &Network<'_>) -> Result<()> {
    for mtu in [1280, 9000] {
        network.set_mtu(mtu)?;
        let guest = start(network, &[])?;
        network.verify(&format!("10.0.0.{SUBJECT}"), BYTES)?;
        network.remove("subject", &guest)?;
    }
    Ok(())
}

/// Catches: packets that are lost between queues, or sent to one that the backend does not have.
fn queues(network: &Network<'_>) -> Result<()> {
    const MAX: &str = "/sys/module/xen_netback/parameters/max_queues";
    for queues in [2, 4] {
        network.dom0.sh(&format!("echo {queues} >{MAX}"))?;
        let guest = start(network, &[])?;
        let offered =
            network.dom0.store_read(&format!("{}/multi-queue-max-queues", Vif::new(&guest).backend()))?;
        ensure!(offered == Some(queues.to_string()), "the backend offers {offered:?} queues");
        network.verify(&format!("10.0.0.{SUBJECT}"), BYTES)?;
        network.ping(&format!("10.0.0.{SUBJECT}"), 1000, 10)?;
        network.remove("subject", &guest)?;
    }
    Ok(())
}
