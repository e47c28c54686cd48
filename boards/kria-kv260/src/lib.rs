//! AMD's Kria KV260, ported with `cargo xtask new-board` from Debian's device tree alone.
//!
//! **Boot chain.** The module's flash has all of it, U-Boot included, from the factory. U-Boot loads Xen from the SD card.
//!
//! **Serial.** The second port of the USB connector J4, 115200 baud: a Cadence UART, `serial1`.
//!
//! **CPUs.** 4, started through PSCI by smc.
//!
//! **RAM.** As in the device tree: 4 GiB in two banks.
//!
//! **Interrupt controller.** As on the ZCU102, which has the same chip: see there why its registers are to be changed.
//!
//! **Model.** QEMU's of the ZCU102, with this board's device tree: what is on the board but not in the chip is not there.
//!
//! **For guests**: the GPIO controller, with the LED DS35 (MIO 7) and the button FWUEN (MIO 12).
#![no_std]
#![forbid(unsafe_code)]

use fata_boot::info::Region;
use fata_facts::{Board, Cells, Device, Expectations, Medium, Model, Qemu, Table, Tree, UBoot, XenFacts};

/// The interrupt controller's registers.
#[rustfmt::skip]
const GIC: &[u32] = &[
    0, 0xf901_0000, 0, 0x1_0000, // distributor
    0, 0xf902_f000, 0, 0x2000, // CPU interface
    0, 0xf904_0000, 0, 0x2_0000, // for Xen
    0, 0xf906_f000, 0, 0x2000, // CPU interface of guests
];

/// The board.
pub const BOARD: Board = Board {
    name: "kria-kv260",
    title: "AMD Kria KV260",
    compatible: "xlnx,zynqmp-sk-kv260-rev2",
    tree: Tree::Debian("xilinx/zynqmp-smk-k26-revA-sck-kv-g-revB.dtb"),
    ram: &[Region { base: 0, size: 0x8000_0000 }, Region { base: 0x8_0000_0000, size: 0x8000_0000 }],
    // include/configs/xilinx_zynqmp.h: COUNTER_FREQUENCY.
    guest: Expectations { gic: 2, timer: 27, event: 31, timer_hz: 100_000_000, memory_mib: None },
    xen: XenFacts {
        serial: "serial1",
        args: &[],
        cpus: 4,
        modules: Region { base: 0x2200_0000, size: 0x1000_0000 },
        remove: &[],
        // Both pages of the CPU interface side by side, 60 KiB further up.
        set: &[Cells { path: "/axi/interrupt-controller@f9010000", property: "reg", cells: GIC }],
    },
    // include/configs/xilinx_zynqmp.h: kernel_addr_r, fdt_addr_r.
    uboot: UBoot { xen: 0x1800_0000, tree: 0x4000_0000, from: "mmc 1:1", packaged: None },
    medium: Medium { table: Table::Mbr, first_partition_mib: 1 },
    firmware: &[],
    devices: &[Device {
        name: "gpio",
        path: "/axi/gpio@ff0a0000",
        compatible: "xlnx,zynqmp-gpio-1.0",
        registers: Region { base: 0xff0a_0000, size: 0x1000 },
        interrupts: &[48],
        cells: &[("fata,led", &[7]), ("fata,button", &[12, 1])],
    }],
    model: Model::Qemu(Qemu {
        machine: "xlnx-zcu102,virtualization=on",
        cpus: 4,
        memory_mib: Some(2048),
        args: &["-audio", "none"],
        one_cpu: &[],
        serial: 1,
        timer_hz: 62_500_000,
    }),
};
