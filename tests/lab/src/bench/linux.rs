//! The peer: Debian's cloud kernel with busybox, in a domain like ours.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cpio::Archive;
use crate::lab::{Lab, short_hash};
use crate::parts::XenParts;
use crate::progress::Progress;
use crate::{dom0, image, modules};

const INIT: &str = "#!/bin/busybox sh
echo Linux is up
while :; do /bin/busybox sleep 100000; done
";
/// Its init; Linux gives it the command line's words in the environment.
const WORK_INIT: &str = include_str!("../../guest/init");
/// Its script for DHCP.
const DHCP: &str = include_str!("../../guest/dhcp");
/// What it takes of Linux's modules.
const WORK_MODULES: [&str; 5] = ["xen-blkfront", "xen-netfront", "xen-evtchn", "xen-gntdev", "xen-gntalloc"];
/// What is not Xen's of the libraries that its program for vchans needs.
const LIBRARIES: [&str; 2] = ["ld-linux-aarch64.so.1", "libc.so.6"];
/// What makes it boot quickest, from measurements. The console comes first.
const ARGS: &str = "quiet rdinit=/init cryptomgr.notests init_on_alloc=0 rcupdate.rcu_expedited=1 nokaslr \
                    mitigations=off 8250.nr_uarts=0 \
                    initcall_blacklist=init_encrypted,load_system_certificate_list,crypto_kdf108_init,jent_mod_init";

/// A Linux that does nothing but come up.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The kernel.
    pub kernel: PathBuf,
    /// Its initial RAM disk.
    pub ramdisk: PathBuf,
    /// The sizes of both, in bytes.
    pub bytes: u64,
}

impl Peer {
    /// Its init's first line.
    pub const GREETING: &str = "Linux is up";
    /// The event of writing that: the first write(2).
    pub const UP: &str = "syscall 64";

    /// Makes it from dom0's parts.
    pub fn new(lab: &Lab, parts: &XenParts, ui: &Progress) -> Result<Self> {
        let recipe = format!("{} {}", parts.content_hash, short_hash(INIT));
        let dir = lab.part("linux-peer", &recipe, ui, |into, _, _| {
            fs::write(into.join("initrd"), initramfs(&parts.root, INIT)?.finish())?;
            Ok(vec!["initrd".to_owned()])
        })?;
        let (kernel, ramdisk) = (parts.kernel.clone(), dir.join("initrd"));
        let size = |file: &Path| fs::metadata(file).with_context(|| format!("reading {}", file.display()));
        let bytes = size(&kernel)?.len() + size(&ramdisk)?.len();
        Ok(Self { kernel, ramdisk, bytes })
    }

    /// Its command line, for a console of that name.
    #[must_use]
    pub fn command_line(console: &str) -> String {
        format!("console={console} {ARGS}")
    }
}

/// A Linux that does the jobs of its command line, as the bench images do them, and powers off.
#[derive(Clone, Debug)]
pub struct Worker {
    /// The kernel.
    pub kernel: PathBuf,
    /// Its initial RAM disk.
    pub ramdisk: PathBuf,
    /// The program that does the jobs, which has some uses in dom0 too (tests/peer/src/main.rs).
    pub program: PathBuf,
    /// That which speaks libxenvchan (tests/peer/src/libxenvchan/main.rs).
    pub vchan_program: PathBuf,
}

impl Worker {
    /// What it says when it can be talked to over the network.
    pub const SERVES: &str = "net ready";
    /// The mark that it sets when its disk is there.
    pub const DISK_MARK: u32 = 50;

    /// Makes it from dom0's parts.
    pub fn new(lab: &Lab, parts: &XenParts, ui: &Progress) -> Result<Self> {
        let program = lab.build_peer(ui)?;
        let read = |file: &Path| fs::read(file).with_context(|| format!("reading {}", file.display()));
        let mut archive = worker(parts, &read(&program)?)?;
        let vchan_program = lab.build_vchan_peer(parts, ui)?;
        archive.file("bin/fata-vchan-peer", 0o755, &read(&vchan_program)?);
        archive.directory("usr");
        archive.directory("usr/lib");
        archive.directory(dom0::LIBRARY_DIR);
        for name in LIBRARIES.iter().map(|&name| name.to_owned()).chain(dom0::xen_libraries(&parts.root)?) {
            let path = format!("{}/{name}", dom0::LIBRARY_DIR);
            archive.file(&path, 0o755, &read(&dom0::locate(&parts.root, &path)?)?);
        }
        archive.link("lib/ld-linux-aarch64.so.1", &format!("/{}/ld-linux-aarch64.so.1", dom0::LIBRARY_DIR));
        let dir = lab.dir().join("images/fata-peer");
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let ramdisk = dir.join("initrd");
        image::replace(&ramdisk, &archive.finish())?;
        Ok(Self { kernel: parts.kernel.clone(), ramdisk, program, vchan_program })
    }

