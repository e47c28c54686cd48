//! Disks for guests: files on dom0's tmpfs behind loop devices, attached by `xl`, looked at from dom0.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::guest::Guest;
use crate::host::Dom0;

/// Where dom0's init mounts the tmpfs.
const DIR: &str = "/disks";
/// busybox has one of its own, which cannot set a sector size; its shell prefers that unless told the path.
const LOSETUP: &str = "/sbin/losetup";
/// Where Linux lets go of backends, and takes them up again.
const DRIVER: &str = "/sys/bus/xen-backend/drivers/vbd";
/// What its backends are like.
const DEVICES: &str = "/sys/bus/xen-backend/devices";
/// Writing or summing up hundreds of MiB.
const DISK_TIMEOUT: Duration = Duration::from_secs(120);
/// xl gives a guest ten seconds to let go of a disk.
const DETACH_TIMEOUT: Duration = Duration::from_secs(30);

/// A disk to make.
#[derive(Clone, Debug)]
pub struct DiskWish {
    /// Its file's name, which no other disk of this dom0 has.
    pub name: String,
    /// Its size, whole sectors.
    pub bytes: u64,
    /// Of its loop device: 512 or 4096.
    pub sector_bytes: u32,
    /// The loop device takes no writes.
    pub read_only: bool,
    /// What is on it.
    pub contents: Contents,
}

/// What is on a new disk.
#[derive(Clone, Debug)]
pub enum Contents {
    /// Nothing, and it takes no memory until it is written to.
    Zeros,
    /// Whatever dom0's random numbers were; ask for its checksum.
    Random,
    /// These bytes, then zeros.
    Bytes(Vec<u8>),
}

impl DiskWish {
    /// Zeros, in sectors of 512 bytes.
    pub fn new(name: &str, mib: u64) -> Self {
        Self {
            name: name.to_owned(),
            bytes: mib << 20,
            sector_bytes: 512,
            read_only: false,
            contents: Contents::Zeros,
        }
    }
}

/// A disk of this dom0.
#[derive(Clone, Debug)]
pub struct Disk {
    /// The file, in dom0.
    pub file: String,
    /// The loop device, in dom0.
    pub device: String,
    /// Guests may only read.
    pub read_only: bool,
}

impl Disk {
    /// What Linux calls the loop device, without its folder.
    #[must_use]
    pub fn name(&self) -> &str {
        self.device.trim_start_matches("/dev/")
    }

    /// The disk as an item of xl.cfg(5)'s `disk`, which the guest is to know by this name (`xvda`). More of
    /// xl-disk-configuration(5) may be appended, such as `,discard` or `,untrusted`.
    #[must_use]
    pub fn spec(&self, vdev: &str) -> String {
        let access = if self.read_only { "ro" } else { "rw" };
        format!("format=raw,vdev={vdev},access={access},backendtype=phy,target={}", self.device)
    }
}

/// A disk of a guest, as Xenstore names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vbd {
    /// The guest.
    pub domain: u16,
    /// The number of the device.
    pub device: u32,
}

impl Vbd {
    /// The whole disk that xl calls `vdev`, `xvda` to `xvdz`.
    pub fn new(guest: &Guest, vdev: &str) -> Result<Self> {
        Ok(Self { domain: guest.domain, device: number(vdev)? })
    }

    /// The backend's directory.
    #[must_use]
    pub fn backend(&self) -> String {
        format!("/local/domain/0/backend/vbd/{}/{}", self.domain, self.device)
    }

    /// The frontend's directory.
    #[must_use]
    pub fn frontend(&self) -> String {
        format!("/local/domain/{}/device/vbd/{}", self.domain, self.device)
    }

    /// Its name on Linux's bus.
    fn on_bus(&self) -> String {
        format!("vbd-{}-{}", self.domain, self.device)
    }
}

/// docs/man/xen-vbd-interface.7.pandoc of Xen: the first 16 disks are `202 << 8`, those after them are extended.
fn number(vdev: &str) -> Result<u32> {
    match vdev.as_bytes() {
        [b'x', b'v', b'd', letter @ b'a'..=b'z'] => Ok(match u32::from(letter - b'a') {
            n @ 0..16 => 202 << 8 | n << 4,
            n => 1 << 28 | n << 8,
        }),
        _ => bail!("{vdev:?} is not one of xvda to xvdz"),
    }
}

impl Dom0 {
    /// Makes a disk.
    pub fn make_disk(&self, wish: &DiskWish) -> Result<Disk> {
        let DiskWish { name, bytes, sector_bytes, read_only, contents } = wish;
        ensure!(
            name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'),
            "{name:?} is no name for a disk"
        );
        let file = format!("{DIR}/{name}");
        ensure!(
            self.run(&format!("[ ! -e {file} ]"), DISK_TIMEOUT)?.code == 0,
            "there is a disk {name} already"
        );
        match contents {
            Contents::Zeros => {}
            Contents::Random => {
                let fill = format!("head -c {bytes} /dev/urandom >{file}");
                let output = self.run(&fill, DISK_TIMEOUT)?;
                ensure!(output.code == 0, "dom0 could not fill a disk: {}", output.text());
            }
            Contents::Bytes(contents) => {
                ensure!(contents.len() as u64 <= *bytes, "{name} is too small for its contents");
                self.push(&file, contents)?;
            }
        }
        let access = if *read_only { "-r" } else { "" };
        let device = self.sh(&format!(
            "truncate -s {bytes} {file} && {LOSETUP} -f --show {access} --sector-size {sector_bytes} {file}"
        ))?;
        Ok(Disk { file, device: device.trim().to_owned(), read_only: *read_only })
    }

