//! Trees whose structure is sound, and which are odd all the same.

use super::tree;
use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use fata_boot::info::{BootInfo, Gic, IntId, Region};
use fata_vchan::StaticPlace;
use fata_xenvm_arm64::dt::{self, DtError, Wired};
use xen_hyp::Port;

/// A tree of an `xl` guest with something done to it.
fn edited(edit: impl FnOnce(&mut DeviceTree)) -> Vec<u8> {
    let blob = tree("xl-gicv3");
    let mut tree = DeviceTree::from_fdt(&Fdt::new(&blob).unwrap());
    edit(&mut tree);
    tree.to_dtb()
}

/// The same, with one property replaced.
fn with(at: &str, name: &str, value: &[u8]) -> Vec<u8> {
    edited(|tree| {
        let node = if at.is_empty() { &mut tree.root } else { tree.root.child_mut(at).unwrap() };
        node.add_property(property(name, value));
    })
}

fn without(node: &str) -> Vec<u8> {
    edited(|tree| assert!(tree.root.remove_child(node).is_some()))
}

fn node(name: &str) -> DeviceTreeNode {
    DeviceTreeNode::new(name).unwrap()
}

fn property(name: &str, value: impl Into<Vec<u8>>) -> DeviceTreeProperty {
    DeviceTreeProperty::new(name, value.into()).unwrap()
}

fn cells(cells: &[u32]) -> Vec<u8> {
    cells.iter().flat_map(|cell| cell.to_be_bytes()).collect()
}

const MEMORY: &str = "memory@40000000";
const GIC: &str = "interrupt-controller@3001000";

#[track_caller]
fn refused(blob: &[u8], said: &str) {
    match dt::parse(blob) {
        Err(error) => assert_eq!(error.to_string(), said),
        Ok(_) => panic!("accepted, where {said:?} was due"),
    }
}

#[track_caller]
fn remarked<'a>(blob: &'a [u8], said: &str) -> BootInfo<'a> {
    let info = dt::parse(blob).unwrap();
    assert_eq!(info.remarks[..], [said]);
    info
}

#[test]
fn what_a_guest_cannot_do_without_is_named() {
    refused(&without(MEMORY), "memory is missing");
    refused(&with(MEMORY, "reg", &cells(&[0, 0x4000_0000, 0, 0])), "memory is missing");
    refused(&with(MEMORY, "status", b"disabled\0"), "memory is missing");
}

#[test]
fn what_makes_no_sense_is_named() {
    let memory = "memory: reg is not a list of addresses and sizes";
    for reg in [&[0, 0x4000_0000, 0][..], &[u32::MAX, u32::MAX, 0, 2], &[0, 0x4000_0000, u32::MAX, u32::MAX]]
    {
        refused(&with(MEMORY, "reg", &cells(reg)), memory);
    }
    refused(&with("", "#address-cells", &cells(&[3])), memory);
    refused(&with("", "#size-cells", &cells(&[u32::MAX])), memory);
    let registers = "interrupt controller: reg does not name two ranges of registers";
    refused(&with(GIC, "reg", &cells(&[0, 0x300_1000, 0, 0x1_0000])), registers);
    refused(&with(GIC, "reg", &[]), registers);
    let too_few = "interrupt controller: its registers are too few, or lie where none can";
    refused(&with(GIC, "reg", &cells(&[0, 0x300_1000, 0, 0x1000, 0, 0x302_0000, 0, 0x2_0000])), too_few);
    refused(&with(GIC, "reg", &cells(&[0, 0, 0, 0x1_0000, 0, 0x302_0000, 0, 0x2_0000])), too_few);
    refused(&with(GIC, "reg", &cells(&[0x100, 0, 0, 0x1_0000, 0x100, 0, 0, 0x2_0000])), too_few);
    let in_ram = "interrupt controller: it lies in RAM";
    refused(&with(GIC, "reg", &cells(&[0, 0x4000_0000, 0, 0x1_0000, 0, 0x302_0000, 0, 0x2_0000])), in_ram);
    refused(&with("hypervisor", "reg", &[1]), "/hypervisor: reg does not name a grant region");
    refused(
        &with("hypervisor", "reg", &cells(&[0, 0x3800_0000, 0, 0x100_0000, 0, 0x40ff_f000, 0, 0x2000])),
        "/hypervisor: it lies in RAM",
    );
    for interrupts in [&[][..], &[1, 16, 8], &[2, 0, 8], &[1, 15]] {
        let blob = with("hypervisor", "interrupts", &cells(interrupts));
        refused(&blob, "/hypervisor: interrupts does not name the event upcall");
    }
    refused(
        &with("timer", "interrupts", &cells(&[1, 13, 8])),
        "timer: its third interrupt is not one of a GIC",
    );
}

