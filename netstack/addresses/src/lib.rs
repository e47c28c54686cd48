//! Where an interface's addresses come from.
//!
//! A [`Source`] is what somebody says: the command line, the device tree, Xenstore, a disk, a server. All of them speak in
//! the same words ([`fata_netstack::Config`]), and each is read by itself: what makes no sense is kept with the reason. Then
//! [`choose`] takes each [`Topic`] from the first source that says something sensible of it, and tells in one line which
//! that was, and why not the others.
//!
//! Nothing here knows where the bytes come from; what is read is hostile until it was read.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod choice;
#[cfg(feature = "cidata")]
pub mod cidata;
#[cfg(any(feature = "cidata", feature = "metadata"))]
pub mod cloud;
#[cfg(feature = "cidata")]
mod iso9660;
#[cfg(feature = "metadata")]
pub mod metadata;
mod source;
#[cfg(any(feature = "cidata", feature = "metadata"))]
pub mod yaml;

pub use choice::{Choice, choose};
pub use source::{Flaw, Origin, Reason, Source, Topic};
