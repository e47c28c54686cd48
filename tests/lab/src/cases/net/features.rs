//! What a frontend and netback can agree on: each looked for in Xenstore, and in what the guest has counted.

use anyhow::{Context as _, Result, ensure};

use super::super::Case;
use super::{NET_BENCH, case, start};
use crate::net::Vif;
use crate::network::{Network, SUBJECT, Totals};

const PARAMETERS: &str = "/sys/module/xen_netback/parameters";
const BYTES: u64 = 1 << 20;
/// Around what fits into a frame, and what takes 47 of them.
const SIZES: [usize; 4] = [1, 1452, 1453, 65_000];

/// What the guest is told, and what the backend offers.
type Offer = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const OFFERS_V6: [Offer; 4] = [
    ("all", "", &[]),
    ("no segmentation", "", &[("feature-gso-tcpv6", "0")]),
    ("no sums", "", &[("feature-gso-tcpv6", "0"), ("feature-ipv6-csum-offload", "0")]),
    ("none of ours", "csum=0", &[]),
];

pub(super) fn add(cases: &mut Vec<Case>) {
    cases.push(case(NET_BENCH, "net-v6", 120, v6));
    cases.push(case(NET_BENCH, "net-split", 120, split));
    cases.push(case(NET_BENCH, "net-queues", 120, queues));
    cases.push(case(NET_BENCH, "net-groups", 120, groups));
}

/// Catches: what is right for IPv4 only, with each set of offloads on either side.
fn v6(network: &Network<'_>) -> Result<()> {
    let target = format!("fd00::{SUBJECT}");
    for (name, words, offer) in OFFERS_V6 {
        let guest = start(network, &format!("ip6={target}/64 {words}"), offer)?;
        let vif = Vif::new(&guest);
        let ours = words.is_empty();
        if ours {
            let nodes = [("feature-gso-tcpv6", "1"), ("feature-ipv6-csum-offload", "1")];
            says(network, &vif.frontend(), &nodes)?;
            if offer.is_empty() {
                says(network, &vif.backend(), &nodes)?;
                SIZES.into_iter().try_for_each(|size| network.ping(&target, size, 3))?;
            }
        } else {
            says(network, &vif.frontend(), &[("feature-no-csum-offload", "1")])?;
            let tree = network.dom0.store_tree(&vif.frontend())?;
            let any = tree.keys().find(|node| node.contains("feature-gso") || node.contains("feature-ipv6"));
            ensure!(any.is_none(), "{any:?} although nothing of it was asked for");
        }
        for on in [true, false] {
            network.offloads(vif, on)?;
            let before = network.totals(&guest)?;
            network.verify(&target, BYTES)?;
            let after = network.totals(&guest)?;
            let more = |name: &str| after[name] - before[name];
            let what = |is| format!("with {name}, dom0's own {on}: {is}, but {before:?}, {after:?}");
            ensure!((more("rx_large") > 0) == (on && ours), "{}", what("large ones come if dom0 makes them"));
            ensure!((more("rx_blank") > 0) == (on && ours), "{}", what("and without sums"));
            ensure!((more("tx_large") > 0) == (name == "all"), "{}", what("they go if netback cuts"));
            ensure!((more("tx_blank") > 0) == (ours && name != "no sums"), "{}", what("and its sums"));
            well(&after)?;
        }
        network.remove("subject", &guest)?;
    }
    Ok(())
}

/// Catches: events that go to the wrong one of two channels, or to two where there is one.
fn split(network: &Network<'_>) -> Result<()> {
    for offered in ["1", "0"] {
        // Xenstore has it as a number, Linux as Y or N.
        network.dom0.sh(&format!("echo {offered} >{PARAMETERS}/separate_tx_rx_irq"))?;
        let guest = start(network, "split=1", &[])?;
        let vif = Vif::new(&guest);
        says(network, &vif.backend(), &[("feature-split-event-channels", offered)])?;
        let node = |name: &str| network.dom0.store_read(&format!("{}/{name}", vif.frontend()));
        let [one, tx, rx] = [node("event-channel")?, node("event-channel-tx")?, node("event-channel-rx")?];
        network.verify(&format!("10.0.0.{SUBJECT}"), BYTES)?;
        let queue = format!("{}-q0", vif.interface());
        if offered == "1" {
            ensure!(one.is_none() && tx.is_some() && rx.is_some() && tx != rx, "{one:?} {tx:?} {rx:?}");
            for name in [format!("{queue}-tx"), format!("{queue}-rx")] {
                ensure!(interrupts(network, &name)? > 0, "no event for {name}");
            }
        } else {
            ensure!(one.is_some() && tx.is_none() && rx.is_none(), "{one:?} {tx:?} {rx:?}");
            ensure!(interrupts(network, &queue)? > 0, "no event for {queue}");
        }
        well(&network.totals(&guest)?)?;
        network.remove("subject", &guest)?;
    }
    Ok(())
}

