//! Logging facade: text, defmt frames, or nothing.
#![cfg_attr(not(test), no_std)]
