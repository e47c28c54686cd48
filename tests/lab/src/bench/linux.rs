//! The peer: Debian's cloud kernel with busybox, in a domain like ours.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cpio::Archive;
use crate::lab::{Lab, short_hash};
use crate::parts::XenParts;
use crate::progress::Progress;

const INIT: &str = "#!/bin/busybox sh
echo Linux is up
while :; do /bin/busybox sleep 100000; done
";
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
            fs::write(into.join("initrd"), initramfs(&parts.root)?)?;
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

fn initramfs(root: &Path) -> Result<Vec<u8>> {
    let busybox = root.join("usr/bin/busybox");
    let mut archive = Archive::default();
    archive.directory("bin");
    archive.directory("dev");
    let bytes = fs::read(&busybox).with_context(|| format!("reading {}", busybox.display()))?;
    archive.file("bin/busybox", 0o755, &bytes);
    archive.file("init", 0o755, INIT.as_bytes());
    Ok(archive.finish())
}
