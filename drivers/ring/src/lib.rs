//! Rings in memory shared with another domain.
#![cfg_attr(not(test), no_std)]
