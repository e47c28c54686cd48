//! The Xen ABI and the Platform seam.
#![cfg_attr(not(test), no_std)]
#![allow(unsafe_code, reason = "below the wall: hypercalls and memory shared with Xen")]

pub mod platform;
