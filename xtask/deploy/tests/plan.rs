//! Deployments on boards: what lies where, what Xen is told, and what does not fit.

use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeNode};
use dtoolkit::{Node, Property};
use fata_boards::find;
use fata_boot::info::Region;
use fata_deploy::{Deployment, Dom0Files, Plan, Refusals, Sources, script, xl};
use fata_facts::Board;

fn board() -> &'static Board {
    find("qemu-virt").unwrap()
}

/// Shaped like QEMU's `virt`.
fn board_tree() -> Vec<u8> {
    let mut tree = DeviceTree::new();
    for name in ["chosen", "pcie@10000000", "pl011@9000000", "pl061@9030000", "memory@40000000"] {
        tree.root.add_child(DeviceTreeNode::new(name).unwrap());
    }
    tree.to_dtb()
}

/// An arm64 Image that is this long, and takes this much memory.
fn image(bytes: usize, in_memory: u64) -> Vec<u8> {
    let mut image = vec![0; bytes];
    image[16..24].copy_from_slice(&in_memory.to_le_bytes());
    image[56..60].copy_from_slice(b"ARM\x64");
    image
}

fn plan_with(text: &str, images: &[Vec<u8>], dom0: Option<Dom0Files<'_>>) -> anyhow::Result<Plan> {
    let deployment = Deployment::parse("x.toml", text)?;
    let (xen, tree) = (image(900 << 10, 1 << 20), board_tree());
    Plan::make(&deployment, board(), &Sources { xen: &xen, tree: &tree, images, dom0 })
}

fn plan(text: &str) -> anyhow::Result<Plan> {
    let count = text.matches("[[domain]]").count();
    plan_with(text, &vec![image(100 << 10, 1 << 20); count], None)
}

#[track_caller]
fn refused(result: anyhow::Result<Plan>, expected: &str) {
    let error = result.unwrap_err();
    let refusals: &Refusals = error.downcast_ref().unwrap_or_else(|| panic!("{error:#}"));
    let text = refusals.to_string();
    assert!(text.starts_with(expected), "{text}\nis not\n{expected}");
}

fn domain(name: &str, more: &str) -> String {
    format!("[[domain]]\nname = \"{name}\"\nimage = \"i\"\n{more}\n")
}

fn tree_of(plan: &Plan, file: &str) -> DeviceTree {
    DeviceTree::from_fdt(&Fdt::new(&plan.file(file).unwrap().contents).unwrap())
}

fn bytes(tree: &DeviceTree, path: &str, property: &str) -> Vec<u8> {
    tree.find_node(path).unwrap_or_else(|| panic!("no {path}")).property(property).unwrap().value().to_vec()
}

fn three() -> String {
    domain("sensor", "devices = [\"gpio\"]\nmemory_mib = 8")
        + &domain("logger", "args = \"a b\"")
        + &domain("console", "console = \"none\"")
        + "[[vchan]]\nserver = \"logger\"\nclient = \"sensor\"\n"
        + "[[vchan]]\nname = \"two\"\nserver = \"console\"\nclient = \"logger\"\nsize_kib = 128\n"
}

#[test]
fn everything_has_a_place_of_its_own() {
    let plan = plan(&three()).unwrap();
    let names: Vec<_> = plan.files.iter().map(|file| file.name.as_str()).collect();
    let expected = [
        "xen",
        "sensor.img",
        "sensor.dtb",
        "logger.img",
        "logger.dtb",
        "console.img",
        "console.dtb",
        "board.dtb",
    ];
    assert_eq!(names, expected);
    assert_eq!((plan.files[0].address, plan.files[1].address), (0x4040_0000, 0x4a00_0000));
    let window = board().xen.modules;
    for (n, part) in plan.map.parts.iter().enumerate() {
        for other in &plan.map.parts[..n] {
            assert!(other.region.end() <= part.region.base, "{other:?} and {part:?}");
        }
    }
    for file in &plan.files[1..names.len() - 1] {
        assert!(file.address.is_multiple_of(4096) && file.address >= window.base);
    }
    assert_eq!(
        plan.xen_args,
        "console=dtuart dtuart=/pl011@9000000 bootscrub=0 loglvl=info guest_loglvl=all"
    );
}

