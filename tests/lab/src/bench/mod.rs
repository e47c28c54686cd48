//! What benchmarks need of the lab: exact counts per domain, and a Linux guest to compare with.

mod counter;
mod events;
mod linux;
mod profile;

pub use counter::{Counter, address_of_main};
pub use events::{Counts, Event, Span};
pub(crate) use linux::Neighbour;
pub use linux::{Peer, Worker};
pub use profile::{Profile, Spent, Trap, xen_symbols};
