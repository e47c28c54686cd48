//! What boards boot from: device trees for Xen, and the media they are on.
#![forbid(unsafe_code)]

mod tree;

pub use tree::{DomUNode, Enhanced, HostTree, Module, StaticEvent};
