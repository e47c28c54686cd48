//! Takes lines from a sensor by one vchan, stamps and numbers them, keeps the last ones, and passes them on by another.
//!
//! `from=NAME` (`sensor`) and `to=NAME` (`console`) are the vchans, as in [`fata_devices::conduit`]; `keep=N` (100) is how many
//! lines are kept. Nothing tells a domain that another has crashed, so a sensor says how often it sends something; when three
//! of these times have passed without anything, that is a line of its own, and so is its coming back. Such lines are said on our own console,
//! too. The same is done for whoever reads at the other vchan: it gets a `beat` when there is nothing else.
//!
//! There it gets `NUMBER MS TEXT`, and on asking `again NUMBER MS TEXT` for the last of them (`last N`), and `said TEXT`
//! (`stats`). `sensor WORDS` passes words to the sensor, and `crash` has us crash.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod app;
mod hear;
mod log;
mod tell;

pub use app::app;
