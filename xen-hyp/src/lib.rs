//! The Xen ABI and the Platform seam.
#![cfg_attr(not(test), no_std)]

pub mod platform;
