//! Builds an image: cargo for the bare-metal target, then a raw file that Xen loads.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::{fs, io, thread};

use anyhow::{Context, Result, bail};

use crate::cpu::Cpu;
use crate::dom0;
use crate::flatten::{self, Section};
use crate::lab::Lab;
use crate::noise;
use crate::optimise::Optimise;
use crate::parts::XenParts;
use crate::progress::Progress;
use crate::sysroot::cargo;

/// An architecture that images are built for.
#[derive(Debug)]
pub struct Arch {
    /// As Debian and Xen call it.
    pub name: &'static str,
    /// Rust's name of the target.
    pub target: &'static str,
    /// Below the workspace.
    linker_script: &'static str,
}

/// The architectures, the default first.
pub const ARCHES: &[Arch] =
    &[Arch { name: "arm64", target: "aarch64-unknown-none", linker_script: "boot/link/aarch64.ld" }];

impl Arch {
    /// Finds an architecture by its name.
    pub fn named(name: &str) -> Result<&'static Self, String> {
        let names: Vec<_> = ARCHES.iter().map(|a| a.name).collect();
        ARCHES
            .iter()
            .find(|a| a.name == name)
            .ok_or_else(|| format!("{name} is not one of {}", names.join(", ")))
    }
}

/// Which image to build, and how.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// The package below `images/`.
    pub name: String,
    /// What for.
    pub arch: &'static Arch,
    /// Features besides `image`; `default` stands for those that are on by default elsewhere.
    pub features: Vec<String>,
    /// Instead of what the image itself asks for.
    pub optimise: Option<Optimise>,
    /// What the image reads when it is built: a variable of the environment, and the file that it names.
    pub input: Option<(&'static str, PathBuf)>,
    /// Instead of what the image itself asks for.
    pub cpu: Option<Cpu>,
}

impl BuildRequest {
    /// The image of this name, which may be followed by features: `mir-console+files`.
    pub fn new(name: &str) -> Self {
        let mut words = name.split('+').map(str::to_owned);
        let name = words.next().unwrap_or_default();
        Self { name, arch: &ARCHES[0], features: words.collect(), optimise: None, input: None, cpu: None }
    }
}

/// A built image.
#[derive(Clone, Debug)]
pub struct Built {
    /// What Xen loads.
    pub image: PathBuf,
    /// The same with symbols and debug information.
    pub elf: PathBuf,
    /// Length of the image's file.
    pub image_bytes: u64,
    /// What it was compiled for.
    pub optimise: Optimise,
    /// Which instructions it counts on.
    pub cpu: Cpu,
    /// What it takes in memory before it allocates anything.
    pub memory_bytes: u64,
    /// What it is made up of.
    pub sections: Vec<Section>,
}

/// What cargo is told.
struct How<'a> {
    arch: &'a Arch,
    optimise: Optimise,
    flags: &'a [String],
    input: Option<&'a (&'static str, PathBuf)>,
}

