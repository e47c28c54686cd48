//! Guests boot and ask dom0 for echoes at once, while dom0 asks them; nothing may get lost.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};

use super::{Figures, Meter};
use crate::net::{Vif, VifWish};
use crate::network::{Network, SUBJECT};
use crate::pcap::{Frame, Kind};

const GUEST: &str = "subject";
/// How much of its life is looked at, from its first frame on.
const LOOK_NS: u64 = 2_000_000_000;
/// What is asked so late may be answered after nobody looks any more.
const LAST_NS: u64 = 200_000_000;

/// What went by in a guest's first seconds.
#[derive(Debug, Default, PartialEq, Eq)]
struct First {
    /// Echoes that it asked for.
    asked: u64,
    /// Those it did not get.
    lost: u64,
    /// Echoes that dom0 asked it for, after its first frame.
    asked_of_it: u64,
    /// Those it did not give.
    lost_of_it: u64,
    /// How often it asked for dom0's hardware address.
    arp: u64,
    /// How often it asked whether somebody has its own address.
    probes: u64,
    /// How often it told its own.
    told: u64,
}

pub(crate) fn run(network: &Network<'_>, meter: &Meter<'_>) -> Result<Figures> {
    let (mut boots, mut sum) = (0, First::default());
    while meter.again(boots) {
        let first = boot(network).with_context(|| format!("boot {}", boots + 1))?;
        boots += 1;
        ensure!(first.asked > 0 && first.asked_of_it > 0, "boot {boots} shows too little: {first:?}");
        ensure!(
            first.told == 1 && first.arp <= 3 && (1..=3).contains(&first.probes),
            "boot {boots}: {first:?}"
        );
        sum.asked += first.asked;
        sum.asked_of_it += first.asked_of_it;
        sum.lost += first.lost;
        sum.lost_of_it += first.lost_of_it;
    }
    ensure!(sum.lost == 0 && sum.lost_of_it == 0, "packets were lost in {boots} boots: {sum:?}");
    Ok(vec![
        ("boots", boots),
        ("echoes to it", sum.asked),
        ("echoes from it", sum.asked_of_it),
        ("lost", sum.lost + sum.lost_of_it),
        ("seconds", meter.seconds()),
    ])
}

fn boot(network: &Network<'_>) -> Result<First> {
    let dom0 = network.dom0;
    let mut domu = network.subject("ping=10.0.0.1");
    domu.paused = true;
    let guest = dom0.create(&domu)?;
    let capture = network.capture(Vif::new(&guest))?;
    // dom0 asks before it can know of the guest.
    dom0.sh(&format!(
        "ip neigh flush dev xenbr0; (timeout 20 /tmp/fata-peer await 10.0.0.{SUBJECT} 20000; \
         /tmp/fata-peer load 10.0.0.{SUBJECT} ping,56,100) >/dev/null 2>&1 &\n\
         xl unpause {GUEST}"
    ))?;
    network.await_answer(SUBJECT)?;
    dom0.sh(&format!("usleep {}", (LOOK_NS + LAST_NS) / 1000))?;
    let first = look(&capture.finish()?)?;
    network.remove(GUEST, &guest)?;
    Ok(first)
}

fn look(frames: &[Frame]) -> Result<First> {
    let mac = VifWish::new(SUBJECT).mac();
    let start_ns = frames.iter().find(|frame| is_from(frame, &mac)).context("it sent nothing")?.ns;
    let frames: Vec<_> = frames.iter().filter(|frame| frame.ns >= start_ns).collect();
    let answered = frames.iter().filter_map(|frame| match frame.kind() {
        Kind::EchoReply { from, to, id, number } => Some((to, from, id, number)),
        _ => None,
    });
    let answered = answered.collect::<BTreeSet<_>>();
    let mut first = First::default();
    for frame in frames.iter().filter(|frame| frame.ns < start_ns + LOOK_NS) {
        match frame.kind() {
            Kind::EchoRequest { from, to, id, number } => {
                let lost = u64::from(!answered.contains(&(from, to, id, number)));
                if is_from(frame, &mac) {
                    (first.asked, first.lost) = (first.asked + 1, first.lost + lost);
                } else {
                    (first.asked_of_it, first.lost_of_it) = (first.asked_of_it + 1, first.lost_of_it + lost);
                }
            }
            Kind::ArpRequest { from, .. } if is_from(frame, &mac) && from.is_unspecified() => {
                first.probes += 1
            }
            Kind::ArpRequest { from, of } if is_from(frame, &mac) => match from == of {
                true => first.told += 1,
                false => first.arp += 1,
            },
            _ => {}
        }
    }
    Ok(first)
}

fn is_from(frame: &Frame, mac: &str) -> bool {
    let text = frame.source().map(|bytes| bytes.map(|byte| format!("{byte:02x}")).join(":"));
    text.as_deref() == Some(mac)
}
