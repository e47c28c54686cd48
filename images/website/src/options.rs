//! What the command line asks for.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use fata_addresses::Topic;
use fata_conduit::Address;
use fata_kit::words;
use fata_site::escape::is_place;

/// Which pages it is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those that there are.
    Any,
    /// Those behind the image.
    Image,
    /// Those on the disk of this number.
    Disk(u32),
    /// Those that are built in.
    BuiltIn,
}

/// Where clients are sent instead of being served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// It is for the pages to say: to HTTPS if there is a certificate.
    Any,
    /// Nowhere.
    No,
    /// To HTTPS at the same host, and perhaps another port.
    Https(Option<u16>),
    /// There; if it ends with a slash, to what was asked for below it.
    Url(String),
}

/// How to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Where. Empty if it is for the pages to say: HTTP, and HTTPS if there is a certificate.
    pub listen: Vec<Address>,
    /// Whether to send clients elsewhere.
    pub elsewhere: Elsewhere,
    /// Connections at a time, for each address.
    pub most: usize,
    /// How long one may ask for nothing.
    pub idle: Duration,
    /// Bytes of answers that may be on their way.
    pub buffer: usize,
    /// Whether requests are listed.
    pub log: bool,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            elsewhere: Elsewhere::Any,
            most: 1024,
            idle: Duration::from_secs(60),
            buffer: 16 << 10,
            log: true,
        }
    }
}

/// All of it, but addresses.
#[derive(Clone, Debug)]
pub struct Options {
    /// For the network card.
    pub nic: fata_net::Options,
    /// Which pages.
    pub wanted: Wanted,
    /// How to serve them.
    pub wish: Wish,
}

impl Options {
    /// Reads a command line. An error says which word makes no sense.
    pub fn parse(cmdline: &str) -> Result<Self, String> {
        let mut options =
            Self { nic: fata_net::Options::default(), wanted: Wanted::Any, wish: Wish::default() };
        for (name, value) in words(cmdline) {
            if name == "seed" || Topic::of(name, value).is_some() {
                continue;
            }
            if options.word(name, value).or_else(|| options.nic.word(name, value)).is_none() {
                return Err(format!("the command line makes no sense at {name}={value}"));
            }
        }
        Ok(options)
    }

    /// What was left to the pages, now that it is known whether there is a certificate.
    pub fn settle(&mut self, has_certificate: bool) {
        let wish = &mut self.wish;
        if wish.listen.is_empty() {
            let places: &[&str] =
                if has_certificate { &["tcp://*:80", "tls://*:443"] } else { &["tcp://*:80"] };
            wish.listen.extend(places.iter().filter_map(|place| place.parse().ok()));
            if has_certificate && wish.elsewhere == Elsewhere::Any {
                wish.elsewhere = Elsewhere::Https(None);
            }
        }
    }

    fn word(&mut self, name: &str, value: &str) -> Option<()> {
        let wish = &mut self.wish;
        match name {
            "content" => {
                self.wanted = match value {
                    "image" => Wanted::Image,
                    "none" => Wanted::BuiltIn,
                    name => Wanted::Disk(fata_block::number(name)?),
                }
            }
            "listen" => wish.listen.push(value.parse().ok()?),
            "redirect" => {
                is_place(value).then_some(())?;
                wish.elsewhere = Elsewhere::Url(value.into());
            }
            "to-https" => {
                wish.elsewhere = match value {
                    "off" => Elsewhere::No,
                    "" => Elsewhere::Https(None),
                    port => Elsewhere::Https(Some(port.parse().ok().filter(|port| *port > 0)?)),
                };
            }
            "most" => wish.most = value.parse().ok().filter(|most| *most > 0)?,
            "idle" => wish.idle = value.parse().ok().filter(|s| *s > 0).map(Duration::from_secs)?,
            "buffer" => wish.buffer = value.parse().ok().filter(|bytes| (512..=1 << 20).contains(bytes))?,
            "log" => {
                wish.log = match value {
                    "on" => true,
                    "off" => false,
                    _ => return None,
                }
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
            "ip=10.0.0.2/24 listen=tcp://*:8080 listen=vchan://front/web content=xvda redirect=https://a.example/ \
             most=5 idle=7 buffer=1000 log=off gso=0",
        )
        .unwrap();
        let listen: Vec<_> = options.wish.listen.iter().map(|address| format!("{address}")).collect();
        assert_eq!(listen, ["tcp://*:8080", "vchan://front/web"]);
        assert_eq!(options.wanted, Wanted::Disk(fata_block::number("xvda").unwrap()));
        assert_eq!(options.wish.elsewhere, Elsewhere::Url("https://a.example/".into()));
        assert_eq!((options.wish.most, options.wish.idle), (5, Duration::from_secs(7)));
        assert_eq!((options.wish.buffer, options.wish.log), (1000, false));
        let elsewhere = |words| Options::parse(words).unwrap().wish.elsewhere;
        assert_eq!(elsewhere("to-https"), Elsewhere::Https(None));
        assert_eq!(elsewhere("to-https=8443"), Elsewhere::Https(Some(8443)));
        assert_eq!(elsewhere("to-https=off"), Elsewhere::No);
        for words in [
            "content=disk",
            "listen=80",
            "redirect=a.example",
            "redirect=//a.example",
            "to-https=0",
            "most=0",
            "idle=0",
            "buffer=1",
            "log=maybe",
            "what",
        ] {
            assert!(Options::parse(words).unwrap_err().contains(words), "{words}");
        }
    }

    #[test]
    fn who_has_a_certificate_serves_https_and_sends_others_there() {
        let settled = |words, has_certificate| {
            let mut options = Options::parse(words).unwrap();
            options.settle(has_certificate);
            let listen: Vec<_> = options.wish.listen.iter().map(|address| format!("{address}")).collect();
            (listen.join(" "), options.wish.elsewhere)
        };
        assert_eq!(settled("", false), ("tcp://*:80".into(), Elsewhere::Any));
        assert_eq!(settled("", true), ("tcp://*:80 tls://*:443".into(), Elsewhere::Https(None)));
        assert_eq!(settled("to-https=off", true), ("tcp://*:80 tls://*:443".into(), Elsewhere::No));
        assert_eq!(settled("listen=tls://*:8443", true), ("tls://*:8443".into(), Elsewhere::Any));
    }
}
