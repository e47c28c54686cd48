//! Measures something every so often, and sends it by vchan: the uptime, a number, and a temperature that is made up.
//!
//! `to=NAME` (`logger`) is the vchan, as in [`fata_devices::conduit`]; `every=MS` (1000) is how often. The first line says how
//! often, so that whoever reads them knows when one is overdue. What comes back are commands: `every MS`, and `crash`, for who
//! wants to see what becomes of the others.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod app;

pub use app::app;
