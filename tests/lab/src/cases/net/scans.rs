//! nmap, the program that most look at machines with, and what it can tell of the image `echo`: where it listens and nothing
//! else.

use anyhow::{Context as _, Result, ensure};

use super::super::{Case, Context};
use super::case_with;
use crate::guest::Guest;
use crate::net::Vif;
use crate::network::{Network, SUBJECT};
use crate::pcap::{OPENED, Segment};
use crate::progress::Progress;
use crate::tools::On;

const ECHO: &str = "echo";
/// Where the guest listens.
const PORT: u16 = 7;
/// Connections that must be served after each scan.
const REQUESTS: u32 = 5;
/// Ports of dom0 that connections of both boots come from.
const SOURCES: [u16; 4] = [40_000, 40_001, 40_002, 40_003];
/// Numbers that are so far apart at most could come from a clock of 250 kHz (RFC 6528) within a minute.
const NEAR: u32 = 250_000 * 60;

pub(super) fn add(cases: &mut Vec<Case>) {
    cases.push(case_with(ECHO, "net-scans", 300, scans));
    cases.push(case_with(ECHO, "net-first-numbers", 240, first_numbers));
}

/// nmap's report of the guest, as lines for programs.
fn nmap(network: &Network<'_>, words: &str) -> Result<String> {
    // Nothing gets lost here, and most answers come at once.
    let script = format!(
        "/tools/nmap --datadir /tools/share -n -Pn --max-retries 2 --max-rtt-timeout 1s -oG - {words} \
         10.0.0.{SUBJECT} 2>&1"
    );
    network.dom0.sh(&script)
}

fn start(ctx: &Context<'_>, network: &Network<'_>) -> Result<Guest> {
    let tools = ctx.lab.tools(On::Dom0, &Progress::quiet())?;
    network.dom0.push_tools(&tools, &["nmap"])?;
    let guest = network.dom0.create(&network.subject(""))?;
    network.await_answer(SUBJECT)?;
    Ok(guest)
}

/// Catches: ports that seem open or closed and are not, answers to what must not have one, resets in answer to a reset, and
/// a service that does not survive being looked at.
fn scans(ctx: &Context<'_>, network: &Network<'_>) -> Result<()> {
    let guest = start(ctx, network)?;
    let open = "7/open/tcp//echo///";
    for (words, expected) in [
        // By the book, RFC 9293 section 3.10.7: a SYN is answered by a SYN-ACK or a reset, ...
        ("-sS -p 1-1000", &[open, "Ignored State: closed (999)"][..]),
        ("-sT -p 1-200", &[open, "Ignored State: closed (199)"]),
        // ... what is neither SYN, ACK nor reset by nothing where somebody listens, else by a reset, ...
        ("-sF -p 1-100", &["7/open|filtered/tcp//echo///", "Ignored State: closed (99)"]),
        ("-sN -p 1-100", &["7/open|filtered/tcp//echo///", "Ignored State: closed (99)"]),
        ("-sX -p 1-100", &["7/open|filtered/tcp//echo///", "Ignored State: closed (99)"]),
        // ... and an acknowledgement of nothing by a reset anywhere.
        ("-sA -p 7,8", &["7/unfiltered/tcp//echo///", "8/unfiltered/tcp"]),
        // Each SYN in pieces of 8 and of 16 bytes, so that its flags are not in the first.
        ("-sS -f -p 7,8", &[open, "8/closed/tcp"]),
        ("-sS -ff -p 7,8", &[open, "8/closed/tcp"]),
        // A datagram to nobody is told so.
        ("-sU -p 7,8,9", &["7/open/udp//echo///", "8/closed/udp", "9/closed/udp"]),
        // Whatever it makes of the answers.
        ("-O -p 7,8", &[open]),
        ("-sO -p 1,6,17,253", &["1/open/icmp/", "6/open/tcp/", "17/open/udp/", "253/closed"]),
    ] {
        let said = nmap(network, words)?;
        for text in expected {
            ensure!(said.contains(text), "nmap {words} does not say {text:?}, but:\n{said}");
        }
        network
            .peer_with_files(&format!("request 10.0.0.{SUBJECT} {REQUESTS}"), 100)
            .with_context(|| format!("after nmap {words}"))?;
    }
    // Linux, which knows nothing of the connection, resets it: that is the end of it.
    let segments = opened_from(network, &guest, SOURCES[0])?;
    ensure!(segments.len() == 1 && segments[0].flags == OPENED, "the guest sends {segments:?}");
    network.remove("subject", &guest)
}

/// Has nmap open a connection from a port of dom0's, and gives all segments that the guest sends there.
fn opened_from(network: &Network<'_>, guest: &Guest, source: u16) -> Result<Vec<Segment>> {
    let capture = network.capture(Vif::new(guest))?;
    let said = nmap(network, &format!("-sS -g {source} -p {PORT}"))?;
    ensure!(said.contains("7/open/tcp"), "{said}");
    let segments = capture.finish()?.iter().filter_map(crate::pcap::Frame::segment).collect::<Vec<_>>();
    Ok(segments.into_iter().filter(|segment| segment.from.1 == PORT && segment.to.1 == source).collect())
}

/// Catches: first numbers of connections that are the same in each boot, that a clock alone makes, or that tell of each
/// other (RFC 6528).
fn first_numbers(ctx: &Context<'_>, network: &Network<'_>) -> Result<()> {
    let mut boots = Vec::new();
    for _ in 0..2 {
        let guest = start(ctx, network)?;
        let number = |source| {
            let segments = opened_from(network, &guest, source)?;
            let opened = segments.iter().find(|segment| segment.flags == OPENED);
            opened.map(|segment| segment.number).with_context(|| format!("no connection: {segments:?}"))
        };
        let numbers = SOURCES.into_iter().map(number).collect::<Result<Vec<_>>>()?;
        // Of one pair of ends they go on with the clock, so that what is still under way is not taken for new.
        let again = number(SOURCES[0])?;
        ensure!(again.wrapping_sub(numbers[0]) < NEAR * 4, "{} is followed by {again}", numbers[0]);
        ensure!(are_apart(&numbers), "these tell of each other: {numbers:?}");
        boots.push(numbers);
        network.remove("subject", &guest)?;
    }
    // What only a clock makes, or a key that is in the image, is as far from its like in each.
    let between: Vec<_> = boots[0].iter().zip(&boots[1]).map(|(a, b)| b.wrapping_sub(*a)).collect();
    ensure!(are_apart(&between), "between two boots there is but a clock: {boots:?}");
    Ok(())
}

/// Whether not all of these are near each other; by chance they are once in ten million times.
fn are_apart(numbers: &[u32]) -> bool {
    numbers.iter().any(|number| {
        let apart = number.wrapping_sub(numbers[0]);
        apart.min(apart.wrapping_neg()) > NEAR
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_clock_are_near_each_other() {
        assert!(!are_apart(&[5, 10, u32::MAX, NEAR]));
        assert!(are_apart(&[5, 10, u32::MAX / 2, 7]));
    }
}
