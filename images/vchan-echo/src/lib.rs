//! Answers by vchan with what it is sent, or asks one that does.
//!
//! The command line says where ([`fata_devices::vchan::Wish`]); without words it serves dom0 as `echo`. A server takes one
//! client after the other; with `once` it ends after the first. A client sends `bytes=N` of a pattern in pieces of random
//! length, at most `window=N` more than have come back, and verifies what comes back; with `again=N` it does so N times,
//! with a vchan each, and waits `delay=MS` before
//! the first byte: vchan-socket-proxy sleeps before it looks for what came together with its client. With `hold` it then
//! waits for the other end to go; with `tireless` a server that is lost counts as one, and the next is sought. `tell=N` says
//! after so many bytes how many have come back. `watch=MS` looks so often whether the other domain still exists.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod echo;
mod options;

pub use echo::app;
