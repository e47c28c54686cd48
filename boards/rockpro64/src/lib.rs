//! Pine64's RockPro64, with Rockchip's RK3399, ported with `cargo xtask new-board` from Debian's device tree alone.
//!
//! **Not run**: QEMU has no model of the RK3399. Its facts are checked against the device tree, and no more.
//!
//! **Boot chain.** The boot ROM reads `idbloader.img` from sector 64 of the SD card, which reads U-Boot and Trusted
//! Firmware-A from sector 16384. Debian has both.
//!
//! **Serial.** Pins 8 (transmit), 10 (receive) and 6 (ground) of the header, 3.3 V, at 1,500,000 baud: a DesignWare UART,
//! `serial2`, which Xen drives as a 16550 and leaves at U-Boot's speed.
//!
//! **CPUs.** Four Cortex-A53 and two Cortex-A72, started through PSCI by smc. Xen leaves those off that are not like the
//! first, unless it is told `hmp-unsafe=true`.
//!
//! **RAM.** The device tree has none: the firmware fills it in. Here it is that of the 2 GiB model, without the first 2 MiB,
//! where Trusted Firmware-A is.
//!
//! **For guests**: five blocks of pins, the first with the LEDs work (pin 11) and diy (pin 2) and the power button (pin 5),
//! for which there is no driver here, and the UART that is for Bluetooth.
#![no_std]
#![forbid(unsafe_code)]

use fata_boot::info::Region;
use fata_facts::{
    Board, Device, Expectations, Firmware, Medium, Model, Place, Source, Table, Tree, UBoot, XenFacts,
};

/// The board.
pub const BOARD: Board = Board {
    name: "rockpro64",
    title: "Pine64 RockPro64",
    compatible: "pine64,rockpro64-v2.1",
    tree: Tree::Debian("rockchip/rk3399-rockpro64.dtb"),
    ram: &[Region { base: 0x20_0000, size: 0x7fe0_0000 }],
    // include/configs/rk3399_common.h: COUNTER_FREQUENCY.
    guest: Expectations { gic: 3, timer: 27, event: 31, timer_hz: 24_000_000, memory_mib: None },
    xen: XenFacts {
        serial: "serial2",
        args: &[],
        cpus: 4,
        modules: Region { base: 0x1020_0000, size: 0x1000_0000 },
        remove: &[],
        set: &[],
    },
    // include/configs/rk3399_common.h, and Debian's build says the same; Xen a little further, at a multiple of 2 MiB.
    uboot: UBoot { xen: 0x220_0000, tree: 0x1e0_0000, from: "mmc 1:1", packaged: None },
    medium: Medium { table: Table::Gpt, first_partition_mib: 16 },
    // doc/board/rockchip/rockchip.rst.
    firmware: &[
        rockchip(
            "sets up RAM and loads U-Boot",
            "idbloader.img",
            64,
            "usr/lib/u-boot/rockpro64-rk3399/idbloader.img",
        ),
        rockchip(
            "U-Boot and Trusted Firmware-A",
            "u-boot.itb",
            16_384,
            "usr/lib/u-boot/rockpro64-rk3399/u-boot.itb",
        ),
    ],
    devices: &[
        Device {
            name: "gpio",
            path: "/pinctrl/gpio@ff720000",
            compatible: "rockchip,gpio-bank",
            registers: Region { base: 0xff72_0000, size: 0x1000 },
            interrupts: &[46],
            cells: &[("fata,led", &[11]), ("fata,button", &[5, 1])],
        },
        Device {
            name: "gpio2",
            path: "/pinctrl/gpio@ff730000",
            compatible: "rockchip,gpio-bank",
            registers: Region { base: 0xff73_0000, size: 0x1000 },
            interrupts: &[47],
            cells: &[],
        },
        Device {
            name: "gpio3",
            path: "/pinctrl/gpio@ff780000",
            compatible: "rockchip,gpio-bank",
            registers: Region { base: 0xff78_0000, size: 0x1000 },
            interrupts: &[48],
            cells: &[],
        },
        Device {
            name: "gpio4",
            path: "/pinctrl/gpio@ff788000",
            compatible: "rockchip,gpio-bank",
            registers: Region { base: 0xff78_8000, size: 0x1000 },
            interrupts: &[49],
            cells: &[],
        },
        Device {
            name: "gpio5",
            path: "/pinctrl/gpio@ff790000",
            compatible: "rockchip,gpio-bank",
            registers: Region { base: 0xff79_0000, size: 0x1000 },
            interrupts: &[50],
            cells: &[],
        },
        Device {
            name: "uart",
            path: "/serial@ff180000",
            compatible: "snps,dw-apb-uart",
            registers: Region { base: 0xff18_0000, size: 0x1000 },
            interrupts: &[131],
            cells: &[("reg-shift", &[2]), ("reg-io-width", &[4])],
        },
    ],
    model: Model::None("QEMU has no model of the RK3399"),
};

const fn rockchip(purpose: &'static str, file: &'static str, sector: u64, path: &'static str) -> Firmware {
    let source = Source::Debian { package: "u-boot-rockchip", path };
    Firmware { purpose, file, place: Place::Sector(sector), source }
}
