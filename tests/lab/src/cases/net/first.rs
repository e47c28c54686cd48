//! What becomes of the first packets of a guest's life.

use anyhow::Result;

use super::super::Case;
use super::{PING, case};
use crate::network::Network;
use crate::soak::{Meter, net_boots};

pub(super) fn add(cases: &mut Vec<Case>) {
    cases.push(case(PING, "net-first", 120, first));
}

/// Catches: packets that are sent before anybody can take them, or thrown away because a neighbour's hardware address is
/// not known yet.
fn first(network: &Network<'_>) -> Result<()> {
    net_boots::run(network, &Meter::of(4)).map(drop)
}
