//! Debian's own programs, as peers and as judges of what our guests say: in dom0, and on this machine.
//!
//! They come with all libraries and their dynamic linker, in a directory of their own, since what they are put beside may
//! have others.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Error, Result, bail};
use object::read::elf::ElfFile64;
use object::{Endianness, elf};

use crate::apt::{Apt, Host};
use crate::cpio::Archive;
use crate::dom0::locate;
use crate::host::Dom0;
use crate::lab::Lab;
use crate::progress::Progress;

/// The programs.
const PACKAGES: [&str; 14] = [
    "bind9-dnsutils",
    "bind9-utils",
    "chrony",
    "curl",
    "dnsmasq-base",
    "dnsperf",
    "iperf3",
    "knot-dnsutils",
    "nginx",
    "nmap",
    "nsd",
    "openssl",
    "socat",
    "wrk",
];
const SUITE: &str = "trixie";
/// Where packages have programs.
const DIRECTORIES: [&str; 3] = ["usr/bin", "usr/sbin", "usr/lib/bind9"];
/// What programs read, by the program: where packages have it, and it goes into `share`.
const DATA: [(&str, &str, [&str; 5]); 1] = [(
    "nmap",
    "usr/share/nmap",
    ["nmap-mac-prefixes", "nmap-os-db", "nmap-protocols", "nmap-service-probes", "nmap-services"],
)];
/// Where they are in dom0, and in Linux guests.
const PLACE: &str = "/tools";

/// Where programs are to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// In an ARM64 dom0.
    Dom0,
    /// On this machine.
    Host,
}

/// Debian's programs, unpacked.
#[derive(Clone, Debug)]
pub struct Tools {
    root: PathBuf,
    triplet: &'static str,
    loader: &'static str,
}

impl Lab {
    /// Debian's programs, fetched when they are first asked for.
    pub fn tools(&self, on: On, ui: &Progress) -> Result<Tools> {
        let arm = ("arm64", "aarch64-linux-gnu", "ld-linux-aarch64.so.1");
        let (arch, triplet, loader) = match (on, std::env::consts::ARCH) {
            (On::Dom0, _) | (On::Host, "aarch64") => arm,
            (On::Host, "x86_64") => ("amd64", "x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
            (On::Host, other) => bail!("no packages are known for a host with {other}"),
        };
        let name = format!("tools-{arch}");
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
        Ok(Tools { root, triplet, loader })
    }
}

impl Tools {
    /// A program on this machine, with its own libraries.
    pub fn command(&self, program: &str) -> Result<Command> {
        let libraries = self.libraries();
        let mut command = Command::new(libraries.join(self.loader));
        command.arg("--library-path").arg(&libraries).arg(self.program(program)?);
        Ok(command)
    }

    fn libraries(&self) -> PathBuf {
        self.root.join("usr/lib").join(self.triplet)
    }

    /// Some libraries are in a directory of their own, and would be linked to when they are installed.
    fn library(&self, name: &str) -> PathBuf {
        let usual = self.libraries().join(name);
        let own = name.split_once(".so").map(|(start, _)| start.trim_start_matches("lib"));
        let own = own.map(|own| self.libraries().join(own).join(name));
        own.filter(|own| !usual.exists() && own.exists()).unwrap_or(usual)
    }

    fn program(&self, name: &str) -> Result<PathBuf> {
        let found = DIRECTORIES.iter().find_map(|dir| locate(&self.root, &format!("{dir}/{name}")).ok());
        found
            .with_context(|| format!("{name} is in none of the packages unpacked in {}", self.root.display()))
    }

    /// Programs with all they need, each with a script to start it, in [`PLACE`] of an archive.
    pub(crate) fn put_into(&self, archive: &mut Archive, programs: &[&str]) -> Result<()> {
        let place = &PLACE[1..];
        for directory in ["", "/bin", "/lib", "/share"] {
            archive.directory(&format!("{place}{directory}"));
        }
        let mut wanted = BTreeSet::from([self.loader.to_owned()]);
        for name in programs {
            let bytes = read(&self.program(name)?)?;
            wanted.extend(needed(&bytes).with_context(|| format!("reading {name}"))?);
            archive.file(&format!("{place}/bin/{name}"), 0o755, &bytes);
            let script = format!(
                "#!/bin/sh\nexec {PLACE}/lib/{} --library-path {PLACE}/lib {PLACE}/bin/{name} \"$@\"\n",
                self.loader
            );
            archive.file(&format!("{place}/{name}"), 0o755, script.as_bytes());
        }
        for (_, directory, files) in DATA.iter().filter(|(program, ..)| programs.contains(program)) {
            for name in files {
                let bytes = read(&locate(&self.root, &format!("{directory}/{name}"))?)?;
                archive.file(&format!("{place}/share/{name}"), 0o644, &bytes);
            }
        }
        let mut done = BTreeSet::new();
        while let Some(name) = wanted.pop_first() {
            let bytes = read(&self.library(&name))?;
            let more = needed(&bytes).with_context(|| format!("reading {name}"))?;
            archive.file(&format!("{place}/lib/{name}"), 0o755, &bytes);
            done.insert(name);
            wanted.extend(more.into_iter().filter(|library| !done.contains(library)));
        }
        Ok(())
    }
}

impl Dom0 {
    /// Puts programs into dom0 as `/tools/NAME`, each with all that it needs.
    pub fn push_tools(&self, tools: &Tools, programs: &[&str]) -> Result<()> {
        let mut archive = Archive::default();
        tools.put_into(&mut archive, programs)?;
        self.push("/tmp/tools", &archive.finish())?;
        let script = "cd / && cpio -iu </tmp/tools 2>&1 && rm /tmp/tools";
        let output = self.run(script, Duration::from_secs(120))?;
        if output.code != 0 {
            bail!("dom0 cannot unpack {programs:?}: {}", output.text());
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

/// The libraries that a program or library is linked against.
fn needed(file: &[u8]) -> Result<Vec<String>> {
    let table = ElfFile64::<Endianness>::parse(file)?.elf_dynamic_table()?;
    let names = table.iter().filter(|entry| entry.tag == elf::DT_NEEDED);
    names.map(|entry| Ok(String::from_utf8(table.string(entry)?.to_vec())?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_tells_what_it_is_linked_against() {
        let this = std::env::current_exe().unwrap();
        let libraries = needed(&fs::read(this).unwrap()).unwrap();
        assert!(libraries.iter().any(|name| name.starts_with("libc.so")), "{libraries:?}");
        assert!(needed(b"\x7fELF").is_err());
    }
}
