//! Debian packages through a private apt root: no root rights, nothing installed, nothing changed on the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::progress::Step;
use crate::sources;
use crate::tool::{Log, on_path};

/// What apt on this machine offers us.
#[derive(Clone, Debug)]
pub struct Host {
    /// Debian's archive, as this machine reaches it.
    pub mirror: String,
    keyring: PathBuf,
    /// Proxies, timeouts and certificates the machine is configured with.
    acquire: String,
}

impl Host {
    /// Looks for apt, Debian's keys and a mirror; the error says what is missing and what to do about it.
    pub fn detect() -> Result<Self, String> {
        for tool in ["apt-get", "apt-cache", "apt-config", "dpkg-deb"] {
            on_path(tool)
                .ok_or_else(|| format!("{tool} is not installed, so Debian's packages cannot be used"))?;
        }
        let keyring = ["gpg", "pgp"]
            .map(|suffix| PathBuf::from(format!("/usr/share/keyrings/debian-archive-keyring.{suffix}")))
            .into_iter()
            .find(|path| path.is_file())
            .ok_or("Debian's archive keys are missing: install the package debian-archive-keyring")?;
        let mirror =
            std::env::var("FATA_DEBIAN_MIRROR").ok().or_else(|| sources::mirror(Path::new("/etc/apt")));
        let mirror = mirror
            .ok_or("apt knows no Debian mirror: set FATA_DEBIAN_MIRROR to the URI of one (…/debian)")?;
        let dump = Command::new("apt-config").arg("dump").env_remove("APT_CONFIG").output();
        let dump =
            String::from_utf8_lossy(&dump.map_err(|e| format!("apt-config: {e}"))?.stdout).into_owned();
        let acquire = dump.lines().filter(|l| l.starts_with("Acquire::")).map(|l| format!("{l}\n")).collect();
        Ok(Self { mirror, keyring, acquire })
    }
}

/// A version of a package that is on disk: the file of one `.deb`.
pub(crate) type Deb = PathBuf;

/// One private apt root: one architecture and its suites.
pub(crate) struct Apt {
    root: PathBuf,
    log: Log,
}

impl Apt {
    /// Lays down the directories and configuration of a root.
    pub(crate) fn new(host: &Host, root: PathBuf, arch: &str, suites: &[&str], log: Log) -> Result<Self> {
        for dir in [
            "etc/apt/apt.conf.d",
            "etc/apt/preferences.d",
            "etc/apt/sources.list.d",
            "var/lib/apt/lists/partial",
            "var/cache/apt/archives/partial",
            "debs",
        ] {
            fs::create_dir_all(root.join(dir))
                .with_context(|| format!("cannot create {}", root.display()))?;
        }
        let (dir, acquire) = (root.display(), &host.acquire);
        let config = format!(
            "{acquire}Dir \"{dir}/\";\nDir::State::status \"{dir}/status\";\n\
             Dir::Etc::netrc \"/etc/apt/auth.conf\";\nDir::Etc::netrcparts \"/etc/apt/auth.conf.d\";\n\
             APT::Architecture \"{arch}\";\nAPT::Architectures {{ \"{arch}\"; }};\n\
             APT::Sandbox::User \"root\";\nAPT::Install-Recommends \"false\";\nAPT::Update::Error-Mode \"any\";\n\
             Acquire::Languages \"none\";\nAcquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n"
        );
        // A suite's name, which other components than `main` may follow.
        let source = |suite: &&str| {
            let components = if suite.contains(' ') { "" } else { " main" };
            format!("deb [signed-by={}] {} {suite}{components}\n", host.keyring.display(), host.mirror)
        };
        fs::write(root.join("apt.conf"), config)?;
        fs::write(root.join("etc/apt/sources.list"), suites.iter().map(source).collect::<String>())?;
        // Empty: nothing counts as installed, so every dependency is fetched.
        fs::write(root.join("status"), "")?;
        Ok(Self { root, log })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("APT_CONFIG", self.root.join("apt.conf"))
            .env("LC_ALL", "C")
            .current_dir(self.root.join("debs"));
        command
    }

    /// Fetches the suites' package lists.
    pub(crate) fn update(&self, step: &Step) -> Result<()> {
        step.busy("package lists");
        self.log
            .run(self.command("apt-get").args(["-q", "update"]), |_| {})
            .context("cannot fetch Debian's package lists; is there a network?")
    }

    /// The packages that `wanted` depend on, themselves included, as `name=version`.
    pub(crate) fn closure(&self, wanted: &[&str]) -> Result<Vec<String>> {
        let mut command = self.command("apt-get");
        let plan = self.log.output(command.args(["-q", "-y", "-s", "install"]).args(wanted))?;
        Ok(plan.lines().filter_map(planned).collect())
    }

    /// What `package` depends on directly.
    pub(crate) fn dependencies(&self, package: &str) -> Result<Vec<String>> {
        let text = self.log.output(self.command("apt-cache").args(["depends", package]))?;
        Ok(text.lines().filter_map(|l| l.trim().strip_prefix("Depends: ")).map(str::to_owned).collect())
    }

