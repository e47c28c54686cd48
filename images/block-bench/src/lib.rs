//! Measures a disk: the work is on the command line, the result a line each.
//!
//! `bench=READ_OR_WRITE,SEQ_OR_RAND,BLOCK_BYTES,TOTAL_BYTES,DEPTH`, several of them separated by `;`. Each gives
//! `blk read rand bs 4096 qd 32 total N ns N`. Then, with `outages=N`, it reads until the backend was away so often,
//! and says each time for how long: `blk back ns N`.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod bench;

pub use bench::app;
