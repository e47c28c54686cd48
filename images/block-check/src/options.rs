//! What the command line asks for.

use alloc::vec::Vec;
use fata_block::number;
use fata_kit::words;

/// What to do with each disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Write, then verify.
    Both,
    /// Only write.
    Write,
    /// Only verify what somebody wrote before.
    Verify,
    /// Only read, and say the checksum.
    Read,
    /// Have it zeroed.
    Zero,
    /// Say that its contents are no longer needed.
    Discard,
    /// The same, and that nobody may be able to read them.
    Erase,
}

/// Options of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `disk=xvda`, or its number; several with commas are worked on at the same time.
    pub disks: Vec<u32>,
    /// `mode=both|write|verify|read|zero|discard|erase`.
    pub mode: Mode,
    /// `seed=N`, of the pattern; round by round one more.
    pub seed: u64,
    /// `bytes=N`: how much of a disk, from its start; all of it if 0.
    pub bytes: u64,
    /// `chunk=N`: bytes in one request.
    pub chunk: usize,
    /// `depth=N`: requests to a disk at the same time.
    pub depth: usize,
    /// `rounds=N`: times that all of it is done; if 0, until the toolstack tells this domain to power off.
    pub rounds: u64,
    /// `stay=0|1`: whether it keeps its disks when all is done, until the toolstack tells this domain to power off.
    pub stay: bool,
    /// `barrier=N`: a barrier after so many chunks written; none if 0.
    pub barrier: u64,
    /// `persistent=0|1`, `order=N`, `queues=N`, `segments=N`: what to agree on with the backend.
    pub block: fata_block::Options,
}

impl Options {
    /// Reads a command line. The error is the word that makes no sense.
    pub fn parse(cmdline: &str) -> Result<Self, &str> {
        let mut options = Self {
            disks: alloc::vec![51712],
            mode: Mode::Both,
            seed: 1,
            bytes: 0,
            chunk: 128 << 10,
            depth: 8,
            rounds: 1,
            stay: false,
            barrier: 0,
            block: fata_block::Options::default(),
        };
        for (name, value) in words(cmdline) {
            options.word(name, value).ok_or(if value.is_empty() { name } else { value })?;
        }
        Ok(options)
    }

    fn word(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "disk" => self.disks = value.split(',').map(number).collect::<Option<_>>()?,
            "mode" => {
                self.mode = match value {
                    "both" => Mode::Both,
                    "write" => Mode::Write,
                    "verify" => Mode::Verify,
                    "read" => Mode::Read,
                    "zero" => Mode::Zero,
                    "discard" => Mode::Discard,
                    "erase" => Mode::Erase,
                    _ => return None,
                }
            }
            "seed" => self.seed = value.parse().ok()?,
            "bytes" => self.bytes = value.parse().ok()?,
            "chunk" => {
                self.chunk = value.parse().ok().filter(|n| (512..=64 << 20).contains(n) && n % 512 == 0)?
            }
            "depth" => self.depth = value.parse().ok().filter(|n| (1..=1024).contains(n))?,
            "rounds" => self.rounds = value.parse().ok()?,
            "stay" => self.stay = value.parse::<u8>().ok().filter(|n| *n <= 1)? == 1,
            "barrier" => self.barrier = value.parse().ok()?,
            _ => return self.block.word(name, value),
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood_or_named() {
        let options =
            Options::parse("disk=xvdb,xvdc seed=7 chunk=4096 persistent=0 queues=2 mode=verify").unwrap();
        assert_eq!((&options.disks[..], options.seed, options.chunk), (&[51728, 51744][..], 7, 4096));
        assert_eq!((options.block.persistent, options.block.queues, options.mode), (false, 2, Mode::Verify));
        assert!(Options::parse("stay=1").unwrap().stay && !Options::parse("stay=0").unwrap().stay);
        assert_eq!(Options::parse("stay=2"), Err("2"));
        assert_eq!(Options::parse("chunk=100"), Err("100"));
        assert_eq!(Options::parse("disk=xvda,sda"), Err("xvda,sda"));
        assert_eq!(Options::parse("seed=1 nonsense"), Err("nonsense"));
    }
}
