//! Carries connections from one address to another, so that what is inside need not know what is outside.
//!
//! `listen=ADDRESS to=ADDRESS`, once or several times, says from where to where ([`fata_conduit::Address`]). `most=N` (256) is
//! how many connections each carries at a time, the others wait; `idle=SECONDS` (300) how long one may be silent, and
//! `open=SECONDS` (10) how long what is inside may take to be opened. `buffer=BYTES` (16384) is what a TCP connection may
//! send ahead and have waiting. A line on the console, or nothing but Enter, has it say what it has done so far. Who
//! we are in TLS, and whom we believe, is up to [`fata_devices::tls`]. Other words are those of a
//! network card and its addresses.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod app;
mod carry;
mod options;

pub use app::app;
pub use carry::{Totals, carry};
pub use options::{Options, Way, Wish};
