//! QEMU's board without a hypervisor: what an image does when nobody prepared the ground.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::console::Transcript;
use crate::lab::Lab;
use crate::machine::{Folder, Gic};
use crate::progress::Progress;
use crate::qemu::{Invocation, Process, option_value};
use crate::qmp::Monitor;

/// Where the few instructions lie that stand in for a boot loader; QEMU keeps its own device tree below.
const LOADER: u64 = 0x4020_0000;

/// The board's settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Board {
    /// Which interrupt controller.
    pub(crate) gic: Gic,
    /// Starts the image at EL2, as a boot loader on a real board does; otherwise at EL1.
    pub(crate) el2: bool,
    /// Its memory.
    pub(crate) memory_mib: u32,
}

/// How the image gets into memory.
pub(crate) enum Load<'a> {
    /// By QEMU, as the boot protocol says, with QEMU's own device tree.
    Kernel,
    /// At this address, with x0 as given and a device tree at another.
    At { image: u64, x0: u64, tree: Option<(u64, &'a [u8])> },
}

/// The running board.
pub(crate) struct Bare {
    /// What came out of its serial port.
    pub(crate) serial: Transcript,
    monitor: Monitor,
    qemu: Process,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The machine was powered off.
    PoweredOff,
    /// The CPU rests where nothing can wake it.
    AtRest,
}

impl Board {
    fn machine(self) -> String {
        let el2 = if self.el2 { "on" } else { "off" };
        format!("virt,virtualization={el2},gic-version={}", self.gic)
    }

    fn args(self) -> Vec<String> {
        let memory = self.memory_mib.to_string();
        [
            "-cpu",
            "cortex-a76",
            "-m",
            &memory,
            "-display",
            "none",
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            // It stays when the machine is off: QEMU may crash if it is asked something while it ends by itself.
            "-no-shutdown",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// The device tree QEMU makes for it.
    pub(crate) fn tree(self, lab: &Lab, folder: &Folder) -> Result<Vec<u8>> {
        let blob = folder.file("board.dtb");
        let dump = format!("{},dumpdtb={}", self.machine(), option_value(&blob));
        let qemu = lab.qemu(&Progress::quiet())?;
        let output =
            qemu.command().args(["-M", &dump]).args(self.args()).output().context("starting QEMU")?;
        fs::read(&blob).with_context(|| {
            format!("QEMU wrote no device tree: {}", String::from_utf8_lossy(&output.stderr))
        })
    }

    /// Starts `image`; logs carry `run` in their names, so that a folder can hold several runs.
    pub(crate) fn start(
        self,
        lab: &Lab,
        folder: &Folder,
        run: &str,
        image: &Path,
        load: &Load<'_>,
        limit: Duration,
    ) -> Result<Bare> {
        let qemu = lab.qemu(&Progress::quiet())?;
        let mut line = Invocation::new(qemu.argv_prefix, &folder.path);
        line.args(["-M".to_owned(), self.machine()]).args(self.args());
        // It waits for us: it may be over before the monitor has answered once.
        line.args(["-S"]);
        line.socket("serial").args(["-serial", "chardev:serial"]);
        line.socket("qmp").args(["-mon", "chardev=qmp,mode=control"]);
        match *load {
            Load::Kernel => {
                line.args(["-kernel"]).args([image]);
            }
            Load::At { image: at, x0, tree } => {
                line.load(image, at);
                if let Some((address, blob)) = tree {
                    let file = folder.file(&format!("{run}.dtb"));
                    fs::write(&file, blob)?;
                    line.load(&file, address);
                }
                fs::write(folder.file("loader"), loader(x0, at))?;
                line.load(&folder.file("loader"), LOADER);
                line.args(["-device".to_owned(), format!("loader,addr={LOADER:#x},cpu-num=0")]);
            }
        }
        let (qemu, streams) = line.start(limit)?;
        let mut streams = streams.into_iter();
        let mut next = || streams.next().context("QEMU has fewer streams than asked for");
        let serial = Transcript::create(&folder.file(&format!("console-{run}.log")))?;
        let log = serial.clone();
        Transcript::follow(next()?, move |bytes| bytes.map_or_else(|| log.end(), |b| log.push(b)));
        let mut monitor = Monitor::open(next()?)?;
        // An image that powers off at once may take the answer with it; that it ran is seen by how it ends.
        let _ = monitor.run("cont", json!({}));
        Ok(Bare { serial, monitor, qemu })
    }
}

/// `ldr x0, =x0; ldr x1, =entry; br x1`
fn loader(x0: u64, entry: u64) -> Vec<u8> {
    let code = [0x5800_0080u32, 0x5800_00a1, 0xd61f_0020, 0xd503_201f];
    let code = code.iter().flat_map(|word| word.to_le_bytes());
    code.chain(x0.to_le_bytes()).chain(entry.to_le_bytes()).collect()
}

impl Bare {
    /// Waits until the machine is off, or its CPU is at an address where it rests for good.
    pub(crate) fn stopped(&mut self, at_rest: impl Fn(u64) -> bool, timeout: Duration) -> Result<Stop> {
        let deadline = Instant::now() + timeout;
        while Instant::now() < deadline {
            if let Some(status) = self.qemu.exited() {
                bail!("QEMU ended with {status}: {}", self.qemu.complaints());
            }
            if self.monitor.run("query-status", json!({}))?["status"] == "shutdown" {
                // The answer may be lost with QEMU.
                let _ = self.monitor.run("quit", json!({}));
                self.serial.wait_for_end(deadline.saturating_duration_since(Instant::now()));
                return Ok(Stop::PoweredOff);
            }
            if at_rest(self.program_counter()?) {
                return Ok(Stop::AtRest);
            }
        }
        bail!("neither off nor at rest after {timeout:.0?}; see {}", self.serial.log().display())
    }

    fn program_counter(&mut self) -> Result<u64> {
        let registers = self.monitor.human("info registers")?;
        let digits = registers.split_once("PC=").and_then(|(_, rest)| rest.get(..16));
        Ok(u64::from_str_radix(digits.context("QEMU names no program counter")?, 16)?)
    }
}
