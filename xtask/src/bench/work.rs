//! Has Fata's image and a Linux guest do the same jobs, one after the other on the same machine, and counts.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use fata_lab::{
    BuildRequest, Certificate, Config, Counter, Counts, Cpu, Dom0, End, Folder, Gic, Lab, Optimise, Progress,
    SiteWish, Span, Worker, XenVersion, XlDomU,
};

/// Who does the jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Guest {
    /// Fata's image
    Fata,
    /// Debian's cloud kernel
    Linux,
}

impl Guest {
    pub(crate) const BOTH: [Self; 2] = [Self::Fata, Self::Linux];
}

/// The domain's own instructions for an operation, those with Xen's for it, and all of the machine's.
pub(crate) const OWN: &str = "own instr.";
pub(crate) const WITH_XEN: &str = "with Xen's";
pub(crate) const IN_ALL: &str = "in all";
/// How often the domain slept, for a thousand operations.
pub(crate) const WAITS: &str = "WFI/1000";

/// What is to be set up.
#[derive(Clone, Default)]
pub(crate) struct Wish<'a> {
    /// The image, below images/.
    pub(crate) image: &'static str,
    /// What `fata-peer` calls this kind of work.
    pub(crate) work: &'static str,
    /// What the image's results begin with, and the line before the first of them.
    pub(crate) result: &'static str,
    /// Of the board.
    pub(crate) gic: &'a str,
    pub(crate) optimise: Option<Optimise>,
    /// Only this guest will be asked for.
    pub(crate) only: Option<Guest>,
    /// The image's memory, in MiB.
    pub(crate) memory_mib: Option<u32>,
    /// What the image reads when it is built.
    pub(crate) input: Option<&'a (&'static str, PathBuf)>,
    /// The pages that are put behind the image.
    pub(crate) pages: Option<&'a Path>,
    /// And a certificate.
    pub(crate) certificate: Option<&'a Certificate>,
    /// For which CPUs the image is compiled.
    pub(crate) cpu: Option<Cpu>,
    /// Dom0's memory, in MiB, where it has more to keep than others.
    pub(crate) dom0_mib: Option<u32>,
    /// What Linux has besides: an archive to follow its initial RAM disk.
    pub(crate) more_of_linux: &'a [u8],
}

/// A machine that counts, and what runs on it.
pub(crate) struct Workshop {
    pub(crate) dom0: Dom0,
    /// Which machine and which Linux, in words.
    pub(crate) setting: String,
    /// The image, if it is needed.
    fata: Option<PathBuf>,
    linux: Worker,
    ramdisk: PathBuf,
    work: &'static str,
    result: &'static str,
    fata_mib: u32,
    /// Keeps the copies.
    _folder: Folder,
}

/// What one guest did.
pub(crate) struct Done {
    /// Its number, as xl and Xen know it.
    pub(crate) domain: u16,
    /// All that was counted so far.
    pub(crate) counts: Counts,
    /// All that it wrote.
    said: String,
}

/// Counting takes its time.
const TIMEOUT: Duration = Duration::from_secs(1200);
/// The peer's first mark (tests/peer).
pub(crate) const FIRST_MARK: u32 = 100;
/// Where the peer's program is in dom0.
pub(crate) const PEER: &str = "/tmp/fata-peer";
/// And that which speaks libxenvchan.
pub(crate) const VCHAN_PEER: &str = "/tmp/fata-vchan-peer";
const FATA_MIB: u32 = 64;
const LINUX_MIB: u32 = 256;

impl Workshop {
    pub(crate) fn new(lab: &Lab, wish: &Wish<'_>, ui: &Progress) -> Result<Self> {
        let (qemu, parts) = (lab.qemu(ui)?, lab.xen(XenVersion::V4_20, ui)?);
        // Copies, so that a build meanwhile does not change what is measured.
        let folder = Folder::take(lab, &format!("bench-{}-images", wish.image))?;
        let copy = |from: &Path, name: &str| -> Result<PathBuf> {
            fs::copy(from, folder.file(name)).with_context(|| format!("copying {}", from.display()))?;
            Ok(folder.file(name))
        };
        let (optimise, input) = (wish.optimise, wish.input.cloned());
        let request = BuildRequest { optimise, input, ..BuildRequest::new(wish.image) };
        let fata_mib = wish.memory_mib.unwrap_or(FATA_MIB);
        let fata = match wish.only {
            Some(Guest::Linux) => None,
            _ => Some(match wish.pages {
                Some(pages) => {
                    let mut site = SiteWish::new(lab, wish.image, pages)?;
                    (site.out, site.optimise, site.cpu) = (folder.path.clone(), wish.optimise, wish.cpu);
                    site.tls = wish.certificate.map(|both| (both.cert.clone(), both.key.clone()));
                    lab.site(&site, ui)?.image
                }
                None => copy(&lab.build(&request, ui)?.image, wish.image)?,
            }),
        };
        let linux = Worker::new(lab, &parts, ui)?;
        let ramdisk = copy(&linux.ramdisk, "initrd")?;
        let file = OpenOptions::new().append(true).open(&ramdisk);
        file.and_then(|mut file| file.write_all(wish.more_of_linux)).context("writing Linux's RAM disk")?;
        let mut config = Config {
            name: format!("bench-{}", wish.image),
            gic: wish.gic.parse::<Gic>().map_err(anyhow::Error::msg)?,
            icount: true,
            dom0_memory_mib: wish.dom0_mib,
            timeout: TIMEOUT,
            ..Config::default()
        };
        Counter::build(lab, ui)?.attach(&mut config, None);
        let dom0 = Dom0::start(lab, &config, ui)?;
        let program =
            fs::read(&linux.program).with_context(|| format!("reading {}", linux.program.display()))?;
        dom0.push(PEER, &program)?;
        dom0.sh(&format!("chmod +x {PEER}"))?;
        let setting = format!(
            "{} ({fata_mib} MiB) and Linux {} ({LINUX_MIB} MiB) on Xen {}, GICv{}, QEMU {}; one vCPU each",
            wish.image,
            parts.kernel_release,
            parts.version,
            wish.gic,
            qemu.version.map(|n| n.to_string()).join("."),
        );
        let Wish { work, result, .. } = *wish;
        Ok(Self { dom0, setting, fata, linux, ramdisk, work, result, fata_mib, _folder: folder })
    }

