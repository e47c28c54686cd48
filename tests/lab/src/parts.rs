//! What the lab runs: QEMU for this machine, Xen and a Linux dom0 for ARM64.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Error, Result, bail};

use crate::apt::{Apt, Host};
use crate::lab::Lab;
use crate::progress::Progress;
use crate::tool::on_path;

/// The oldest QEMU that boots the lab's machines. Snapshots (`mapped-ram`) need 9.0.
const OLDEST_QEMU: [u32; 2] = [8, 0];

/// The suite QEMU comes from, whatever the host runs: its whole closure is fetched, the C library included.
const QEMU_SUITE: &str = "trixie";

/// A QEMU for ARM64 machines.
#[derive(Clone, Debug)]
pub struct Qemu {
    /// Program and first arguments; a machine's own follow.
    pub argv_prefix: Vec<OsString>,
    /// `[major, minor, micro]`.
    pub version: [u32; 3],
}

impl Qemu {
    /// A command to which the machine's arguments are added.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.argv_prefix[0]);
        command.args(&self.argv_prefix[1..]);
        command
    }

    fn ask_version(argv_prefix: Vec<OsString>) -> Result<Self> {
        let mut qemu = Self { argv_prefix, version: [0; 3] };
        let output = qemu.command().arg("--version").output().context("cannot start QEMU")?;
        let text = String::from_utf8_lossy(&output.stdout);
        qemu.version = parse_qemu_version(&text).with_context(|| {
            format!("QEMU does not say its version: {text}{}", String::from_utf8_lossy(&output.stderr))
        })?;
        Ok(qemu)
    }
}

/// A release of Xen that the lab knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum XenVersion {
    /// Xen 4.17 and Linux 6.1, from Debian 12.
    V4_17,
    /// Xen 4.20 and Linux 6.12, from Debian 13.
    V4_20,
}

impl XenVersion {
    /// Every version, newest first.
    pub const ALL: [Self; 2] = [Self::V4_20, Self::V4_17];

    /// As Xen prints it: `4.20`.
    #[must_use]
    pub fn number(self) -> &'static str {
        match self {
            Self::V4_17 => "4.17",
            Self::V4_20 => "4.20",
        }
    }

    fn suite(self) -> &'static str {
        match self {
            Self::V4_17 => "bookworm",
            Self::V4_20 => "trixie",
        }
    }

    /// Everything a dom0 is built of, without the kernel; their dependencies are left out on purpose.
    fn packages(self) -> Vec<String> {
        let number = self.number();
        let mut packages =
            ["xen-hypervisor-@-arm64", "xen-utils-@", "libxenmisc@"].map(|p| p.replace('@', number)).to_vec();
        packages.extend(DOM0_PACKAGES.iter().map(|&p| p.to_owned()));
        packages
    }
}

impl std::str::FromStr for XenVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|v| v.number() == text)
            .ok_or_else(|| format!("{text} is not one of {}", Self::ALL.map(Self::number).join(", ")))
    }
}

impl std::fmt::Display for XenVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.number())
    }
}

const DOM0_PACKAGES: &[&str] = &[
    "bash",
    "busybox-static",
    "libc6",
    "libfdt1",
    "libgcc-s1",
    "libsmartcols1",
    "libtinfo6",
    "libuuid1",
    "libxencall1",
    "libxendevicemodel1",
    "libxenevtchn1",
    "libxenforeignmemory1",
    "libxengnttab1",
    "libxenhypfs1",
    "libxenstore4",
    "libxentoolcore1",
    "libxentoollog1",
    "libyajl2",
    "mount",
    "util-linux",
    "xen-utils-common",
    "xenstore-utils",
    "zlib1g",
];

/// The kernel for dom0: small, and proved to start quickest.
const KERNEL: &str = "linux-image-cloud-arm64";

/// One Xen with a Linux that can be its dom0, unpacked.
#[derive(Clone, Debug)]
pub struct XenParts {
    /// Which Xen.
    pub version: XenVersion,
    /// The hypervisor, a raw ARM64 Image.
    pub hypervisor: PathBuf,
    /// dom0's kernel, a raw ARM64 Image.
    pub kernel: PathBuf,
    /// The kernel's release string, which names its module directory.
    pub kernel_release: String,
    /// The unpacked packages: modules, tools and libraries for dom0.
    pub root: PathBuf,
    /// Changes whenever a package does: for caches made of these parts.
    pub content_hash: String,
}

impl Lab {
    /// QEMU: Debian's, unpacked, or on another distribution the installed one.
    pub fn qemu(&self, ui: &Progress) -> Result<Qemu> {
        // What is there already needs no apt.
        if self.has_part("qemu").is_none()
            && let Err(reason) = Host::detect()
        {
            return installed_qemu()
                .with_context(|| format!("{reason}.\nInstall qemu-system-aarch64 (10 is best)"));
        }
        self.debian_qemu(ui)
    }

