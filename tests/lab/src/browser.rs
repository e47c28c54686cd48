//! Debian's headless Chromium on this machine, for pages as people see them.
//!
//! It comes with all libraries, their dynamic linker and a font, and is started by that linker, as the tools are
//! ([`crate::tools`]). For it, the linker is then the program, beside which it looks for its own data.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, bail, ensure};

use crate::apt::{Apt, Host};
use crate::lab::Lab;
use crate::progress::Progress;

const PACKAGES: [&str; 2] = ["chromium-headless-shell", "fonts-dejavu-core"];
const SUITE: &str = "trixie";
/// Where its package has the program, and what it looks for beside itself.
const PLACE: &str = "usr/lib/chromium";
const PROGRAM: &str = "chromium-headless-shell";
/// It loads a page in seconds.
const PATIENCE: Duration = Duration::from_secs(90);

/// The browser, unpacked.
pub(crate) struct Browser {
    root: PathBuf,
    triplet: &'static str,
    loader: &'static str,
}

impl Lab {
    /// The browser, fetched when it is first asked for: some hundred MB.
    pub(crate) fn browser(&self, ui: &Progress) -> Result<Browser> {
        let (arch, triplet, loader) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", "x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
            "aarch64" => ("arm64", "aarch64-linux-gnu", "ld-linux-aarch64.so.1"),
            other => bail!("no packages are known for a host with {other}"),
        };
        let name = format!("browser-{arch}");
        let recipe = format!("{SUITE} {arch}: {}", PACKAGES.join(" "));
        let root = self.part(&name, &recipe, ui, |into, log, step| {
            let host = Host::detect().map_err(Error::msg)?;
            let apt = Apt::new(&host, self.apt_root(&name), arch, &[SUITE], log)?;
            apt.update(step)?;
            let packages = apt.closure(&PACKAGES)?;
            let debs = apt.download(&packages, step)?;
            apt.unpack(&debs, into, step)?;
            let libraries = into.join("usr/lib").join(triplet);
            for entry in fs::read_dir(into.join(PLACE))? {
                let name = entry?.file_name();
                let beside = libraries.join(&name);
                if !beside.exists() {
                    symlink(Path::new("../chromium").join(&name), beside)?;
                }
            }
            Ok(packages)
        })?;
        Ok(Browser { root, triplet, loader })
    }
}

impl Browser {
    /// What a page looks like once it has been loaded, as a PNG file. `words` are more of its options.
    pub(crate) fn picture(&self, url: &str, words: &[String], folder: &Path) -> Result<Vec<u8>> {
        let libraries = self.root.join("usr/lib").join(self.triplet);
        let file = folder.join("picture.png");
        let log = fs::File::create(folder.join("browser.log"))?;
        let _ = fs::remove_file(&file);
        // What it keeps of other runs is not to count.
        let home = self.root.with_extension("home");
        let _ = fs::remove_dir_all(&home);
        let mut command = Command::new(libraries.join(self.loader));
        // One library is in a directory of its own.
        let path = std::env::join_paths([&libraries, &libraries.join("pulseaudio")])?;
        command
            .arg("--library-path")
            .arg(path)
            .arg(self.root.join(PLACE).join(PROGRAM))
            // Its own sandbox needs what a container may not have; what it loads is ours.
            .args(["--no-sandbox", "--single-process", "--no-zygote", "--disable-gpu", "--headless"])
            .args(["--hide-scrollbars", "--force-device-scale-factor=1", "--window-size=800,600"])
            .args(["--font-render-hinting=none", "--disable-lcd-text", "--timeout=30000"])
            .arg(format!("--user-data-dir={}", home.display()))
            .args(words)
            .arg(format!("--screenshot={}", file.display()))
            .arg(url)
            .env("FONTCONFIG_SYSROOT", &self.root)
            .env("HOME", &home)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut child = command.spawn().context("cannot start the browser")?;
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if Instant::now() >= until {
                child.kill()?;
                child.wait()?;
                bail!("the browser takes longer than {PATIENCE:.0?} for {url}");
            }
            thread::sleep(Duration::from_millis(50));
        };
        let picture = fs::read(&file);
        ensure!(picture.is_ok(), "the browser ended with {status} and no picture of {url}");
        Ok(picture?)
    }
}
