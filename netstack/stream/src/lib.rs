//! What streams of bytes have in common, whatever carries them: ends that are told apart, and buffers that grow.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod part;
mod zeros;

pub use part::Part;
pub use zeros::grow;