impl Lab {
    /// The names of the packages below `images/` that are images, sorted; others are what images share.
    pub fn images(&self) -> Result<Vec<String>> {
        let dir = self.workspace().join("images");
        let entries = fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.path().join("src/main.rs").is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Builds an image with cargo, whose own output goes to standard error.
    pub fn build(&self, request: &BuildRequest, ui: &Progress) -> Result<Built> {
        let images = self.images()?;
        if !images.contains(&request.name) {
            bail!("there is no image of the name {}, but {}", request.name, images.join(", "));
        }
        let sysroot = self.sysroot(request.arch.target, ui)?;
        let features = std::iter::once("image").chain(request.features.iter().map(String::as_str));
        let optimise = request.optimise.map_or_else(|| self.wish(&request.name), Ok)?;
        let cpu = request.cpu.map_or_else(|| self.wish(&request.name), Ok)?;
        let flags = self.rustflags(request.arch, cpu, sysroot.as_deref())?;
        let how = How { arch: request.arch, optimise, flags: &flags, input: request.input.as_ref() };
        let elf = self.cargo_build(&request.name, &request.name, features, &how)?;
        let file = fs::read(&elf).with_context(|| format!("cannot read {}", elf.display()))?;
        let flat =
            flatten::flatten(&file).with_context(|| format!("cannot make an image of {}", elf.display()))?;

        let differs = request.optimise.map(|optimise| optimise.to_string());
        let differs = differs.into_iter().chain(request.cpu.map(|cpu| cpu.to_string())).collect::<Vec<_>>();
        let variant: Vec<&str> = std::iter::once(&request.name)
            .chain(&request.features)
            .chain(&differs)
            .map(String::as_str)
            .chain(request.input.as_ref().map(|(variable, _)| *variable))
            .collect();
        let variant = variant.join("+");
        let dir = self.dir().join("images").join(&variant);
        let _lock = self.lock(&format!("image-{variant}"), ui)?;
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let (image, kept_elf) = (dir.join("Image"), dir.join(format!("{}.elf", request.name)));
        replace(&image, &flat.bytes)?;
        replace(&kept_elf, &file)?;
        Ok(Built {
            image,
            elf: kept_elf,
            image_bytes: flat.bytes.len() as u64,
            optimise,
            cpu,
            memory_bytes: flat.memory_bytes,
            sections: flat.sections,
        })
    }

    /// Builds the program for Linux that is measured beside images; it needs no library, so the target for images
    /// will do.
    pub fn build_peer(&self, ui: &Progress) -> Result<PathBuf> {
        let arch = &ARCHES[0];
        let mut flags = vec!["-Crelocation-model=static".to_owned()];
        if let Some(sysroot) = self.sysroot(arch.target, ui)? {
            flags.extend(["--sysroot".to_owned(), sysroot.display().to_string()]);
        }
        let how = How { arch, optimise: Optimise::Speed, flags: &flags, input: None };
        self.cargo_build("fata-peer", "fata-peer", std::iter::once("program"), &how)
    }

    /// Builds the one that speaks libxenvchan, against the libraries of dom0, with which it has to run.
    pub(crate) fn build_vchan_peer(&self, parts: &XenParts, ui: &Progress) -> Result<PathBuf> {
        let arch = &ARCHES[0];
        let mut flags: Vec<String> = [
            "-Crelocation-model=pic",
            "-Clink-arg=-pie",
            "-Clink-arg=--dynamic-linker=/lib/ld-linux-aarch64.so.1",
            // What these libraries need in turn is found when it starts.
            "-Clink-arg=--allow-shlib-undefined",
        ]
        .map(str::to_owned)
        .into();
        for name in [format!("libxenvchan.so.{}", parts.version), "libc.so.6".to_owned()] {
            let library = dom0::locate(&parts.root, &format!("{}/{name}", dom0::LIBRARY_DIR))?;
            flags.push(format!("-Clink-arg={}", library.display()));
        }
        if let Some(sysroot) = self.sysroot(arch.target, ui)? {
            flags.extend(["--sysroot".to_owned(), sysroot.display().to_string()]);
        }
        let features = std::iter::once("libxenvchan");
        let how = How { arch, optimise: Optimise::Speed, flags: &flags, input: None };
        self.cargo_build("fata-peer", "fata-vchan-peer", features, &how)
    }

    /// Runs cargo and returns the path of the executable of this name.
    fn cargo_build<'a>(
        &self,
        package: &str,
        name: &str,
        features: impl Iterator<Item = &'a str>,
        how: &How<'_>,
    ) -> Result<PathBuf> {
        let mut cargo = cargo();
        let (default, features): (Vec<_>, Vec<_>) = features.partition(|feature| *feature == "default");
        cargo
            .current_dir(self.workspace())
            .env("CARGO_ENCODED_RUSTFLAGS", how.flags.join("\x1f"))
            .envs(how.input.map(|(variable, file)| (variable, file)))
            // Levels are chosen at run time; without this, defmt keeps errors only.
            .env("DEFMT_LOG", "trace")
            .args(["build", "--profile", how.optimise.profile(), "--target", how.arch.target])
            .args(["--package", package, "--features", &features.join(",")])
            .args(default.is_empty().then_some("--no-default-features"))
            .arg("--message-format=json-render-diagnostics")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = cargo.spawn().context("cannot start cargo")?;
        let said = child.stderr.take().map(|stderr| thread::spawn(|| noise::pass_on(stderr, io::stderr())));
        let output = child.wait_with_output().context("cannot run cargo")?;
        if let Some(said) = said {
            let _ = said.join();
        }
        if !output.status.success() {
            bail!("cannot build {package}: the reason is above");
        }
        let messages = String::from_utf8(output.stdout)?;
        let executable = messages.lines().find_map(|line| executable(line, name));
        executable.with_context(|| format!("the package {package} has no program {name}"))
    }