    /// Its command line, for a kind of work (`block`) and some jobs of that kind.
    #[must_use]
    pub fn command_line(work: &str, jobs: &str) -> String {
        format!("{} work={work} bench={jobs}", Peer::command_line("hvc0"))
    }

    /// The command line of one that serves dom0 by vchan, as images/vchan-bench does, through rings of these sizes.
    #[must_use]
    pub fn vchan_server(left: usize, right: usize) -> String {
        format!("{} work=vchan left={left} right={right}", Peer::command_line("hvc0"))
    }

    /// The command line of one that serves names with NSD ([`Traffic::nsd`](crate::Traffic::nsd) is what it needs), with
    /// more words for its init.
    #[must_use]
    pub fn name_server(words: &str) -> String {
        format!("{} work=names {words}", Peer::command_line("hvc0"))
    }

    /// The command line of one that serves pages with nginx ([`Pages::nginx`](crate::Pages::nginx) is what it needs), with
    /// more words for its init.
    #[must_use]
    pub fn web_server(words: &str) -> String {
        format!("{} work=web {words}", Peer::command_line("hvc0"))
    }

    /// The command line of one that serves a network (tests/peer/src/serve.rs), with more words for its init: an
    /// [`address`](crate::address), `mtu=9000`, `offloads=off`. It says [`Self::SERVES`], and stays.
    #[must_use]
    pub fn server(words: &str) -> String {
        format!("{} work=serve {words}", Peer::command_line("hvc0"))
    }
}

/// A Linux that is on a network beside guests under test, and serves it.
#[derive(Clone, Debug)]
pub(crate) struct Neighbour {
    /// The kernel.
    pub(crate) kernel: PathBuf,
    /// Its initial RAM disk.
    pub(crate) ramdisk: PathBuf,
}

impl Neighbour {
    /// Makes it from dom0's parts and the program of tests/peer.
    pub(crate) fn new(lab: &Lab, parts: &XenParts, program: &Path) -> Result<Self> {
        let bytes = fs::read(program).with_context(|| format!("reading {}", program.display()))?;
        let dir = lab.dir().join("images/fata-peer");
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let name = format!("neighbour-{}", parts.version);
        let ramdisk = dir.join(&name);
        // Cases run at the same time.
        let _lock = lab.lock(&name, &Progress::quiet())?;
        image::replace(&ramdisk, &worker(parts, &bytes)?.finish())?;
        Ok(Self { kernel: parts.kernel.clone(), ramdisk })
    }
}

/// The files of a Linux that does what its command line says.
fn worker(parts: &XenParts, program: &[u8]) -> Result<Archive> {
    let modules = dom0::locate(&parts.root, &format!("usr/lib/modules/{}", parts.kernel_release))?;
    let mut archive = initramfs(&parts.root, WORK_INIT)?;
    archive.directory("lib");
    let mut order = String::new();
    for module in modules::closure(&modules, &WORK_MODULES)? {
        archive.file(&format!("lib/{}.ko", module.name), 0o644, &module.object);
        order += &format!("{}\n", module.name);
    }
    archive.file("lib/order", 0o644, order.as_bytes());
    archive.file("lib/dhcp", 0o755, DHCP.as_bytes());
    for directory in ["proc", "sys", "run"] {
        archive.directory(directory);
    }
    archive.file("bin/fata-peer", 0o755, program);
    Ok(archive)
}

fn initramfs(root: &Path, init: &str) -> Result<Archive> {
    let busybox = root.join("usr/bin/busybox");
    let mut archive = Archive::default();
    archive.directory("bin");
    archive.directory("dev");
    let bytes = fs::read(&busybox).with_context(|| format!("reading {}", busybox.display()))?;
    archive.file("bin/busybox", 0o755, &bytes);
    archive.file("init", 0o755, init.as_bytes());
    Ok(archive)
}
