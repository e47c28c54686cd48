//! Devices that a backend in another domain serves: states, features, coming and going.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
