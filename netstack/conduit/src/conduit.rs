//! Opens and accepts streams by address.

use crate::address::{ANY, Address};
use crate::error::Error;
use crate::listener::{Listener, Place};
use crate::memory::Memory;
use crate::outside::{Nothing, Outside};
use crate::stream::Stream;
use fata_netstack::{IpAddress, IpListenEndpoint, Stack, tcp};
use fata_resolve::Resolver;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 64;

/// What streams can be opened and accepted over. Nothing is there that was not given.
pub struct Conduit<O: Outside = Nothing> {
    resolver: Option<Resolver>,
    stack: Option<Stack>,
    memory: Option<Memory>,
    outside: Option<O>,
    options: tcp::Options,
    backlog: u32,
}

impl<O: Outside> Default for Conduit<O> {
    fn default() -> Self {
        Self {
            resolver: None,
            stack: None,
            memory: None,
            outside: None,
            options: tcp::Options { nagle: false, ..tcp::Options::default() },
            backlog: BACKLOG,
        }
    }
}

impl<O: Outside> Conduit<O> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for TCP on this stack.
    #[must_use]
    pub fn with_stack(self, stack: &Stack) -> Self {
        Self { stack: Some(stack.clone()), ..self }
    }

    /// Opens TCP to hosts, by their names or addresses.
    #[must_use]
    pub fn with_names(self, resolver: &Resolver) -> Self {
        Self { resolver: Some(resolver.clone()), ..self }
    }

    /// Meets others of this program.
    #[must_use]
    pub fn with_memory(self, memory: &Memory) -> Self {
        Self { memory: Some(memory.clone()), ..self }
    }

    /// Meets other domains.
    #[must_use]
    pub fn with_outside(self, outside: O) -> Self {
        Self { outside: Some(outside), ..self }
    }

    /// How connections over TCP are to be, instead of the usual options without Nagle's delay; and how many may wait to
    /// be accepted, instead of 64.
    #[must_use]
    pub fn with_options(self, options: tcp::Options, backlog: u32) -> Self {
        Self { options, backlog, ..self }
    }

    /// Opens a stream. Waits for the network, and for a domain that is not there yet; give it a time limit with
    /// [`Rt::timeout`](fata_rt::Rt::timeout).
    pub async fn connect(&self, to: &Address) -> Result<Stream<O>, Error<O::Error>> {
        match to {
            Address::Tcp { host, port } => match &self.resolver {
                Some(resolver) => Ok(Stream::Tcp(resolver.connect(host, *port, self.options).await?)),
                None => Err(Error::NotHere("names")),
            },
            Address::Memory(name) => {
                let memory = self.memory.as_ref().ok_or(Error::NotHere("meeting places in memory"))?;
                memory.connect(name).map(Stream::Memory).map_err(Error::widen)
            }
            Address::Vchan(rest) => {
                let outside = self.outside.as_ref().ok_or(Error::NotHere("vchan"))?;
                outside.connect(rest).await.map(Stream::Outside).map_err(Error::Outside)
            }
        }
    }

    /// Has peers come to us from now on.
    pub fn listen(&self, at: &Address) -> Result<Listener<O>, Error<O::Error>> {
        let place = match at {
            Address::Tcp { host, port } => {
                let stack = self.stack.as_ref().ok_or(Error::NotHere("network"))?;
                let addr = match host.as_str() {
                    ANY => None,
                    host => Some(host.parse::<IpAddress>().map_err(|()| Error::NotOurs)?),
                };
                let local = IpListenEndpoint { addr, port: *port };
                Place::Tcp(stack.listen(local, self.backlog, self.options)?)
            }
            Address::Memory(name) => {
                let memory = self.memory.as_ref().ok_or(Error::NotHere("meeting places in memory"))?;
                Place::Memory(memory.listen(name).map_err(Error::widen)?)
            }
            Address::Vchan(rest) => {
                let outside = self.outside.as_ref().ok_or(Error::NotHere("vchan"))?;
                Place::Outside(outside.listen(rest).map_err(Error::Outside)?)
            }
        };
        Ok(Listener(place))
    }
}