#[test]
fn what_can_be_lived_without_is_remarked_upon() {
    let gic = remarked(&without(GIC), "no interrupt controller: waiting takes all of the CPU").gic;
    assert!(gic.is_none());
    remarked(&without("timer"), "no virtual timer: waiting for a time takes all of the CPU");
    remarked(&without("psci"), "no /psci: only Xen can end this machine");
    let blob = with("chosen", "bootargs", b"\xff\0");
    assert_eq!(remarked(&blob, "a string is not UTF-8; it is left out").cmdline, "");
    let range = "/chosen: linux,initrd-start and -end make no range";
    remarked(&with("chosen", "linux,initrd-start", &cells(&[0x4100_0000])), range);
    let blob = edited(|tree| {
        let chosen = tree.root.child_mut("chosen").unwrap();
        for (name, value) in [("linux,initrd-start", 0x5000_0000), ("linux,initrd-end", 0x5000_1000)] {
            chosen.add_property(property(name, cells(&[value])));
        }
    });
    assert!(remarked(&blob, "/chosen: the initrd is not in RAM; it is not used").initrd.is_none());
}

#[test]
fn of_each_device_the_first_counts() {
    let blob = edited(|tree| {
        for (name, compatible) in [("x", "arm,gic-400\0"), ("y", "arm,armv8-timer\0"), ("z", "xen,xen\0")] {
            let mut second = node(name);
            second.add_property(property("compatible", compatible));
            tree.root.add_child(second);
        }
    });
    let info = dt::parse(&blob).unwrap();
    assert_eq!((info.timer, info.hypervisor.unwrap().event), (Some(IntId(27)), IntId(31)));
    assert!(matches!(info.gic, Some(Gic::V3 { .. })));
}

#[test]
fn memory_is_sorted_merged_and_cut_to_whole_pages() {
    let banks = [
        [2, 0, 0, 0x1_0000],
        [0, 0x4100_0000, 0, 0x1000],
        [0, 0x4000_0800, 0, 0xff_f800],
        [0, 0x5000_0001, 0, 0x1ffe],
        [0, 0x5100_0000, 0, 0],
        [0x7f, 0xffff_f000, 0, 0x2000],
    ];
    let blob = edited(|tree| {
        let memory = tree.root.child_mut(MEMORY).unwrap();
        memory.add_property(property("reg", cells(banks.as_flattened())));
        tree.root.remove_child("hypervisor");
    });
    let info = dt::parse(&blob).unwrap();
    let expected = [
        Region::between(0x4000_1000, 0x4100_1000),
        Region::between(0x2_0000_0000, 0x2_0001_0000),
        Region::between(0x7f_ffff_f000, 0x80_0000_0000),
    ];
    assert_eq!(info.memory[..], expected);
    assert_eq!(info.remarks[0], "memory: what lies above 512 GiB is not used");
}

#[test]
fn more_banks_than_are_kept_cost_only_memory() {
    let banks: Vec<_> = (0..40).flat_map(|n| [0, 0x4000_0000 + n * 0x2000, 0, 0x1000]).collect();
    let blob = with(MEMORY, "reg", &cells(&banks));
    assert_eq!(remarked(&blob, "memory: more banks than are kept are not used").memory.len(), 16);
}

