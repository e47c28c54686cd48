//! The machine Xen shows a 64-bit ARM guest.
//!
//! A board exports the same functions as every other board, and an image's `main` calls them in the order the
//! machine comes up: `discover`, `cpu`, `console`, then the run loop with `attend`, and in the end
//! `shutdown`.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod dt;
mod vchans;

pub use vchans::vchans;

#[cfg(all(target_arch = "aarch64", target_os = "none"))]
mod guest;
#[cfg(all(target_arch = "aarch64", target_os = "none"))]
mod log;
#[cfg(all(target_arch = "aarch64", target_os = "none"))]
mod passed;

#[cfg(all(target_arch = "aarch64", target_os = "none"))]
pub use fata_arch_arm::{ArmCpu, Boot, fault};
#[cfg(all(target_arch = "aarch64", target_os = "none"))]
pub use guest::{Parts, attend, console, cpu, discover, sections, shutdown, stack, timer_hz};
#[cfg(all(target_arch = "aarch64", target_os = "none"))]
pub use passed::{Passed, passed};
