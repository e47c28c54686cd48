//! What every machine of the lab has in common: its settings, its folder, its board.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result};
use fata_boot::info::Region;
use fata_facts::Board;

use crate::boards::is_virt;
use crate::dom0less::DomU;
use crate::dtb::HostTree;
use crate::lab::Lab;
use crate::parts::{Qemu, XenVersion};
use crate::progress::Progress;
use crate::qemu::Invocation;

/// The interrupt controller of the board, and so of its guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gic {
    /// GICv2
    V2,
    /// GICv3
    V3,
}

impl Gic {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V2, Self::V3];
}

impl fmt::Display for Gic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2 => "2",
            Self::V3 => "3",
        })
    }
}

impl FromStr for Gic {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|gic| gic.to_string() == text);
        found.ok_or_else(|| format!("{text} is not one of 2, 3"))
    }
}

/// How to set up a machine.
#[derive(Clone, Debug)]
pub struct Config {
    /// Names the run's folder under `target/lab/runs`.
    pub name: String,
    /// Which hypervisor.
    pub xen: XenVersion,
    /// Which board.
    pub board: &'static Board,
    /// Which interrupt controller; other boards than QEMU's `virt` have theirs.
    pub gic: Gic,
    /// The board's memory; with none given, enough for the guests.
    pub memory_mib: Option<u32>,
    /// dom0's part of it, its disks included.
    pub dom0_memory_mib: Option<u32>,
    /// Physical CPUs; other boards than QEMU's `virt` have theirs.
    pub cpus: u32,
    /// Whether Xen uses all of them on boards other than QEMU's `virt`; else it uses one, which is quicker.
    pub all_cpus: bool,
    /// Counts instructions instead of time: one a nanosecond, the same in every run.
    pub icount: bool,
    /// The number of another serial port, as QEMU counts them, which is for a domain.
    pub second_serial: Option<usize>,
    /// RAM that is to be nobody's, for domains to have in common: addresses and sizes.
    pub reserved: Vec<(u64, u64)>,
    /// More of Xen's command line.
    pub xen_args: Vec<String>,
    /// More of QEMU's command line.
    pub qemu_args: Vec<String>,
    /// QEMU's options for what only watches the machine: snapshots are made and loaded without regard to them.
    pub watch_args: Vec<String>,
    /// Waits for GDB on this TCP port before Xen's first instruction.
    pub gdb_port: Option<u16>,
    /// The machine is killed after this time, whatever happens.
    pub timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "machine".to_owned(),
            xen: XenVersion::V4_20,
            board: &fata_qemu_virt::BOARD,
            gic: Gic::V3,
            memory_mib: None,
            dom0_memory_mib: None,
            cpus: 1,
            all_cpus: false,
            icount: false,
            second_serial: None,
            reserved: Vec::new(),
            xen_args: Vec::new(),
            qemu_args: Vec::new(),
            watch_args: Vec::new(),
            gdb_port: None,
            timeout: Duration::from_secs(120),
        }
    }
}

/// Xen's command line on every machine, after its serial port. The key that moves the input focus is Ctrl-^ instead of
/// Ctrl-a, which people type.
const XEN_ARGS: &str = "loglvl=info guest_loglvl=all bootscrub=0 noreboot conswitch=~";
/// What Xen prints when it has stopped for good.
pub(crate) const XEN_STOPPED: [&str; 2] = ["Manual reset required", "halting machine"];
/// The byte to send three times to move the input focus.
pub(crate) const FOCUS_KEY: u8 = b'~' - b'a' + 1;

impl Config {
    pub(crate) fn xen_command_line(&self, more: &str) -> String {
        let xen = &self.board.xen;
        let serial = format!("console=dtuart dtuart={}", xen.serial);
        let cpus = if is_virt(self.board) || self.all_cpus { "" } else { "maxcpus=1" };
        [&*serial, XEN_ARGS, cpus, &xen.args.join(" "), more, &self.xen_args.join(" ")]
            .iter()
            .filter(|a| !a.is_empty())
            .copied()
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// QEMU with this machine, Xen's serial line, the monitor and the second serial line, if there is one, on sockets of
    /// ours, in that order.
    pub(crate) fn invocation(&self, qemu: &Qemu, folder: &Folder, memory_mib: u32) -> Result<Invocation> {
        let mut run = Invocation::new(qemu.argv_prefix.clone(), &folder.path);
        run.args(self.machine_args(memory_mib)?);
        run.socket("serial");
        run.socket("qmp").args(["-mon", "chardev=qmp,mode=control"]);
        if self.second_serial.is_some() {
            run.socket("second");
        }
        run.args(self.serial_args()?);
        if let Some(port) = self.gdb_port {
            run.args(["-S".to_owned(), "-gdb".to_owned(), format!("tcp:127.0.0.1:{port}")]);
        }
        run.args(self.qemu_args.clone()).args(self.watch_args.clone());
        Ok(run)
    }

    /// What the board looks like to Xen, with the devices that `domus` are given.
    pub(crate) fn host_tree(
        &self,
        lab: &Lab,
        qemu: &Qemu,
        memory_mib: u32,
        domus: &[DomU],
        ui: &Progress,
    ) -> Result<HostTree> {
        let blob = lab.board_tree(self, qemu, memory_mib, ui)?;
        let passed: Vec<&str> = domus.iter().flat_map(|domu| domu.devices.host_paths()).collect();
        let mut tree = self.edited_tree(&blob, &passed)?;
        passed.iter().try_for_each(|path| tree.pass(path))?;
        self.reserved
            .iter()
            .try_for_each(|(base, size)| tree.reserve("vchan", Region { base: *base, size: *size }))?;
        Ok(tree)
    }
}

/// A run's own folder, with everything that led to its outcome.
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// Held while the run lasts, so that nobody else takes the folder.
    _lock: File,
}

impl Folder {
    /// `target/lab/runs/NAME`, emptied; `NAME-2` and so on while that is in use.
    pub fn take(lab: &Lab, name: &str) -> Result<Self> {
        let runs = lab.dir().join("runs");
        for n in 1.. {
            let path = runs.join(if n == 1 { name.to_owned() } else { format!("{name}-{n}") });
            fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
            let lock = File::create(path.join("lock"))?;
            if lock.try_lock().is_err() {
                continue;
            }
            for entry in fs::read_dir(&path)? {
                let entry = entry?;
                if entry.file_name() != "lock" {
                    fs::remove_file(entry.path()).with_context(|| format!("emptying {}", path.display()))?;
                }
            }
            return Ok(Self { path, _lock: lock });
        }
        unreachable!("there is always a next number")
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// The size of a file, which must exist.
pub(crate) fn file_size(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path).with_context(|| format!("reading {}", path.display()))?.len())
}
