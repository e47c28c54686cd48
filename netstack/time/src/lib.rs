//! What time it is.
//!
//! [`Utc`] is a moment in the calendar. A [`Clock`] says which one is now: Xen's wall clock as long as nobody knows better,
//! and once a time server was asked ([`sntp`]), what that said. The monotonic clock, by which everything waits, is never
//! set; only the moment is at which it stood at zero.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod calendar;
mod clock;
pub mod packet;
#[cfg(feature = "sntp")]
pub mod sntp;

pub use calendar::{Civil, Utc};
pub use clock::{Clock, Told, Unknown};
