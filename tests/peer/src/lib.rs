//! What the Linux program understands and says: the same as `images/block-bench`, `images/base-bench`
//! and `images/net-bench`.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod base;
pub mod block;
pub mod net;