#[test]
fn xen_is_told_all_of_it() {
    let plan = plan(&three()).unwrap();
    let tree = tree_of(&plan, "board.dtb");
    assert!(tree.find_node("/pcie@10000000").is_none());
    assert_eq!(bytes(&tree, "/pl061@9030000", "xen,passthrough"), b"");
    assert_eq!(bytes(&tree, "/chosen/domU1", "memory"), (8u64 << 10).to_be_bytes());
    assert_eq!(bytes(&tree, "/chosen/domU1", "xen,enhanced"), b"no-xenstore\0");
    assert!(tree.find_node("/chosen/domU3").unwrap().property("vpl011").is_none());
    let module = plan.file("logger.img").unwrap();
    let node = format!("/chosen/domU2/module@{:x}", module.address);
    assert_eq!(bytes(&tree, &node, "bootargs"), b"a b\0");
    assert_eq!(bytes(&tree, &node, "reg")[8..], (module.contents.len() as u64).to_be_bytes());

    // Both ends of a vchan see the same memory, which Xen leaves alone.
    let end = board().xen.modules.end();
    let (one, two) = (end - (64 << 10), end - (192 << 10));
    assert_eq!(bytes(&tree, &format!("/reserved-memory/vchan@{one:x}"), "reg")[..8], one.to_be_bytes());
    let logger = tree_of(&plan, "logger.dtb");
    let console = tree_of(&plan, "console.dtb");
    let at = |n: u64| format!("/passthrough/vchan@{:x}", 0x3400_0000 + n);
    let mapped = |tree: &DeviceTree, n| {
        let cells = bytes(tree, &at(n), "xen,reg");
        let numbers = cells.as_chunks::<8>().0.iter().map(|number| u64::from_be_bytes(*number));
        numbers.collect::<Vec<_>>()
    };
    assert_eq!(mapped(&logger, 0), [one, 64 << 10, 0x3400_0000]);
    assert_eq!(mapped(&logger, 64 << 10), [two, 128 << 10, 0x3401_0000]);
    assert_eq!(mapped(&console, 0), [two, 128 << 10, 0x3400_0000]);
    let said = |tree: &DeviceTree, n, name: &str| bytes(tree, &at(n), name);
    assert_eq!(said(&logger, 64 << 10, "fata,role"), b"client\0");
    assert_eq!(said(&console, 0, "fata,role"), b"server\0");
    assert_eq!(said(&console, 0, "fata,name"), b"two\0");
    assert_eq!(said(&logger, 0, "fata,name"), b"sensor\0");
    assert_eq!(said(&console, 0, "reg"), [0x3400_0000u64, 128 << 10].map(u64::to_be_bytes).concat());
    // Its port leads to the other's.
    assert_eq!(said(&logger, 0, "fata,port"), 10u32.to_be_bytes());
    assert_eq!(said(&logger, 64 << 10, "fata,port"), 11u32.to_be_bytes());
    let event = |domain, n| bytes(&tree, &format!("/chosen/domU{domain}/evtchn@{n}"), "xen,evtchn");
    assert_eq!(event(2, 3).as_chunks::<4>().0[0], 11u32.to_be_bytes());
    assert_eq!(event(3, 4).as_chunks::<4>().0[0], 10u32.to_be_bytes());
    // And the device.
    let sensor = tree_of(&plan, "sensor.dtb");
    assert_eq!(bytes(&sensor, "/passthrough/pl061@9030000", "xen,path"), b"/pl061@9030000\0");
    assert_eq!(
        bytes(&sensor, "/passthrough/pl061@9030000", "interrupts"),
        [0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 4]
    );
}

#[test]
fn a_dom0_comes_first_and_offers_xenstore() {
    let (kernel, ramdisk) = (image(3 << 20, 4 << 20), vec![1; 5 << 20]);
    let files = Dom0Files { kernel: &kernel, ramdisk: &ramdisk, args: "console=hvc0", memory_mib: 128 };
    let text =
        format!("dom0 = \"debian\"\n{}", domain("one", "vifs = [\"bridge=xenbr0\"]\nargs = \"x \\\"y\\\"\""));
    let images = [image(100, 200)];
    let plan = plan_with(&text, &images, Some(files)).unwrap();
    let tree = tree_of(&plan, "board.dtb");
    assert_eq!(bytes(&tree, "/chosen/module@4a000000", "bootargs"), b"console=hvc0\0");
    assert!(tree.find_node("/chosen/domU1").is_none(), "xl starts it");
    assert!(plan.file("one.img").is_none());
    assert!(plan.xen_args.contains("dom0_mem=128M"));
    let deployment = Deployment::parse("x.toml", &text).unwrap();
    let config = xl::config(&deployment.domains[0], "/boot/");
    assert_eq!(
        config,
        "name = \"one\"\nkernel = \"/boot/one.img\"\nmemory = 16\nvcpus = 1\nextra = \"x \\\"y\\\"\"\n\
         vif = [\"bridge=xenbr0\"]\non_poweroff = \"destroy\"\non_reboot = \"restart\"\non_crash = \"preserve\"\n"
    );
    assert!(plan_with(&text, &images, None).is_err());
}

