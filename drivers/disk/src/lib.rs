//! What a disk is, and what can be made of one.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod buffer;
mod device;

pub use buffer::Buffer;
pub use device::{BlockDevice, Error, Failed, Geometry, SECTOR};
