//! What the command line asks for.

#[cfg(feature = "disk")]
use crate::files::Place;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use fata_addresses::Topic;
use fata_dns::{Name, PORT};
use fata_kit::words;

/// Where a zone is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Built in.
    Image,
    /// In Xenstore; there may be several.
    Store,
    /// On a disk.
    #[cfg(feature = "disk")]
    File(Place),
}

/// All of it, but addresses.
#[derive(Clone, Debug)]
pub struct Options {
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
            nic: fata_net::Options::default(),
            sources: Vec::new(),
            origin: None,
            port: PORT,
            serve: fata_dns::Options::default(),
        };
        for (name, value) in words(cmdline) {
            if name == "seed" || Topic::of(name, value).is_some() {
                continue;
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
                #[cfg(feature = "disk")]
                _ => Source::File(Place::parse(value)?),
                #[cfg(not(feature = "disk"))]
                _ => return None,
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood_or_refused() {
        let options = Options::parse(
            "ip=10.0.0.2/24 zone=image zone=store axfr=10.0.0.1,fd00::1 rate=0 slip=3 port=5353 connections=4 \
             origin=example.com",
        )
        .unwrap();
        assert_eq!(options.sources, [Source::Image, Source::Store]);
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