/// Catches: packets that are lost between queues, or sent to one that the backend does not have.
fn queues(network: &Network<'_>) -> Result<()> {
    // Connections enough for each queue to get some.
    let jobs = ["tcp-in,1000,20;tcp-out,1000,20"; 8].join(";");
    for (queues, more) in [(2, ""), (4, "split=1")] {
        network.dom0.sh(&format!("echo {queues} >{PARAMETERS}/max_queues"))?;
        let guest = start(network, &format!("queues={queues} {more}"), &[])?;
        let vif = Vif::new(&guest);
        says(network, &vif.backend(), &[("multi-queue-max-queues", &queues.to_string())])?;
        says(network, &vif.frontend(), &[("multi-queue-num-queues", &queues.to_string())])?;
        let tree = network.dom0.store_tree(&vif.frontend())?;
        for queue in 0..queues {
            let node = format!("{}/queue-{queue}/tx-ring-ref", vif.frontend());
            ensure!(tree.contains_key(&node), "{node} is missing in {tree:?}");
        }
        let target = format!("10.0.0.{SUBJECT}");
        network.verify(&target, BYTES)?;
        network.ping(&target, 1000, 10)?;
        network.load(&target, &jobs)?;
        let totals = network.totals(&guest)?;
        for name in ["rx_queues", "tx_queues"] {
            let used = totals[name];
            ensure!(used.count_ones() > 1 && used < 1 << queues, "of {queues} queues, {name} {used:#b}");
        }
        well(&totals)?;
        network.remove("subject", &guest)?;
    }
    Ok(())
}

/// Catches: a guest that has frames to groups kept from it, and misses those in which neighbours ask for it.
fn groups(network: &Network<'_>) -> Result<()> {
    let target = format!("fd00::{SUBJECT}");
    let guest = start(network, &format!("ip6={target}/64 mcast=1"), &[])?;
    let vif = Vif::new(&guest);
    let nodes = [("feature-multicast-control", "1"), ("feature-dynamic-multicast-control", "1")];
    says(network, &vif.backend(), &nodes)?;
    says(network, &vif.frontend(), &[("request-multicast-control", "1")])?;
    // A Linux guest asks for the one by a group. It goes on asking for another, by a group that nobody has joined.
    network.neighbour(&format!("await={target} seek=fd00::99"))?;
    let told = network.totals(&guest)?;
    ensure!(told["tx_told"] >= 3, "of groups it told only {} times", told["tx_told"]);
    let dropped = || network.dom0.vif_statistic(vif, "tx_dropped");
    network.until("what nobody joined is dropped", &|dropped| dropped >= 2, &dropped)?;
    // netback looks at this at any time.
    network.dom0.store_write(&format!("{}/request-multicast-control", vif.frontend()), "0")?;
    let came = || -> Result<u64> { Ok(network.totals(&guest)?["rx_frames"]) };
    let before = came()?;
    network.until("without a filter it comes", &|came| came > before + 1, &came)?;
    well(&network.totals(&guest)?)?;
    network.remove("subject", &guest)?;
    network.remove_neighbour()
}

/// Fails unless these nodes below `path` have these values.
fn says(network: &Network<'_>, path: &str, nodes: &[(&str, &str)]) -> Result<()> {
    for (name, value) in nodes {
        let found = network.dom0.store_read(&format!("{path}/{name}"))?;
        ensure!(found.as_deref() == Some(value), "{path}/{name} is {found:?}, not {value}");
    }
    Ok(())
}

/// Fails if a frame was dropped for what was wrong with it.
pub(super) fn well(totals: &Totals) -> Result<()> {
    let drops =
        ["rx_failed", "rx_too_long", "rx_too_short", "rx_unknown", "rx_bad_sum", "tx_failed", "tx_unfit"];
    for name in drops {
        ensure!(totals[name] == 0, "{name} in {totals:?}");
    }
    Ok(())
}

/// How many of this name dom0 has had.
fn interrupts(network: &Network<'_>, name: &str) -> Result<u64> {
    let text = network.dom0.sh(&format!("awk '$NF == \"{name}\" {{ print $2 }}' /proc/interrupts"))?;
    text.trim().parse().with_context(|| format!("{name} is no interrupt of dom0's: {text:?}"))
}
