//! What the command line asks for.

use fata_block::number;
use fata_kit::words;

/// What to do with the disk.
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
}

/// Options of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// `disk=xvda`, or its number.
    pub disk: u32,
    /// `mode=both|write|verify|read`.
    pub mode: Mode,
    /// `seed=N`, of the pattern; round by round one more.
    pub seed: u64,
    /// `bytes=N`: how much of the disk, from its start; all of it if 0.
    pub bytes: u64,
    /// `chunk=N`: bytes in one request.
    pub chunk: usize,
    /// `depth=N`: requests at the same time.
    pub depth: usize,
    /// `rounds=N`: times that all of it is done.
    pub rounds: u64,
    /// `persistent=0|1`, `order=N`, `queues=N`, `segments=N`: what to agree on with the backend.
    pub block: fata_block::Options,
}

impl Options {
    /// Reads a command line. The error is the word that makes no sense.
    pub fn parse(cmdline: &str) -> Result<Self, &str> {
        let mut options = Self {
            disk: 51712,
            mode: Mode::Both,
            seed: 1,
            bytes: 0,
            chunk: 128 << 10,
            depth: 8,
            rounds: 1,
            block: fata_block::Options::default(),
        };
        for (name, value) in words(cmdline) {
            options.word(name, value).ok_or(if value.is_empty() { name } else { value })?;
        }
        Ok(options)
    }

    fn word(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "disk" => self.disk = number(value)?,
            "mode" => {
                self.mode = match value {
                    "both" => Mode::Both,
                    "write" => Mode::Write,
                    "verify" => Mode::Verify,
                    "read" => Mode::Read,
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
            Options::parse("disk=xvdb seed=7 chunk=4096 persistent=0 queues=2 mode=verify").unwrap();
        assert_eq!((options.disk, options.seed, options.chunk), (51728, 7, 4096));
        assert_eq!((options.block.persistent, options.block.queues, options.mode), (false, 2, Mode::Verify));
        assert_eq!(Options::parse("chunk=100"), Err("100"));
        assert_eq!(Options::parse("disk=sda"), Err("sda"));
        assert_eq!(Options::parse("seed=1 nonsense"), Err("nonsense"));
    }
}
