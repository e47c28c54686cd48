//! What is to be known of a board before Xen runs on it.
//!
//! Under Xen every 64-bit ARM guest sees the machine of `xenvm-arm64`, so a board crate is data: one [`Board`], which
//! tools on the host make boot media from, and which says what a guest is expected to find.
#![no_std]
#![forbid(unsafe_code)]

mod expect;

pub use expect::{Expectations, differences};
use fata_boot::info::Region;

/// A board.
#[derive(Debug)]
pub struct Board {
    /// What it is called here and on command lines: letters, digits and hyphens.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// First string of its device tree's `/compatible`.
    pub compatible: &'static str,
    /// Where its device tree comes from.
    pub tree: Tree,
    /// Its RAM, at the least that it is sold with, sorted; what lies beyond is found in its device tree.
    pub ram: &'static [Region],
    /// What a guest of Xen's is expected to find on it.
    pub guest: Expectations,
    /// How Xen is started on it.
    pub xen: XenFacts,
    /// How U-Boot is to load it.
    pub uboot: UBoot,
    /// What its boot medium looks like.
    pub medium: Medium,
    /// What else has to be on the medium, and where it comes from.
    pub firmware: &'static [Firmware],
    /// Devices that may be given to a guest.
    pub devices: &'static [Device],
    /// The model of it that is run, or why there is none.
    pub model: Model,
}

/// Where a board's device tree comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    /// QEMU writes it (`-machine …,dumpdtb=`).
    Qemu,
    /// Debian's linux-image for arm64 has it, below `usr/lib/linux-image-*/`: `broadcom/bcm2711-rpi-4-b.dtb`.
    Debian(&'static str),
    /// It came with the board: a file in this source tree, `boards/NAME/board.dtb`.
    File(&'static str),
}

/// How Xen is started.
#[derive(Debug)]
pub struct XenFacts {
    /// Its serial port, as for `dtuart=` (docs/misc/xen-command-line.pandoc): a path or an alias in the device tree.
    pub serial: &'static str,
    /// More of its command line that this board cannot do without, each with its reason in the board's docs.
    pub args: &'static [&'static str],
    /// How many CPUs it brings up.
    pub cpus: u32,
    /// Where images and other modules may lie while it starts: RAM that neither firmware nor device tree, U-Boot, or
    /// Xen's own image is in.
    pub modules: Region,
    /// Paths of nodes in the device tree that are to go before Xen reads it, each with its reason in the board's docs.
    pub remove: &'static [&'static str],
    /// Properties to be changed before Xen reads them, each with its reason in the board's docs.
    pub set: &'static [Cells],
}

/// A property of the board's device tree, and what it is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cells {
    /// The node.
    pub path: &'static str,
    /// The property.
    pub property: &'static str,
    /// Its value.
    pub cells: &'static [u32],
}

/// Where U-Boot puts things (its `*_addr_r` variables), and what it loads them from.
#[derive(Debug)]
pub struct UBoot {
    /// Where Xen is loaded (`kernel_addr_r`).
    pub xen: u64,
    /// Where the device tree is loaded (`fdt_addr_r`).
    pub tree: u64,
    /// The device and partition: `mmc 0:1`.
    pub from: &'static str,
    /// Debian's package that has U-Boot for it, and the file in it; none where the firmware has it, or nobody packs it.
    pub packaged: Option<(&'static str, &'static str)>,
}

/// A boot medium.
#[derive(Debug)]
pub struct Medium {
    /// How it is divided.
    pub table: Table,
    /// Where the first partition (FAT) starts; what comes before is the firmware's.
    pub first_partition_mib: u32,
}

/// How a medium is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// A master boot record.
    Mbr,
    /// A GUID partition table.
    Gpt,
}

/// Something that runs before Xen.
#[derive(Debug)]
pub struct Firmware {
    /// What it does.
    pub purpose: &'static str,
    /// Its name on the medium.
    pub file: &'static str,
    /// Where on the medium.
    pub place: Place,
    /// Where it comes from.
    pub source: Source,
}

/// Where on a medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file of the FAT partition.
    File,
    /// Raw, from this 512-byte sector on.
    Sector(u64),
}

/// Where firmware comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Debian packs it.
    Debian {
        /// The package.
        package: &'static str,
        /// The file in it.
        path: &'static str,
    },
    /// Its maker gives it out, and nobody packs it: where to ask.
    Maker(&'static str),
    /// This text.
    Text(&'static str),
    /// It is the board's own device tree, for firmware that hands it on.
    Tree,
}

/// A device that may be given to a guest.
#[derive(Debug)]
pub struct Device {
    /// What deployment files call it.
    pub name: &'static str,
    /// Its node in the host's device tree.
    pub path: &'static str,
    /// What it is compatible with, as far as drivers here care.
    pub compatible: &'static str,
    /// Its registers, in whole pages.
    pub registers: Region,
    /// Its interrupts, by their number at the GIC (an SPI's is 32 more than the device tree's cell).
    pub interrupts: &'static [u32],
    /// More cells for its node in the guest's device tree, such as `reg-shift` or a pin.
    pub cells: &'static [(&'static str, &'static [u32])],
}

/// The model of a board that is run.
#[derive(Debug)]
pub enum Model {
    /// QEMU has one.
    Qemu(Qemu),
    /// QEMU has one that Xen and its guests run on, but on which Xen cannot print: why. What it would print is in its
    /// memory.
    Mute(Qemu, &'static str),
    /// Nobody has: why.
    None(&'static str),
}

/// A machine of QEMU's.
#[derive(Debug)]
pub struct Qemu {
    /// `-M`.
    pub machine: &'static str,
    /// `-smp`.
    pub cpus: u32,
    /// `-m`; none where the machine says so itself.
    pub memory_mib: Option<u32>,
    /// More.
    pub args: &'static [&'static str],
    /// More, so that only its first CPU runs: others may spin until Xen has use for them, each on a CPU of this machine.
    pub one_cpu: &'static [&'static str],
    /// Which of QEMU's serial ports is Xen's, counted from 0.
    pub serial: usize,
    /// Ticks of its counter in a second, whatever the board's does.
    pub timer_hz: u64,
}

impl Board {
    /// The device deployment files call `name`.
    pub fn device(&self, name: &str) -> Option<&Device> {
        self.devices.iter().find(|device| device.name == name)
    }

    /// The model of it that runs, if only to be looked at.
    pub const fn qemu(&self) -> Option<&Qemu> {
        match &self.model {
            Model::Qemu(qemu) | Model::Mute(qemu, _) => Some(qemu),
            Model::None(_) => None,
        }
    }

    /// What a guest is expected to find on its model.
    pub const fn guest_on_model(&self) -> Expectations {
        match self.qemu() {
            Some(qemu) => Expectations { timer_hz: qemu.timer_hz, ..self.guest },
            None => self.guest,
        }
    }
}
