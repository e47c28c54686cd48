//! vchan: a stream of bytes each way between two domains, over memory that one lends to the other
//! (`xen/include/public/io/libxenvchan.h`).
//!
//! The server lends a control page and the rings, the client maps them; then both do the same things. How the client
//! learns where they are is a [`Meeting`]: a path in Xenstore, as libxenvchan and Qubes have it, or numbers that both
//! were given beforehand, for systems without Xenstore. Domains that may not lend each other anything meet in memory that
//! both were given before they started ([`meet`]).
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod connect;
mod end;
mod error;
mod layout;
mod meeting;
mod ring;
mod statics;
mod stream;

pub use connect::{Listener, connect, listen};
pub use error::Error;
pub use layout::Orders;
pub use meeting::{Fixed, Meeting, Offer, StorePath};
pub use statics::{StaticPlace, StaticVchan, meet};
pub use stream::Vchan;
