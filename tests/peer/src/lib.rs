//! What the Linux program understands and says: the same as `images/block-bench` and `images/base-bench`.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod base;
pub mod block;
