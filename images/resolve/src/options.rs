//! What the command line asks for.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use fata_addresses::Topic;
use fata_kit::words;
use fata_resolve::Kind;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Look a name up: its addresses, or what it has of this kind.
    Resolve(String, Option<Kind>),
    /// Connect to a host.
    Connect(String, u16),
}

/// All of it, but addresses.
#[derive(Clone, Debug, Default)]
pub struct Options {
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
            if name == "seed" || Topic::of(name, value).is_some() {
                continue;
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
        assert!(!options.nic.gso);
        let resolve = |name: &str, kind| Wish::Resolve(name.into(), kind);
        let expected = [
            resolve("host", None),
            resolve("example", Some(Kind::MX)),
            Wish::Connect("www".into(), 80),
            Wish::Connect("fd00::2".into(), 443),
        ];
        assert_eq!(options.wishes, expected);
        for words in ["resolve=a,what", "connect=host", "connect=host:99999", "what"] {
            assert!(Options::parse(words).unwrap_err().contains(words.split('=').next().unwrap()), "{words}");
        }
        assert!(Options::parse("ip=10.0.0.2/24").unwrap_err().contains("nothing to do"));
    }
}
