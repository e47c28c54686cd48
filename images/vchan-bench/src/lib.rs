//! Measures a vchan: serves whoever has the load, or has it.
//!
//! As a server it takes one client after the other at `data/vchan`, unless the command line says otherwise
//! ([`fata_devices::vchan::Wish`]), and does what commands of 16 bytes ask for ([`Command`]). As a client of another it
//! gives those on its command line, `bench=KIND,BLOCK_BYTES,COUNT`, several of them separated by `;`, and says what each
//! took: `vchan send bs 64 count 1000 ns N`. `KIND` is `send`, `receive` or `echo`, as the client sees it.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod bench;
mod command;

pub use bench::app;
pub use command::{Command, Job, Kind};
