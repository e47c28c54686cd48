//! A guest of the simulator with all that the application wants to know of its machine.

use fata_boot::info::{BootInfo, Conduit, Gic, Hypervisor, IntId, Region, Uart, UartKind};
use fata_sim::{Setup, SimCpu, Store, World};
use mir_console::machine::{Fault, Machine, Stack};
use std::path::Path;
use std::rc::Rc;
use xen_hyp::Xen;

/// No secret at all.
const RNG_SEED: [u8; 128] = {
    let (mut bytes, mut i) = ([0; 128], 0);
    while i < bytes.len() {
        bytes[i] = i as u8;
        i += 1;
    }
    bytes
};

pub(crate) fn region(base: u64, size: u64) -> Region {
    Region { base, size }
}

/// What `xl create` gives on GICv3, with a bank above 4 GiB and something odd to remark upon.
pub(crate) fn info(cmdline: &'static str) -> BootInfo<'static> {
    let mut info = BootInfo { model: "XENVM-4.20", compatible: "xen,xenvm-4.20", cpus: 1, cmdline, ..bare() };
    info.memory.push(region(0x4000_0000, 0x800_0000)).unwrap();
    info.memory.push(region(0x2_0000_0000, 0x1_4000_0000)).unwrap();
    info.reserved.push(region(0x4800_0000 - 0x2000, 0x2000)).unwrap();
    info.initrd = Some(region(0x4700_0000, 0x1_2345));
    info.rng_seed = &RNG_SEED;
    info.gic = Some(Gic::V3 { dist: region(0x300_1000, 0x1_0000), redist: region(0x302_0000, 0x10_0000) });
    info.timer = Some(IntId(27));
    info.psci = Some(Conduit::Hvc);
    let mut extended = fata_boot::info::List::default();
    extended.push(region(0x4800_0000, 0x7800_0000)).unwrap();
    let grants = region(0x3800_0000, 0x100_0000);
    info.hypervisor = Some(Hypervisor { version: "4.20", grants, extended, event: IntId(31) });
    info.uart = Some(Uart {
        kind: UartKind::Sbsa,
        registers: region(0x2200_0000, 0x1000),
        interrupt: Some(IntId(32)),
    });
    info.remarks.push("two /memory nodes overlap and were joined").unwrap();
    info
}

/// A machine that says nothing of itself.
pub(crate) fn bare() -> BootInfo<'static> {
    BootInfo {
        model: "",
        compatible: "",
        memory: Default::default(),
        reserved: Default::default(),
        cmdline: "",
        net: "",
        initrd: None,
        rng_seed: &[],
        payload: &[],
        cpus: 0,
        gic: None,
        timer: None,
        psci: None,
        hypervisor: None,
        uart: None,
        devices: Default::default(),
        dtb: b"tree",
        remarks: Default::default(),
    }
}

pub(crate) fn machine<'a>(info: &'a BootInfo<'static>) -> Machine<'a> {
    Machine {
        info,
        console: "PV ring",
        timer_hz: 62_500_000,
        image: &[
            ("instructions", Region { base: 0x4020_0000, size: 0x1_2000 }, "r-x"),
            ("stack", Region { base: 0x4021_8000, size: 0x1_0000 }, "rw-"),
        ],
        stack: || Stack { size: 0x1_0000, used: 0x840 },
        print_dt: |dtb, path, out| match path {
            "/" => (0..500).try_for_each(|i| writeln!(out, "/* {} {i} */", dtb.escape_ascii())),
            _ => writeln!(out, "no node {path}"),
        },
        commit: |fault: Fault| panic!("committed {fault:?}"),
    }
}

/// A guest on a day in November.
pub(crate) fn guest(world: &World, store: Store) -> Rc<Xen<SimCpu>> {
    let xen = world.guest_with(Setup { store, ..Setup::default() });
    xen.platform().domain().set_wall_clock(1_795_320_000, 0);
    xen
}

/// Compares with `tests/golden/NAME`, or writes it if `FATA_GOLDEN=write`.
pub(crate) fn golden(name: &str, seen: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    assert!(!seen.replace("\r\n", "").contains(['\r', '\n']), "lines end in CR LF");
    let seen = seen.replace("\r\n", "\n");
    for line in seen.lines() {
        assert!(line.chars().count() < 80 || line.contains('\u{1b}'), "too wide: {line:?}");
    }
    if std::env::var("FATA_GOLDEN").is_ok_and(|v| v == "write") {
        std::fs::write(&path, seen).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(seen == expected, "{} differs (FATA_GOLDEN=write updates it); now:\n{seen}", path.display());
}
