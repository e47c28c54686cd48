//! Sends back what it gets, over TCP (RFC 862) and UDP, to as many as there is memory for.
//!
//! The addresses come from the command line ([`fata_netstack::Config`]); if it names none, from Xenstore, where `data/ip`
//! and `data/gw` of this domain say the same; and if that names none either, from DHCP. `port=N` (7) is where it listens,
//! `most=N` (1024) how many connections there are at a time, `buffer=BYTES` (8192) how much each may send ahead and have
//! waiting, and `idle=SECONDS` (300) how long one may be silent. A line on the console, or nothing but Enter, has it say
//! what it has done so far. Other words are [`fata_net::Options`].
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod app;
mod options;
mod serve;

pub use app::app;
pub use options::{Options, Wish};
pub use serve::{Totals, serve};
