//! The machine Xen shows a 64-bit ARM guest.
#![cfg_attr(not(test), no_std)]
