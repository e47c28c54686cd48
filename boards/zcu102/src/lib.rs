//! AMD's ZCU102, with a Zynq UltraScale+ (ZynqMP).
//!
//! **Boot chain.** The boot ROM reads `BOOT.BIN` from the first FAT partition: first-stage loader, PMU firmware, Trusted
//! Firmware-A and U-Boot, put together with the maker's tools; Debian has none of it. U-Boot loads Xen.
//!
//! **Serial.** The first port of the USB connector J83, 115200 baud: a Cadence UART, `serial0`.
//!
//! **Interrupt controller.** A GIC-400 on a bus that shows each of its pages sixteen times. Xen knows, and moves the CPU
//! interface up by 60 KiB to have both its pages side by side, if the identification register says GIC-400. QEMU's says
//! otherwise, and Xen's writes to `GICC_DIR` land in `GICC_CTLR`: the first guest's timer stays silent, and a second CPU
//! never comes up. So the device tree is to say where both pages are side by side, which is true on the board as well.
//!
//! **For guests**: the GPIO controller with the LED DS50 (MIO 23) and the button SW19 (MIO 22), and the second UART.
#![no_std]
#![forbid(unsafe_code)]

use fata_boot::info::Region;
use fata_facts::{
    Board, Cells, Device, Expectations, Firmware, Medium, Model, Place, Qemu, Source, Table, Tree, UBoot,
    XenFacts,
};

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
    name: "zcu102",
    title: "AMD ZCU102",
    compatible: "xlnx,zynqmp-zcu102-rev1.0",
    tree: Tree::Debian("xilinx/zynqmp-zcu102-rev1.0.dtb"),
    ram: &[Region { base: 0, size: 2 << 30 }, Region { base: 0x8_0000_0000, size: 2 << 30 }],
    // include/configs/xilinx_zynqmp.h: COUNTER_FREQUENCY.
    guest: Expectations { gic: 2, timer: 27, event: 31, timer_hz: 100_000_000, memory_mib: None },
    xen: XenFacts {
        serial: "serial0",
        args: &[],
        cpus: 4,
        // Above QEMU's device tree (0x8000000), below where U-Boot loads.
        modules: Region { base: 0x1000_0000, size: 128 << 20 },
        remove: &[],
        // Of the interrupt controller, as above: distributor, CPU interface, and the same for guests.
        set: &[Cells { path: "/axi/interrupt-controller@f9010000", property: "reg", cells: GIC }],
    },
    // include/configs/xilinx_zynqmp.h: ENV_MEM_LAYOUT_SETTINGS.
    uboot: UBoot { xen: 0x1800_0000, tree: 0x4000_0000, from: "mmc 0:1", packaged: None },
    medium: Medium { table: Table::Mbr, first_partition_mib: 1 },
    firmware: &[Firmware {
        purpose: "loaders, Trusted Firmware-A and U-Boot",
        file: "BOOT.BIN",
        place: Place::File,
        source: Source::Maker("bootgen of AMD's Vitis or PetaLinux"),
    }],
    devices: &[
        Device {
            name: "gpio",
            path: "/axi/gpio@ff0a0000",
            compatible: "xlnx,zynqmp-gpio-1.0",
            registers: Region { base: 0xff0a_0000, size: 0x1000 },
            interrupts: &[48],
            cells: &[("fata,led", &[23]), ("fata,button", &[22])],
        },
        Device {
            name: "uart",
            path: "/axi/serial@ff010000",
            compatible: "cdns,uart-r1p12",
            registers: Region { base: 0xff01_0000, size: 0x1000 },
            interrupts: &[54],
            // Nobody has set its speed before; first-stage loaders make UART1_REF_CLK this fast.
            cells: &[("clock-frequency", &[100_000_000])],
        },
    ],
    model: Model::Qemu(Qemu {
        machine: "xlnx-zcu102,virtualization=on",
        cpus: 4,
        memory_mib: Some(2048),
        // It has a sound card in its display port.
        args: &["-audio", "none"],
        one_cpu: &[],
        serial: 0,
        timer_hz: 62_500_000,
    }),
};
