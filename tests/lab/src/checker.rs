//! block-check in guests of a dom0, and what this machine can say of its disks.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::disk::{Disk, DiskWish, Vbd};
use crate::footprint::Footprint;
use crate::guest::{End, Guest};
use crate::host::{Dom0, XlDomU};
use crate::mutate::Random;

/// What is compared at once.
const PIECE: usize = 8 << 20;
/// A guest with a few disks.
const MEMORY_MIB: u32 = 32;

/// A dom0 with disks, and block-check to work on them.
pub(crate) struct Checker<'a> {
    pub(crate) dom0: &'a Dom0,
    image: PathBuf,
    left: &'a dyn Fn() -> Duration,
    before: Footprint,
}

impl<'a> Checker<'a> {
    /// `image` is block-check, and `left` says how long it may still take.
    pub(crate) fn new(dom0: &'a Dom0, image: PathBuf, left: &'a dyn Fn() -> Duration) -> Result<Self> {
        Ok(Self { dom0, image, left, before: dom0.footprint()? })
    }

    pub(crate) fn left(&self) -> Duration {
        (self.left)()
    }

    /// A guest that does what `args` say with these disks, the first of which it knows as `xvda`.
    pub(crate) fn domu(&self, name: &str, args: &str, disks: &[&Disk]) -> XlDomU {
        let specs = ('a'..).zip(disks).map(|(letter, disk)| disk.spec(&format!("xvd{letter}")));
        XlDomU {
            args: args.to_owned(),
            disks: specs.collect(),
            ..XlDomU::new(name, self.image.clone(), MEMORY_MIB)
        }
    }

    /// The same, created.
    pub(crate) fn start(&self, name: &str, args: &str, disks: &[&Disk]) -> Result<Guest> {
        self.dom0.create(&self.domu(name, args, disks))
    }

    /// Waits until the guest says this, and for nothing if it fails.
    pub(crate) fn expect(&self, guest: &Guest, text: &str) -> Result<String> {
        let (which, seen) = guest.console.output.expect_any(&[text, "FAILURE"], self.left())?;
        if which == 0 {
            return Ok(seen);
        }
        let reason = guest.console.expect("\n", Duration::from_secs(5))?;
        bail!("block-check failed{}", reason.trim_end());
    }

    /// Waits until it says that all went well, and ends.
    pub(crate) fn success(&self, guest: &Guest) -> Result<String> {
        let seen = self.expect(guest, "SUCCESS")?;
        self.end(guest, End::PowerOff)?;
        Ok(seen)
    }

    /// Tells a guest whose work has no end that it is enough, and waits until it has finished what it does. Gives all
    /// that it said.
    pub(crate) fn finish(&self, name: &str, guest: &Guest) -> Result<String> {
        self.dom0.sh(&format!("xl shutdown {name}"))?;
        self.success(guest)?;
        Ok(guest.console.output.text())
    }

    /// Waits until it fails, for this reason, and ends.
    pub(crate) fn failure(&self, guest: &Guest, reason: &str) -> Result<()> {
        guest.console.expect(&format!("FAILURE: {reason}"), self.left())?;
        self.end(guest, End::PowerOff)
    }

    pub(crate) fn end(&self, guest: &Guest, expected: End) -> Result<()> {
        match guest.wait(self.left()) {
            Some(end) if end == expected => Ok(()),
            Some(end) => bail!("the domain {end}, but it should have {expected}"),
            None => bail!("the domain does not end"),
        }
    }

    /// Fails unless so many bytes of the disk are the pattern of this seed.
    pub(crate) fn holds(&self, disk: &Disk, seed: u64, bytes: u64) -> Result<()> {
        for from in (0..bytes).step_by(PIECE) {
            let count = PIECE.min((bytes - from) as usize);
            let found = self.dom0.read_disk(disk, from, count)?;
            if let Some(at) = difference(seed, from, &found) {
                bail!("byte {at} of {} is not that of seed {seed}", disk.file);
            }
        }
        Ok(())
    }

    /// The same for zeroes.
    pub(crate) fn is_zero(&self, disk: &Disk, bytes: u64) -> Result<()> {
        for from in (0..bytes).step_by(PIECE) {
            let count = PIECE.min((bytes - from) as usize);
            let found = self.dom0.read_disk(disk, from, count)?;
            ensure!(found.iter().all(|&byte| byte == 0), "{} is not all zeroes", disk.file);
        }
        Ok(())
    }

    pub(crate) fn make(&self, name: &str, mib: u64) -> Result<Disk> {
        self.dom0.make_disk(&DiskWish::new(name, mib))
    }

    /// Waits until so many requests have gone through this backend since it connected last.
    pub(crate) fn busy(&self, vbd: Vbd, requests: u64) -> Result<()> {
        self.dom0.wait_for_requests(vbd, requests, self.left())
    }

    /// Removes a guest and its disks.
    pub(crate) fn remove(&self, name: &str, disks: &[&Disk]) -> Result<()> {
        self.dom0.destroy(name)?;
        disks.iter().try_for_each(|disk| self.dom0.remove_disk(disk))
    }

    /// Fails unless dom0 and Xen are as they were before.
    pub(crate) fn nothing_left(&self) -> Result<()> {
        let left = self.dom0.footprint()?.since(&self.before);
        ensure!(left.is_empty(), "left behind: {left:#?}");
        Ok(())
    }
}

/// Bytes of the pattern (images/kit/src/pattern.rs) for a place on a disk, a multiple of 8.
pub(crate) fn pattern(seed: u64, offset: u64, count: usize) -> Vec<u8> {
    let mut random = Random::at(seed, offset / 8);
    let mut bytes: Vec<u8> = (0..count.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).collect();
    bytes.truncate(count);
    bytes
}

/// Where the first byte is that is not of the pattern.
fn difference(seed: u64, offset: u64, bytes: &[u8]) -> Option<u64> {
    let should = pattern(seed, offset, bytes.len());
    bytes.iter().zip(&should).position(|(is, should)| is != should).map(|at| offset + at as u64)
}

/// A number out of a line of block-check: `connects 3`.
pub(crate) fn number_after(line: &str, word: &str) -> Result<u64> {
    let found = line.rsplit_once(word).map(|(_, rest)| rest.trim_start());
    let digits = found.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    digits
        .and_then(|digits| digits.parse().ok())
        .with_context(|| format!("no number after {word:?} in {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_is_that_of_the_images() {
        // Made by fata_kit::pattern::fill(7, 40, _).
        let piece = pattern(7, 40, 60);
        assert_eq!(&pattern(7, 0, 100)[40..], &piece[..]);
        assert_eq!(piece[..8], [17, 170, 190, 203, 134, 190, 218, 63]);
        assert_eq!(difference(7, 40, &piece), None);
        assert_eq!(difference(8, 40, &piece), Some(40));
    }

    #[test]
    fn numbers_are_found_in_lines() {
        let line = "xvda: wrote 16 bytes, seed 1, crc32 09342e69, connects 12, resent 0\r\n";
        assert_eq!(number_after(line, "connects").unwrap(), 12);
        assert_eq!(number_after(line, "wrote").unwrap(), 16);
        assert!(number_after(line, "never").is_err());
    }
}
