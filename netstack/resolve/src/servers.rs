//! Who is asked, and what is known of them.

use crate::config::PORT;
use alloc::vec::Vec;
use fata_netstack::{IpEndpoint, Stack};

/// More are not asked.
const MOST: usize = 8;
/// For how long one that did not answer is asked last.
const SILENCE_NS: u64 = 30_000_000_000;

/// What is known of a server.
#[derive(Clone, Copy)]
pub(crate) struct Server {
    pub(crate) at: IpEndpoint,
    /// It does not keep the case of letters.
    pub(crate) changes_case: bool,
    /// It does not understand EDNS.
    pub(crate) is_plain: bool,
    /// Until when others are better asked.
    silent_until_ns: u64,
}

#[derive(Default)]
pub(crate) struct Servers {
    /// Those that were named; the stack's, if there are none.
    given: Vec<IpEndpoint>,
    known: Vec<Server>,
}

impl Servers {
    pub(crate) fn new(given: Vec<IpEndpoint>) -> Self {
        Self { given, known: Vec::new() }
    }

    pub(crate) fn set(&mut self, given: &[IpEndpoint]) {
        self.given = given.to_vec();
    }

    /// Looks who is to be asked now. Gives whether they are others than before.
    pub(crate) fn refresh(&mut self, stack: &Stack) -> bool {
        let mut now = if self.given.is_empty() { of_stack(stack) } else { self.given.clone() };
        now.truncate(MOST);
        if now.iter().eq(self.known.iter().map(|server| &server.at)) {
            return false;
        }
        let first = self.known.is_empty();
        let fresh = |at| Server { at, changes_case: false, is_plain: false, silent_until_ns: 0 };
        let same = |at: IpEndpoint| self.known.iter().find(|server| server.at == at).copied();
        self.known = now.into_iter().map(|at| same(at).unwrap_or_else(|| fresh(at))).collect();
        !first
    }

    /// All of them, those that did not answer lately last.
    pub(crate) fn in_order(&self, now_ns: u64) -> Vec<IpEndpoint> {
        let mut all: Vec<_> = self.known.iter().collect();
        all.sort_by_key(|server| server.silent_until_ns > now_ns);
        all.iter().map(|server| server.at).collect()
    }

    /// What is known of one. They may be others by now.
    pub(crate) fn with<R>(&mut self, at: IpEndpoint, f: impl FnOnce(&mut Server) -> R) -> Option<R> {
        self.known.iter_mut().find(|server| server.at == at).map(f)
    }
}

impl Server {
    pub(crate) fn was_silent(&mut self, now_ns: u64) {
        self.silent_until_ns = now_ns + SILENCE_NS;
    }

    pub(crate) fn spoke(&mut self) {
        self.silent_until_ns = 0;
    }
}

fn of_stack(stack: &Stack) -> Vec<IpEndpoint> {
    stack.name_servers().into_iter().map(|address| IpEndpoint::new(address, PORT)).collect()
}
