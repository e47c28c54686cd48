//! TLS 1.3 and 1.2 on any stream, both ends.
//!
//! [`Server::accept`] and [`Client::connect`] do the handshake on whatever is read and written, and give a [`Stream`] that is
//! read and written. A server has [`Identities`], which can be replaced while it runs; a client, or a server that asks for
//! certificates, has [`Trust`] in some. Randomness comes from a [`fata_random::Random`], which there is not before it is
//! seeded, and the time from a [`fata_time::Clock`]: as long as nobody has told it, no certificate is believed.
//!
//! Handshakes are rustls's, of which nothing is seen from outside, with cryptography of RustCrypto's and dalek's. Records are
//! our own: they are opened where they were received, and a connection that waits has no buffers. `docs/src/tls.md` has the
//! suites, alerts and sizes, `docs/src/adr/0007-tls.md` the reasons.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;
// What tests of its own share with others names it.
#[cfg(test)]
extern crate self as fata_tls;

mod alert;
mod channel;
#[cfg(test)]
mod channel_tests;
mod client;
mod der;
mod error;
mod facts;
mod handshake;
mod identity;
mod moment;
mod pem;
mod provider;
mod record;
mod server;
mod sessions;
mod stream;
mod tickets;
mod trust;
mod versions;

pub use alert::Alert;
pub use client::{Client, ClientOptions};
pub use error::{BadCertificate, Error, Failure, Why};
pub use facts::Facts;
pub use identity::{Identities, Identity, IdentityError};
pub use pem::{PemError, PemFault};
pub use provider::sign::KeyError;
pub use record::Version;
pub use server::{Clients, Server, ServerOptions};
pub use stream::Stream;
pub use trust::{KeyHash, Trust, TrustError, key_hash};
pub use versions::Versions;
