//! AMD's Versal, as QEMU's `xlnx-versal-virt` has it: the chip is real, the board is not.
//!
//! **Boot chain.** On a board such as the VCK190 the boot ROM reads `BOOT.BIN` from the first FAT partition: platform
//! loader, Trusted Firmware-A and U-Boot, put together with the maker's tools; Debian has none of it. A real board has a
//! device tree of its own, with other UART nodes: make it a board of its own with `cargo xtask new-board`.
//!
//! **Serial.** An SBSA UART, which Xen drives as a PL011; no alias leads to it, so it goes by its path.
//!
//! **CPUs.** QEMU has four, of which two are for real-time software, and does not tell how to start the second of the
//! others (`CPU1 has no enable method`): Xen has one.
//!
//! **For guests**: the second UART.
#![no_std]
#![forbid(unsafe_code)]

use fata_boot::info::Region;
use fata_facts::{
    Board, Device, Expectations, Firmware, Medium, Model, Place, Qemu, Source, Table, Tree, UBoot, XenFacts,
};

/// The board.
pub const BOARD: Board = Board {
    name: "versal",
    title: "AMD Versal (QEMU's virtual board)",
    compatible: "xlnx-versal-virt",
    tree: Tree::Qemu,
    ram: &[Region { base: 0, size: 2 << 30 }],
    guest: Expectations { gic: 3, timer: 27, event: 31, timer_hz: 62_500_000, memory_mib: None },
    xen: XenFacts {
        serial: "/uart@ff000000",
        args: &[],
        cpus: 1,
        // Above QEMU's device tree (0x8000000), below where U-Boot loads.
        modules: Region { base: 0x1000_0000, size: 128 << 20 },
        remove: &[],
        set: &[],
    },
    // include/configs/xilinx_versal.h: ENV_MEM_LAYOUT_SETTINGS.
    uboot: UBoot { xen: 0x1800_0000, tree: 0x4000_0000, from: "mmc 0:1", packaged: None },
    medium: Medium { table: Table::Mbr, first_partition_mib: 1 },
    firmware: &[Firmware {
        purpose: "loaders, Trusted Firmware-A and U-Boot",
        file: "BOOT.BIN",
        place: Place::File,
        source: Source::Maker("bootgen of AMD's Vitis or PetaLinux"),
    }],
    devices: &[Device {
        name: "uart",
        path: "/uart@ff010000",
        compatible: "arm,pl011",
        registers: Region { base: 0xff01_0000, size: 0x1000 },
        interrupts: &[51],
        cells: &[],
    }],
    model: Model::Qemu(Qemu {
        machine: "xlnx-versal-virt",
        cpus: 4,
        memory_mib: Some(2048),
        args: &[],
        one_cpu: &[],
        serial: 0,
        timer_hz: 62_500_000,
    }),
};
