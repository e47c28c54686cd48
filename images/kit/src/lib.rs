//! What several images share.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod bench;
mod crc;
pub mod pattern;
mod terminal;

pub use crc::Crc32;
pub use fata_boot::words::words;
pub use terminal::{Gone, Terminal};
