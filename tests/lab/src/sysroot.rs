//! `core` and `alloc` for a bare-metal target, when the toolchain comes without them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::apt::{Apt, Host};
use crate::lab::{Lab, short_hash};
use crate::progress::{Progress, Step};
use crate::tool::Log;

/// Suites that may hold the sources of a given Rust release, the likeliest first.
const SUITES: &[&str] = &["trixie-backports", "trixie", "forky", "sid"];

/// A crate that exists only to make cargo build the standard library. Built for size, which takes 4 KiB off
/// mir-console against `opt-level = 3`; only what moves memory is built for speed.
const STUB: &str = r#"[package]
name = "stub"
edition = "2024"
[lib]
path = "lib.rs"
[workspace]
exclude = ["library"]
[profile.release]
opt-level = "z"
codegen-units = 4
panic = "abort"
debug = "line-tables-only"
[profile.release.package.compiler_builtins]
opt-level = 3
"#;

/// An image is linked with `lto = "fat"`, which wants bitcode from every crate; backtraces want frame pointers. Why not
/// `strict-align`: `image.rs`.
const RUSTFLAGS: [&str; 3] =
    ["-Cembed-bitcode=yes", "-Cforce-frame-pointers=yes", "-Ctarget-feature=-strict-align"];

/// What is built of it, and how: `memcpy` and the like included, and core's smaller variants.
const STD: [&str; 2] = [
    "-Zbuild-std=core,alloc,compiler_builtins",
    "-Zbuild-std-features=compiler-builtins-mem,optimize_for_size",
];

impl Lab {
    /// The directory to give to `rustc --sysroot` for `target`; `None` when the toolchain has the target already.
    pub fn sysroot(&self, target: &str, ui: &Progress) -> Result<Option<PathBuf>> {
        let toolchain = Toolchain::ask()?;
        if toolchain.has(target)? {
            return Ok(None);
        }
        let version = &toolchain.release;
        let (name, recipe) = toolchain.sysroot_part(target);
        let sysroot = self.part(&name, &recipe, ui, |into, log, step| {
            let sources = self.rust_src(version, step).with_context(|| {
                format!(
                    "the toolchain has no standard library for {target}; `rustup target add {target}` adds it"
                )
            })?;
            toolchain.build_std(&sources, target, into, &log, step)
        })?;
        Ok(Some(sysroot))
    }

    /// Whether [`Self::sysroot`] has nothing left to build.
    pub(crate) fn has_sysroot(&self, toolchain: &Toolchain, target: &str) -> bool {
        self.has_part(&toolchain.sysroot_part(target).0).is_some()
    }

    /// A directory with the stub and, as `library`, the standard library of exactly this compiler, from Debian's
    /// `rust-src`.
    fn rust_src(&self, release: &str, step: &Step) -> Result<PathBuf> {
        let host = Host::detect().map_err(anyhow::Error::msg)?;
        let name = format!("rust-src/{release}");
        self.part(&name, &format!("{release} {STUB:?}"), &Progress::quiet(), |into, log, _| {
            let (apt, version) = self.find_source(&host, release, &log, step)?;
            let package = format!("rust-src={version}");
            let debs = apt.download(std::slice::from_ref(&package), step)?;
            // A tenth of the package: the compiler and its tools stay packed.
            step.busy("unpacking the library");
            apt.unpack_only(&debs[0], &format!("./usr/src/rustc-{release}/library"), 4, into)?;
            fs::write(into.join("Cargo.toml"), STUB)?;
            fs::write(into.join("lib.rs"), "#![no_std]\n")?;
            Ok(vec![package])
        })
    }

    fn find_source(&self, host: &Host, release: &str, log: &Log, step: &Step) -> Result<(Apt, String)> {
        let mut seen = Vec::new();
        for suite in SUITES {
            // The sources are the same for every architecture; this one's index is there for Xen anyway.
            let apt = Apt::new(host, self.apt_root("rust-src"), "arm64", &[suite], log.clone())?;
            apt.update(step)?;
            let versions = apt.versions("rust-src")?;
            if let Some(version) = choose(&versions, release) {
                return Ok((apt, version.to_owned()));
            }
            seen.extend(versions);
        }
        bail!("Debian has no rust-src {release} ({})\nlog: {}", seen.join(", "), log.path().display())
    }
}

/// The Debian version whose upstream part is `release`; apt lists the newest first.
fn choose<'a>(versions: &'a [String], release: &str) -> Option<&'a str> {
    versions.iter().map(String::as_str).find(|v| v.split(['+', '-', '~']).next() == Some(release))
}

/// The cargo that runs us, shielded from flags meant for host programs and from downloads behind our back.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_BUILD_TARGET").env("RUSTUP_AUTO_INSTALL", "0");
    cargo
}

/// The compiler in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// `1.95.0`.
    pub release: String,
    commit: String,
    host: String,
}

