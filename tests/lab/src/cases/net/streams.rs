//! Streams there and back, byte for byte, whatever the backend can do.

use anyhow::{Result, ensure};

use super::super::Case;
use super::{NET_BENCH, case, features, start};
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
}

/// Catches: bytes that are lost, doubled or exchanged, and sums that are wrong or missing, with each set of offloads on
/// either side.
fn streams(network: &Network<'_>) -> Result<()> {
    for (name, offer) in OFFERS {
        let context = |error: anyhow::Error| error.context(format!("with {name}"));
        start(network, "", offer).and_then(|guest| both(network, &guest, name == "all")).map_err(context)?;
    }
    Ok(())
}

/// A stream with what dom0 leaves to the device, and one with what it does itself.
fn both(network: &Network<'_>, guest: &Guest, cuts: bool) -> Result<()> {
    let target = format!("10.0.0.{SUBJECT}");
    for on in [true, false] {
        network.offloads(Vif::new(guest), on)?;
        network.verify(&target, BYTES)?;
        // One way alone, with as much under way as there is room for.
        for job in ["tcp-in,65536,64", "tcp-out,65536,64"] {
            ensure!(network.load(&target, job)? == 4 << 20, "{job}");
        }
    }
    let totals = network.totals(guest)?;
    for (name, wanted) in [("tx_large", cuts), ("rx_large", true), ("tx_blank", true), ("rx_blank", true)] {
        ensure!((totals[name] > 0) == wanted, "{name} in {totals:?}");
    }
    features::well(&totals)?;
    network.remove("subject", guest)
}

/// Catches: segments that are longer than a frame may be.
fn other_frames(network: &Network<'_>) -> Result<()> {
    for mtu in [1280, 9000] {
        network.set_mtu(mtu)?;
        let guest = start(network, "", &[])?;
        network.verify(&format!("10.0.0.{SUBJECT}"), BYTES)?;
        network.remove("subject", &guest)?;
    }
    Ok(())
}
