//! Requests of the image `echo` on many connections, one lot after the other: it must be as it was before.

use anyhow::{Result, bail, ensure};

use super::{Figures, Meter};
use crate::guest::Guest;
use crate::network::{Network, SUBJECT};

const GUEST: &str = "subject";
/// What is asked at once (tests/peer/src/many.rs), on a twentieth as many connections.
const LOT: u64 = 20_000;
const EACH: u64 = 20;
/// Files that it takes.
const FILES: u32 = 200;

/// How often it is looked whether nobody is connected any more, and each second; what has ended is remembered for a minute.
const LOOKS: u32 = 180;

/// How many bytes the heap has when nobody is connected.
pub(super) fn at_rest(network: &Network<'_>, guest: &Guest, idle: u64) -> Result<u64> {
    for _ in 0..LOOKS {
        if network.number(guest, "sockets")? == idle && network.number(guest, "ended")? == 0 {
            return network.number(guest, "bytes of heap");
        }
        network.dom0.sh("sleep 1")?;
    }
    bail!("it keeps {} sockets, {} ended", network.number(guest, "sockets")?, network.number(guest, "ended")?)
}

pub(crate) fn run(network: &Network<'_>, meter: &Meter<'_>) -> Result<Figures> {
    let guest = network.dom0.create(&network.subject(""))?;
    network.await_answer(SUBJECT)?;
    let idle = network.number(&guest, "sockets")?;
    let converse = |count| network.peer_with_files(&format!("converse 10.0.0.{SUBJECT} {count}"), FILES);
    // Tables grow once.
    converse(LOT)?;
    let before = at_rest(network, &guest, idle)?;
    let mut requests = 0;
    while meter.again(requests) {
        converse(LOT)?;
        requests += LOT;
    }
    let after = at_rest(network, &guest, idle)?;
    let served = network.number(&guest, "served")?;
    ensure!(served == (requests + LOT) / EACH, "{served} connections were served for {requests} requests");
    ensure!(after == before, "the heap had {before} bytes before {requests} requests, and has {after} now");
    network.remove(GUEST, &guest)?;
    network.nothing_left()?;
    Ok(vec![
        ("requests", requests),
        ("connections", requests / EACH),
        ("heap before", before),
        ("heap after", after),
        ("seconds", meter.seconds()),
    ])
}