    fn debian_qemu(&self, ui: &Progress) -> Result<Qemu> {
        let (arch, loader, triplet) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", "usr/lib64/ld-linux-x86-64.so.2", "x86_64-linux-gnu"),
            "aarch64" => ("arm64", "usr/lib/ld-linux-aarch64.so.1", "aarch64-linux-gnu"),
            other => bail!("no QEMU package is known for a host with {other}"),
        };
        let recipe = format!("{QEMU_SUITE} {arch}: qemu-system-arm");
        let root = self.part("qemu", &recipe, ui, |into, log, step| {
            let host = Host::detect().map_err(Error::msg)?;
            let apt = Apt::new(&host, self.apt_root("qemu"), arch, &[QEMU_SUITE], log)?;
            apt.update(step)?;
            let packages = apt.closure(&["qemu-system-arm"])?;
            let debs = apt.download(&packages, step)?;
            apt.unpack(&debs, into, step)?;
            Ok(packages)
        })?;
        // Its own dynamic linker and libraries: the host's C library may be older.
        let libraries = root.join("usr/lib").join(triplet);
        Qemu::ask_version(vec![
            root.join(loader).into(),
            "--library-path".into(),
            libraries.into(),
            root.join("usr/bin/qemu-system-aarch64").into(),
            "-L".into(),
            root.join("usr/share/qemu").into(),
        ])
    }

    /// Xen with its dom0's parts. `FATA_XEN_DIR` may name a directory that holds `4.17`, `4.20` already unpacked.
    pub fn xen(&self, version: XenVersion, ui: &Progress) -> Result<XenParts> {
        let root = match std::env::var_os("FATA_XEN_DIR") {
            Some(dir) => PathBuf::from(dir).join(version.number()),
            None => self.debian_xen(version, ui)?,
        };
        XenParts::find(version, root)
    }

    fn debian_xen(&self, version: XenVersion, ui: &Progress) -> Result<PathBuf> {
        let name = format!("xen-{version}");
        let mut packages = version.packages();
        if self.has_part(&name).is_none()
            && let Err(reason) = Host::detect()
        {
            bail!(
                "{reason}.\nUnpack Debian's {} packages for arm64 ({}, {KERNEL}'s kernel) into DIR/{version} and set FATA_XEN_DIR=DIR",
                version.suite(),
                packages.join(", ")
            );
        }
        let recipe = format!("{} arm64: {} {KERNEL}", version.suite(), packages.join(" "));
        self.part(&name, &recipe, ui, |into, log, step| {
            let host = Host::detect().map_err(Error::msg)?;
            let apt = Apt::new(&host, self.apt_root(&name), "arm64", &[version.suite()], log)?;
            apt.update(step)?;
            let depends = apt.dependencies(KERNEL)?;
            let kernel = depends.into_iter().find(|p| p.starts_with("linux-image-"));
            packages.push(kernel.with_context(|| format!("{KERNEL} names no kernel package"))?);
            let debs = apt.download(&packages, step)?;
            apt.unpack(&debs, into, step)?;
            let names = debs.iter().filter_map(|deb| deb.file_name());
            let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
            names.sort();
            Ok(names)
        })
    }
}

impl XenParts {
    fn find(version: XenVersion, root: PathBuf) -> Result<Self> {
        let boot = root.join("boot");
        let names = fs::read_dir(&boot).with_context(|| format!("cannot read {}", boot.display()))?;
        let releases = names.filter_map(|entry| {
            entry.ok()?.file_name().to_str()?.strip_prefix("vmlinuz-").map(str::to_owned)
        });
        let kernel_release = releases.max().with_context(|| format!("no vmlinuz-* in {}", boot.display()))?;
        let hypervisor = boot.join(format!("xen-{version}-arm64"));
        if !hypervisor.is_file() {
            bail!("{} is missing", hypervisor.display());
        }
        let kernel = boot.join(format!("vmlinuz-{kernel_release}"));
        let content_hash = Lab::contents_of(&root)?;
        Ok(Self { version, hypervisor, kernel, kernel_release, root, content_hash })
    }
}

fn installed_qemu() -> Result<Qemu> {
    let program = on_path("qemu-system-aarch64").context("no qemu-system-aarch64 in PATH")?;
    let qemu = Qemu::ask_version(vec![program.into()])?;
    if qemu.version[..2] < OLDEST_QEMU[..] {
        let [major, minor, _] = qemu.version;
        bail!("QEMU {major}.{minor} is too old: {}.{} is the least", OLDEST_QEMU[0], OLDEST_QEMU[1]);
    }
    Ok(qemu)
}

/// `QEMU emulator version 10.0.13 (Debian ...)`.
fn parse_qemu_version(text: &str) -> Option<[u32; 3]> {
    let word = text.split_once("version ")?.1.split([' ', '\n']).next()?;
    let mut numbers = word.split('.').map(|n| n.parse().ok());
    Some([numbers.next()??, numbers.next()??, numbers.next().flatten().unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qemu_versions() {
        assert_eq!(
            parse_qemu_version("QEMU emulator version 10.0.13 (Debian 1:10)\nCopyright"),
            Some([10, 0, 13])
        );
        assert_eq!(parse_qemu_version("QEMU emulator version 9.2\n"), Some([9, 2, 0]));
        assert_eq!(parse_qemu_version("no such thing"), None);
    }

    #[test]
    fn xen_versions_parse_and_name_their_packages() {
        assert_eq!("4.17".parse(), Ok(XenVersion::V4_17));
        assert!("4.18".parse::<XenVersion>().is_err());
        let packages = XenVersion::V4_20.packages();
        assert!(packages.contains(&"xen-hypervisor-4.20-arm64".to_owned()));
        assert!(!packages.iter().any(|p| p.contains('@')));
    }
}
