//! A network backend's driver is taken away and given back while a stream goes through it.

use anyhow::{Context as _, Result};

use super::{Figures, Meter};
use crate::mutate::Random;
use crate::net::Vif;
use crate::network::{Network, SUBJECT};
use crate::store::state;

const GUEST: &str = "subject";
/// Packets of the guest's, in the middle of which its backend goes.
const PACKETS: usize = 400;

pub(crate) fn run(network: &Network<'_>, meter: &Meter<'_>, seed: u64) -> Result<Figures> {
    let dom0 = network.dom0;
    let mut random = Random::new(seed);
    let guest = dom0.create(&network.subject(""))?;
    let vif = Vif::new(&guest);
    network.await_answer(SUBJECT)?;
    let target = format!("10.0.0.{SUBJECT}");
    let stream = network.stream(&target)?;
    let mut cycles = 0;
    while meter.again(cycles) {
        dom0.wait_for_packets(vif, random.below(PACKETS) as u64, network.left())?;
        dom0.unbind_vif(vif)?;
        dom0.bind_vif(vif)?;
        cycles += 1;
        // The next one may come at once: the guest has not seen anything yet, or is halfway.
        if random.below(4) > 0 {
            let connected =
                dom0.store_wait(&format!("{}/state", vif.backend()), state::CONNECTED, network.left());
            let back = connected.and_then(|()| network.await_answer(SUBJECT));
            back.with_context(|| format!("cycle {cycles}: {}", network.state_of(vif)))?;
        }
        stream.is_under_way()?;
    }
    let bytes = stream.verified().with_context(|| network.state_of(vif))?;
    let totals = network.totals(&guest)?;
    network.remove(GUEST, &guest)?;
    network.nothing_left()?;
    Ok(vec![
        ("cycles", cycles),
        ("MiB verified", bytes >> 20),
        ("connects", totals["connects"]),
        ("of them to a backend that heard nothing", totals["given_up"]),
        ("seconds", meter.seconds()),
    ])
}
