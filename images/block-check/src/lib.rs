//! Writes a pattern to disks and verifies it.
//!
//! A disk may be pulled and plugged in again, resized, or its backend restarted, at any moment; all the bytes must be
//! right all the same. Anybody who knows the seed can tell what must be on the disk: see [`fata_kit::pattern`].
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod check;
mod job;
mod news;
mod options;
mod orders;

pub use check::app;
pub use options::{Mode, Options};
