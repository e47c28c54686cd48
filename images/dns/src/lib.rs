//! An authoritative name server.
//!
//! `zone=` says where a zone is, as often as there are zones: `zone=image`, the one that was built in (`FATA_DNS_ZONE` names
//! the file when the image is built), which is what it has without a word; `zone=store`, those in Xenstore, where each node
//! below `data/zone` of this domain is one, or has its pieces below it, in the order of their numbers; or
//! `zone=[DISK[pN]:]/PATH`, a file on a disk, of ext2 to ext4 or FAT (with the feature `files`). `origin=NAME` is what names go on with until a file says
//! `$ORIGIN`.
//!
//! `axfr=ADDRESS[,ADDRESS]` are those who may have whole zones, `rate=N` (200) is how many like answers a second a network
//! gets, with 0 as many as there are, and each `slip=N`th (2) beyond goes out truncated. `port=N` (53) is where it listens,
//! `connections=N` (32) how many streams there are at a time.
//!
//! Zones are read again when something changes in `data/zone` or `data/reload` of Xenstore, and when `reload` is typed on the
//! console. If one is bad, the log says which line, and what there was goes on to be served. Enter has it say what it has
//! done so far. Addresses and the network card are as in `ping`.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod app;
#[cfg(feature = "disk")]
mod files;
mod load;
mod options;

pub use app::app;
#[cfg(feature = "disk")]
pub use files::Place;
pub use load::parse;
pub use options::{Options, Source};

/// The zone that was built in.
pub const ZONE: &[u8] = include_bytes!(env!("FATA_DNS_ZONE_FILE"));
