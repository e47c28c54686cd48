//! 64-bit ARM under Xen: entry, MMU, vGIC, timer, hypercalls.
#![cfg_attr(not(test), no_std)]
