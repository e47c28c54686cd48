//! What is known of chips, and no device tree says: U-Boot's addresses, and what QEMU has models of.

/// A chip, or a board that is one of its kind.
pub(super) struct Chip {
    /// What boards with it are compatible with.
    pub compatible: &'static str,
    /// Where U-Boot loads kernel, device tree and script, and which of its files says so.
    pub uboot: Option<(u64, u64, u64, &'static str)>,
    /// QEMU's machine with it.
    pub model: Option<Machine>,
    /// QEMU's interrupt controller does not say that it is a GIC-400 whose pages are seen sixteen times, so Xen takes
    /// no notice.
    pub hidden_aliases: bool,
    /// Where the graphics processor, secure firmware or the like has what the device tree calls RAM, or the like.
    pub remark: &'static str,
}

/// A machine of QEMU's.
pub(super) struct Machine {
    pub machine: &'static str,
    pub cpus: u32,
    pub memory_mib: Option<u32>,
    pub args: &'static [&'static str],
    pub one_cpu: &'static [&'static str],
    /// Addresses of its serial ports, in QEMU's order.
    pub ports: &'static [u64],
    pub timer_hz: u64,
    /// Its device tree is QEMU's own.
    pub writes_tree: bool,
}

const UNKNOWN: Chip = Chip { compatible: "", uboot: None, model: None, hidden_aliases: false, remark: "" };
const MACHINE: Machine = Machine {
    machine: "",
    cpus: 4,
    memory_mib: None,
    args: &[],
    one_cpu: &[],
    ports: &[],
    timer_hz: 62_500_000,
    writes_tree: false,
};

/// The first that fits is taken.
pub(super) const CHIPS: &[Chip] = &[
    Chip {
        compatible: "linux,dummy-virt",
        uboot: Some((0x4040_0000, 0x4400_0000, 0x4020_0000, "board/emulation/qemu-arm/qemu-arm.env")),
        model: Some(Machine {
            machine: "virt,virtualization=on,gic-version=3",
            cpus: 1,
            memory_mib: Some(512),
            args: &["-cpu", "cortex-a76"],
            ports: &[0x900_0000, 0x904_0000],
            writes_tree: true,
            ..MACHINE
        }),
        ..UNKNOWN
    },
    Chip {
        compatible: "brcm,bcm2711",
        uboot: Some((0x8_0000, 0x260_0000, 0x240_0000, "board/raspberrypi/rpi/rpi.env")),
        model: Some(Machine {
            machine: "raspi4b",
            one_cpu: &["-global", "bcm283x-base.enabled-cpus=1"],
            ports: &[0xfe20_1000, 0xfe21_5040],
            ..MACHINE
        }),
        remark: "The graphics processor takes its share at the end of the first GiB: 76 MiB, unless told otherwise.",
        ..UNKNOWN
    },
    Chip {
        compatible: "xlnx,zynqmp",
        uboot: Some((0x1800_0000, 0x4000_0000, 0x2000_0000, "include/configs/xilinx_zynqmp.h")),
        model: Some(Machine {
            machine: "xlnx-zcu102,virtualization=on",
            memory_mib: Some(2048),
            args: &["-audio", "none"],
            ports: &[0xff00_0000, 0xff01_0000],
            ..MACHINE
        }),
        hidden_aliases: true,
        ..UNKNOWN
    },
    Chip {
        compatible: "xlnx-versal-virt",
        uboot: Some((0x1800_0000, 0x4000_0000, 0x2000_0000, "include/configs/xilinx_versal.h")),
        model: Some(Machine {
            machine: "xlnx-versal-virt",
            memory_mib: Some(2048),
            ports: &[0xff00_0000, 0xff01_0000],
            writes_tree: true,
            ..MACHINE
        }),
        ..UNKNOWN
    },
    Chip {
        compatible: "rockchip,rk3399",
        uboot: Some((0x208_0000, 0x1e0_0000, 0x50_0000, "include/configs/rk3399_common.h")),
        remark: "Trusted Firmware-A is in the first 2 MiB.",
        ..UNKNOWN
    },
    Chip {
        compatible: "allwinner,sun50i-a64",
        uboot: Some((0x4008_0000, 0x4fa0_0000, 0x4fc0_0000, "include/configs/sunxi-common.h")),
        ..UNKNOWN
    },
];
