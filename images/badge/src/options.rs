//! What the command line asks for.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use fata_addresses::Topic;
use fata_conduit::Address;
use fata_http::Url;
use fata_kit::words;

/// All of it, but addresses.
#[derive(Clone, Debug)]
pub struct Options {
    /// For the network card.
    pub nic: fata_net::Options,
    /// Its name.
    pub name: String,
    /// Where people find it.
    pub url: Option<String>,
    /// Where it listens.
    pub listen: Vec<Address>,
    /// Who is told that it is there.
    pub registry: Option<Url>,
    /// How often.
    pub every: Duration,
}

impl Options {
    /// Reads a command line. An error says which word makes no sense.
    pub fn parse(cmdline: &str) -> Result<Self, String> {
        let mut options = Self {
            nic: fata_net::Options::default(),
            name: "fata".into(),
            url: None,
            listen: Vec::new(),
            registry: None,
            every: Duration::from_secs(3600),
        };
        for (name, value) in words(cmdline) {
            if name == "seed" || Topic::of(name, value).is_some() {
                continue;
            }
            if options.word(name, value).or_else(|| options.nic.word(name, value)).is_none() {
                return Err(format!("the command line makes no sense at {name}={value}"));
            }
        }
        if options.listen.is_empty() {
            options.listen.extend("tcp://*:80".parse());
        }
        Ok(options)
    }

    fn word(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "name" => self.name = Some(value).filter(|name| !name.is_empty() && name.len() <= 64)?.into(),
            "url" => self.url = Some(Url::parse(value).ok().map(|_| value)?.into()),
            "listen" => self.listen.push(value.parse().ok()?),
            "registry" => self.registry = Some(Url::parse(value).ok()?),
            "every" => self.every = value.parse().ok().filter(|s| *s > 0).map(Duration::from_secs)?,
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
            "ip=10.0.0.2/24 name=\"one badge\" url=https://a.example/ listen=tls://*:443 registry=https://b.example/add every=60",
        )
        .unwrap();
        assert_eq!(options.name, "one badge");
        assert_eq!(options.listen, ["tls://*:443".parse().unwrap()]);
        assert_eq!(options.every, Duration::from_secs(60));
        assert!(options.registry.is_some_and(|url| url.is_https()));
        for words in ["name=", "url=a", "listen=80", "registry=ftp://a", "every=0", "what"] {
            assert!(Options::parse(words).is_err(), "{words}");
        }
    }
}
