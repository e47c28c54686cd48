//! Block frontend: disks served by another domain.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
