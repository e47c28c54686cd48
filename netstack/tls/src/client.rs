//! The end that calls.

use crate::error::{Error, Failure};
use crate::facts::Facts;
use crate::handshake::{Connection, Handshake};
use crate::identity::{Identity, Shown};
use crate::moment::Moment;
use crate::provider::provider;
use crate::sessions::Sessions;
use crate::stream::Stream;
use crate::trust::{Checker, Trust};
use crate::versions::Versions;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use embedded_io_async::{Read, Write};
use fata_random::Random;
use fata_time::Clock;
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls_pki_types::ServerName;

/// How many servers a client remembers unless told otherwise.
const SESSIONS: usize = 32;

/// What a client believes and shows.
pub struct ClientOptions {
    /// Whom it believes.
    pub trust: Trust,
    /// Application protocols, the most wanted first; empty if any will do.
    pub protocols: Vec<Vec<u8>>,
    /// Who it is, if servers ask.
    pub identity: Option<Identity>,
    /// Which versions of the protocol it speaks.
    pub versions: Versions,
    /// With how many servers it can resume an earlier connection, of which up to four tickets are kept for each.
    pub sessions: usize,
}

impl ClientOptions {
    /// In both versions, remembering 32 servers.
    pub fn new(trust: Trust) -> Self {
        Self { trust, protocols: Vec::new(), identity: None, versions: Versions::Both, sessions: SESSIONS }
    }
}

/// A client. Clones are the same one.
#[derive(Clone)]
pub struct Client {
    config: Arc<rustls::ClientConfig>,
    moment: Arc<Moment>,
    random: Random,
    clock: Clock,
}

impl Client {
    /// A client.
    pub fn new(options: ClientOptions, random: &Random, clock: &Clock) -> Self {
        let ClientOptions { trust, protocols, identity, versions, sessions } = options;
        let moment = Arc::new(Moment::new());
        let subjects = Vec::new();
        let checker = Checker { trust: Arc::new(trust), moment: moment.clone(), mandatory: true, subjects };
        let mut config = rustls::ClientConfig::builder_with_details(provider(), moment.clone())
            .with_protocol_versions(versions.list())
            .expect("there are suites for every version")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(checker))
            .with_client_cert_resolver(Arc::new(Shown(identity)));
        config.alpn_protocols = protocols;
        config.enable_secret_extraction = true;
        config.resumption = match sessions {
            0 => Resumption::disabled(),
            most => Resumption::store(Arc::new(Sessions::new(most))),
        };
        Self { config: Arc::new(config), moment, random: random.clone(), clock: clock.clone() }
    }

    /// Does the handshake with a server that has been connected to, which has to prove that it is `name`: a host's name, or an
    /// address. It takes as long as the server likes: race it against time.
    pub async fn connect<IO: Read + Write>(
        &self,
        mut io: IO,
        name: &str,
    ) -> Result<Stream<IO>, Error<IO::Error>> {
        let name = ServerName::try_from(name).map_err(|_| Failure::Name)?.to_owned();
        let server_name = match &name {
            ServerName::DnsName(name) => Some(Box::<str>::from(name.as_ref())),
            _ => None,
        };
        self.moment.see(&self.clock);
        crate::provider::random::begin(&self.random);
        let connection = UnbufferedClientConnection::new(self.config.clone(), name);
        let connection = connection.map_err(|error| crate::error::translated(&error, None))?;
        let handshake = Handshake::new(Connection::Client(Box::new(connection)));
        let facts = |connection: &Connection| match connection {
            Connection::Server(server) => Facts::of(server, None),
            Connection::Client(client) => Facts::of(client, server_name.as_deref()),
        };
        let prepare = || self.moment.see(&self.clock);
        let channel = handshake.run(&mut io, &self.random, prepare, || {}, facts).await?;
        Stream::begin(io, channel).await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
