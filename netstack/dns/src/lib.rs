//! An authoritative name server (RFC 1034, 1035 and what came after).
//!
//! [`Reader`] makes a [`Zone`] of a zone file, checked as `named-checkzone` would, or says which line is wrong and why.
//! A zone is a handful of arrays: 10,000 names take less than a megabyte. [`answer`] makes the answer to a message in a
//! buffer, without allocating anything; [`Transfer`] sends all of a zone. None of these knows a network; [`Server`] puts them
//! on one.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod answer;
mod build;
mod check;
mod data;
mod error;
mod kind;
mod limiter;
mod name;
mod out;
mod query;
mod reader;
mod server;
mod service;
mod text;
mod transfer;
mod tree;
mod words;
mod zone;

pub use answer::{ANSWER_MAX, Reply, Transport, answer, truncate};
pub use build::Limits;
pub use check::{Odd, Warning};
pub use error::{What, ZoneError};
pub use kind::Kind;
pub use limiter::{Limiter, Verdict};
pub use name::{BadName, Name};
pub use out::UDP_MAX;
pub use query::Rcode;
pub use reader::Reader;
pub use server::{Counts, Options, PORT, Server};
pub use transfer::Transfer;
pub use zone::Zone;