#[test]
fn no_reservation_is_forgotten() {
    let reserved = |reg: &[u8], ranges: bool| {
        edited(|tree| {
            let mut parent = node("reserved-memory");
            parent.add_property(property("#address-cells", cells(&[2])));
            parent.add_property(property("#size-cells", cells(&[2])));
            if ranges {
                parent.add_property(property("ranges", []));
            }
            let mut child = node("kept");
            child.add_property(property("reg", reg));
            child.add_property(property("status", b"disabled\0"));
            parent.add_child(child);
            tree.root.add_child(parent);
        })
    };
    for ranges in [true, false] {
        let blob = reserved(&cells(&[0, 0x4080_0000, 0, 1]), ranges);
        let info = dt::parse(&blob).unwrap();
        assert_eq!(info.reserved[..], [Region { base: 0x4080_0000, size: 1 }]);
        assert!(info.usable(&[]).iter().all(|r| r.end() <= 0x4080_0000 || r.base >= 0x4080_1000));
    }
    let senseless = "reserved memory: reg is not a list of addresses and sizes";
    refused(&reserved(&cells(&[0, 0x4080_0000, 0]), true), senseless);
    refused(&reserved(&cells(&[u32::MAX, u32::MAX, 0, 2]), true), senseless);
    let many: Vec<_> = (0..33).flat_map(|n| [0, 0x4000_0000 + n * 0x2000, 0, 0x1000]).collect();
    let full = "reserved memory: more separate ranges than can be kept";
    refused(&reserved(&cells(&many), true), full);
}

#[test]
fn interrupts_in_the_extended_form() {
    let blob = edited(|tree| {
        let xen = tree.root.child_mut("hypervisor").unwrap();
        xen.remove_property("interrupts");
        let extended = cells(&[0xfde8, 1, 14, 8]);
        xen.add_property(property("interrupts-extended", extended));
    });
    assert_eq!(dt::parse(&blob).unwrap().hypervisor.unwrap().event, IntId(30));
}

#[test]
fn names_as_long_as_those_on_boards_are_read() {
    // 32 characters, in imx8mp.dtsi of Linux. dtoolkit takes no more than 31.
    let blob = tree("board");
    assert!(blob.windows(32).any(|name| name == b"snps,gfladj-refclk-lpm-sel-quirk"));
    assert!(Fdt::new(&blob).is_err() && dt::parse(&blob).is_ok());
}

#[test]
fn depth_is_limited() {
    let nested = |levels: u32| {
        edited(|tree| {
            let mut top = node("innermost");
            for _ in 2..levels {
                let mut parent = node("one");
                parent.add_child(top);
                top = parent;
            }
            tree.root.add_child(top);
        })
    };
    assert!(dt::parse(&nested(16)).is_ok());
    match dt::parse(&nested(17)) {
        Err(DtError::Structure { expected, .. }) => assert_eq!(expected, "at most 16 levels of nodes"),
        other => panic!("{:?}", other.err()),
    }
}

/// A tree with such nodes below `/passthrough`: name, `reg`, `interrupts`.
fn passed(nodes: &[(&str, &[u32], &[u32])]) -> Vec<u8> {
    edited(|tree| {
        let mut bus = node("passthrough");
        for (name, value) in [("#address-cells", &[2][..]), ("#size-cells", &[2]), ("ranges", &[])] {
            bus.add_property(property(name, cells(value)));
        }
        for (name, reg, interrupts) in nodes {
            let mut device = node(name);
            device.add_property(property("reg", cells(reg)));
            device.add_property(property("interrupts", cells(interrupts)));
            bus.add_child(device);
        }
        tree.root.add_child(bus);
    })
}

