//! 64-bit ARM under Xen: entry, MMU, vGIC, timer, hypercalls.
//!
//! What runs on the machine is compiled for it only; the parts that can be wrong without a machine (page
//! tables, syndromes) are plain code and tested on the host.
#![cfg_attr(not(test), no_std)]
#![allow(unsafe_code, reason = "below the wall: system registers, page tables, device registers")]

extern crate alloc;

pub mod syndrome;
pub mod tables;

#[cfg(target_arch = "aarch64")]
mod cpu;
#[cfg(target_arch = "aarch64")]
pub mod early;
#[cfg(target_arch = "aarch64")]
mod entry;
#[cfg(target_arch = "aarch64")]
mod exception;
#[cfg(target_arch = "aarch64")]
pub mod fault;
#[cfg(target_arch = "aarch64")]
mod gic;
#[cfg(target_arch = "aarch64")]
pub mod hypercall;
#[cfg(target_arch = "aarch64")]
pub mod mmio;
#[cfg(target_arch = "aarch64")]
mod mmu;
#[cfg(target_arch = "aarch64")]
mod start;
#[cfg(target_arch = "aarch64")]
mod timer;

#[cfg(target_arch = "aarch64")]
pub use cpu::{ArmCpu, ArmError};
#[cfg(target_arch = "aarch64")]
pub use start::{Boot, image};
