//! Real Xen in QEMU: packages, machines, snapshots, test cases.
#![forbid(unsafe_code)]

mod apt;
mod lab;
mod parts;
mod progress;
mod sources;
mod sysroot;
mod tool;

pub use apt::Host;
pub use lab::Lab;
pub use parts::{Qemu, XenParts, XenVersion};
pub use progress::{Progress, Step};
pub use sysroot::Toolchain;
