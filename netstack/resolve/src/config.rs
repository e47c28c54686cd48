//! How names are resolved.

use crate::name::Name;
use alloc::vec::Vec;
use core::time::Duration;
use fata_netstack::{IpAddress, IpEndpoint};

/// The port of name servers.
pub const PORT: u16 = 53;

/// How names are resolved.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who is asked, in this order. If there is nobody, those that the stack knows of when there is a question.
    pub servers: Vec<IpEndpoint>,
    /// What may be missing at the end of a name that has no dot at its end. If there is nothing, what the stack knows.
    pub search: Vec<Name>,
    /// Names with at least so many dots are tried as they are first, others with `search` first.
    pub ndots: usize,
    /// Names that are known, with their addresses; nobody is asked about them.
    pub hosts: Vec<(Name, IpAddress)>,
    /// How long a server may take; by TCP twice as long.
    pub timeout: Duration,
    /// How often all servers are asked if none answers.
    pub attempts: u32,
    /// How long a question may take in all, other names on the way and waiting for the network included.
    pub limit: Duration,
    /// Letters of a question are in random case, which whoever forges an answer has to guess.
    pub mix_case: bool,
    /// Questions that are on their way at the same time; others wait.
    pub questions: usize,
    /// What is remembered: entries, and bytes in all.
    pub cache_entries: usize,
    /// See there.
    pub cache_bytes: usize,
    /// The longest time for which an answer is remembered.
    pub ttl_most_s: u32,
    /// The same for what there is not.
    pub nothing_most_s: u32,
    /// How long [`connect`](crate::Resolver::connect) waits for the IPv6 address when the IPv4 address is there.
    pub resolution_delay: Duration,
    /// How long it gives an address before it tries the next one beside it.
    pub attempt_delay: Duration,
    /// How long it waits when all addresses are being tried.
    pub patience: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            hosts: Vec::new(),
            timeout: Duration::from_secs(2),
            attempts: 2,
            limit: Duration::from_secs(30),
            mix_case: true,
            questions: 64,
            cache_entries: 256,
            cache_bytes: 64 << 10,
            ttl_most_s: 86_400,
            nothing_most_s: 900,
            // RFC 8305 section 8.
            resolution_delay: Duration::from_millis(50),
            attempt_delay: Duration::from_millis(250),
            patience: Duration::from_secs(30),
        }
    }
}
