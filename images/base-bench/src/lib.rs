//! Measures what every device stands on, events and Xenstore: the work is on the command line, the result a line each.
//!
//! `bench=KIND,COUNT`, several of them separated by `;`, where `KIND` is `event`, `read`, `read16`, `write`,
//! `transaction` or `watch`. Each gives `base read total N ns N`.
//!
//! For `event` somebody in domain 0, or another one with `peer=DOMID`, must connect to the port in `data/port`, and
//! answer each event with one.
//!
//! `check=copies` looks instead whether the routines that move bytes on this machine move them rightly.
//!
//! With `lent=1` it first maps, reads, writes and has Xen copy the pages whose grants are named in `data/lent`, which
//! somebody in domain 0 lends to it and checks afterwards.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod bench;
mod copies;
mod job;
mod lent;

pub use bench::app;
pub use job::{Job, Kind};
