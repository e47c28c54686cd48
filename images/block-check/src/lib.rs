//! Writes a pattern to a disk and verifies it.
//!
//! The disk may be pulled and plugged in again, or its backend restarted, at any moment; all the bytes must be right
//! all the same. Anybody who knows the seed can tell what must be on the disk: see [`fata_kit::pattern`].
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod check;
mod options;

pub use check::app;
pub use options::{Mode, Options};
