//! What the command line asks for.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use fata_block::number;
use fata_dns::{Name, PORT};
use fata_kit::words;
use fata_netstack::{Config, V4};

/// A file on a disk, as in `xvdap2:/etc/zone`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the disk.
    pub disk: u32,
    /// All of the disk if it is not named.
    pub partition: Option<u32>,
    /// From the root of the file system on.
    pub path: String,
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        let (disk, path) = text.split_once(':').unwrap_or(("xvda", text));
        let parts = disk.rsplit_once('p').filter(|(name, _)| number(name).is_some());
        let parts = parts.and_then(|(name, digits)| Some((name, digits.parse().ok()?)));
        let (disk, partition) = parts.map_or((disk, None), |(name, part)| (name, Some(part)));
        path.starts_with('/').then_some(())?;
        Some(Self { disk: number(disk)?, partition, path: path.into() })
    }
}

/// Where a zone is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Built in.
    Image,
    /// In Xenstore; there may be several.
    Store,
    /// On a disk.
    File(Place),
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Our addresses.
    pub config: Config,
    /// Whether there was a word about IPv4.
    pub says_v4: bool,
    /// For the network card.
    pub nic: fata_net::Options,
    /// Where the zones are.
    pub sources: Vec<Source>,
    /// What names go on with.
    pub origin: Option<Name>,
    /// Where to listen.
    pub port: u16,
    /// How to serve.
    pub serve: fata_dns::Options,
}

impl Options {
    /// Reads a command line. An error says which word makes no sense.
    pub fn parse(cmdline: &str) -> Result<Self, String> {
        let mut options = Self {
            config: Config::default(),
            says_v4: false,
            nic: fata_net::Options::default(),
            sources: Vec::new(),
            origin: None,
            port: PORT,
            serve: fata_dns::Options::default(),
        };
        for (name, value) in words(cmdline) {
            options.says_v4 |= name == "ip";
            match options.config.word(name, value) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => return Err(format!("{name}={value}: {error}")),
            }
            if options.word(name, value).or_else(|| options.nic.word(name, value)).is_none() {
                return Err(format!("the command line makes no sense at {name}={value}"));
            }
        }
        if options.sources.is_empty() {
            options.sources.push(Source::Image);
        }
        Ok(options)
    }

    fn word(&mut self, name: &str, value: &str) -> Option<()> {
        let limit = |most| value.parse().ok().filter(|count: &usize| (1..=most).contains(count));
        match name {
            "zone" => self.sources.push(match value {
                "image" => Source::Image,
                "store" => Source::Store,
                _ => Source::File(Place::parse(value)?),
            }),
            "origin" => self.origin = Some(Name::parse(value.as_bytes(), Some(&Name::ROOT)).ok()?),
            "axfr" => {
                for peer in value.split(',') {
                    self.serve.peers.push(peer.parse().ok()?);
                }
            }
            "rate" => self.serve.rate = value.parse().ok()?,
            "slip" => self.serve.slip = value.parse().ok()?,
            "port" => self.port = value.parse().ok().filter(|port| *port > 0)?,
            "connections" => self.serve.connections = limit(4096)?,
            _ => return None,
        }
        Some(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood_or_refused() {
        let options = Options::parse(
            "ip=10.0.0.2/24 zone=image zone=store zone=/a/b zone=xvdbp2:/c axfr=10.0.0.1,fd00::1 rate=0 slip=3 \
             port=5353 connections=4 origin=example.com",
        )
        .unwrap();
        let file = |disk, partition, path: &str| Source::File(Place { disk, partition, path: path.into() });
        let expected = [
            Source::Image,
            Source::Store,
            file(number("xvda").unwrap(), None, "/a/b"),
            file(number("xvdb").unwrap(), Some(2), "/c"),
        ];
        assert_eq!(options.sources, expected);
        assert_eq!((options.serve.peers.len(), options.serve.rate, options.serve.slip), (2, 0, 3));
        assert_eq!((options.port, options.serve.connections), (5353, 4));
        assert_eq!(options.origin.unwrap().to_string(), "example.com.");
        assert_eq!(Options::parse("").unwrap().sources, [Source::Image]);
        for words in [
            "zone=disk",
            "zone=xvd:/a",
            "axfr=x",
            "rate=-1",
            "port=0",
            "connections=0",
            "origin=a..b",
            "what",
        ] {
            assert!(Options::parse(words).unwrap_err().contains(words), "{words}");
        }
    }
}
