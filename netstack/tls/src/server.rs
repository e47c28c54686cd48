//! The end that waits for the other.

use crate::error::Error;
use crate::facts::Facts;
use crate::handshake::{Connection, Handshake};
use crate::identity::Identities;
use crate::moment::Moment;
use crate::provider::provider;
use crate::stream::Stream;
use crate::tickets::Tickets;
use crate::trust::{Checker, Trust};
use crate::versions::Versions;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use embedded_io_async::{Read, Write};
use fata_random::Random;
use fata_time::Clock;
use rustls::server::UnbufferedServerConnection;

/// What a server shows and asks for.
pub struct ServerOptions {
    /// Who it is.
    pub identities: Identities,
    /// Application protocols, the most wanted first; empty if any will do.
    pub protocols: Vec<Vec<u8>>,
    /// What it asks of clients.
    pub clients: Clients,
    /// Which versions of the protocol it speaks.
    pub versions: Versions,
    /// Whether clients get tickets, with which the next connection takes less.
    pub tickets: bool,
}

/// What a server asks of its clients.
pub enum Clients {
    /// Nothing.
    Anybody,
    /// A certificate, if they have one; one that is not believed is refused.
    MayShow(Trust),
    /// A certificate.
    MustShow(Trust),
}

impl ServerOptions {
    /// For anybody, in both versions, with tickets.
    pub fn new(identities: impl Into<Identities>) -> Self {
        Self {
            identities: identities.into(),
            protocols: Vec::new(),
            clients: Clients::Anybody,
            versions: Versions::Both,
            tickets: true,
        }
    }
}

/// A server. Clones are the same one.
#[derive(Clone)]
pub struct Server {
    config: Arc<rustls::ServerConfig>,
    identities: Identities,
    moment: Arc<Moment>,
    random: Random,
    clock: Clock,
}

impl Server {
    /// A server.
    pub fn new(options: ServerOptions, random: &Random, clock: &Clock) -> Self {
        let ServerOptions { identities, protocols, clients, versions, tickets } = options;
        let moment = Arc::new(Moment::new());
        let builder = rustls::ServerConfig::builder_with_details(provider(), moment.clone())
            .with_protocol_versions(versions.list())
            .expect("there are suites for every version");
        let checker = |trust: Trust, mandatory| {
            let subjects = trust.subjects();
            Arc::new(Checker { trust: Arc::new(trust), moment: moment.clone(), mandatory, subjects })
        };
        let builder = match clients {
            Clients::Anybody => builder.with_no_client_auth(),
            Clients::MayShow(trust) => builder.with_client_cert_verifier(checker(trust, false)),
            Clients::MustShow(trust) => builder.with_client_cert_verifier(checker(trust, true)),
        };
        let mut config = builder.with_cert_resolver(Arc::new(identities.clone()));
        config.alpn_protocols = protocols;
        config.enable_secret_extraction = true;
        if tickets {
            config.ticketer = Arc::new(Tickets::new(moment.clone()));
        } else {
            config.send_tls13_tickets = 0;
        }
        Self { config: Arc::new(config), identities, moment, random: random.clone(), clock: clock.clone() }
    }

    /// Does the handshake with a client that has connected. It takes as long as the client likes: race it against time.
    pub async fn accept<IO: Read + Write>(&self, mut io: IO) -> Result<Stream<IO>, Error<IO::Error>> {
        let connection = UnbufferedServerConnection::new(self.config.clone());
        let connection = connection.map_err(|error| crate::error::translated(&error, None))?;
        let handshake = Handshake::new(Connection::Server(Box::new(connection)));
        let name = core::cell::RefCell::new(None);
        let prepare = || {
            self.moment.see(&self.clock);
            // That of the step before, of which this has not been asked.
            drop(self.identities.take_asked());
        };
        let asked = || {
            if let Some(asked) = self.identities.take_asked() {
                *name.borrow_mut() = Some(asked);
            }
        };
        let facts = |connection: &Connection| match connection {
            Connection::Server(server) => Facts::of(server, name.borrow().as_deref()),
            Connection::Client(client) => Facts::of(client, None),
        };
        let channel = handshake.run(&mut io, &self.random, prepare, asked, facts).await?;
        Stream::begin(io, channel).await
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("identities", &self.identities).finish_non_exhaustive()
    }
}
