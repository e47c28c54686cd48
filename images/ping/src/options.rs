//! What the command line asks for.

use alloc::format;
use alloc::string::String;
use core::time::Duration;
use fata_kit::words;
use fata_netstack::{Config, IpAddress, V4};

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

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Our addresses.
    pub config: Config,
    /// Whether there was a word about IPv4.
    pub says_v4: bool,
    /// For the network card.
    pub nic: fata_net::Options,
    /// Whom to ping.
    pub wish: Wish,
}

impl Options {
    /// Reads a command line. An error says which word makes no sense.
    pub fn parse(cmdline: &str) -> Result<Self, String> {
        let mut options = Self::default();
        for (name, value) in words(cmdline) {
            options.says_v4 |= name == "ip";
            match options.config.word(name, value) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => return Err(format!("{name}={value}: {error}")),
            }
            if options.wish.word(name, value).or_else(|| options.nic.word(name, value)).is_none() {
                return Err(format!("the command line makes no sense at {name}={value}"));
            }
        }
        Ok(options)
    }

    /// Takes what Xenstore says, if the command line did not say anything.
    pub fn xenstore(&mut self, ip: Option<&str>, gw: Option<&str>) -> Result<(), String> {
        if self.says_v4 {
            return Ok(());
        }
        for (name, value) in [("ip", ip), ("gw", gw)] {
            let Some(value) = value else { continue };
            if let Err(error) = self.config.word(name, value.trim_ascii()) {
                return Err(format!("data/{name} is {value:?}: {error}"));
            }
        }
        if ip.is_none() {
            self.config.v4 = V4::Dhcp;
        }
        Ok(())
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
        assert!(options.config.check().is_ok() && options.says_v4 && !options.nic.gso);
        assert_eq!((options.wish.size, options.wish.count), (100, Some(3)));
        for words in ["ping=there", "size=65508", "count=-1", "ip=10.0.0.2", "gso=2", "what"] {
            assert!(Options::parse(words).unwrap_err().contains(words.split('=').next().unwrap()), "{words}");
        }
    }

    #[test]
    fn the_command_line_comes_first_then_xenstore_then_dhcp() {
        let from = |cmdline: &str, ip, gw| {
            let mut options = Options::parse(cmdline).unwrap();
            options.xenstore(ip, gw).map(|()| options.config)
        };
        let given = from("ip=10.0.0.2/24", Some("10.0.0.9/24"), Some("10.0.0.1")).unwrap();
        assert_eq!((given.v4.address(), given.gateway_v4), (Some([10, 0, 0, 2].into()), None));
        let stored = from("", Some("10.0.0.9/24\n"), Some("10.0.0.1")).unwrap();
        assert_eq!(
            (stored.v4.address(), stored.gateway_v4),
            (Some([10, 0, 0, 9].into()), Some([10, 0, 0, 1].into()))
        );
        assert_eq!(from("ip6=fd00::1/64", None, None).unwrap().v4, V4::Dhcp);
        assert_eq!(from("ip=off", Some("10.0.0.9/24"), None).unwrap().v4, V4::Off);
        assert!(
            from("", Some("10.0.0.300/24"), None).unwrap_err().starts_with("data/ip is \"10.0.0.300/24\"")
        );
    }
}
