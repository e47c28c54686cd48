//! The first sign of life: a console that tells what the board found.
//!
//! [`app`] is the application. It runs on any [`Platform`](xen_hyp::Platform), any console that can be read
//! and written, and a [`Machine`](machine::Machine) filled in by the board, so host tests run it whole.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod app;
#[cfg(feature = "vchan")]
mod chat;
pub mod commands;
pub mod crash;
pub mod devices;
pub mod editor;
pub mod history;
pub mod ink;
pub mod keys;
pub mod line;
pub mod machine;
pub mod options;
pub mod orders;
pub mod report;
pub mod row;
pub mod table;
pub mod width;

pub use app::{Exit, app};
