//! The Raspberry Pi 4 Model B.
//!
//! **Boot chain.** The boot ROM reads an EEPROM, which reads `start4.elf` and `fixup4.dat` from the first FAT partition and
//! does what `config.txt` there says: `kernel=u-boot.bin`, `arm_64bit=1`, and `enable_uart=1`, without which the mini UART
//! has no steady clock. U-Boot loads Xen. All of it is in Debian (raspi-firmware is in non-free-firmware).
//!
//! **Serial.** Pins 8 (transmit), 10 (receive) and 6 (ground) of the header, 3.3 V, 115200 baud, are the mini UART,
//! `serial1`; Bluetooth has the PL011. Xen drives the mini UART as a 16550 (`brcm,bcm2835-aux-uart`).
//!
//! **CPUs** wait at a spin table, there is no PSCI: Xen starts all four, but cannot turn the board off.
//!
//! **RAM** is what the 1 GiB model has below the graphics processor's share of 76 MiB. In Debian's device tree it is
//! empty: the firmware fills it in. The page at 0 holds the spin table.
//!
//! **For guests**: the GPIO block with the green LED (pin 42), and the PL011 when Bluetooth is not used
//! (`dtoverlay=disable-bt` moves it to the header's pins). There is no IOMMU: give nobody a device that does DMA.
#![no_std]
#![forbid(unsafe_code)]

use fata_boot::info::Region;
use fata_facts::{
    Board, Device, Expectations, Firmware, Medium, Model, Place, Qemu, Source, Table, Tree, UBoot, XenFacts,
};

/// The board.
pub const BOARD: Board = Board {
    name: "raspberry-pi-4",
    title: "Raspberry Pi 4",
    compatible: "raspberrypi,4-model-b",
    tree: Tree::Debian("broadcom/bcm2711-rpi-4-b.dtb"),
    ram: &[Region { base: 0, size: 948 << 20 }],
    guest: Expectations { gic: 2, timer: 27, event: 31, timer_hz: 54_000_000, memory_mib: None },
    xen: XenFacts {
        serial: "serial1",
        args: &[],
        cpus: 4,
        // Above what U-Boot loads (to 0x2700000) and where QEMU puts its device tree (0x8000000).
        modules: Region { base: 0x1000_0000, size: 256 << 20 },
        remove: &[],
        set: &[],
    },
    // board/raspberrypi/rpi/rpi.env, and Debian's build says the same, but for kernels at 0x80000, which U-Boot would
    // move to here.
    uboot: UBoot {
        xen: 0x20_0000,
        tree: 0x260_0000,
        from: "mmc 0:1",
        packaged: Some(("u-boot-rpi", "usr/lib/u-boot/rpi_arm64/u-boot.bin")),
    },
    medium: Medium { table: Table::Mbr, first_partition_mib: 1 },
    firmware: &[
        raspi_firmware("starts the board", "start4.elf", "usr/lib/raspi-firmware/start4.elf"),
        raspi_firmware("divides its RAM", "fixup4.dat", "usr/lib/raspi-firmware/fixup4.dat"),
        on_fat(
            "tells the firmware what to load",
            "config.txt",
            Source::Text("arm_64bit=1\nenable_uart=1\nkernel=u-boot.bin\n"),
        ),
        on_fat("is handed on to U-Boot", "bcm2711-rpi-4-b.dtb", Source::Tree),
        on_fat(
            "loads Xen",
            "u-boot.bin",
            Source::Debian { package: "u-boot-rpi", path: "usr/lib/u-boot/rpi_arm64/u-boot.bin" },
        ),
    ],
    devices: &[
        Device {
            name: "gpio",
            path: "/soc/gpio@7e200000",
            compatible: "brcm,bcm2711-gpio",
            registers: Region { base: 0xfe20_0000, size: 0x1000 },
            interrupts: &[145, 146, 147, 148],
            // The header's pin 11 for a button to ground: on when low, and pulled up.
            cells: &[("fata,led", &[42]), ("fata,button", &[17, 0x11])],
        },
        Device {
            name: "uart",
            path: "/soc/serial@7e201000",
            compatible: "arm,pl011",
            registers: Region { base: 0xfe20_1000, size: 0x1000 },
            interrupts: &[153],
            // What the firmware makes it, unless config.txt has another init_uart_clock.
            cells: &[("clock-frequency", &[48_000_000])],
        },
    ],
    model: Model::Qemu(Qemu {
        machine: "raspi4b",
        cpus: 4,
        memory_mib: None,
        args: &[],
        // The others wait busily at the spin table.
        one_cpu: &["-global", "bcm283x-base.enabled-cpus=1"],
        serial: 1,
        timer_hz: 62_500_000,
    }),
};

const fn raspi_firmware(purpose: &'static str, file: &'static str, path: &'static str) -> Firmware {
    on_fat(purpose, file, Source::Debian { package: "raspi-firmware", path })
}

const fn on_fat(purpose: &'static str, file: &'static str, source: Source) -> Firmware {
    Firmware { purpose, file, place: Place::File, source }
}
