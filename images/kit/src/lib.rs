//! What several images share.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod bench;
mod crc;
mod first;
mod lines;
pub mod pattern;
mod terminal;

pub use crc::Crc32;
pub use fata_boot::words::words;
pub use first::{First, first};
pub use lines::{LINE, Lines};
pub use terminal::{Gone, Terminal};
