//! Network frontend: an Ethernet link through a backend in another domain (`xen/include/public/io/netif.h`).
//!
//! A [`Nic`] is the place of a virtual network interface, by its number. It is there for as long as the program wants
//! it, whatever becomes of its backend: while that is away the link is down. [`Nic::serve`] is what connects it, again
//! and again; [`Nic::phy`] is the device that a stack stands on.
//!
//! All memory that the backend sees is lent to it for as long as a connection lasts, and used for nothing else. A
//! frame is copied once, in or out, so that a stack never looks at bytes that are changing.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod checksum;
mod connection;
mod features;
mod nic;
mod phy;
mod pool;
mod rx;
mod serve;
mod tx;
mod wire;

pub use features::Options;
pub use nic::{Error, Nic, State, Totals};
pub use phy::Phy;
