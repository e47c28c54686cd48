//! Boot information, image headers, heap, panic and log sink.
#![cfg_attr(not(test), no_std)]

pub mod info;
