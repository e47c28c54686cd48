//! A zone and queries for it, to measure name servers with.

use std::rc::Rc;

use anyhow::{Context as _, Result};
use fata_dns::{ANSWER_MAX, Limits, Name, Transport, Zone, answer};

use super::{NAMES, nsd, queries, zone};
use crate::cpio::Archive;
use crate::mutate::Random;
use crate::tools::Tools;

/// Types that are asked for, mostly addresses.
const KINDS: [u16; 10] = [1, 1, 1, 1, 28, 28, 15, 16, 33, 12];
/// EDNS as resolvers have it: datagrams of 1,232 bytes, no options.
const EDNS: [u8; 11] = [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0];
const NO_ERROR: u8 = 0;
const NAME_ERROR: u8 = 3;
/// Where NSD's files are in its guest.
const PLACE: &str = "/etc";

/// A zone of 10,000 names, and queries for it as they go over a stream: a length of two bytes before each.
pub struct Traffic {
    /// The zone file.
    pub zone: String,
    /// Queries for what there is.
    pub hits: Vec<u8>,
    /// Queries for names that are not there.
    pub misses: Vec<u8>,
}

impl Traffic {
    /// So many queries of each kind; the same for the same seed.
    pub fn new(seed: u64, queries: usize) -> Result<Self> {
        let mut random = Random::new(seed);
        let text = zone::text(&mut random, NAMES);
        let (zone, _) = Zone::read(text.as_bytes(), None, Limits::default()).context("reading the zone")?;
        let names = queries::Names::of(&zone)?;
        let zones = [Rc::new(zone)];
        let mut out = vec![0; ANSWER_MAX];
        let (mut hits, mut misses) = ((Vec::new(), 0), (Vec::new(), 0));
        while hits.1 < queries || misses.1 < queries {
            let name = names.some(&mut random, hits.1 < queries);
            let query = query(&name, KINDS[random.below(KINDS.len())]);
            let Some(reply) = answer(&zones, &query, Transport::Udp, &mut out) else { continue };
            let (rcode, found) = (out[3] & 15, out[..reply.len][6..8] != [0, 0]);
            let (kept, count) = match (rcode, found) {
                (NO_ERROR, true) => &mut hits,
                (NAME_ERROR, false) => &mut misses,
                _ => continue,
            };
            if *count < queries {
                kept.extend_from_slice(&(query.len() as u16).to_be_bytes());
                kept.extend_from_slice(&query);
                *count += 1;
            }
        }
        Ok(Self { zone: text, hits: hits.0, misses: misses.0 })
    }

    /// What a Linux guest needs besides to serve the zone with NSD, at its port 53: an archive to follow its initial RAM
    /// disk.
    pub fn nsd(&self, tools: &Tools) -> Result<Vec<u8>> {
        let mut archive = Archive::default();
        archive.directory(&PLACE[1..]);
        archive.file("etc/nsd.conf", 0o644, nsd::config("0.0.0.0", PLACE).as_bytes());
        archive.file("etc/zone", 0o644, self.zone.as_bytes());
        tools.put_into(&mut archive, &["nsd"])?;
        Ok(archive.finish())
    }
}

fn query(name: &Name, kind: u16) -> Vec<u8> {
    let header = [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    [&header, name.wire(), &kind.to_be_bytes(), &[0, 1], &EDNS].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_queries_as_asked_for() {
        let traffic = Traffic::new(1, 50).unwrap();
        for queries in [&traffic.hits, &traffic.misses] {
            let (mut rest, mut count) = (&queries[..], 0);
            while let Some((len, more)) = rest.split_first_chunk() {
                rest = &more[usize::from(u16::from_be_bytes(*len))..];
                count += 1;
            }
            assert_eq!((count, rest.len()), (50, 0));
        }
        assert_eq!(traffic.hits, Traffic::new(1, 50).unwrap().hits);
    }
}
