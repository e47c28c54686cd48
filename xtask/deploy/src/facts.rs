//! Whether what a board's crate says is so by its device tree.

use fata_boot::info::Region;
use fata_facts::{Board, Device, Model};

use crate::survey::Survey;

/// Interrupts of every 64-bit ARM guest (xen/include/public/arch-arm.h: `GUEST_TIMER_VIRT_PPI`, `GUEST_EVTCHN_PPI`).
const GUEST_INTERRUPTS: [u32; 2] = [27, 31];
/// Room for what U-Boot loads before it starts Xen, from each of its addresses on.
const UBOOT_LOADS: u64 = 2 << 20;

/// All that is not so, in words.
pub fn contradictions(board: &Board, survey: &Survey) -> Vec<String> {
    let mut found = Vec::new();
    let mut must = |is_so: bool, words: String| {
        if !is_so {
            found.push(words);
        }
    };
    let name = survey.compatible.first().map_or("nothing", String::as_str);
    must(name == board.compatible, format!("it is compatible with {name}, not {}", board.compatible));
    for bank in board.ram {
        let inside = survey.memory.iter().any(|all| bank.base >= all.base && bank.end() <= all.end());
        // Some firmware fills it in.
        must(inside || survey.memory.is_empty(), format!("there is no RAM at {}", Span(*bank)));
    }
    let gic = survey.controller.as_ref().map_or(0, |(_, version)| *version);
    must(
        gic == board.guest.gic,
        format!("the interrupt controller is a GICv{gic}, not GICv{}", board.guest.gic),
    );
    let guest = [board.guest.timer, board.guest.event];
    must(
        guest == GUEST_INTERRUPTS,
        format!("guests of Xen's have interrupts {GUEST_INTERRUPTS:?}, not {guest:?}"),
    );
    let hz = survey.timer_hz.map_or(board.guest.timer_hz, u64::from);
    must(hz == board.guest.timer_hz, format!("the counter runs at {hz} Hz, not {}", board.guest.timer_hz));

    let cpus = survey.startable_cpus();
    // Some may be unlike the first, and not used.
    must(
        (1..=cpus).contains(&(board.xen.cpus as usize)),
        format!("Xen can start {cpus} CPUs, not {}", board.xen.cpus),
    );

    let serial = board.xen.serial;
    let path = survey.resolve(serial);
    let port = survey.ports.iter().find(|port| Some(&port.device.path) == path.as_ref());
    let mute = matches!(board.model, Model::Mute(..));
    match port.filter(|port| port.device.enabled).map(|port| port.driver.is_some()) {
        None => must(false, format!("there is no serial port {serial} in use")),
        Some(prints) => {
            must(prints != mute, format!("Xen {} print on {serial}", if prints { "can" } else { "cannot" }));
        }
    }
    for path in board.xen.remove {
        must(survey.resolve(path).is_some(), format!("there is no node {path} to remove"));
    }
    for change in board.xen.set {
        let (path, name) = (change.path, change.property);
        must(survey.has_property(path, name), format!("there is no {name} of {path} to set"));
    }

    let modules = board.xen.modules;
    let loaded = [board.uboot.xen, board.uboot.tree].map(|base| Region { base, size: UBOOT_LOADS });
    for taken in survey.reserved.iter().chain(&loaded) {
        let apart = taken.end() <= modules.base || modules.end() <= taken.base;
        must(apart, format!("modules at {} meet {}, which is taken", Span(modules), Span(*taken)));
    }
    for device in board.devices {
        found.extend(device_contradictions(device, survey));
        if Some(device.path) == path.as_deref() && !mute {
            found.push(format!("{} is Xen's own serial port", device.name));
        }
    }
    found
}

fn device_contradictions(device: &Device, survey: &Survey) -> Vec<String> {
    let (name, path) = (device.name, device.path);
    let Some(there) = survey.device(path) else { return vec![format!("{name}: there is no device {path}")] };
    let mut found = Vec::new();
    if !there.compatible.iter().any(|it| it == device.compatible) {
        found.push(format!("{name}: {path} is not compatible with {}", device.compatible));
    }
    let pages: Vec<_> = there.registers.iter().map(|it| it.pages_touched()).collect();
    if pages.first() != Some(&device.registers) {
        let spans: Vec<_> = pages.iter().map(|&it| Span(it).to_string()).collect();
        found.push(format!("{name}: registers are at {spans:?}, not {}", Span(device.registers)));
    }
    if there.interrupts != device.interrupts {
        found.push(format!("{name}: interrupts are {:?}, not {:?}", there.interrupts, device.interrupts));
    }
    found
}

/// A region in words.
struct Span(Region);

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x} to {:#x}", self.0.base, self.0.end())
    }
}
