//! Names: a stub resolver with a cache, on the sockets of [`fata_netstack`].
//!
//! A [`Resolver`] asks servers for what a name has ([`Kind`]) and remembers what they say. Many who ask the same cause one
//! question; who gives up waiting leaves no socket, timer or task behind. Servers that do not answer are passed over for a
//! while, those that do not understand are asked in simpler ways, and what is too long for a datagram comes by a stream.
//!
//! An answer must come from whom was asked, to where it was asked from, with the number and the name of the question, letter
//! by letter (RFC 5452). Nothing in it is believed but what was asked for.
//!
//! [`Resolver::connect`] opens connections to hosts by name, over whichever family gets there first.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod ask;
mod cache;
mod config;
mod connect;
mod error;
mod flight;
mod follow;
mod kind;
mod message;
mod name;
mod params;
mod record;
mod resolver;
mod servers;
mod sort;
mod transport;

pub use config::{Config, PORT};
pub use connect::{Attempt, ConnectError};
pub use error::Error;
pub use kind::Kind;
pub use name::{BadName, Name};
pub use params::Params;
pub use record::{Data, Record, Text};
pub use resolver::{Answer, Counts, Resolver, Source};
pub use sort::sort;
