//! The first sign of life: a console that tells what the board found.
#![cfg_attr(not(test), no_std)]
