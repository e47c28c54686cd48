//! NXP's i.MX 8M Plus EVK.
//!
//! **Runs, prints nothing.** Xen 4.20 has a driver for the i.MX 8QM's LPUART, and none for the UART of the 8M family
//! (`fsl,imx6q-uart`): neither Xen nor, through it, a guest can say anything. On QEMU's model the lab reads Xen's console
//! out of its memory instead. On the board, a guest is heard when it is given a UART of its own.
//!
//! **Boot chain.** The boot ROM reads `flash.bin` (imx-boot) from 32 KiB on: SPL with DDR firmware, Trusted Firmware-A and
//! U-Boot, put together with the maker's tools; Debian has none of it. U-Boot loads Xen.
//!
//! **Serial.** `serial1`, the third of the four ports on the USB connector J23, 115200 baud: for U-Boot, and a guest.
//!
//! **Reserved** for the audio processor: 0x92400000 to 0x94400000, which is disabled in the device tree.
//!
//! **For guests**: GPIO 3 with the yellow status LED (pin 16), and UART 2.
#![no_std]
#![forbid(unsafe_code)]

use fata_boot::info::Region;
use fata_facts::{
    Board, Device, Expectations, Firmware, Medium, Model, Place, Qemu, Source, Table, Tree, UBoot, XenFacts,
};

/// The board.
pub const BOARD: Board = Board {
    name: "imx8mp-evk",
    title: "NXP i.MX 8M Plus EVK",
    compatible: "fsl,imx8mp-evk",
    tree: Tree::Debian("freescale/imx8mp-evk.dtb"),
    ram: &[Region { base: 0x4000_0000, size: 3 << 30 }, Region { base: 0x1_0000_0000, size: 3 << 30 }],
    guest: Expectations { gic: 3, timer: 27, event: 31, timer_hz: 8_000_000, memory_mib: None },
    xen: XenFacts {
        serial: "serial1",
        args: &[],
        cpus: 4,
        // Above what U-Boot loads and where QEMU puts its device tree (0x48000000).
        modules: Region { base: 0x5000_0000, size: 256 << 20 },
        remove: &[],
        set: &[],
    },
    // configs/imx8mp_evk_defconfig: CONFIG_SYS_LOAD_ADDR; board/freescale/imx8mp_evk/imx8mp_evk.env: fdt_addr_r.
    uboot: UBoot { xen: 0x4040_0000, tree: 0x4300_0000, from: "mmc 1:1", packaged: None },
    // doc/board/nxp/imx8mp_evk.rst writes 4 MiB or less.
    medium: Medium { table: Table::Gpt, first_partition_mib: 8 },
    firmware: &[Firmware {
        purpose: "loaders, DDR firmware, Trusted Firmware-A and U-Boot",
        file: "flash.bin",
        place: Place::Sector(64),
        source: Source::Maker("U-Boot's doc/board/nxp/imx8mp_evk.rst"),
    }],
    devices: &[
        Device {
            name: "gpio",
            path: "/soc@0/bus@30000000/gpio@30220000",
            compatible: "fsl,imx35-gpio",
            registers: Region { base: 0x3022_0000, size: 0x1_0000 },
            interrupts: &[100, 101],
            cells: &[("fata,led", &[16])],
        },
        Device {
            name: "uart",
            path: "/soc@0/bus@30800000/spba-bus@30800000/serial@30890000",
            compatible: "fsl,imx6q-uart",
            registers: Region { base: 0x3089_0000, size: 0x1_0000 },
            interrupts: &[59],
            cells: &[],
        },
    ],
    model: Model::Mute(
        Qemu {
            machine: "imx8mp-evk",
            cpus: 4,
            memory_mib: Some(512),
            args: &[],
            one_cpu: &[],
            serial: 1,
            timer_hz: 8_000_000,
        },
        "Xen has no driver for its UART",
    ),
};
