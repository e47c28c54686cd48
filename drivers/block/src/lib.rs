//! Block frontend: disks served by another domain (`xen/include/public/io/blkif.h`).
//!
//! A [`Disk`] is the place of a virtual disk, by its number. It is there for as long as the program wants it,
//! whatever becomes of its backend: while that is away requests wait, or fail if their caller would rather; when it
//! is back, what was under way is sent again in its order. [`Disk::serve`] is what makes all that happen.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod connection;
mod disk;
mod features;
mod name;
mod queue;
mod request;
mod serve;
mod transfer;
mod wire;

pub use disk::{Disk, Impatient, Link, Totals};
pub use features::Options;
pub use name::{Name, number};
