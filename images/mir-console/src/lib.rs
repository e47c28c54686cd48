//! The first sign of life: a console that tells what the board found.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod editor;
pub mod history;
pub mod keys;
pub mod line;
pub mod row;
pub mod width;