    /// The versions of `package` on offer.
    pub(crate) fn versions(&self, package: &str) -> Result<Vec<String>> {
        let text = self.log.output(self.command("apt-cache").args(["madison", package]))?;
        Ok(text.lines().filter_map(|l| l.split('|').nth(1)).map(|v| v.trim().to_owned()).collect())
    }

    /// Fetches packages (`name` or `name=version`); those already here are not fetched again.
    pub(crate) fn download(&self, packages: &[String], step: &Step) -> Result<Vec<Deb>> {
        let mut list = self.command("apt-get");
        // Not where the packages are: apt leaves out those it sees there.
        list.current_dir(&self.root);
        let uris = self.log.output(list.args(["-q", "--print-uris", "download"]).args(packages))?;
        let files: Vec<(String, u64)> = uris.lines().filter_map(printed_uri).collect();
        if files.len() != packages.len() {
            bail!(
                "apt offers {} of {} packages\nlog: {}",
                files.len(),
                packages.len(),
                self.log.path().display()
            );
        }
        let megabytes = files.iter().map(|(_, size)| size).sum::<u64>().div_ceil(1_000_000);
        let phase = format!("{} packages, {megabytes} MB", files.len());
        step.percent(&phase, 0);
        let mut fetch = self.command("apt-get");
        fetch.args(["-q", "-q", "-o", "APT::Status-Fd=1", "download"]).args(packages);
        self.log
            .run(&mut fetch, |line| {
                if let Some(percent) = downloaded_percent(line) {
                    step.percent(&phase, percent);
                }
            })
            .context("cannot fetch Debian packages; is there a network?")?;
        Ok(files.into_iter().map(|(file, _)| self.root.join("debs").join(file)).collect())
    }

    /// Unpacks `debs` over each other into `into`.
    pub(crate) fn unpack(&self, debs: &[Deb], into: &Path, step: &Step) -> Result<()> {
        for (nr, deb) in debs.iter().enumerate() {
            step.percent("unpacking", (nr * 100 / debs.len()) as u64);
            self.unpack_with(self.command("dpkg-deb").arg("-x").arg(deb).arg(into), deb)?;
        }
        Ok(())
    }

    /// Unpacks only `path` of `deb`, without its first `strip` components.
    pub(crate) fn unpack_only(&self, deb: &Deb, path: &str, strip: u32, into: &Path) -> Result<()> {
        let script = r#"dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --strip-components="$3" "$4""#;
        let mut shell = self.command("sh");
        shell.args(["-c", script, "sh"]).arg(deb).arg(into).arg(strip.to_string()).arg(path);
        self.unpack_with(&mut shell, deb)
    }

    fn unpack_with(&self, command: &mut Command, deb: &Deb) -> Result<()> {
        self.log
            .run(command, |_| {})
            .inspect_err(|_| {
                // apt trusts a file of the right size: without this the next try would meet the same damage.
                let _ = fs::remove_file(deb);
            })
            .context("a downloaded package was damaged and is removed; run this again")
    }
}

/// `Inst NAME (VERSION SUITE [ARCH])`, a line of apt's simulation.
fn planned(line: &str) -> Option<String> {
    let (name, rest) = line.strip_prefix("Inst ")?.split_once(" (")?;
    Some(format!("{name}={}", rest.split(' ').next()?))
}

/// `'URI' FILE SIZE HASH`.
fn printed_uri(line: &str) -> Option<(String, u64)> {
    let mut words = line.strip_prefix('\'')?.split_once("' ")?.1.split(' ');
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
}

/// `dlstatus:COUNT:PERCENT:TEXT`.
fn downloaded_percent(line: &str) -> Option<u64> {
    let percent: f32 = line.strip_prefix("dlstatus:")?.split(':').nth(1)?.parse().ok()?;
    Some(percent.clamp(0.0, 100.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulation_lines() {
        let line = "Inst qemu-system-arm (1:10.0.13+ds-0+deb13u1 Debian:13.7/stable [amd64]) []";
        assert_eq!(planned(line).as_deref(), Some("qemu-system-arm=1:10.0.13+ds-0+deb13u1"));
        assert_eq!(planned("Conf qemu-system-arm (1:10 x [amd64])"), None);
    }

    #[test]
    fn uri_lines() {
        let line = "'http://m/pool/x_1%3a1.deb' x_1%253a1_amd64.deb 9901648 SHA256:00";
        assert_eq!(printed_uri(line), Some(("x_1%253a1_amd64.deb".into(), 9_901_648)));
        assert_eq!(printed_uri("Reading package lists..."), None);
    }

    #[test]
    fn download_status_lines() {
        assert_eq!(downloaded_percent("dlstatus:2:75.7599:Retrieving file 2 of 2"), Some(75));
        assert_eq!(downloaded_percent("pmstatus:x:1:y"), None);
    }
}
