//! QEMU's `virt` machine: the board that everybody has.
//!
//! GICv3, or GICv2 when asked; its device tree is QEMU's own, which also puts it at 0x48000000 in RAM when it starts a
//! kernel itself.
#![no_std]
#![forbid(unsafe_code)]

use fata_boot::info::Region;
use fata_facts::{Board, Device, Expectations, Medium, Model, Qemu, Table, Tree, UBoot, XenFacts};

/// The board.
pub const BOARD: Board = Board {
    name: "qemu-virt",
    title: "QEMU's virt machine",
    compatible: "linux,dummy-virt",
    tree: Tree::Qemu,
    ram: &[Region { base: 0x4000_0000, size: 1 << 30 }],
    guest: Expectations { gic: 3, timer: 27, event: 31, timer_hz: 62_500_000, memory_mib: None },
    xen: XenFacts {
        serial: "/pl011@9000000",
        args: &[],
        cpus: 1,
        modules: Region { base: 0x4a00_0000, size: 256 << 20 },
        // They cost time, and nobody here uses them; Linux in dom0 ends at one of the last three.
        remove: &[
            "/pcie@10000000",
            "/fw-cfg@9020000",
            "/platform-bus@c000000",
            "/flash@0",
            "/pmu",
            "/pl031@9010000",
            "/pl061@9030000",
            "/gpio-keys",
        ],
        set: &[],
    },
    uboot: UBoot {
        xen: 0x4040_0000,
        tree: 0x4400_0000,
        from: "virtio 0:1",
        packaged: Some(("u-boot-qemu", "usr/lib/u-boot/qemu_arm64/u-boot.bin")),
    },
    medium: Medium { table: Table::Gpt, first_partition_mib: 1 },
    firmware: &[],
    devices: &[Device {
        name: "gpio",
        path: "/pl061@9030000",
        compatible: "arm,pl061",
        registers: Region { base: 0x903_0000, size: 0x1000 },
        interrupts: &[39],
        // Nothing hangs on it; the monitor's system_powerdown is a press of the button, a tenth of a second long.
        cells: &[("fata,led", &[5]), ("fata,button", &[3])],
    }],
    model: Model::Qemu(Qemu {
        machine: "virt,virtualization=on,gic-version=3",
        cpus: 1,
        memory_mib: Some(1024),
        args: &["-cpu", "cortex-a76"],
        one_cpu: &[],
        serial: 0,
        timer_hz: 62_500_000,
    }),
};
