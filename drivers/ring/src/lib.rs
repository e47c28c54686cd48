//! Rings in memory shared with another domain.
//!
//! The peer may write anything anywhere in that memory at any time. So each of its indices is read once per
//! operation and checked, our own are kept in private, and a ring whose indices make no sense is [`Corrupt`]:
//! whoever uses it gives it up, and the rest of the system goes on.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod byte;
mod message;

pub use byte::{ByteRing, Consumer, Producer};
pub use message::{Back, Front, Message, slots};

use core::fmt;

/// The peer published an index that cannot be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the other end of the ring broke the protocol")
    }
}

impl core::error::Error for Corrupt {}
