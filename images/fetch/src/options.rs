//! What the command line asks for.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use fata_addresses::Topic;
use fata_conduit::Address;
use fata_http::Url;
use fata_kit::words;

/// How to get things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Where all connections go, if not to the URLs' hosts.
    pub via: Option<Address>,
    /// Redirects that are followed.
    pub follow: u32,
    /// How long each may take.
    pub time: Duration,
    /// Whether it is written to the console.
    pub show: bool,
}

impl Default for Wish {
    fn default() -> Self {
        Self { via: None, follow: 5, time: Duration::from_secs(30), show: false }
    }
}

/// All of it, but addresses.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// For the network card.
    pub nic: fata_net::Options,
    /// What to get.
    pub urls: Vec<Url>,
    /// How.
    pub wish: Wish,
}

impl Options {
    /// Reads a command line. An error says which word makes no sense.
    pub fn parse(cmdline: &str) -> Result<Self, String> {
        let mut options = Self::default();
        for (name, value) in words(cmdline) {
            match name {
                "seed" => {}
                "url" => {
                    let url = Url::parse(value).map_err(|error| format!("url={value}: {error}"))?;
                    options.urls.push(url);
                }
                "via" => {
                    let via = value.parse().map_err(|error| format!("via={value}: {error}"))?;
                    options.wish.via = Some(via);
                }
                _ if Topic::of(name, value).is_some() => {}
                _ => {
                    let taken = options.wish.word(name, value).or_else(|| options.nic.word(name, value));
                    taken.ok_or_else(|| format!("the command line makes no sense at {name}={value}"))?;
                }
            }
        }
        if options.urls.is_empty() {
            return Err("the command line says nothing of url=".into());
        }
        Ok(options)
    }
}

impl Wish {
    fn word(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "follow" => self.follow = value.parse().ok()?,
            "time" => self.time = value.parse().ok().filter(|s| *s > 0).map(Duration::from_secs)?,
            "show" if value.is_empty() => self.show = true,
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
            Options::parse("ip=10.0.0.2/24 url=https://a.example/x url=http://b.example show follow=0")
                .unwrap();
        assert_eq!(options.urls.len(), 2);
        assert!(options.urls[0].is_https());
        assert_eq!(options.wish, Wish { show: true, follow: 0, ..Wish::default() });
        for cmdline in ["", "url=ftp://a", "url=http://a via=b", "url=http://a time=0", "url=http://a what"] {
            assert!(Options::parse(cmdline).is_err(), "{cmdline}");
        }
    }
}