    /// Flags that only an image needs; the crates' own come from the workspace.
    fn rustflags(&self, arch: &Arch, cpu: Cpu, sysroot: Option<&Path>) -> Result<Vec<String>> {
        let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let cargo_home = cargo_home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
        let mut flags: Vec<String> = [
            // For backtraces.
            "-Cforce-frame-pointers=yes",
            // Rust runs with the MMU on and all memory it accesses itself Normal, where unaligned accesses are as good
            // as any (arch-arm/src/machine/entry.rs). The target does not count on that, and moves odd bytes singly.
            &format!("-Ctarget-feature=-strict-align{}", cpu.features()),
            // It runs wherever it is loaded: linked at 0, with relative relocations in their short form (RELR).
            "-Crelocation-model=pic",
            "-Clink-arg=-pie",
            "-Clink-arg=--no-dynamic-linker",
            "-Clink-arg=-zpack-relative-relocs",
            "-Clink-arg=-zmax-page-size=4096",
            "-Clink-arg=-znorelro",
            "-Clink-arg=--build-id=none",
            // Seen from cargo, which starts the linker at the root of the workspace.
            &format!("-Clink-arg=-T{}", arch.linker_script),
            // The same sources make the same bytes in any directory.
            &format!("--remap-path-prefix={}=.", self.workspace().display()),
        ]
        .map(str::to_owned)
        .into();
        flags.extend(cpu.cfgs().iter().map(|cfg| (*cfg).to_owned()));
        flags.extend(cargo_home.map(|home| format!("--remap-path-prefix={}=/cargo", home.display())));
        if let Some(sysroot) = sysroot {
            flags.push("--sysroot".to_owned());
            flags.push(sysroot.to_str().context("the workspace's path is not UTF-8")?.to_owned());
        }
        Ok(flags)
    }
}

/// The executable that one of cargo's messages announces, if it is that of `name`.
fn executable(message: &str, name: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    if message["target"]["name"] != name {
        return None;
    }
    message["executable"].as_str().map(PathBuf::from)
}

/// Writes `path` in one step and only when it changes, so that nobody reads half an image.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let fresh = path.with_added_extension("new");
    fs::write(&fresh, bytes).with_context(|| format!("cannot write {}", fresh.display()))?;
    fs::rename(&fresh, path).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_among_cargos_messages() {
        let library = r#"{"reason":"compiler-artifact","target":{"name":"mir-console"},"executable":null}"#;
        let program =
            r#"{"reason":"compiler-artifact","target":{"name":"mir-console"},"executable":"/t/mir-console"}"#;
        assert_eq!(executable(library, "mir-console"), None);
        assert_eq!(executable(program, "other"), None);
        assert_eq!(executable(program, "mir-console"), Some("/t/mir-console".into()));
        assert_eq!(executable("not JSON", "mir-console"), None);
    }

    #[test]
    fn features_follow_the_name() {
        let request = BuildRequest::new("mir-console+files+defmt");
        assert_eq!(request.name, "mir-console");
        assert_eq!(request.features, ["files", "defmt"]);
        assert!(BuildRequest::new("block-check").features.is_empty());
    }

    #[test]
    fn architectures_by_name() {
        assert_eq!(Arch::named("arm64").expect("known").target, "aarch64-unknown-none");
        assert!(Arch::named("vax").expect_err("unknown").contains("arm64"));
    }
}
