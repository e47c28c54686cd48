//! Vchans that were laid out before this domain started: nodes below `/passthrough` (`docs/src/protocols.md`).

use crate::dt;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use fata_boot::info::BootInfo;
use fata_vchan::StaticPlace;
use xen_hyp::Port;

const COMPATIBLE: &str = "fata,static-vchan";

/// Their names, and where they are. One that lacks anything is left out, and the log says so.
pub fn vchans(info: &BootInfo<'_>) -> Vec<(String, StaticPlace)> {
    let mut vchans = Vec::new();
    for device in info.devices.iter().filter(|device| device.is(COMPATIBLE)) {
        let node = dt::node(info, device);
        let serve = match node.string("fata,role") {
            Some("server") => Some(true),
            Some("client") => Some(false),
            _ => None,
        };
        let place = device.registers.first().zip(node.cell("fata,port")).zip(serve);
        match (node.string("fata,name"), place) {
            (Some(name), Some(((memory, port), serve))) if !name.is_empty() => {
                let size = usize::try_from(memory.size).unwrap_or_default();
                vchans
                    .push((name.to_string(), StaticPlace { at: memory.base, size, port: Port(port), serve }));
            }
            _ => {
                fata_log::warn!(
                    "{}: not used, since it lacks reg, fata,port, fata,role or fata,name",
                    device.name
                );
            }
        }
    }
    vchans
}
