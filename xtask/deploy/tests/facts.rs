//! What is read from boards' device trees, and what of a board's crate they contradict.

use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use fata_boot::info::Region;
use fata_deploy::{Survey, contradictions};
use fata_facts::{Board, Cells, Device, Expectations, Medium, Model, Qemu, Table, Tree, UBoot, XenFacts};

const fn region(base: u64, size: u64) -> Region {
    Region { base, size }
}

const TWO_GIB: Region = region(0, 2 << 30);
const GPIO: Device = Device {
    name: "gpio",
    path: "/soc/gpio@7e200000",
    compatible: "acme,gpio",
    registers: region(0xfe20_0000, 0x1000),
    interrupts: &[145, 30],
    cells: &[],
};
const QEMU: Qemu = Qemu {
    machine: "acme",
    cpus: 1,
    memory_mib: None,
    args: &[],
    one_cpu: &[],
    serial: 0,
    timer_hz: 62_500_000,
};
const BOARD: Board = Board {
    name: "acme",
    title: "Acme",
    compatible: "acme,board",
    tree: Tree::Qemu,
    ram: &[region(0, 1 << 30)],
    guest: Expectations { gic: 2, timer: 27, event: 31, timer_hz: 8_000_000, memory_mib: None },
    xen: XenFacts {
        serial: "serial1",
        args: &[],
        cpus: 1,
        modules: region(0x1000_0000, 0x1000_0000),
        remove: &["/soc/dma@7e100000"],
        set: &[Cells { path: "/soc/dma@7e100000", property: "reg", cells: &[0, 0] }],
    },
    uboot: UBoot { xen: 0x20_0000, tree: 0x800_0000, from: "mmc 0:1", packaged: None },
    medium: Medium { table: Table::Mbr, first_partition_mib: 1 },
    firmware: &[],
    devices: &[GPIO],
    model: Model::Qemu(QEMU),
};

struct Node(DeviceTreeNode);

impl Node {
    fn new(name: &str) -> Self {
        Self(DeviceTreeNode::new_unchecked(name))
    }
    fn bytes(mut self, name: &str, value: &[u8]) -> Self {
        self.0.add_property(DeviceTreeProperty::new_unchecked(name, value.to_vec()));
        self
    }
    fn cells(self, name: &str, cells: &[u32]) -> Self {
        let bytes: Vec<_> = cells.iter().flat_map(|cell| cell.to_be_bytes()).collect();
        self.bytes(name, &bytes)
    }
    fn text(self, name: &str, text: &str) -> Self {
        self.bytes(name, format!("{text}\0").as_bytes())
    }
    fn child(mut self, child: Self) -> Self {
        self.0.add_child(child.0);
        self
    }
}

