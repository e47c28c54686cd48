//! The image `echo`: many connections at a time, and one after the other.

use anyhow::{Result, ensure};

use super::super::Case;
use super::case;
use crate::guest::Guest;
use crate::network::{Network, SUBJECT};

const ECHO: &str = "echo";
/// Connections at a time, and how many are turned away meanwhile.
const HELD: u32 = 1000;
const TURNED_AWAY: u32 = 300;
/// Connections one after the other, in each of two runs.
const REQUESTS: u32 = 500;

pub(super) fn add(cases: &mut Vec<Case>) {
    cases.push(case(ECHO, "net-echo-many", 240, many));
    cases.push(case(ECHO, "net-echo-requests", 240, requests));
}

/// A guest with room for [`HELD`] connections.
fn start(network: &Network<'_>) -> Result<Guest> {
    let mut domu = network.subject(&format!("most={HELD} buffer=4096"));
    domu.memory_mib = 48;
    let guest = network.dom0.create(&domu)?;
    network.await_answer(SUBJECT)?;
    Ok(guest)
}

/// Catches: connections that are lost or mixed up when there are many, and those that are too many but served, or left
/// hanging.
fn many(network: &Network<'_>) -> Result<()> {
    let guest = start(network)?;
    let said = network.peer_with_files(&format!("hold 10.0.0.{SUBJECT} {HELD},{TURNED_AWAY}"), HELD + 100)?;
    let expected = format!("held {HELD}, {TURNED_AWAY} of {TURNED_AWAY} were refused");
    ensure!(said.contains(&expected), "{said}");
    ensure!(network.number(&guest, "refused")? == u64::from(TURNED_AWAY), "others were refused");
    network.remove("subject", &guest)
}

/// Catches: memory that connections leave behind.
fn requests(network: &Network<'_>) -> Result<()> {
    let guest = start(network)?;
    let mut heap = Vec::new();
    for _ in 0..2 {
        network.peer_with_files(&format!("request 10.0.0.{SUBJECT} {REQUESTS}"), 100)?;
        heap.push(network.number(&guest, "bytes of heap")?);
    }
    ensure!(network.number(&guest, "served")? == u64::from(2 * REQUESTS), "others were served");
    ensure!(heap[1] <= heap[0] + 4096, "the heap grows: {heap:?}");
    network.remove("subject", &guest)
}