#[test]
fn a_device_is_known_in_full_or_not_used() {
    let good: &[u32] = &[0, 0x900_0000, 0, 0x1000];
    let senseless = "/passthrough: a device's reg makes no sense, or is too long; it is not used";
    let too_many = [good; 5].concat();
    for reg in [
        &good[..3],
        &[0, 0x900_0000, 0, 0],
        &[0, 0, 0, 0x1000],
        &[0x80, 0, 0, 0x1000],
        &[u32::MAX, u32::MAX, 0, 2],
        &[0, 0x900_0000, 0, 0x1000, 1],
        &too_many,
    ] {
        let blob = passed(&[("bad", reg, &[]), ("good", good, &[])]);
        let info = remarked(&blob, senseless);
        assert_eq!(info.devices.iter().map(|device| device.name).collect::<Vec<_>>(), ["good"], "{reg:x?}");
    }
    let nothing = "/passthrough: a device's interrupts make no sense, or are too many; it gets none";
    // A private one, a kind there is not, a number too high, a part of one, five.
    for interrupts in
        [&[1, 11, 4][..], &[2, 1, 4], &[0, 988, 4], &[0, 1], &[0, 1, 4, 0, 2], &[[0, 1, 4]; 5].concat()]
    {
        let blob = passed(&[("device", good, interrupts)]);
        let info = remarked(&blob, nothing);
        assert!(info.devices[0].interrupts.is_empty() && info.devices[0].registers.len() == 1);
    }
    let four = passed(&[("device", good, &[[0, 1, 4]; 4].concat())]);
    assert_eq!(dt::parse(&four).unwrap().devices[0].interrupts[..], [IntId(33); 4]);
}

#[test]
fn more_devices_than_are_kept_are_not_used() {
    let names: Vec<_> = (0..20).map(|n| format!("device{n}")).collect();
    let nodes: Vec<_> = names.iter().map(|name| (name.as_str(), &[][..], &[][..])).collect();
    let blob = passed(&nodes);
    let said = "/passthrough: more devices than are kept are not used";
    assert_eq!(remarked(&blob, said).devices.len(), 16);
}

#[test]
fn devices_lie_where_nothing_else_is() {
    let at = |base: u32, size: u32| passed(&[("device", &[0, base, 0, size], &[])]);
    let taken = "/passthrough: a device lies over RAM, the interrupt controller or the grant table";
    refused(&at(0x4000_0000, 0x1000), taken);
    // Not the same bytes, but the same page.
    refused(&at(0x3fff_f000, 0x1001), taken);
    refused(&at(0x300_0800, 0x1000), taken);
    refused(&at(0x302_0000, 4), taken);
    refused(&at(0x3800_0000, 0x1000), taken);
    assert!(dt::parse(&at(0x37ff_f000, 0x1000)).is_ok());
}

#[test]
fn devices_are_cut_out_of_extended_regions() {
    let nodes: [(&str, &[u32], &[u32]); 2] = [
        ("gpio", &[0, 0xfe20_0000, 0, 0xb4], &[]),
        ("uart", &[0, 0xfe21_5040, 0, 0x40, 0, 0xffff_f000, 0, 0x1000], &[]),
    ];
    let blob = passed(&nodes);
    let info = dt::parse(&blob).unwrap();
    let left = [Region::between(0x4100_0000, 0xfe20_0000), Region::between(0x2_0000_0000, 0x80_0000_0000)];
    assert_eq!(info.hypervisor.unwrap().extended[..], left);
    // The larger part of each is left, wherever that is.
    let blob = passed(&[("low", &[0, 0x4200_0fff, 0, 2], &[]), ("all", &[2, 0, 0x7e, 0], &[])]);
    let info = dt::parse(&blob).unwrap();
    let left = [Region::between(0x4200_2000, 0x1_0000_0000), Region::between(0x80_0000_0000, 0x80_0000_0000)];
    assert_eq!(info.hypervisor.unwrap().extended[..], left);
}