impl Toolchain {
    /// Asks `rustc`.
    pub fn ask() -> Result<Self> {
        let output = rustc().arg("-vV").output().context("cannot start rustc")?;
        let text = String::from_utf8_lossy(&output.stdout);
        Self::parse(&text).with_context(|| {
            format!("rustc does not say its version: {text}{}", String::from_utf8_lossy(&output.stderr))
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
        Some(Self {
            release: field("release")?.to_owned(),
            commit: field("commit-hash")?.to_owned(),
            host: field("host")?.to_owned(),
        })
    }

    /// The name and recipe of what is built for `target`.
    fn sysroot_part(&self, target: &str) -> (String, String) {
        let recipe = format!("{} {} {target} {RUSTFLAGS:?} {STD:?} {STUB:?}", self.release, self.commit);
        // Cargo does not notice when a sysroot changes, only when it is another one.
        (format!("sysroot/{}-{target}-{}", self.release, short_hash(&recipe)), recipe)
    }

    /// The linker that bare-metal targets use, which a distribution's toolchain may lack.
    #[must_use]
    pub fn linker(&self) -> Option<PathBuf> {
        let linker = Self::sysroot().ok()?.join("lib/rustlib").join(&self.host).join("bin/rust-lld");
        linker.is_file().then_some(linker)
    }

    /// Where the compiler keeps its libraries.
    fn sysroot() -> Result<PathBuf> {
        let output = rustc().args(["--print", "sysroot"]).output().context("cannot start rustc")?;
        Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
    }

    /// Whether the standard library for `target` came with it.
    pub fn has(&self, target: &str) -> Result<bool> {
        let output = rustc().args(["--print", "target-libdir", "--target", target]).output();
        let dir = String::from_utf8(output.context("cannot start rustc")?.stdout)?;
        let files = fs::read_dir(dir.trim()).into_iter().flatten().flatten();
        Ok(files.map(|file| file.file_name()).any(|name| name.to_string_lossy().starts_with("libcore-")))
    }

    /// Builds core, alloc and compiler_builtins below `into`, laid out as a sysroot.
    fn build_std(
        &self,
        sources: &Path,
        target: &str,
        into: &Path,
        log: &Log,
        step: &Step,
    ) -> Result<Vec<String>> {
        step.busy("building core and alloc");
        let library = sources.join("library");
        let target_dir = into.join("build");
        // Cargo hashes the library's path into every symbol, unless it lies in the compiler's sysroot. So the sources
        // pose as one, or else the same image would come out different in another directory.
        let rustlib = sources.join("lib/rustlib");
        fs::create_dir_all(sources.join("lib"))?;
        let _ = fs::remove_file(&rustlib);
        std::os::unix::fs::symlink(Self::sysroot()?.join("lib/rustlib"), &rustlib)?;
        let pose = format!("--sysroot={}", sources.display());
        // Where Rust's own builds have it, so that debuggers and symbolisers treat both alike.
        let remap = format!("--remap-path-prefix={}=/rustc/{}", sources.display(), self.commit);
        let rustflags = [RUSTFLAGS.as_slice(), &[&pose, &remap]].concat();
        let mut cargo = cargo();
        cargo
            .current_dir(sources)
            // Building the standard library is a nightly feature of cargo; only this build may use it.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("__CARGO_TESTS_ONLY_SRC_ROOT", &library)
            .env("CARGO_ENCODED_RUSTFLAGS", rustflags.join("\x1f"))
            .args(["build", "--release", "--offline", "--target", target])
            .arg("--target-dir")
            .arg(&target_dir)
            .args(STD)
            .args(["-Zhost-config", "-Ztarget-applies-to-host"]);
        for setting in [
            "target-applies-to-host=false".to_owned(),
            format!("host.rustflags=[{pose:?}, {remap:?}]"),
            "source.crates-io.replace-with=\"rust-src\"".to_owned(),
            format!("source.rust-src.directory={:?}", library.join("vendor")),
        ] {
            cargo.args(["--config", &setting]);
        }
        log.run(&mut cargo, |_| {}).context("cannot build the bare-metal standard library")?;

        let made = target_dir.join(target).join("release/deps");
        let lib = into.join("lib/rustlib").join(target).join("lib");
        fs::create_dir_all(&lib)?;
        let mut contents = Vec::new();
        for entry in fs::read_dir(&made).with_context(|| format!("cannot read {}", made.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".rlib") && !name.starts_with("libstub-") {
                fs::rename(entry.path(), lib.join(&name))?;
                contents.push(name);
            }
        }
        fs::remove_dir_all(&target_dir)?;
        contents.sort();
        Ok(contents)
    }
}

fn rustc() -> Command {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.env("RUSTUP_AUTO_INSTALL", "0");
    rustc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sources_of_exactly_this_release() {
        let versions =
            ["1.96.1+dfsg1-2~bpo13+1", "1.95.0+dfsg1-2~bpo13+1", "1.95.0+dfsg1-1"].map(str::to_owned);
        assert_eq!(choose(&versions, "1.95.0"), Some("1.95.0+dfsg1-2~bpo13+1"));
        assert_eq!(choose(&versions, "1.95"), None);
        assert_eq!(choose(&versions, "1.95.0-nightly"), None);
    }

    #[test]
    fn rustc_version() {
        let text = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\ncommit-hash: 5980\nhost: h\nrelease: 1.95.0\n";
        let toolchain = Toolchain { release: "1.95.0".into(), commit: "5980".into(), host: "h".into() };
        assert_eq!(Toolchain::parse(text), Some(toolchain));
        assert_eq!(Toolchain::parse("error: no override"), None);
    }

    #[test]
    fn a_made_up_target_has_no_library() {
        assert!(!Toolchain::ask().expect("rustc runs").has("no-such-target").expect("rustc answers"));
    }
}
