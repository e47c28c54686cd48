//! GDB on a guest: Debian's, unpacked and run in place, and a script with commands that know of Xen and of the run time.
//!
//! The commands are in GDB's own language, and so work in any GDB that knows ARM64; they read memory where the linker and
//! the image have said that something is, since the types of an optimised image do not tell.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Error, Result, bail};
use object::{Object as _, ObjectSymbol as _};

use crate::apt::{Apt, Host};
use crate::dom0::locate;
use crate::lab::Lab;
use crate::progress::Progress;

const PACKAGES: [&str; 1] = ["gdb-multiarch"];
const SUITE: &str = "trixie";
/// Where Xen loads a guest's image (xen/include/public/arch-arm.h, GUEST_RAM0_BASE).
const GUEST_BASE: u64 = 0x4000_0000;

/// Debian's GDB for all architectures, unpacked.
pub struct Gdb {
    root: PathBuf,
    libraries: PathBuf,
    loader: &'static str,
}

impl Lab {
    /// GDB, fetched when it is first asked for.
    pub fn gdb(&self, ui: &Progress) -> Result<Gdb> {
        let (arch, triplet, loader) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", "x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
            "aarch64" => ("arm64", "aarch64-linux-gnu", "ld-linux-aarch64.so.1"),
            other => bail!("no packages are known for a host with {other}"),
        };
        let name = format!("gdb-{arch}");
        let recipe = format!("{SUITE} {arch}: {}", PACKAGES.join(" "));
        let root = self.part(&name, &recipe, ui, |into, log, step| {
            let host = Host::detect().map_err(Error::msg)?;
            let apt = Apt::new(&host, self.apt_root(&name), arch, &[SUITE], log)?;
            apt.update(step)?;
            let packages = apt.closure(&PACKAGES)?;
            let debs = apt.download(&packages, step)?;
            apt.unpack(&debs, into, step)?;
            Ok(packages)
        })?;
        let libraries = root.join("usr/lib").join(triplet);
        Ok(Gdb { root, libraries, loader })
    }
}

impl Gdb {
    /// How to start it, with its own libraries and data.
    pub fn command(&self) -> Result<Command> {
        let mut command = Command::new(self.libraries.join(self.loader));
        command
            .env("PYTHONHOME", self.root.join("usr"))
            .arg("--library-path")
            .arg(&self.libraries)
            .arg(locate(&self.root, "usr/bin/gdb-multiarch")?)
            .arg("--data-directory")
            .arg(self.root.join("usr/share/gdb"))
            .args(["-nx", "-q"]);
        Ok(command)
    }

    /// The same for a shell.
    pub fn shell_line(&self) -> Result<String> {
        let command = self.command()?;
        let words = command.get_args().map(|word| format!("'{}'", word.to_string_lossy()));
        let words = words.collect::<Vec<_>>().join(" ");
        let program = command.get_program().to_string_lossy();
        Ok(format!("PYTHONHOME='{}' '{program}' {words}", self.root.join("usr").display()))
    }
}

/// Where things are in an image that is loaded at 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Places {
    trace: Option<u64>,
    recorder: Option<u64>,
    shared_info: Option<u64>,
    vcpu_info: Option<u64>,
}

impl Places {
    fn of(elf: &[u8]) -> Result<Self> {
        let file = object::File::parse(elf).context("not an ELF file")?;
        let mut places = Self::default();
        for symbol in file.symbols() {
            let Ok(name) = symbol.name() else { continue };
            let name = format!("{:#}", addr2line::demangle_auto(name.into(), None));
            let place = match name.as_str() {
                "fata_trace::TRACE" => &mut places.trace,
                "fata_log::recorder::RECORDER" => &mut places.recorder,
                "_shared_info" => &mut places.shared_info,
                "_vcpu_info" => &mut places.vcpu_info,
                _ => continue,
            };
            *place = Some(symbol.address());
        }
        Ok(places)
    }
}

/// What GDB reads to debug the image `elf` through QEMU's stub at `target` (`:1234`): symbols where Xen loads it, a
/// breakpoint at its entry, and the commands.
pub fn gdb_script(elf: &Path, target: &str) -> Result<String> {
    let file = std::fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let places = Places::of(&file).with_context(|| format!("cannot read {}", elf.display()))?;
    let mut script = format!(
        "# For gdb-multiarch -x: symbols, a breakpoint at the entry, and the commands fata-help tells of.\n\
         set pagination off\nset confirm off\nset print asm-demangle on\nset architecture aarch64\n\
         add-symbol-file {} -o {GUEST_BASE:#x}\n\
         target remote {target}\n\
         # At EL1 alone: addresses of a guest mean something else to Xen and to QEMU's first instructions. Once: Xen maps\n\
         # a new domain's memory when it is first touched, and then has the first instruction executed again.\n\
         thbreak *{GUEST_BASE:#x} if (($cpsr >> 2) & 3) == 1\n",
        elf.display()
    );
    // Writing to a string cannot fail.
    let mut set = |name: &str, place: Option<u64>| {
        let _ = writeln!(script, "set $fata_{name} = {:#x}", place.map_or(0, |offset| GUEST_BASE + offset));
    };
    set("trace", places.trace);
    set("recorder", places.recorder);
    set("shared", places.shared_info);
    set("vcpu", places.vcpu_info);
    script.push_str(COMMANDS);
    Ok(script)
}

/// Layouts are those of `xen/include/public` (xen.h, grant_table.h, io/ring.h, io/xs_wire.h, io/console.h), and of
/// `boot/trace/src/whole.rs` and `boot/log/src/recorder.rs`.
const COMMANDS: &str = include_str!("debugger.gdb");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_those_of_what_is_read() {
        assert_eq!((fata_trace::TASKS, fata_trace::RINGS), (64, 32));
        assert!(
            COMMANDS.contains("$fata_trace + 64 + 32 * $i")
                && COMMANDS.contains("$fata_trace + 2112 + 32 * $i")
        );
        assert_eq!(64 + 32 * fata_trace::TASKS, 2112);
    }

    #[test]
    fn every_command_is_told_of_and_ends() {
        let defined: Vec<_> = COMMANDS.lines().filter_map(|line| line.strip_prefix("define ")).collect();
        assert_eq!(defined.len(), 7, "{defined:?}");
        let help = COMMANDS.split("define fata-help").nth(1).unwrap();
        for name in defined.iter().filter(|name| !["fata-help", "fata-ready"].contains(name)) {
            assert!(help.contains(name), "{name}");
        }
        let opened = COMMANDS.lines().filter(|line| {
            ["define ", "while ", "if ", "document "].iter().any(|word| line.trim_start().starts_with(word))
        });
        assert_eq!(opened.count(), COMMANDS.lines().filter(|line| line.trim() == "end").count());
    }
}
