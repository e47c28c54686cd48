//! What the lab has, what it lacks, and what to do about it.

use crate::apt::Host;
use crate::image::ARCHES;
use crate::lab::Lab;
use crate::parts::XenVersion;
use crate::progress::Progress;
use crate::sysroot::Toolchain;

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There.
    Ready,
    /// Not there yet; `setup` gets it.
    Fetchable,
    /// Not there, and somebody has to act.
    Missing,
}

impl State {
    /// One word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Fetchable => "to fetch",
            Self::Missing => "MISSING",
        }
    }
}

/// One thing the lab needs.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What it is.
    pub what: String,
    /// How it is.
    pub state: State,
    /// What was found, or why it is missing.
    pub detail: String,
    /// What to do; empty when nothing is.
    pub remedy: String,
}

impl Finding {
    fn ready(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { what: what.into(), state: State::Ready, detail: detail.into(), remedy: String::new() }
    }

    fn fetchable(what: impl Into<String>, detail: impl Into<String>) -> Self {
        let remedy = "cargo xtask setup".to_owned();
        Self { what: what.into(), state: State::Fetchable, detail: detail.into(), remedy }
    }

    fn missing(what: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), state: State::Missing, detail: detail.into(), remedy: remedy.into() }
    }
}

impl Lab {
    /// Looks at everything, and changes nothing.
    #[must_use]
    pub fn examine(&self) -> Vec<Finding> {
        let host = Host::detect();
        // Without them everything must be there already, as the lines below say; that alone is nothing to act on.
        let mut findings = vec![Finding::ready(
            "Debian packages",
            host.as_ref().map_or_else(|reason| format!("not used: {reason}"), |host| host.mirror.clone()),
        )];
        let debian = host.is_ok();
        findings.extend(self.examine_toolchain(debian));
        findings.push(self.examine_qemu(debian));
        findings.extend(XenVersion::ALL.map(|version| self.examine_xen(version, debian)));
        findings.push(self.examine_trees(debian));
        findings
    }

    fn examine_toolchain(&self, debian: bool) -> Vec<Finding> {
        let toolchain = match Toolchain::ask() {
            Ok(toolchain) => toolchain,
            Err(error) => {
                return vec![Finding::missing("Rust", format!("{error:#}"), "install it with rustup")];
            }
        };
        let mut findings = vec![Finding::ready("Rust", toolchain.release.clone())];
        findings.push(match toolchain.linker() {
            Some(_) => Finding::ready("linker", "rust-lld"),
            None => {
                Finding::missing("linker", "the toolchain has no rust-lld", "use a toolchain from rustup")
            }
        });
        for arch in ARCHES {
            let what = format!("library for {}", arch.name);
            findings.push(if toolchain.has(arch.target).unwrap_or(false) {
                Finding::ready(what, "came with the toolchain")
            } else if self.has_sysroot(&toolchain, arch.target) {
                Finding::ready(what, "built from Debian's rust-src")
            } else if debian {
                Finding::fetchable(what, "will be built from Debian's rust-src")
            } else {
                let remedy = format!("rustup target add {}", arch.target);
                Finding::missing(what, "the toolchain came without it", remedy)
            });
        }
        findings
    }

    fn examine_qemu(&self, debian: bool) -> Finding {
        if debian && self.has_part("qemu").is_none() {
            return Finding::fetchable("QEMU", "will be unpacked from Debian");
        }
        match self.qemu(&Progress::quiet()) {
            Ok(qemu) => {
                let [major, minor, micro] = qemu.version;
                let note = if major < 9 { ", too old for snapshots: dom0 starts slowly" } else { "" };
                Finding::ready("QEMU", format!("{major}.{minor}.{micro}{note}"))
            }
            Err(error) => Finding::missing("QEMU", format!("{error:#}"), "install qemu-system-aarch64"),
        }
    }

    fn examine_trees(&self, debian: bool) -> Finding {
        const WHAT: &str = "boards' device trees";
        if std::env::var_os("FATA_TREES_DIR").is_some() || self.has_part("trees").is_some() {
            return Finding::ready(WHAT, "from Debian's kernel");
        }
        match debian {
            true => Finding::fetchable(WHAT, "will be unpacked from Debian's kernel"),
            false => {
                Finding::missing(WHAT, "not there", "unpack Debian's linux-image-arm64, set FATA_TREES_DIR")
            }
        }
    }

    fn examine_xen(&self, version: XenVersion, debian: bool) -> Finding {
        let what = format!("Xen {version} and dom0");
        let is_set = std::env::var_os("FATA_XEN_DIR").is_some();
        if !is_set && debian && self.has_part(&format!("xen-{version}")).is_none() {
            return Finding::fetchable(what, "will be unpacked from Debian");
        }
        match self.xen(version, &Progress::quiet()) {
            Ok(parts) => Finding::ready(what, format!("with Linux {}", parts.kernel_release)),
            Err(error) => {
                Finding::missing(what, format!("{error:#}"), "unpack Debian's packages, set FATA_XEN_DIR")
            }
        }
    }
}
