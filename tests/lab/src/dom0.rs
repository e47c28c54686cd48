//! dom0's userland: an initramfs made from unpacked Debian packages and some small scripts.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cpio::Archive;
use crate::modules;
use crate::parts::XenParts;

/// What dom0 loads: Xen's device nodes, the virtio transport and network card, the backends.
const MODULES: [&str; 12] = [
    "xen-evtchn",
    "xen-gntdev",
    "xen-gntalloc",
    "xen-privcmd",
    "xenfs",
    "virtio_mmio",
    "virtio_console",
    "virtio_net",
    "xen-netback",
    "xen-blkback",
    "bridge",
    "loop",
];
/// Programs of xen-utils, all in one folder.
const XEN_PROGRAMS: [&str; 8] = [
    "xl",
    "xenstored",
    "xenstore-control",
    "xenconsoled",
    "xen-init-dom0",
    "init-dom0less",
    "libxl-save-helper",
    "vchan-socket-proxy",
];
/// Libraries that are not Xen's. `xl` opens libgcc_s by name when its threads end, and aborts without it.
const LIBRARIES: [&str; 9] = [
    "ld-linux-aarch64.so.1",
    "libc.so.6",
    "libm.so.6",
    "libgcc_s.so.1",
    "libsmartcols.so.1",
    "libyajl.so.2",
    "libfdt.so.1",
    "libuuid.so.1",
    "libz.so.1",
];
/// What the names of Xen's own libraries begin with.
const XEN_LIBRARIES: [&str; 2] = ["libxen", "libxlutil"];
pub(crate) const LIBRARY_DIR: &str = "usr/lib/aarch64-linux-gnu";
/// Folders that must exist, parents first.
const DIRECTORIES: [&str; 28] = [
    "bin",
    "dev",
    "etc",
    "etc/xen",
    "etc/xen/scripts",
    "lab",
    "lib",
    "lib/modules",
    "mnt",
    "proc",
    "root",
    "run",
    "run/lock",
    "run/xen",
    "run/xenstored",
    "sbin",
    "sys",
    "tmp",
    "usr",
    "usr/bin",
    "usr/lib",
    LIBRARY_DIR,
    "usr/sbin",
    "var",
    "var/lib",
    "var/lib/xen",
    "var/log",
    "var/log/xen",
];
/// Our scripts and where they go. The hotplug scripts take the names xl looks for by default.
const SCRIPTS: [(&str, &str); 6] = [
    ("init", include_str!("../dom0/init")),
    ("lab/agent", include_str!("../dom0/agent")),
    ("lab/attach", include_str!("../dom0/attach")),
    ("lab/watch", include_str!("../dom0/watch")),
    ("etc/xen/scripts/vif-bridge", include_str!("../dom0/vif")),
    ("etc/xen/scripts/block", include_str!("../dom0/block")),
];

/// What its DHCP server has to give.
const DHCP: &str = include_str!("../dom0/udhcpd.conf");

/// Raised when the code below packs the same files differently.
const LAYOUT: u32 = 3;

/// Names everything that goes into the initramfs, in one line.
pub(crate) fn recipe(parts: &XenParts) -> String {
    format!(
        "{} {LAYOUT} {MODULES:?} {XEN_PROGRAMS:?} {XEN_LIBRARIES:?} {LIBRARIES:?} {DIRECTORIES:?} {SCRIPTS:?} \
         {DHCP:?}",
        parts.content_hash
    )
}

/// The initramfs.
pub(crate) fn initramfs(parts: &XenParts) -> Result<Vec<u8>> {
    let root = &parts.root;
    let modules_dir = locate(root, &format!("usr/lib/modules/{}", parts.kernel_release))?;
    let mut archive = Archive::default();
    for path in DIRECTORIES {
        archive.directory(path);
    }
    let xen_dir = format!("usr/lib/xen-{}", parts.version);
    archive.directory("var/log/xen/console");
    archive.directory(&xen_dir);
    archive.directory(&format!("{xen_dir}/bin"));
    archive.link("usr/lib/xen", &format!("xen-{}", parts.version));
    archive.link("var/run", "/run");
    archive.link("var/lock", "/run/lock");

    archive.file("bin/busybox", 0o755, &read(root, "bin/busybox")?);
    for program in XEN_PROGRAMS {
        let path = format!("{xen_dir}/bin/{program}");
        archive.file(&path, 0o755, &read(root, &path)?);
    }
    for program in ["xl", "xenstored", "xenstore-control", "xenconsoled"] {
        archive.link(&format!("usr/sbin/{program}"), &format!("/{xen_dir}/bin/{program}"));
    }
    // busybox has one that cannot set a sector size; its shell prefers it unless told the path.
    archive.file("sbin/losetup", 0o755, &read(root, "usr/sbin/losetup")?);
    archive.file("usr/bin/xenstore", 0o755, &read(root, "usr/bin/xenstore")?);
    for verb in ["read", "write", "ls", "list", "rm", "exists", "watch", "chmod"] {
        archive.link(&format!("usr/bin/xenstore-{verb}"), "xenstore");
    }

    for name in LIBRARIES.iter().map(|&name| name.to_owned()).chain(xen_libraries(root)?) {
        let library = read(root, &format!("{LIBRARY_DIR}/{name}"))?;
        archive.file(&format!("{LIBRARY_DIR}/{name}"), 0o755, &library);
    }
    archive.link("lib/ld-linux-aarch64.so.1", &format!("/{LIBRARY_DIR}/ld-linux-aarch64.so.1"));

    let mut order = String::new();
    for module in modules::closure(&modules_dir, &MODULES)? {
        archive.file(&format!("lib/modules/{}.ko", module.name), 0o644, &module.object);
        order += &module.name;
        order += "\n";
    }
    archive.file("lib/modules/order", 0o644, order.as_bytes());
    archive.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n");
    archive.file("etc/udhcpd.conf", 0o644, DHCP.as_bytes());
    // xl complains if it is missing.
    archive.file("etc/xen/xl.conf", 0o644, b"");
    for (path, script) in SCRIPTS {
        archive.file(path, 0o755, script.as_bytes());
    }
    Ok(archive.finish())
}

/// The names under which Xen's own libraries are linked against (`libxenctrl.so.4.20`, not its target).
pub(crate) fn xen_libraries(root: &Path) -> Result<Vec<String>> {
    let dir = locate(root, LIBRARY_DIR)?;
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_xens = XEN_LIBRARIES.iter().any(|prefix| name.starts_with(prefix));
        if is_xens && name.contains(".so.") && entry.file_type()?.is_symlink() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn read(root: &Path, path: &str) -> Result<Vec<u8>> {
    let found = locate(root, path)?;
    fs::read(&found).with_context(|| format!("reading {}", found.display()))
}

/// Debian moved `/bin` and `/lib` into `/usr` over several releases: a package may hold either path.
pub(crate) fn locate(root: &Path, path: &str) -> Result<PathBuf> {
    let bare = path.strip_prefix("usr/").unwrap_or(path);
    for candidate in [root.join("usr").join(bare), root.join(bare)] {
        if candidate.exists() {
            return Ok(candidate);
        }
    }
    bail!("{path} is in none of the packages unpacked in {}", root.display())
}