    /// The domain, to be created, that does some jobs. `more` goes to the end of the image's command line.
    pub(crate) fn domain(&self, guest: Guest, jobs: &str, more: &str) -> XlDomU {
        self.domain_for(guest, self.work, &format!("bench={jobs} {more}"), jobs)
    }

    /// The same with another kind of the peer's work, and the image's command line in full.
    pub(crate) fn domain_for(&self, guest: Guest, work: &str, args: &str, jobs: &str) -> XlDomU {
        let args = match guest {
            Guest::Fata => args.to_owned(),
            Guest::Linux => Worker::command_line(work, jobs),
        };
        XlDomU { args, ..self.with_args(guest) }
    }

    /// The domain that serves a network, told so with these words.
    pub(crate) fn server(&self, guest: Guest, words: &str) -> XlDomU {
        let args = match guest {
            Guest::Fata => words.to_owned(),
            Guest::Linux => Worker::server(words),
        };
        XlDomU { args, ..self.with_args(guest) }
    }

    /// The domain that serves names, told so with these words.
    pub(crate) fn name_server(&self, guest: Guest, words: &str) -> XlDomU {
        let args = match guest {
            Guest::Fata => format!("{words} rate=0"),
            Guest::Linux => Worker::name_server(words),
        };
        XlDomU { args, ..self.with_args(guest) }
    }

    /// The domain that serves pages, told so with these words.
    pub(crate) fn web_server(&self, guest: Guest, words: &str) -> XlDomU {
        let args = match guest {
            Guest::Fata => format!("{words} log=off"),
            Guest::Linux => Worker::web_server(words),
        };
        XlDomU { args, ..self.with_args(guest) }
    }

    /// Brings the program that speaks libxenvchan to dom0.
    pub(crate) fn push_vchan_peer(&self) -> Result<()> {
        let file = &self.linux.vchan_program;
        let program = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        self.dom0.push(VCHAN_PEER, &program)?;
        self.dom0.sh(&format!("chmod +x {VCHAN_PEER}")).map(drop)
    }

    /// The domain, with a command line to be given.
    pub(crate) fn with_args(&self, guest: Guest) -> XlDomU {
        match guest {
            Guest::Fata => XlDomU::new("fata", self.fata.clone().unwrap_or_default(), self.fata_mib),
            Guest::Linux => XlDomU {
                ramdisk: Some(self.ramdisk.clone()),
                ..XlDomU::new("linux", self.linux.kernel.clone(), LINUX_MIB)
            },
        }
    }

    /// Creates the domain and waits for its end. Nothing watches it meanwhile but `beside`, which gets its number.
    pub(crate) fn run(&self, domu: &XlDomU, beside: impl FnOnce(u16) -> Result<()>) -> Result<Done> {
        let domain = self.dom0.create_after(domu, &mark(1))?;
        beside(domain)?;
        self.finish(domu, domain)
    }

    /// Waits for the end of a domain.
    pub(crate) fn finish(&self, domu: &XlDomU, domain: u16) -> Result<Done> {
        let end = self.dom0.ended(domain, TIMEOUT);
        let said = self.dom0.console_of(&domu.name, "", Duration::from_secs(10))?;
        let name = &domu.name;
        ensure!(
            end == Some(End::PowerOff) && said.contains("SUCCESS"),
            "{name} ended with {end:?} after:\n{said}"
        );
        Ok(Done { domain, counts: Counts::of(&self.dom0.folder)?, said })
    }

    /// What each of so many jobs took.
    pub(crate) fn spans(&self, guest: Guest, done: &Done, jobs: usize) -> Result<Vec<Span>> {
        let results = done.lines(self.result);
        let span = |n: usize| match guest {
            // A job begins where the line before its own ends.
            Guest::Fata => {
                let line = *results.get(n + 1)?;
                done.counts.span(&format!("line {}", line - 1), &format!("line {line}"))
            }
            Guest::Linux => {
                let mark = FIRST_MARK + 2 * n as u32;
                done.counts.span(&format!("mark {mark}"), &format!("mark {}", mark + 1))
            }
        };
        let missing = |n| format!("job {n} was not counted; see {}", self.dom0.folder.path.display());
        (0..jobs).map(|n| span(n).with_context(|| missing(n))).collect()
    }
}

impl Done {
    /// The numbers, from 1, of the lines that begin so.
    pub(crate) fn lines(&self, start: &str) -> Vec<usize> {
        let lines = (1..).zip(self.said.lines());
        lines.filter(|(_, line)| line.starts_with(start)).map(|(number, _)| number).collect()
    }

    /// The number at the end of the first line that begins so.
    pub(crate) fn number(&self, start: &str) -> Option<u64> {
        self.said.lines().find(|line| line.starts_with(start))?.split(' ').next_back()?.trim().parse().ok()
    }
}

/// A command of dom0's shell that sets a mark (tests/lab/plugin/count.c); no such process exists, so it fails.
pub(crate) fn mark(number: u32) -> String {
    format!("kill -0 {} 2>/dev/null", 7_000_000 + number)
}
