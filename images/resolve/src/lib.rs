//! Looks names up, and connects to hosts by name.
//!
//! `resolve=NAME`, or `resolve=NAME,TYPE` for something else than addresses, and `connect=HOST:PORT`, each as often as
//! wanted; they are done in this order. When all is done it says `SUCCESS` if all had an answer, and ends. Addresses,
//! servers and the network card are as in `ping`.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod app;
mod options;
mod work;

pub use app::app;
pub use options::{Options, Wish};
pub use work::work;
