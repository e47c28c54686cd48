//! What boards boot from: device trees for Xen, and the media they are on.
#![forbid(unsafe_code)]

mod blob;
mod check;
mod contents;
mod deployment;
mod device;
mod facts;
mod map;
mod medium;
mod partial;
mod plan;
mod refusal;
pub mod script;
mod survey;
mod tree;
pub mod xl;

pub use blob::{NotATree, read as read_tree};
pub use deployment::{At, Deployment, Dom0, Domain, LARGEST_FILE, OnCrash, Start, Vchan};
pub use device::{Number, System, Target};
pub use facts::contradictions;
pub use map::{Kind, MemoryMap, Part};
pub use medium::{MediumFile, medium};
pub use partial::{DeviceNode, Mapping, PartialTree, Value};
pub use plan::{Dom0Files, Loaded, Plan, Sources};
pub use refusal::{Refusal, Refusals};
pub use survey::{DeviceFound, Port, Survey};
pub use tree::{DomUNode, Enhanced, HostTree, Module, StaticEvent};
