//! An asynchronous TCP/IP stack on any [`Link`](fata_link::Link).
//!
//! [`Stack::start`] puts it on a link and on a run loop; from then on sockets can be made, whether the link is up or not.
//! The protocols are smoltcp's. Around them:
//!
//! - the link may come up late, go down, and come back as another: sockets stay, and see a pause. Nothing is sent while
//!   it is down, and when it is up the neighbours are told of our addresses;
//! - each socket is found by what its packets say and is looked at when there is reason to, so that idle ones cost
//!   nothing;
//! - listeners have a backlog, and reset nobody for lack of a socket;
//! - datagrams of any size are cut into fragments and put together, for both IPs;
//! - the largest segments of TCP follow the link at hand, and the device cuts them if it can, for both IPs.
//!
//! One poll takes in what has come, sends what there is to send, and hands it to the link at once.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod acks;
mod addresses;
mod census;
mod closing;
mod config;
mod deadlines;
mod duplicates;
mod ended;
mod engine;
mod error;
mod fragments;
mod gate;
mod groups;
mod headers;
mod lease;
mod listen;
mod names;
mod numbers;
mod opening;
mod ping;
mod reply;
mod segments;
mod slaac;
mod stack;
mod table;
pub mod tcp;
pub mod udp;

pub use census::SocketInfo;
pub use config::{
    Config, ConfigError, Duplicates, MAX_ROUTES, MAX_SEARCH, MAX_SERVERS, MAX_V4, MAX_V6, Route, V4,
};
pub use duplicates::Conflict;
pub use engine::Counts;
pub use error::Error;
pub use fata_random::Random;
pub use groups::Membership;
pub use lease::Lease;
pub use ping::Pinger;
pub use smoltcp::socket::tcp::State as TcpState;
pub use smoltcp::wire::{IpAddress, IpCidr, IpEndpoint, IpListenEndpoint};
pub use stack::Stack;
pub use tcp::{TcpListener, TcpStream};
pub use udp::UdpSocket;
