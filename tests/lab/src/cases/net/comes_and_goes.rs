//! Cards that are pulled and plugged in, backends that go away, and links that are down, while there is traffic.

use anyhow::{Result, ensure};

use super::super::Case;
use super::{NET_BENCH, PING, case};
use crate::mutate::seed;
use crate::net::{Vif, VifWish};
use crate::network::{Network, SUBJECT};
use crate::soak::{Meter, net_rebind};
use crate::store::state;

const GUEST: &str = "subject";

pub(super) fn add(cases: &mut Vec<Case>) {
    cases.push(case(NET_BENCH, "net-attached", 120, attached));
    cases.push(case(NET_BENCH, "net-rebound", 180, rebound));
    cases.push(case(PING, "net-late", 120, late));
    cases.push(case(NET_BENCH, "net-link", 120, link));
    cases.push(case(NET_BENCH, "net-paused", 120, paused));
    cases.push(case(NET_BENCH, "net-ended", 120, ended));
    cases.push(case(PING, "net-two", 120, two));
}

/// Catches: a guest that is lost without a card, or goes on with what it knew of the last one.
fn attached(network: &Network<'_>) -> Result<()> {
    let dom0 = network.dom0;
    let mut domu = network.subject("");
    domu.vifs.clear();
    let guest = dom0.create(&domu)?;
    for (number, mtu) in [(SUBJECT, None), (SUBJECT + 8, Some(1300)), (SUBJECT, None)] {
        dom0.attach_vif(GUEST, &VifWish { mtu, ..VifWish::new(number) })?;
        network.await_answer(SUBJECT)?;
        network.verify(&format!("10.0.0.{SUBJECT}"), 1 << 20)?;
        let device = dom0.sh(&format!("xl network-list {GUEST} | awk 'NR > 1 {{ print $1 }}'"))?;
        dom0.detach_vif(GUEST, device.trim().parse()?)?;
    }
    network.remove(GUEST, &guest)
}

/// Catches: a link that stays dead after its backend was away, and a stream that does not survive that.
fn rebound(network: &Network<'_>) -> Result<()> {
    net_rebind::run(network, &Meter::of(5), seed()).map(drop)
}

/// Catches: a guest that gives up on a backend which is late.
fn late(network: &Network<'_>) -> Result<()> {
    let dom0 = network.dom0;
    let mut domu = network.subject("");
    domu.paused = true;
    let guest = dom0.create(&domu)?;
    let vif = Vif::new(&guest);
    dom0.unbind_vif(vif)?;
    // It runs, and looks for what is not there, for as long as any patience lasts.
    dom0.sh(&format!("xl unpause {}; sleep 30", guest.domain))?;
    ensure!(guest.ended().is_none(), "it has ended meanwhile");
    dom0.bind_vif(vif)?;
    network.await_answer(SUBJECT)?;
    network.ping(&format!("10.0.0.{SUBJECT}"), 1000, 3)?;
    network.remove(GUEST, &guest)
}

/// Catches: a stream that is lost, or a guest that sends without end, because nothing gets through for a while.
fn link(network: &Network<'_>) -> Result<()> {
    let guest = network.dom0.create(&network.subject(""))?;
    let vif = Vif::new(&guest);
    network.await_answer(SUBJECT)?;
    let stream = network.stream(&format!("10.0.0.{SUBJECT}"))?;
    for _ in 0..3 {
        moved(network, vif, 100)?;
        network.dom0.set_link(vif, false)?;
        network.dom0.sh("usleep 500000")?;
        network.dom0.set_link(vif, true)?;
    }
    moved(network, vif, 50)?;
    stream.verified()?;
    network.remove(GUEST, &guest)
}

/// Catches: packets that are missed because they came while the guest stood still.
fn paused(network: &Network<'_>) -> Result<()> {
    let guest = network.dom0.create(&network.subject(""))?;
    let vif = Vif::new(&guest);
    network.await_answer(SUBJECT)?;
    let stream = network.stream(&format!("10.0.0.{SUBJECT}"))?;
    for _ in 0..5 {
        moved(network, vif, 50)?;
        network.dom0.sh(&format!("xl pause {GUEST}; usleep 100000; xl unpause {GUEST}"))?;
    }
    // Without its backend, and with one that has started over.
    network.dom0.sh(&format!("xl pause {GUEST}"))?;
    network.dom0.unbind_vif(vif)?;
    network.dom0.sh(&format!("xl unpause {GUEST}"))?;
    network.dom0.bind_vif(vif)?;
    moved(network, vif, 50)?;
    stream.verified()?;
    network.remove(GUEST, &guest)
}

/// Catches: a domain whose end is held up by its card, in whatever state that is.
fn ended(network: &Network<'_>) -> Result<()> {
    let dom0 = network.dom0;
    for how in ["destroy", "pause", "unbind"] {
        let guest = dom0.create(&network.subject(""))?;
        let vif = Vif::new(&guest);
        network.await_answer(SUBJECT)?;
        dom0.sh(&format!(
            "(timeout 5 /tmp/fata-peer load 10.0.0.{SUBJECT} tcp-in,65536,65536) >/dev/null 2>&1 &"
        ))?;
        moved(network, vif, 50)?;
        match how {
            "pause" => dom0.sh(&format!("xl pause {GUEST}")).map(drop)?,
            "unbind" => dom0.unbind_vif(vif)?,
            _ => {}
        }
        dom0.destroy(GUEST)?;
    }
    Ok(())
}

/// Catches: a guest that takes one card for another. It is addressed on its first one, whatever becomes of the second.
fn two(network: &Network<'_>) -> Result<()> {
    let dom0 = network.dom0;
    let mut domu = network.subject("");
    domu.vifs.push(VifWish::new(SUBJECT + 8).spec());
    let guest = dom0.create(&domu)?;
    let second = Vif { device: 1, ..Vif::new(&guest) };
    network.await_answer(SUBJECT)?;
    network.ping(&format!("10.0.0.{SUBJECT}"), 1000, 3)?;
    dom0.detach_vif(GUEST, 1)?;
    ensure!(dom0.store_tree(&second.backend())?.is_empty(), "the backend's nodes stay");
    network.ping(&format!("10.0.0.{SUBJECT}"), 1000, 3)?;
    dom0.store_wait(&format!("{}/state", Vif::new(&guest).backend()), state::CONNECTED, network.left())?;
    network.remove(GUEST, &guest)
}

/// Waits until the backend has passed on so many packets of the guest's more than now.
fn moved(network: &Network<'_>, vif: Vif, packets: u64) -> Result<()> {
    network.dom0.wait_for_packets(vif, packets, network.left())
}
