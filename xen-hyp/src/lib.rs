//! The Xen ABI and the Platform seam.
//!
//! [`platform`] is the seam; everything else here runs unchanged on Xen and in the simulator. [`Xen`] is one
//! domain's view of its hypervisor, [`Channel`] one end of an event channel, and [`SharedMem`] memory that
//! somebody else may be changing.
#![cfg_attr(not(test), no_std)]
#![allow(unsafe_code, reason = "below the wall: hypercalls and memory shared with Xen")]

extern crate alloc;

pub mod abi;
mod clock;
mod control;
mod error;
mod event;
mod grant;
mod grant_copy;
mod info;
mod joint;
mod mapped;
pub mod mem;
mod pages;
mod param;
mod passed;
pub mod platform;
mod signal;
mod xen;

pub use control::Reason;
pub use error::XenError;
pub use event::{Channel, EventTotals, PortInfo, PortStatus, Virq};
pub use grant::{Access, GrantError, GrantRef, GrantTotals, Granted, Refused, StillMapped};
pub use info::{Features, Version};
pub use joint::Joint;
pub use mapped::Mapped;
pub use mem::{SharedBits, SharedMem, SharedPage};
pub use pages::Pages;
pub use param::{HvmParam, Reserved};
pub use passed::Passed;
pub use platform::{CpuRandom, Gfn, PAGE_SIZE, Platform};
pub use signal::{After, Seen, Signal};
pub use xen::{DomId, Port, Xen};
