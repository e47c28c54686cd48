//! What is found in trees that are as they should be.

use super::tree;
use fata_boot::info::{Conduit, Gic, IntId, Region, UartKind};
use fata_xenvm_arm64::dt::{self, Wired};

const fn region(base: u64, size: u64) -> Region {
    Region { base, size }
}

#[test]
fn guests_of_xl() {
    for name in ["xl-gicv2", "xl-gicv3", "xl-nops-everywhere"] {
        let blob = tree(name);
        let info = dt::parse(&blob).unwrap();
        assert_eq!((info.model, info.compatible), ("XENVM-4.20", "xen,xenvm-4.20"));
        assert_eq!(info.memory[..], [region(0x4000_0000, 16 << 20)]);
        assert_eq!(info.reserved[..], []);
        assert_eq!(info.cmdline, if name == "xl-nops-everywhere" { "" } else { "hello=world quiet" });
        assert_eq!((info.cpus, info.rng_seed.len(), info.initrd), (1, 128, None));
        assert_eq!((info.timer, info.psci), (Some(IntId(27)), Some(Conduit::Hvc)));
        let xen = info.hypervisor.unwrap();
        assert_eq!((xen.version, xen.event), ("4.20", IntId(31)));
        assert_eq!(xen.grants, region(0x3800_0000, 16 << 20));
        let extended = [region(0x4100_0000, 0xbf00_0000), region(0x2_0000_0000, 0x7e_0000_0000)];
        assert_eq!(xen.extended[..], extended);
        assert!(info.uart.is_none() && info.remarks.is_empty(), "{:?}", info.remarks);
    }
}