#[test]
fn what_does_not_fit_is_refused_where_it_stands() {
    refused(
        plan(&domain("a", "devices = [\n\"gpio\",\n\"uart\"]")),
        "x.toml:6: qemu-virt has no device uart; it has gpio",
    );
    refused(
        plan(&domain("a", "memory_mib = 1100")),
        "x.toml:4: qemu-virt has too little memory: a wants 1100 MiB",
    );
    let two = domain("a", "memory_mib = 600") + &domain("b", "memory_mib = 600");
    refused(plan(&two), "x.toml:8: qemu-virt has too little memory: b wants 600 MiB");
    refused(plan(&domain("a", "load_at = 0x40400000")), "x.toml:4: a at 0x40400000 lies over xen");
    refused(plan(&domain("a", "load_at = 0x49fff000")), "x.toml:4: a does not fit at 0x49fff000");
    refused(plan(&domain("a", "load_at = 0x59fff000")), "x.toml:4: a does not fit at 0x59fff000");
    let same = domain("a", "load_at = 0x4b000000") + &domain("b", "load_at = 0x4b010000");
    refused(plan(&same), "x.toml:8: b at 0x4b010000 lies over a.img");
    let text = domain("a", "");
    refused(plan_with(&text, &[image(300 << 20, 1)], None), "x.toml:1: i takes more than 16 MiB");
    refused(
        plan_with(&domain("a", "memory_mib = 400"), &[image(300 << 20, 1)], None),
        "x.toml:3: there is no room",
    );
    refused(plan_with(&text, &[vec![0; 100]], None), "x.toml:3: i is no arm64 Image");
    refused(plan_with(&text, &[image(100, 17 << 20)], None), "x.toml:1: i takes more than 16 MiB of memory");
    let vchan = |kib: u32| {
        domain("a", "")
            + &domain("b", "")
            + &format!("[[vchan]]\nname = \"v\"\nserver = \"a\"\nclient = \"b\"\nsize_kib = {kib}\n")
    };
    refused(plan(&vchan(300 << 10)), "x.toml:13: there is no room for the vchan v");
    refused(plan(&vchan(100 << 10)), "x.toml:13: the vchans of a come to more than 64 MiB");
}

#[test]
fn a_device_that_the_tree_lacks_is_refused() {
    let text = domain("a", "devices = [\"gpio\"]");
    let deployment = Deployment::parse("x.toml", &text).unwrap();
    let mut tree = DeviceTree::from_fdt(&Fdt::new(&board_tree()).unwrap());
    tree.root.remove_child("pl061@9030000");
    let (xen, tree, images) = (image(1000, 1000), tree.to_dtb(), [image(100, 100)]);
    let sources = Sources { xen: &xen, tree: &tree, images: &images, dom0: None };
    refused(
        Plan::make(&deployment, board(), &sources),
        "x.toml:4: the board's device tree has no node /pl061@9030000",
    );
}

#[test]
fn a_map_says_what_is_where() {
    let plan = plan(&three()).unwrap();
    let table = plan.map.table();
    for row in [
        "0x04a000000  0x04a019000     100  module       sensor.img",
        "0x059ff0000  0x05a000000      64  vchan        logger-sensor",
        "anywhere                    8192  memory       sensor",
    ] {
        assert!(table.contains(row), "{row}\nis not in\n{table}");
    }
    let json = plan.map.json();
    assert_eq!(json["parts"][0]["name"], "xen");
    assert_eq!(json["left"], plan.map.left());
    let svg = plan.map.svg();
    assert!(svg.starts_with("<svg ") && svg.contains("sensor.img") && svg.ends_with("</svg>\n"));
    let wants: u64 = plan.map.wants.iter().map(|(_, bytes)| bytes).sum();
    let placed: u64 = plan.map.parts.iter().map(|part| part.region.size).sum();
    assert_eq!(
        plan.map.left() + wants + placed,
        board().ram.iter().map(|bank: &Region| bank.size).sum::<u64>()
    );
}

#[test]
fn the_script_loads_all_files_and_looks_at_their_sizes() {
    let plan = plan(&domain("a", "")).unwrap();
    let text = script::text("hello", board(), &plan, script::From::Medium);
    assert!(text.contains("setenv devtype virtio"), "{text}");
    assert!(
        text.contains("load ${devtype} ${devnum}:${distro_bootpart} 0x4a000000 ${prefix}a.img"),
        "{text}"
    );
    assert!(text.contains("itest 0x${filesize} != 0x19000"), "{text}");
    assert!(text.ends_with("booti 0x40400000 - 0x44000000\n"), "{text}");
    let text = script::text("hello", board(), &plan, script::From::Tftp);
    assert!(text.contains("tftpboot 0x4a000000 a.img"), "{text}");
    assert!(!text.contains("devtype"), "{text}");
}
