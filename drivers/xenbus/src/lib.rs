//! Devices that a backend in another domain serves: states, features, coming and going.
//!
//! Each half of such a device has a directory in Xenstore with a node `state`, and watches the other's. A [`Device`]
//! is our half of one, and its type says how far that has come; the backend's state is a value, since it may be
//! anything at any time (`io/xenbus.h`).
//!
//! Nothing here lasts: backends are restarted, devices are pulled and plugged in again, and after a suspend
//! everything is set up anew. So a driver is a loop around [`Device::plug`], and its users see a pause.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod bus;
mod control;
mod device;
mod join;
mod state;

pub use bus::{Bus, Entry};
pub use control::{Control, Order};
pub use device::{Change, Connected, Device, Initialised, Initialising};
pub use state::State;

pub use fata_xenstore::Error;
