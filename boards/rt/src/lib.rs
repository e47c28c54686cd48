//! Run loop, executor and timers.
#![cfg_attr(not(test), no_std)]