    /// Removes a disk that no guest has any more.
    pub fn remove_disk(&self, disk: &Disk) -> Result<()> {
        // A device that is still in use would be let go of later, whenever that is.
        let Disk { device, file, .. } = disk;
        self.sh(&format!("{LOSETUP} -d {device} && ! {LOSETUP} {device} 2>/dev/null && rm {file}")).map(drop)
    }

    /// Makes it larger, and tells the loop device, which tells the backend.
    pub fn grow_disk(&self, disk: &Disk, bytes: u64) -> Result<()> {
        self.sh(&format!("truncate -s {bytes} {} && {LOSETUP} -c {}", disk.file, disk.device)).map(drop)
    }

    /// SHA-256 of the whole disk, in hexadecimal.
    pub fn disk_sha256(&self, disk: &Disk) -> Result<String> {
        let output = self.run(&format!("sha256sum {}", disk.file), DISK_TIMEOUT)?;
        let text = output.text();
        let sum = text.split_whitespace().next().filter(|sum| output.code == 0 && sum.len() == 64);
        sum.map(str::to_owned).with_context(|| format!("dom0 gives no checksum: {text}"))
    }

    /// The disk's bytes `from..from + count`; some 15 MiB come over in a second.
    pub fn read_disk(&self, disk: &Disk, from: u64, count: usize) -> Result<Vec<u8>> {
        // busybox's tail would read all that comes before.
        let script = format!(
            "dd if={} bs=65536 iflag=skip_bytes,count_bytes,fullblock skip={from} count={count} 2>/dev/null",
            disk.file
        );
        let output = self.run(&script, DISK_TIMEOUT)?;
        ensure!(output.code == 0 && output.bytes.len() == count, "dom0 reads {} bytes", output.bytes.len());
        Ok(output.bytes)
    }

    /// What the file takes of dom0's memory, in bytes.
    pub fn disk_usage(&self, disk: &Disk) -> Result<u64> {
        let blocks = self.sh(&format!("stat -c %b {}", disk.file))?;
        Ok(blocks.trim().parse::<u64>().context("dom0's stat gives no number")? * 512)
    }

    /// One of the numbers that the backend counts from when it connects: requests to read (`rd_req`), write, flush
    /// (`f_req`), discard (`ds_req`), sectors (`wr_sect`).
    pub fn backend_statistic(&self, vbd: Vbd, name: &str) -> Result<u64> {
        let number = self.sh(&format!("cat {DEVICES}/{}/statistics/{name}", vbd.on_bus()))?;
        number.trim().parse().with_context(|| format!("{name} is {number:?}"))
    }

    /// Waits until the backend has been asked to read or write so many times since it connected.
    pub fn wait_for_requests(&self, vbd: Vbd, count: u64, timeout: Duration) -> Result<()> {
        let number = |name: &str| format!("$(cat $d/{name} 2>/dev/null || echo 0)");
        let sum = format!("$(({} + {}))", number("rd_req"), number("wr_req"));
        let script = format!(
            "d={DEVICES}/{}/statistics; n={}\nuntil [ {sum} -ge {count} ]; do\n\
             n=$((n - 1)); [ $n -gt 0 ] || {{ echo {sum}; exit 1; }}; usleep 10000\ndone",
            vbd.on_bus(),
            timeout.as_millis() / 10 + 1,
        );
        let output = self.run(&script, timeout * 4 + DISK_TIMEOUT)?;
        ensure!(output.code == 0, "the backend had only {} requests", output.text().trim());
        Ok(())
    }

    /// `xl block-attach`: gives a running guest a disk ([`Disk::spec`]).
    pub fn attach_disk(&self, guest: &str, spec: &str) -> Result<()> {
        self.sh(&format!("xl block-attach {guest} {spec}")).map(drop)
    }

    /// `xl block-detach`: asks the guest to let go, and fails if it does not within ten seconds.
    pub fn detach_disk(&self, guest: &str, vdev: &str) -> Result<()> {
        self.block_detach(guest, vdev, "")
    }

    /// The same without asking.
    pub fn detach_disk_by_force(&self, guest: &str, vdev: &str) -> Result<()> {
        self.block_detach(guest, vdev, "--force")
    }

    fn block_detach(&self, guest: &str, vdev: &str, force: &str) -> Result<()> {
        let output = self.run(&format!("xl block-detach {force} {guest} {vdev}"), DETACH_TIMEOUT)?;
        ensure!(output.code == 0, "{guest} keeps {vdev}: {}", output.text());
        Ok(())
    }

    /// Takes the backend's driver away, as when its module is removed. Its state in Xenstore stays what it was.
    pub fn unbind_backend(&self, vbd: Vbd) -> Result<()> {
        self.sh(&format!("echo {} >{DRIVER}/unbind", vbd.on_bus())).map(drop)
    }

    /// Gives it back: the backend starts over, in `InitWait`.
    pub fn bind_backend(&self, vbd: Vbd) -> Result<()> {
        self.sh(&format!("echo {} >{DRIVER}/bind", vbd.on_bus())).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_have_the_numbers_that_xl_gives_them() {
        for (vdev, expected) in [("xvda", 51712), ("xvdb", 51728), ("xvdp", 51952), ("xvdq", 268_439_552)] {
            assert_eq!(number(vdev).unwrap(), expected, "{vdev}");
        }
        for odd in ["xvd", "xvda1", "xvdA", "hda", ""] {
            assert!(number(odd).is_err(), "{odd}");
        }
    }
}
