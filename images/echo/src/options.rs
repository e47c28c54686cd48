//! What the command line asks for.

use alloc::format;
use alloc::string::String;
use core::time::Duration;
use fata_addresses::Topic;
use fata_kit::words;

/// What is served, and to how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Of TCP and UDP.
    pub port: u16,
    /// Connections at a time.
    pub most: u32,
    /// Bytes that each may send ahead, and that may wait for it.
    pub buffer: usize,
    /// How long one may be silent.
    pub idle: Duration,
}

impl Default for Wish {
    fn default() -> Self {
        Self { port: 7, most: 1024, buffer: 8192, idle: Duration::from_secs(300) }
    }
}

/// All of it, but addresses.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// For the network card.
    pub nic: fata_net::Options,
    /// What is served.
    pub wish: Wish,
}

impl Options {
    /// Reads a command line. An error says which word makes no sense.
    pub fn parse(cmdline: &str) -> Result<Self, String> {
        let mut options = Self::default();
        for (name, value) in words(cmdline) {
            if name == "seed" || Topic::of(name, value).is_some() {
                continue;
            }
            if options.wish.word(name, value).or_else(|| options.nic.word(name, value)).is_none() {
                return Err(format!("the command line makes no sense at {name}={value}"));
            }
        }
        Ok(options)
    }
}

impl Wish {
    fn word(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "port" => self.port = value.parse().ok().filter(|port| *port > 0)?,
            "most" => self.most = value.parse().ok().filter(|most| *most > 0)?,
            "buffer" => self.buffer = value.parse().ok().filter(|bytes| (1..=1 << 20).contains(bytes))?,
            "idle" => self.idle = value.parse().ok().filter(|s| *s > 0).map(Duration::from_secs)?,
            _ => return None,
        }
        Some(())
    }
}
