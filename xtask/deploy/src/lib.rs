//! What boards boot from: device trees for Xen, and the media they are on.
#![forbid(unsafe_code)]

mod partial;
mod tree;

pub use partial::{DeviceNode, Mapping, PartialTree, Value};
pub use tree::{DomUNode, Enhanced, HostTree, Module, StaticEvent};
