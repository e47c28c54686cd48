//! Opens and accepts streams by address.

use crate::address::{ANY, Address};
use crate::error::Error;
use crate::listener::{Listener, Place};
use crate::memory::Memory;
use crate::outside::{Nothing, Outside};
use crate::stream::Stream;
#[cfg(feature = "tls")]
use alloc::boxed::Box;
use fata_netstack::{IpAddress, IpListenEndpoint, Stack, TcpListener, tcp};
use fata_resolve::Resolver;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 64;

/// What streams can be opened and accepted over. Nothing is there that was not given.
pub struct Conduit<O: Outside = Nothing> {
    resolver: Option<Resolver>,
    stack: Option<Stack>,
    memory: Option<Memory>,
    outside: Option<O>,
    #[cfg(feature = "tls")]
    tls: Tls,
    options: tcp::Options,
    backlog: u32,
}

/// Both ends of TLS.
#[cfg(feature = "tls")]
#[derive(Default)]
struct Tls {
    client: Option<fata_tls::Client>,
    server: Option<fata_tls::Server>,
}

impl<O: Outside> Default for Conduit<O> {
    fn default() -> Self {
        Self {
            resolver: None,
            stack: None,
            memory: None,
            outside: None,
            #[cfg(feature = "tls")]
            tls: Tls::default(),
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

    /// Opens TLS to hosts as this client.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls_client(mut self, client: &fata_tls::Client) -> Self {
        self.tls.client = Some(client.clone());
        self
    }

    /// Waits for TLS as this server.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls_server(mut self, server: &fata_tls::Server) -> Self {
        self.tls.server = Some(server.clone());
        self
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
            #[cfg(feature = "tls")]
            Address::Tls { host, port } => {
                let client =
                    self.tls.client.as_ref().ok_or(Error::NotHere("trust in anybody's certificate"))?;
                let resolver = self.resolver.as_ref().ok_or(Error::NotHere("names"))?;
                let stream = resolver.connect(host, *port, self.options).await?;
                Ok(Stream::Tls(Box::new(client.connect(stream, host).await?)))
            }
            #[cfg(not(feature = "tls"))]
            Address::Tls { .. } => Err(Error::NotHere("TLS")),
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
            Address::Tcp { host, port } => Place::Tcp(self.listen_tcp(host, *port)?),
            #[cfg(feature = "tls")]
            Address::Tls { host, port } => {
                let server = self.tls.server.clone().ok_or(Error::NotHere("certificate"))?;
                Place::Tls(self.listen_tcp(host, *port)?, server)
            }
            #[cfg(not(feature = "tls"))]
            Address::Tls { .. } => return Err(Error::NotHere("TLS")),
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

    fn listen_tcp(&self, host: &str, port: u16) -> Result<TcpListener, Error<O::Error>> {
        let stack = self.stack.as_ref().ok_or(Error::NotHere("network"))?;
        let addr = match host {
            ANY => None,
            host => Some(host.parse::<IpAddress>().map_err(|()| Error::NotOurs)?),
        };
        Ok(stack.listen(IpListenEndpoint { addr, port }, self.backlog, self.options)?)
    }
}
