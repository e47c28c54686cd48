//! Boards as the lab has them: their device trees, and QEMU's models of them.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Error, Result, bail};
use fata_facts::{Board, Model, Tree};

use crate::apt::{Apt, Host};
use crate::dtb::{self, HostTree};
use crate::lab::Lab;
use crate::machine::Config;
use crate::parts::Qemu;
use crate::progress::Progress;
use crate::qemu::option_value;

/// The kernel that comes with every board's device tree, and its suite. The lab needs no more of it.
const KERNEL: (&str, &str) = ("linux-image-arm64", "trixie");
/// The serial port of a machine that Xen has.
const XENS: &str = "chardev:serial";
/// The one that a domain has.
const DOMAINS: &str = "chardev:second";

/// QEMU's machine that everybody has, which the lab can vary.
pub(crate) fn is_virt(board: &Board) -> bool {
    board.name == fata_qemu_virt::BOARD.name
}

impl Lab {
    /// The device trees that Debian has: a directory for each maker of chips. `FATA_TREES_DIR` may name it, from
    /// an unpacked linux-image.
    pub fn device_trees(&self, ui: &Progress) -> Result<PathBuf> {
        if let Some(dir) = std::env::var_os("FATA_TREES_DIR") {
            return Ok(dir.into());
        }
        let (package, suite) = KERNEL;
        if self.has_part("trees").is_none()
            && let Err(reason) = Host::detect()
        {
            bail!("{reason}.\nUnpack Debian's {package} and set FATA_TREES_DIR to its usr/lib/linux-image-*");
        }
        self.part("trees", &format!("{suite} arm64: {package}"), ui, |into, log, step| {
            let host = Host::detect().map_err(Error::msg)?;
            let apt = Apt::new(&host, self.apt_root("trees"), "arm64", &[suite], log)?;
            apt.update(step)?;
            let kernel = apt.dependencies(package)?.into_iter().find(|name| name.starts_with("linux-image-"));
            let kernel = kernel.with_context(|| format!("{package} names no kernel package"))?;
            let debs = apt.download(std::slice::from_ref(&kernel), step)?;
            step.busy("unpacking");
            for deb in &debs {
                // Named as the package is, so that no more than the trees is unpacked.
                apt.unpack_only(deb, &format!("./usr/lib/{kernel}/"), 4, into)?;
                // It is a hundred times larger than what it was for.
                fs::remove_file(deb)?;
            }
            Ok(vec![kernel])
        })
    }

    /// The board's own device tree, of as much memory as its crate says.
    pub fn tree_of(&self, config: &Config, ui: &Progress) -> Result<Vec<u8>> {
        let memory_mib = config.model_memory_mib().unwrap_or((config.board.ram[0].size >> 20) as u32);
        self.board_tree(config, &self.qemu(ui)?, memory_mib, ui)
    }

    /// The board's own device tree, as U-Boot would load it. QEMU's, for `config`'s machine.
    pub(crate) fn board_tree(
        &self,
        config: &Config,
        qemu: &Qemu,
        memory_mib: u32,
        ui: &Progress,
    ) -> Result<Vec<u8>> {
        let board = config.board;
        let file = match board.tree {
            Tree::Debian(path) => self.device_trees(ui)?.join(path),
            Tree::File(path) => self.workspace().join(path),
            Tree::Qemu => {
                let mut args = config.machine_args(memory_mib)?;
                // QEMU describes the ports that lines are for.
                let ports = config.second_serial.map_or(0, |second| second + 1);
                args.extend(["-serial", "null"].repeat(ports).into_iter().map(str::to_owned));
                let name = match is_virt(board) {
                    true => format!("gic{}-cpus{}-{memory_mib}", config.gic, config.cpus),
                    false => format!("{}-{memory_mib}", board.name),
                };
                let icount = if config.icount { "-icount" } else { "" };
                let serial = if ports > 0 { "-serial" } else { "" };
                let name = format!("dtb/{name}{icount}{serial}");
                let recipe = format!("{:?} {}", qemu.version, args.join(" "));
                let dir = self.part(&name, &recipe, ui, |into, _, _| {
                    let blob = into.join("board.dtb");
                    let mut dump = args.clone();
                    dump[1] = format!("{},dumpdtb={}", dump[1], option_value(&blob));
                    let output = qemu.command().args(&dump).output().context("starting QEMU")?;
                    if !blob.is_file() {
                        bail!("QEMU wrote no device tree: {}", String::from_utf8_lossy(&output.stderr));
                    }
                    Ok(vec!["board.dtb".to_owned()])
                })?;
                dir.join("board.dtb")
            }
        };
        fs::read(&file).with_context(|| format!("reading {}", file.display()))
    }
}

impl Config {
    /// The arguments that make the machine; the same for a fresh start and for loading a snapshot.
    pub(crate) fn machine_args(&self, memory_mib: u32) -> Result<Vec<String>> {
        let (machine, cpus, more) = if is_virt(self.board) {
            let cpu = if self.icount { "max" } else { "cortex-a76" };
            let machine = format!("virt,virtualization=on,gic-version={}", self.gic);
            (machine, self.cpus, vec!["-cpu", cpu])
        } else {
            let model = self.model()?;
            let one_cpu = if self.all_cpus { &[] } else { model.one_cpu };
            (model.machine.to_owned(), model.cpus, [model.args, one_cpu].concat())
        };
        let mut args = vec!["-M".to_owned(), machine];
        args.extend(more.into_iter().map(str::to_owned));
        let threads = if self.icount { "single" } else { "multi" };
        args.extend(["-accel".to_owned(), format!("tcg,thread={threads}")]);
        args.extend(["-smp".to_owned(), cpus.to_string()]);
        if is_virt(self.board) || self.model()?.memory_mib.is_some() {
            args.extend(["-m".to_owned(), memory_mib.to_string()]);
        }
        args.extend(["-display", "none", "-nodefaults", "-no-user-config", "-no-reboot"].map(str::to_owned));
        if self.icount {
            args.extend(["-icount", "shift=0,sleep=off"].map(str::to_owned));
        }
        Ok(args)
    }

    /// QEMU's serial ports, Xen's among them, as arguments.
    pub(crate) fn serial_args(&self) -> Result<Vec<String>> {
        let xens = if is_virt(self.board) { 0 } else { self.model()?.serial };
        let last = self.second_serial.map_or(xens, |second| second.max(xens));
        let port = |n| match Some(n) {
            _ if n == xens => XENS,
            port if port == self.second_serial => DOMAINS,
            _ => "null",
        };
        Ok((0..=last).flat_map(|n| ["-serial".to_owned(), port(n).to_owned()]).collect())
    }

    /// The machine's memory if the board's model says what that is.
    pub(crate) fn model_memory_mib(&self) -> Option<u32> {
        if is_virt(self.board) { None } else { self.board.qemu().and_then(|model| model.memory_mib) }
    }

    /// What the board looks like to Xen, but for those of its nodes that `passed` names.
    pub(crate) fn edited_tree(&self, blob: &[u8], passed: &[&str]) -> Result<HostTree> {
        if is_virt(self.board) {
            return dtb::virt(blob, passed);
        }
        HostTree::of(self.board, blob, passed)
    }

    fn model(&self) -> Result<&'static fata_facts::Qemu> {
        match &self.board.model {
            Model::Qemu(model) | Model::Mute(model, _) => Ok(model),
            Model::None(why) => bail!("{} cannot be run here: {why}", self.board.title),
        }
    }
}
