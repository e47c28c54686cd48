//! What a disk is, and what can be made of one: parts, streams of bytes, file systems.
//!
//! Sectors are always numbered in units of [`SECTOR`] bytes, whatever the disk's own are. What is on a disk comes
//! from outside: everything here checks it before it believes it, takes memory and time that do not depend on it,
//! and answers with typed errors.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod buffer;
mod bytes;
#[cfg(any(feature = "ext4", feature = "fat"))]
mod cache;
mod crc;
mod device;
#[cfg(any(feature = "ext4", feature = "fat"))]
mod fs;
mod mem;
mod partition;
mod pause;
mod stream;
mod table;
mod window;

pub use buffer::Buffer;
pub use device::{BlockDevice, Error, Failed, Geometry, SECTOR};
#[cfg(any(feature = "ext4", feature = "fat"))]
pub use fs::{Directory, Entry, File, FileError, Kind, Metadata, Volume, mount};
pub use mem::{Counts, MemDisk};
pub use partition::Partition;
pub use stream::Stream;
pub use table::{Flaw, Guid, MAX_PARTS, Part, PartKind, Scheme, Table, TableError, What, partitions};
