//! What the command line asks for.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use fata_addresses::Topic;
use fata_conduit::Address;
use fata_kit::words;

/// From where to where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Where connections come in.
    pub listen: Address,
    /// Where they are carried to.
    pub to: Address,
}

/// How.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Connections at a time, for each way.
    pub most: usize,
    /// How long one may be silent.
    pub idle: Duration,
    /// How long what is inside may take to be opened.
    pub open: Duration,
    /// Bytes that a TCP connection may send ahead, and that may wait for it.
    pub buffer: usize,
}

impl Default for Wish {
    fn default() -> Self {
        Self { most: 256, idle: Duration::from_secs(300), open: Duration::from_secs(10), buffer: 16 << 10 }
    }
}

/// All of it, but addresses.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// For the network card.
    pub nic: fata_net::Options,
    /// What is carried.
    pub ways: Vec<Way>,
    /// And how.
    pub wish: Wish,
}

impl Options {
    /// Reads a command line. An error says which word makes no sense.
    pub fn parse(cmdline: &str) -> Result<Self, String> {
        let mut options = Self::default();
        let mut from = None;
        let address = |name: &str, value: &str| {
            value.parse::<Address>().map_err(|why| format!("{name}={value} is no address: {why}"))
        };
        for (name, value) in words(cmdline) {
            match name {
                "listen" if from.is_none() => from = Some(address(name, value)?),
                "to" if from.is_some() => {
                    let to = address(name, value)?;
                    options.ways.extend(from.take().map(|listen| Way { listen, to }));
                }
                "listen" | "to" => return Err(format!("{name}={value}: each listen= has one to= behind it")),
                "seed" => {}
                _ if Topic::of(name, value).is_some() => {}
                _ => {
                    let taken = options.wish.word(name, value).or_else(|| options.nic.word(name, value));
                    taken.ok_or_else(|| format!("the command line makes no sense at {name}={value}"))?;
                }
            }
        }
        match (from, options.ways.is_empty()) {
            (Some(listen), _) => Err(format!("listen={listen} has no to= behind it")),
            (None, true) => Err("the command line says nothing of listen= and to=".into()),
            (None, false) => Ok(options),
        }
    }
}

impl Wish {
    fn word(&mut self, name: &str, value: &str) -> Option<()> {
        let seconds = || value.parse().ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
        match name {
            "most" => self.most = value.parse().ok().filter(|most| *most > 0)?,
            "idle" => self.idle = seconds()?,
            "open" => self.open = seconds()?,
            "buffer" => self.buffer = value.parse().ok().filter(|bytes| (1..=1 << 20).contains(bytes))?,
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_pairs_of_addresses() {
        let options = Options::parse(
            "ip=10.0.0.2/24 listen=tcp://*:80 to=vchan://web/http?streams=8 idle=5 listen=tcp://*:7 to=memory://a",
        )
        .unwrap();
        let ways: Vec<_> = options.ways.iter().map(|way| format!("{} to {}", way.listen, way.to)).collect();
        assert_eq!(ways, ["tcp://*:80 to vchan://web/http?streams=8", "tcp://*:7 to memory://a"]);
        assert_eq!(options.wish, Wish { idle: Duration::from_secs(5), ..Wish::default() });
        for (cmdline, reason) in [
            ("", "the command line says nothing of listen= and to="),
            ("to=memory://a", "to=memory://a: each listen= has one to= behind it"),
            ("listen=memory://a", "listen=memory://a has no to= behind it"),
            ("listen=memory://a listen=memory://b", "listen=memory://b: each listen= has one to= behind it"),
            (
                "listen=http://a",
                "listen=http://a is no address: it does not begin with tcp://, tls://, vchan:// or memory://",
            ),
            ("listen=memory://a to=memory://b most=0", "the command line makes no sense at most=0"),
        ] {
            assert_eq!(Options::parse(cmdline).err().as_deref(), Some(reason), "{cmdline}");
        }
    }
}