/// The board's tree: registers behind a bus, and interrupts of a parent further up.
fn blob() -> Vec<u8> {
    let device = |name: &str, compatible: &str, reg: [u32; 2], interrupts: &[u32]| {
        Node::new(name).text("compatible", compatible).cells("reg", &reg).cells("interrupts", interrupts)
    };
    let soc = Node::new("soc")
        .cells("#address-cells", &[1])
        .cells("#size-cells", &[1])
        .cells("ranges", &[0x7e00_0000, 0, 0xfe00_0000, 0x180_0000])
        .child(
            device("gic@7e001000", "arm,gic-400", [0x7e00_1000, 0x1000], &[])
                .bytes("interrupt-controller", &[])
                .cells("#interrupt-cells", &[3])
                .cells("phandle", &[7]),
        )
        .child(device("gpio@7e200000", "acme,gpio-2\0acme,gpio", [0x7e20_0000, 0xb4], &[0, 113, 4, 1, 14, 4]))
        .child(device("dma@7e100000", "acme,dma", [0x7e10_0000, 0x1000], &[]))
        .child(device("serial@7e201000", "arm,pl011\0arm,primecell", [0x7e20_1000, 0x200], &[0, 121, 4]))
        .child(device("serial@7e202000", "acme,uart", [0x7e20_2000, 0x200], &[0, 122, 4]))
        .child(
            device("serial@7e203000", "arm,pl011", [0x7e20_3000, 0x200], &[0, 123, 4])
                .text("status", "disabled"),
        );
    let root = Node::new("")
        .text("compatible", "acme,board\0acme,chip")
        .text("model", "Acme Board")
        .cells("#address-cells", &[2])
        .cells("#size-cells", &[1])
        .cells("interrupt-parent", &[7])
        .child(
            Node::new("aliases")
                .text("serial0", "/soc/serial@7e202000")
                .text("serial1", "/soc/serial@7e201000")
                .text("serial2", "/soc/serial@7e203000"),
        )
        .child(Node::new("chosen").text("stdout-path", "serial1:115200n8"))
        .child(
            // The last one nobody can start.
            Node::new("cpus")
                .child(Node::new("cpu@0").text("device_type", "cpu"))
                .child(Node::new("cpu@1").text("device_type", "cpu").text("enable-method", "psci"))
                .child(Node::new("cpu@2").text("device_type", "cpu")),
        )
        .child(Node::new("memory@0").text("device_type", "memory").cells("reg", &[0, 0, 0x4000_0000]))
        .child(
            Node::new("reserved-memory")
                .cells("#address-cells", &[2])
                .cells("#size-cells", &[1])
                .bytes("ranges", &[])
                .child(Node::new("dsp@30000000").cells("reg", &[0, 0x3000_0000, 0x10_0000])),
        )
        .child(
            Node::new("timer")
                .text("compatible", "arm,armv8-timer")
                .cells("interrupts-extended", &[7, 1, 13, 4, 7, 1, 14, 4, 7, 1, 11, 4, 7, 1, 10, 4])
                .cells("clock-frequency", &[8_000_000]),
        )
        .child(Node::new("psci").text("compatible", "arm,psci-1.0\0arm,psci").text("method", "smc"))
        .child(soc);
    let mut tree = DeviceTree::new();
    tree.root = root.0;
    tree.to_dtb()
}

#[test]
fn a_tree_is_looked_through() {
    let survey = Survey::read(&blob()).unwrap();
    assert_eq!(survey.model.as_deref(), Some("Acme Board"));
    assert_eq!(survey.compatible, ["acme,board", "acme,chip"]);
    assert_eq!(survey.memory, [region(0, 0x4000_0000)]);
    assert_eq!(survey.reserved, [region(0x3000_0000, 0x10_0000)]);
    assert_eq!(survey.controller, Some(("/soc/gic@7e001000".to_owned(), 2)));
    assert_eq!((survey.timer.as_slice(), survey.timer_hz), (&[29, 30, 27, 26][..], Some(8_000_000)));
    assert_eq!(survey.stdout.as_deref(), Some("/soc/serial@7e201000"));
    assert_eq!(survey.psci.as_deref(), Some("smc"));
    let ports: Vec<_> = survey
        .ports
        .iter()
        .map(|port| (port.alias.as_deref().unwrap_or_default(), port.driver, port.device.enabled))
        .collect();
    let pl011 = Some("pl011");
    assert_eq!(ports, [("serial1", pl011, true), ("serial0", None, true), ("serial2", pl011, false)]);
    let gpio = survey.device("/soc/gpio@7e200000").unwrap();
    assert_eq!((gpio.registers, gpio.interrupts), (vec![region(0xfe20_0000, 0xb4)], vec![145, 30]));
    assert_eq!(survey.device("/soc/none"), None);
    assert_eq!(contradictions(&BOARD, &survey), [""; 0]);
}

