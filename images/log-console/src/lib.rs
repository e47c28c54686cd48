//! Shows the lines that a logger sends by vchan on a serial port, and takes commands there.
//!
//! `from=NAME` (`logger`) is the vchan, as in [`fata_devices::conduit`]. The commands are `last N`, `stats`, `quiet`,
//! `sensor WORDS`, and `crash sensor|logger|console`, for who wants to see what becomes of the others. Lines are numbered, so it is said
//! if any are missing; and the logger says something every so often, so it is said if it does not.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod app;
mod screen;

pub use app::app;
