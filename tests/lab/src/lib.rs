//! Real Xen in QEMU: packages, machines, snapshots, test cases.
#![forbid(unsafe_code)]

mod apt;
mod flatten;
mod image;
mod lab;
mod parts;
mod progress;
mod sources;
mod sysroot;
mod tool;

pub use apt::Host;
pub use flatten::Section;
pub use image::{ARCHES, Arch, BuildRequest, Built};
pub use lab::Lab;
pub use parts::{Qemu, XenParts, XenVersion};
pub use progress::{Progress, Step};
pub use sysroot::Toolchain;
