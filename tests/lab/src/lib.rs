//! Real Xen in QEMU: packages, machines, snapshots, test cases.
#![forbid(unsafe_code)]

mod apt;
mod backtrace;
mod bare;
mod bench;
mod cases;
mod checker;
mod console;
mod control;
mod cpio;
#[cfg(feature = "defmt")]
mod decode;
mod disk;
mod doctor;
mod dom0;
mod dom0less;
mod dtb;
mod fetch;
mod flatten;
mod footprint;
mod gdb;
mod guest;
mod host;
mod image;
mod lab;
mod machine;
mod modules;
mod mutate;
mod net;
mod network;
mod noise;
mod optimise;
mod parts;
mod pcap;
mod ports;
mod progress;
mod qemu;
mod qmp;
mod record;
mod runner;
mod snapshot;
mod soak;
mod sources;
mod store;
mod symbols;
mod sysroot;
mod terminal;
mod tool;
mod tools;
mod vchans;
mod xenlog;

pub use apt::Host;
pub use backtrace::{Annotator, Symboliser};
pub use bench::{
    Counter, Counts, Event, Peer, Profile, Span, Spent, Trap, Worker, address_of_main, xen_symbols,
};
pub use cases::{Case, all as cases};
pub use console::{Console, Transcript};
pub use control::Output;
#[cfg(feature = "defmt")]
pub use decode::Decoder;
pub use disk::{Contents, Disk, DiskWish, Vbd};
pub use doctor::{Finding, State};
pub use dom0less::{Dom0less, DomU};
pub use dtb::{Enhanced, StaticEvent};
pub use flatten::Section;
pub use footprint::Footprint;
pub use guest::{End, Guest};
pub use host::{Dom0, XlDomU};
pub use image::{ARCHES, Arch, BuildRequest, Built};
pub use lab::Lab;
pub use machine::{Config, Folder, Gic};
pub use net::{Forward, Vif, VifWish, address};
pub use optimise::Optimise;
pub use parts::{Qemu, XenParts, XenVersion};
pub use progress::{Progress, Step};
pub use qmp::Monitor;
pub use record::Recording;
pub use runner::{Failure, Images, Outcome, build as build_images, prepare, run as run_cases};
pub use soak::{Effort, Figures, Soak, Soaked, in_words};
pub use store::state;
pub use symbols::XenSymbols;
pub use sysroot::Toolchain;
pub use terminal::{Left, Terminal};
pub use tools::{On, Tools};
