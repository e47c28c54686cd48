//! Answers pings, and pings somebody, with a line for each thing that happens.
//!
//! The addresses come from whoever says something of them (`fata_devices::addresses`): the command line, the device tree,
//! Xenstore, with the word `cidata` a disk labelled so, or else a DHCP server and routers. `ping=ADDRESS` pings, with `size=BYTES` (56), `count=N` (without end),
//! `interval=MS` (1000; 0 sends the next when the last is answered) and `wait=MS` for an answer (1000). When all pings are
//! sent it says `SUCCESS` if all were answered, and ends. Other words are [`fata_net::Options`].
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod app;
mod options;
mod work;

pub use app::app;
pub use options::{Options, Wish};
pub use work::work;
