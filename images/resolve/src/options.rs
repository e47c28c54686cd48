//! What the command line asks for.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use fata_kit::words;
use fata_netstack::{Config, V4};
use fata_resolve::Kind;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Look a name up: its addresses, or what it has of this kind.
    Resolve(String, Option<Kind>),
    /// Connect to a host.
    Connect(String, u16),
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Our addresses.
    pub config: Config,
    /// For the network card.
    pub nic: fata_net::Options,
    /// What to do.
    pub wishes: Vec<Wish>,
}

impl Options {
    /// Reads a command line. An error says which word makes no sense.
    pub fn parse(cmdline: &str) -> Result<Self, String> {
        let mut options = Self::default();
        for (name, value) in words(cmdline) {
            match options.config.word(name, value) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => return Err(format!("{name}={value}: {error}")),
            }
            if options.word(name, value).or_else(|| options.nic.word(name, value)).is_none() {
                return Err(format!("the command line makes no sense at {name}={value}"));
            }
        }
        if options.wishes.is_empty() {
            return Err("there is nothing to do without resolve=NAME[,TYPE] or connect=HOST:PORT".into());
        }
        Ok(options)
    }

    fn word(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "resolve" => {
                let (name, kind) = value.rsplit_once(',').unwrap_or((value, ""));
                let kind = if kind.is_empty() { None } else { Some(Kind::parse(kind)?) };
                self.wishes.push(Wish::Resolve(name.into(), kind));
            }
            "connect" => {
                let (host, port) = value.rsplit_once(':')?;
                let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
                self.wishes.push(Wish::Connect(host.into(), port.parse().ok()?));
            }
            _ => return None,
        }
        Some(())
    }

    /// Takes what Xenstore says, if the command line did not say anything.
    pub fn xenstore(&mut self, ip: Option<&str>, gw: Option<&str>) -> Result<(), String> {
        if self.config.says_v4 {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood_or_refused() {
        let options = Options::parse(
            "ip=10.0.0.2/24 dns=10.0.0.1,fd00::1 search=a.example,b resolve=host resolve=example,mx \
             connect=www:80 connect=[fd00::2]:443 gso=0",
        )
        .unwrap();
        assert!(options.config.says_v4 && !options.nic.gso);
        assert_eq!((options.config.dns.len(), options.config.search.len()), (2, 2));
        let resolve = |name: &str, kind| Wish::Resolve(name.into(), kind);
        let expected = [
            resolve("host", None),
            resolve("example", Some(Kind::MX)),
            Wish::Connect("www".into(), 80),
            Wish::Connect("fd00::2".into(), 443),
        ];
        assert_eq!(options.wishes, expected);
        for words in
            ["resolve=a,what", "connect=host", "connect=host:99999", "dns=here", "search=a..b", "what"]
        {
            assert!(Options::parse(words).unwrap_err().contains(words.split('=').next().unwrap()), "{words}");
        }
        assert!(Options::parse("ip=10.0.0.2/24").unwrap_err().contains("nothing to do"));
    }
}