#[test]
fn nothing_of_the_machine_is_looked_for_among_devices() {
    let blob = edited(|tree| {
        let gic = tree.root.remove_child(GIC).unwrap();
        let mut bus = node("passthrough");
        for name in ["#address-cells", "#size-cells"] {
            bus.add_property(property(name, cells(&[2])));
        }
        bus.add_property(property("ranges", []));
        bus.add_child(gic);
        let mut off = node("off");
        off.add_property(property("status", b"disabled\0"));
        bus.add_child(off);
        tree.root.add_child(bus);
    });
    let info = remarked(&blob, "no interrupt controller: waiting takes all of the CPU");
    assert!(info.gic.is_none());
    assert_eq!(info.devices.iter().map(|device| device.name).collect::<Vec<_>>(), [GIC]);
}

#[test]
fn vchans_are_found_among_devices_and_left_out_if_they_lack_anything() {
    let all = [
        ("reg", cells(&[0, 0x3400_0000, 0, 0x3000])),
        ("fata,port", cells(&[10])),
        ("fata,role", b"client\0".to_vec()),
        ("fata,name", b"logger\0".to_vec()),
    ];
    let blob = |without: Option<usize>, role: &[u8]| {
        edited(|tree| {
            let mut bus = node("passthrough");
            for name in ["#address-cells", "#size-cells"] {
                bus.add_property(property(name, cells(&[2])));
            }
            bus.add_property(property("ranges", []));
            let mut vchan = node("vchan@34000000");
            vchan.add_property(property("compatible", *b"fata,static-vchan\0"));
            for (n, (name, value)) in all.iter().enumerate() {
                let value =
                    if *name == "fata,role" && !role.is_empty() { role.to_vec() } else { value.clone() };
                if Some(n) != without {
                    vchan.add_property(property(name, value));
                }
            }
            bus.add_child(node("other"));
            bus.add_child(vchan);
            tree.root.add_child(bus);
        })
    };
    let found = |blob: &[u8]| fata_xenvm_arm64::vchans(&dt::parse(blob).unwrap());
    let place = |serve| StaticPlace { at: 0x3400_0000, size: 0x3000, port: Port(10), serve };
    assert_eq!(found(&blob(None, b"")), [("logger".to_owned(), place(false))]);
    assert_eq!(found(&blob(None, b"server\0")), [("logger".to_owned(), place(true))]);
    for (lacking, (name, _)) in all.iter().enumerate() {
        assert_eq!(found(&blob(Some(lacking), b"")), [], "{name}");
    }
    assert_eq!(found(&blob(None, b"both\0")), []);
}

#[test]
fn a_controller_may_say_itself_what_is_wired_to_it() {
    let blob = edited(|tree| {
        let mut bus = node("passthrough");
        for (name, property_name, pin) in
            [("a", "fata,led", &[42][..]), ("b", "fata,button", &[17, 0x11]), ("c", "fata,led", &[])]
        {
            let mut device = node(name);
            device.add_property(property(property_name, cells(pin)));
            bus.add_child(device);
        }
        // Pins of nobody, and of no whole number of cells.
        let mut leds = node("leds");
        leds.add_property(property("compatible", b"gpio-leds\0"));
        for (name, pin) in [("far", cells(&[7, 1, 0])), ("short", cells(&[7, 1])), ("odd", vec![0; 11])] {
            let mut lamp = node(name);
            lamp.add_property(property("gpios", pin));
            leds.add_child(lamp);
        }
        bus.add_child(leds);
        tree.root.add_child(bus);
    });
    let info = dt::parse(&blob).unwrap();
    let led = Wired { name: "led", device: 0, line: 42, flags: 0, debounce_ms: None };
    assert_eq!(dt::lamps(&info).collect::<Vec<_>>(), [led]);
    let button = Wired { name: "button", device: 1, line: 17, flags: 0x11, ..led };
    assert_eq!(dt::buttons(&info).collect::<Vec<_>>(), [button]);
}
