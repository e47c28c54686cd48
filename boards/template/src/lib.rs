//! linux,dummy-virt, as its device tree has it (`cargo xtask new-board`).
//!
//! **Boot chain.** Not known: say here what the board runs before U-Boot, and where that comes from.
//!
//! **Serial.** Ports in use: serial0, /pl011@9000000: Xen's pl011. Say here which pins, and at what speed.
//!
//! **CPUs.** 1, started through PSCI by smc.
//!
//! **RAM.** As in the device tree.
#![no_std]
#![forbid(unsafe_code)]

use fata_boot::info::Region;
use fata_facts::{Board, Device, Expectations, Medium, Model, Qemu, Table, Tree, UBoot, XenFacts};

/// The board.
pub const BOARD: Board = Board {
    name: "template",
    title: "linux,dummy-virt",
    compatible: "linux,dummy-virt",
    tree: Tree::Qemu,
    ram: &[Region { base: 0x4000_0000, size: 0x2000_0000 }],
    // The rate of the counter is not in the device tree: mir-console says what it is.
    guest: Expectations { gic: 3, timer: 27, event: 31, timer_hz: 62_500_000, memory_mib: None },
    xen: XenFacts {
        serial: "serial0",
        args: &[],
        cpus: 1,
        modules: Region { base: 0x5000_0000, size: 0x1000_0000 },
        remove: &[],
        set: &[],
    },
    // board/emulation/qemu-arm/qemu-arm.env: kernel_addr_r, up to a multiple of 2 MiB, and fdt_addr_r.
    uboot: UBoot { xen: 0x4040_0000, tree: 0x4400_0000, from: "mmc 0:1", packaged: None },
    // What comes before the first partition is the firmware's: not known.
    medium: Medium { table: Table::Mbr, first_partition_mib: 16 },
    firmware: &[],
    devices: &[Device {
        name: "gpio",
        path: "/pl061@9030000",
        compatible: "arm,pl061",
        registers: Region { base: 0x903_0000, size: 0x1000 },
        interrupts: &[39],
        cells: &[],
    }],
    model: Model::Qemu(Qemu {
        machine: "virt,virtualization=on,gic-version=3",
        cpus: 1,
        memory_mib: Some(512),
        args: &["-cpu", "cortex-a76"],
        one_cpu: &[],
        serial: 0,
        timer_hz: 62_500_000,
    }),
};
