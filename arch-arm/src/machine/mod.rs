//! The machine itself.

mod cpu;
pub mod early;
mod entry;
mod exception;
pub mod fault;
mod gic;
pub mod hypercall;
mod memory;
pub mod mmio;
mod mmu;
mod passed;
mod random;
mod start;
pub mod timer;

pub use cpu::{ArmCpu, ArmError};
pub use start::{Boot, image};
