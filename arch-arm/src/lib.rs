//! 64-bit ARM under Xen: entry, MMU, vGIC, timer, hypercalls.
//!
//! What needs the machine is in `machine` and compiled for bare metal only; what can be wrong without one
//! (page tables, syndromes) is plain code, tested on the host.
#![cfg_attr(not(test), no_std)]
#![allow(unsafe_code, reason = "below the wall: system registers, page tables, device registers")]

extern crate alloc;

pub mod harmless;
pub mod syndrome;
pub mod tables;

#[cfg(all(target_arch = "aarch64", target_os = "none"))]
mod machine;
#[cfg(all(target_arch = "aarch64", target_os = "none"))]
pub use machine::{ArmCpu, ArmError, Boot, early, fault, hypercall, image, mmio, timer};