#[test]
fn each_fact_that_is_wrong_is_told() {
    let survey = Survey::read(&blob()).unwrap();
    let guest = BOARD.guest;
    let xen = || XenFacts {
        serial: BOARD.xen.serial,
        args: &[],
        cpus: 1,
        modules: BOARD.xen.modules,
        remove: &[],
        set: &[],
    };
    let gpio = |device: Device| Board { devices: Box::leak(Box::new([device])), ..BOARD };
    let wrong: Vec<(&str, Board)> = vec![
        ("compatible with acme,board", Board { compatible: "acme,other", ..BOARD }),
        ("no RAM at 0x0 to 0x80000000", Board { ram: &[TWO_GIB], ..BOARD }),
        ("is a GICv2", Board { guest: Expectations { gic: 3, ..guest }, ..BOARD }),
        ("have interrupts", Board { guest: Expectations { timer: 26, ..guest }, ..BOARD }),
        ("have interrupts", Board { guest: Expectations { event: 30, ..guest }, ..BOARD }),
        ("runs at 8000000 Hz", Board { guest: Expectations { timer_hz: 1, ..guest }, ..BOARD }),
        ("can start 2 CPUs, not 3", Board { xen: XenFacts { cpus: 3, ..xen() }, ..BOARD }),
        ("can start 2 CPUs, not 0", Board { xen: XenFacts { cpus: 0, ..xen() }, ..BOARD }),
        ("no serial port serial9", Board { xen: XenFacts { serial: "serial9", ..xen() }, ..BOARD }),
        ("no serial port serial2", Board { xen: XenFacts { serial: "serial2", ..xen() }, ..BOARD }),
        ("cannot print on serial0", Board { xen: XenFacts { serial: "serial0", ..xen() }, ..BOARD }),
        ("can print on serial1", Board { model: Model::Mute(QEMU, "it does not"), ..BOARD }),
        ("no node /pcie to remove", Board { xen: XenFacts { remove: &["/pcie"], ..xen() }, ..BOARD }),
        (
            "no size of /soc",
            Board {
                xen: XenFacts { set: &[Cells { path: "/soc", property: "size", cells: &[] }], ..xen() },
                ..BOARD
            },
        ),
        ("modules", Board { xen: XenFacts { modules: region(0x2ff0_0000, 2 << 20), ..xen() }, ..BOARD }),
        ("modules", Board { xen: XenFacts { modules: region(0x800_0000, 2 << 20), ..xen() }, ..BOARD }),
        ("no device /soc/pins", gpio(Device { path: "/soc/pins", ..GPIO })),
        ("not compatible with acme,pins", gpio(Device { compatible: "acme,pins", ..GPIO })),
        ("registers are at", gpio(Device { registers: region(0x7e20_0000, 0x1000), ..GPIO })),
        ("registers are at", gpio(Device { registers: region(0xfe20_0000, 0x2000), ..GPIO })),
        ("interrupts are [145, 30]", gpio(Device { interrupts: &[145], ..GPIO })),
        (
            "Xen's own serial port",
            gpio(Device {
                path: "/soc/serial@7e201000",
                compatible: "arm,pl011",
                registers: region(0xfe20_1000, 0x1000),
                interrupts: &[153],
                ..GPIO
            }),
        ),
    ];
    for (words, board) in wrong {
        let found = contradictions(&board, &survey);
        assert!(found.len() == 1 && found[0].contains(words), "{words}: {found:?}");
    }
}

#[test]
fn trees_that_are_cut_or_broken_do_no_harm() {
    let whole = blob();
    for length in 0..whole.len() {
        assert!(Survey::read(&whole[..length]).is_err(), "{length} bytes");
    }
    let seed = std::env::var("FATA_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_125);
    println!("FATA_SEED={seed}");
    let mut state: u64 = seed;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut read = 0;
    for _ in 0..20_000 {
        let mut broken = whole.clone();
        for _ in 0..=random(4) {
            let at = random(broken.len());
            broken[at] = match random(3) {
                0 => 0,
                1 => 0xff,
                _ => random(256) as u8,
            };
        }
        if let Ok(survey) = Survey::read(&broken) {
            contradictions(&BOARD, &survey);
            read += 1;
        }
    }
    assert!(read > 1000, "most of them are no trees: {read}");
}
