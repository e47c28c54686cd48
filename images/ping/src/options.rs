//! What the command line asks for.

use alloc::format;
use alloc::string::String;
use core::time::Duration;
use fata_addresses::Topic;
use fata_kit::words;
use fata_netstack::IpAddress;

/// The most bytes in a ping.
const LARGEST: usize = 65_507;

/// Whom to ping, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Nobody, without.
    pub to: Option<IpAddress>,
    /// Bytes in a ping.
    pub size: usize,
    /// How many; without end, without.
    pub count: Option<u64>,
    /// From one ping to the next; zero if the next follows when the last is answered.
    pub interval: Duration,
    /// How long an answer may take.
    pub wait: Duration,
}

impl Default for Wish {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self { to: None, size: 56, count: None, interval: second, wait: second }
    }
}

/// All of it, but addresses.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// For the network card.
    pub nic: fata_net::Options,
    /// A disk labelled `cidata` is asked for addresses.
    pub cidata: bool,
    /// Whom to ping.
    pub wish: Wish,
}

impl Options {
    /// Reads a command line. An error says which word makes no sense.
    pub fn parse(cmdline: &str) -> Result<Self, String> {
        let mut options = Self::default();
        for (name, value) in words(cmdline) {
            if (name, value) == ("cidata", "") {
                options.cidata = true;
                continue;
            }
            // The board's affair.
            if (name, value) == ("metadata", "") {
                continue;
            }
            let known = Topic::of(name, value).map(drop);
            if known
                .or_else(|| options.wish.word(name, value))
                .or_else(|| options.nic.word(name, value))
                .is_none()
            {
                return Err(format!("the command line makes no sense at {name}={value}"));
            }
        }
        Ok(options)
    }
}

impl Wish {
    fn word(&mut self, name: &str, value: &str) -> Option<()> {
        let ms = || value.parse().ok().map(Duration::from_millis);
        match name {
            "ping" => self.to = Some(value.parse().ok()?),
            "size" => self.size = value.parse().ok().filter(|size| *size <= LARGEST)?,
            "count" => self.count = Some(value.parse().ok()?),
            "interval" => self.interval = ms()?,
            "wait" => self.wait = ms()?,
            // For random numbers, which see to it themselves.
            "seed" => {}
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood_or_refused() {
        let options =
            Options::parse("ip=10.0.0.2/24 gw=10.0.0.1 ping=10.0.0.1 size=100 count=3 gso=0").unwrap();
        assert!(!options.nic.gso);
        assert_eq!((options.wish.size, options.wish.count), (100, Some(3)));
        for words in ["ping=there", "size=65508", "count=-1", "gso=2", "what"] {
            assert!(Options::parse(words).unwrap_err().contains(words.split('=').next().unwrap()), "{words}");
        }
    }
}