#[test]
fn both_interrupt_controllers() {
    for name in ["xl", "dom0less", "dom0less-enhanced"] {
        match dt::parse(&tree(&format!("{name}-gicv2"))).unwrap().gic {
            Some(Gic::V2 { dist, cpu }) => {
                assert_eq!((dist, cpu), (region(0x300_1000, 0x1000), region(0x300_2000, 0x2000)));
            }
            other => panic!("{name}: {other:?}"),
        }
        match dt::parse(&tree(&format!("{name}-gicv3"))).unwrap().gic {
            Some(Gic::V3 { dist, redist }) => {
                assert_eq!((dist, redist), (region(0x300_1000, 0x1_0000), region(0x302_0000, 0x100_0000)));
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn without_a_hypervisor_node_all_else_is_found() {
    let blob = tree("dom0less-gicv3");
    let info = dt::parse(&blob).unwrap();
    assert!(info.hypervisor.is_none());
    assert_eq!(info.remarks[..], ["no /hypervisor: no events, no grants, and so no PV devices"]);
    let uart = info.uart.unwrap();
    assert_eq!((uart.kind, uart.interrupt), (UartKind::Sbsa, Some(IntId(32))));
    assert_eq!(uart.registers, region(0x2200_0000, 0x1000));
    let blob = tree("dom0less-enhanced-gicv3");
    let info = dt::parse(&blob).unwrap();
    assert!(info.hypervisor.is_some() && info.uart.is_some() && info.remarks.is_empty());
}

#[test]
fn memory_in_several_banks() {
    let blob = tree("xl-two-banks-vuart");
    let info = dt::parse(&blob).unwrap();
    assert_eq!(info.memory[..], [region(0x4000_0000, 3 << 30), region(0x2_0000_0000, 1 << 30)]);
    assert_eq!(info.initrd, Some(region(0x40e0_0000, 0x10_0000)));
    assert!(info.uart.is_some());
}

#[test]
fn what_is_reserved_is_not_ram_to_use() {
    let blob = tree("dom0less-shared-memory");
    let info = dt::parse(&blob).unwrap();
    // Two of the banks touch: one bank.
    assert_eq!(info.memory[..], [region(0x4000_0000, 32 << 20), region(0x2_0000_0000, 32 << 20)]);
    assert_eq!(info.reserved[..], [region(0x4080_0000, 0x10_0000), region(0x40c0_0000, 0x3000)]);
    let image = region(0x4000_0000, 0x8_0000);
    let usable = [
        (0x4008_0000, 0x4080_0000),
        (0x4090_0000, 0x40c0_0000),
        (0x40c0_3000, 0x40e0_0000),
        (0x40f0_0000, 0x4200_0000),
        (0x2_0000_0000, 0x2_0200_0000),
    ];
    assert_eq!(info.usable(&[image])[..], usable.map(|(base, end)| Region::between(base, end)));
}

#[test]
fn a_board_with_buses_aliases_and_more_than_one_serial_port() {
    let blob = tree("board");
    let info = dt::parse(&blob).unwrap();
    assert_eq!((info.model, info.compatible, info.cpus), ("A board", "vendor,board", 4));
    assert_eq!(info.memory[..], [region(0x4000_0000, 0x1_4000_0000)]);
    assert_eq!(info.reserved[..], [region(0x4300_0000, 0x1_0000), region(0x9240_0000, 0x200_0000)]);
    assert_eq!(info.initrd, Some(region(0x4800_0000, 0x1000)));
    assert_eq!(info.psci, Some(Conduit::Smc));
    // `serial1:115200n8` is an alias; the port's address goes through the `ranges` of two buses.
    let uart = info.uart.unwrap();
    assert_eq!((uart.kind, uart.interrupt), (UartKind::Ns16550 { stride: 4 }, Some(IntId(59))));
    assert_eq!(uart.registers, region(0x3089_0000, 0x1_0000));
    assert!(matches!(info.gic, Some(Gic::V3 { dist, .. }) if dist.base == 0x3880_0000));
}

#[test]
fn devices_that_are_passed_through() {
    for name in ["dom0less-passthrough-gicv2", "dom0less-passthrough-gicv3"] {
        let blob = tree(name);
        let info = dt::parse(&blob).unwrap();
        assert!(info.remarks.is_empty(), "{:?}", info.remarks);
        // A serial port is among them, and comes first in the tree. It is not what the machine speaks through.
        assert_eq!(info.uart.map(|uart| uart.registers.base), Some(0x2200_0000));
        let names: Vec<_> = info.devices.iter().map(|device| device.name).collect();
        assert_eq!(names, ["gpio@9030000", "serial@9040000", "leds", "keys", "vchan@0"]);
        let [gpio, serial, leds, _, vchan] = &info.devices[..] else { panic!("{names:?}") };
        assert!(gpio.is("arm,pl061") && gpio.is("arm,primecell") && !gpio.is("arm") && !gpio.is(""));
        assert_eq!(gpio.registers[..], [region(0x903_0000, 0x1000)]);
        assert_eq!((&gpio.interrupts[..], &serial.interrupts[..]), (&[IntId(39)][..], &[IntId(40)][..]));
        assert!(dt::node(&info, gpio).prop("gpio-controller").is_some());
        let lamp = dt::node(&info, leds).children().next().unwrap();
        assert_eq!((lamp.name, lamp.string("label")), (&b"act"[..], Some("act")));
        let pin: Vec<_> = lamp.cells("gpios").collect();
        assert_eq!(pin, [1, 5, 0]);
        assert_eq!(dt::by_phandle(&info, pin[0]).map(|device| device.name), Some("gpio@9030000"));
        assert!(dt::by_phandle(&info, 2).is_none());
        let act = Wired { name: "act", device: 0, line: 5, flags: 0, debounce_ms: None };
        assert_eq!(dt::lamps(&info).collect::<Vec<_>>(), [act]);
        assert_eq!(dt::buttons(&info).collect::<Vec<_>>(), [Wired { name: "button", line: 3, ..act }]);
        assert!(vchan.is("fata,static-vchan") && vchan.registers.is_empty() && vchan.interrupts.is_empty());
        let vchan = dt::node(&info, vchan);
        assert_eq!((vchan.string("fata,role"), vchan.cell("fata,port")), (Some("server"), Some(10)));
        assert_eq!((vchan.string("fata,port2"), vchan.cell("fata,port2")), (None, None));
        // Xen took no heed of where the devices are seen, which here is in none of them.
        let extended = [region(0x4200_0000, 0xbe00_0000), region(0x2_0000_0000, 0x7e_0000_0000)];
        assert_eq!(info.hypervisor.unwrap().extended[..], extended);
    }
}

#[test]
fn qemu_s_board() {
    for name in ["qemu-virt-gicv2", "qemu-virt-gicv3"] {
        let blob = tree(name);
        let info = dt::parse(&blob).unwrap();
        assert_eq!(info.compatible, "linux,dummy-virt");
        assert_eq!(info.memory[..], [region(0x4000_0000, 256 << 20)]);
        let uart = info.uart.unwrap();
        assert_eq!((uart.kind, uart.registers), (UartKind::Pl011, region(0x900_0000, 0x1000)));
        assert_eq!((uart.interrupt, info.timer), (Some(IntId(33)), Some(IntId(27))));
        assert!(info.gic.is_some());
    }
}

#[test]
fn bytes_behind_the_tree_do_not_matter() {
    let mut blob = tree("xl-gicv3");
    let size = blob.len();
    blob.resize(size + 100, 0xff);
    assert_eq!(dt::parse(&blob).unwrap().dtb.len(), size);
}

#[test]
fn printed_as_source() {
    let shown = |path| {
        let mut out = String::new();
        dt::print(&tree("xl-gicv2"), path, &mut out).unwrap();
        out
    };
    assert_eq!(
        shown("/hypervisor"),
        "hypervisor {\n  compatible = \"xen,xen-4.20\", \"xen,xen\";\n  \
         reg = <0x0 0x38000000 0x0 0x1000000 0x0 0x41000000 0x0 0xbf000000 0x2 0x0 0x7e 0x0>;\n  \
         interrupts = <0x1 0xf 0xf08>;\n  interrupt-parent = <0xfde8>;\n};\n"
    );
    // Without its unit address, and with.
    assert_eq!(shown("/memory"), shown("/memory@40000000"));
    assert!(shown("/cpus").contains("\n  cpu@0 {\n    device_type = \"cpu\";\n"));
    let root = shown("/");
    assert!(root.starts_with("/ {\n  model = \"XENVM-4.20\";\n") && root.ends_with("  };\n};\n"), "{root}");
    assert!(!root.contains("200000000 {"), "a node overwritten with NOPs is not there");
    assert_eq!(shown("/nothing"), "There is no node at /nothing.\n");
    assert_eq!(shown("timer"), "There is no node at timer.\n");
}
