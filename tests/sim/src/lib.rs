//! Xen in a process, for host tests.
//!
//! A [`World`] holds a hypervisor, any number of guests, the backends in domain 0 and a clock that moves only
//! when nobody has anything to do. The real `xen-hyp` and drivers run on it unchanged, through the same
//! `Platform` seam as on a board. Nothing runs by itself: [`Tasks`] polls futures exactly when they were
//! woken, so a lost wake-up shows as a task that never ends.
#![allow(unsafe_code, reason = "plays the hypervisor: reads arguments by address and owns shared pages")]

mod alone;
mod blkback;
mod domain;
mod events;
mod frame;
mod grants;
mod heap;
mod hypercall;
mod netback;
mod page;
mod rng;
mod store;
mod switch;
mod tasks;
mod vdev;
mod world;
mod xenconsoled;
mod xenstored;

pub use alone::{Clock, Paper, alone};
pub use blkback::{Blkback, Features, Medium, Order, Seen};
pub use domain::{Domain, Setup, SimCpu};
pub use frame::{Csum, ETHERNET, Frame, Headers};
pub use grants::{MappedPage, MappedPages};
pub use heap::Counted;
pub use netback::{Features as NetFeatures, NetLie, NetStats, Netback, Sending, Taken, Way};
pub use page::Page;
pub use rng::Rng;
pub use store::Store;
pub use switch::{Switch, SwitchPort, SwitchStats};
pub use tasks::Tasks;
pub use vdev::{Nodes, Vdev, state};
pub use world::{Backend, World};
pub use xenconsoled::Xenconsoled;
pub use xenstored::{Lie, StoreWatch, Xenstored};
