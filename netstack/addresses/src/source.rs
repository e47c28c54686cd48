//! What one source says.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use fata_netstack::{Config, ConfigError, IpAddress, V4};

/// Who says it. The order is that in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The domain's command line.
    CommandLine,
    /// `/chosen` of the device tree: `fata,net`.
    DeviceTree,
    /// The guest's own `data/net/ID` in Xenstore.
    StoreTree,
    /// `data/ip` and `data/gw` in Xenstore.
    StoreNodes,
    /// `ip` in the backend's directory, which is `vif=['ip=...']` of xl.
    Backend,
    /// A disk labelled `cidata`.
    Disk,
    /// The server at 169.254.169.254.
    Metadata,
    /// DHCP servers and routers.
    Network,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CommandLine => "command line",
            Self::DeviceTree => "device tree",
            Self::StoreTree => "Xenstore data/net",
            Self::StoreNodes => "Xenstore data/ip",
            Self::Backend => "vif ip",
            Self::Disk => "cidata disk",
            Self::Metadata => "metadata server",
            Self::Network => "network",
        })
    }
}

/// What is said by one source or another, but not by two together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// IPv4 addresses, and the ways out and to other networks.
    V4,
    /// The same of IPv6.
    V6,
    /// Name servers.
    Dns,
    /// Domains to look for names in.
    Search,
    /// What we are called.
    HostName,
    /// The largest packet.
    Mtu,
    /// Time servers.
    Ntp,
    /// How careful to be with addresses.
    Duplicates,
}

impl Topic {
    /// All.
    pub const ALL: [Self; 8] =
        [Self::V4, Self::V6, Self::Dns, Self::Search, Self::HostName, Self::Mtu, Self::Ntp, Self::Duplicates];

    /// What a word is of.
    pub fn of(name: &str, value: &str) -> Option<Self> {
        Some(match name {
            "ip" | "gw" => Self::V4,
            "ip6" | "gw6" => Self::V6,
            // IPv6 addresses have colons, and so has a route to them.
            "route" if value.contains(':') => Self::V6,
            "route" => Self::V4,
            "dns" => Self::Dns,
            "search" => Self::Search,
            "hostname" => Self::HostName,
            "mtu" => Self::Mtu,
            "ntp" => Self::Ntp,
            "dad" => Self::Duplicates,
            _ => return None,
        })
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
            Self::Dns => "dns",
            Self::Search => "search",
            Self::HostName => "hostname",
            Self::Mtu => "mtu",
            Self::Ntp => "ntp",
            Self::Duplicates => "dad",
        })
    }
}

/// Why something that was said does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It makes no sense.
    Config(ConfigError),
    /// It could not be read, or not understood.
    Unreadable(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => write!(f, "{error}"),
            Self::Unreadable(why) => f.write_str(why),
        }
    }
}

/// Something that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// What it is of. Of nothing that counts, if what cannot be read is the whole source.
    pub topic: Option<Topic>,
    /// What was said. Not all of it if it is long.
    pub what: String,
    /// Why not.
    pub why: Reason,
}

/// The most bytes of a flaw that are told, and the most flaws of one source.
const TOLD: usize = 60;
const FLAWS: usize = 8;

/// What somebody says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Who.
    pub origin: Origin,
    /// What.
    pub config: Config,
    /// What makes no sense. The topics of these are not taken from here.
    pub flaws: Vec<Flaw>,
    duplicates: bool,
}

impl Source {
    /// One that says nothing yet.
    pub fn new(origin: Origin) -> Self {
        Self { origin, config: Config::default(), flaws: Vec::new(), duplicates: false }
    }

    /// What has these words. Those that are not of addresses are for others.
    pub fn words<'a>(origin: Origin, words: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut source = Self::new(origin);
        for (name, value) in words {
            source.word(name, value);
        }
        source.finished()
    }

    /// What has these nodes, each with a word's name. A value may be of several, with blanks or commas between them.
    pub fn nodes<'a>(origin: Origin, nodes: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut source = Self::new(origin);
        for (name, value) in nodes {
            let separates = |c: char| c.is_ascii_whitespace() || (c == ',' && name != "route");
            for part in value.split(separates).filter(|part| !part.is_empty()) {
                source.word(name, part);
            }
        }
        source.finished()
    }

    /// The `ip` node of a backend, as xl writes it: addresses of both families, with blanks or commas between them. Where
    /// one has no prefix, its network is taken to be of the usual size: 24 bits for IPv4, 64 for IPv6.
    pub fn backend(ip: &str) -> Self {
        let mut source = Self::new(Origin::Backend);
        for part in ip.split(|c: char| c.is_ascii_whitespace() || c == ',').filter(|part| !part.is_empty()) {
            let (address, prefix) = part.split_once('/').unwrap_or((part, ""));
            let (name, usual) = if address.contains(':') { ("ip6", "64") } else { ("ip", "24") };
            let prefix = if prefix.is_empty() { usual } else { prefix };
            let is_address = address.parse::<IpAddress>().is_ok();
            if is_address {
                source.word(name, &alloc::format!("{address}/{prefix}"));
            } else {
                // Not `dhcp` or the like, which the backend does not know of.
                let error = if name == "ip" { ConfigError::BadV4 } else { ConfigError::BadV6 };
                source.flaw(Topic::of(name, ""), part, Reason::Config(error));
            }
        }
        source.finished()
    }

    /// One that could not be read.
    pub fn unreadable(origin: Origin, what: &str, why: String) -> Self {
        let mut source = Self::new(origin);
        source.flaw(None, what, Reason::Unreadable(why));
        source
    }

    /// Takes a word. False if it is not of addresses.
    pub fn word(&mut self, name: &str, value: &str) -> bool {
        let Some(topic) = Topic::of(name, value) else { return false };
        self.duplicates |= topic == Topic::Duplicates;
        if let Err(error) = self.config.word(name, value) {
            self.flaw(Some(topic), &alloc::format!("{name}={value}"), Reason::Config(error));
        }
        true
    }

    /// Keeps what makes no sense.
    pub fn flaw(&mut self, topic: Option<Topic>, what: &str, why: Reason) {
        if self.flaws.len() < FLAWS || !self.flaws.iter().any(|flaw| flaw.topic == topic) {
            let printable = |c: char| if c.is_control() { '?' } else { c };
            let what = what.chars().take(TOLD).map(printable).collect();
            self.flaws.push(Flaw { topic, what, why });
        }
    }

    /// After the last word: whether all of it fits together.
    pub fn finished(mut self) -> Self {
        let mut flaws = Vec::new();
        let Config { v4, gateway_v4, v6, gateway_v6, .. } = &self.config;
        if let Err(error) = self.config.check_v4() {
            let said = Said(self.config.static_v4().next(), *gateway_v4, *v4 == V4::Dhcp);
            flaws.push((Topic::V4, alloc::format!("{said}"), error));
        }
        if let Err(error) = self.config.check_v6() {
            let said = Said(v6.first(), *gateway_v6, false);
            flaws.push((Topic::V6, alloc::format!("{said}"), error));
        }
        let least = if self.config.v6_off { 576 } else { 1280 };
        if let Some(mtu) = self.config.mtu.filter(|mtu| *mtu < least) {
            flaws.push((Topic::Mtu, alloc::format!("mtu={mtu}"), ConfigError::BadMtu));
        }
        for (topic, what, error) in flaws {
            // What is broken by a word does not fit together either.
            if !self.is_broken(topic) {
                self.flaw(Some(topic), &what, Reason::Config(error));
            }
        }
        self
    }

    /// Whether something that makes no sense was said of it.
    pub fn is_broken(&self, topic: Topic) -> bool {
        self.flaws.iter().any(|flaw| flaw.topic == Some(topic))
    }

    /// Whether anything was said of it.
    pub fn says(&self, topic: Topic) -> bool {
        let Config { says_v4, says_v6, dns, search, host_name, mtu, ntp, routes, .. } = &self.config;
        let routes_to = |v4: bool| routes.iter().any(|route| matches!(route.via, IpAddress::Ipv4(_)) == v4);
        match topic {
            Topic::V4 => *says_v4 || routes_to(true),
            Topic::V6 => *says_v6 || routes_to(false),
            Topic::Dns => !dns.is_empty(),
            Topic::Search => !search.is_empty(),
            Topic::HostName => host_name.is_some(),
            Topic::Mtu => mtu.is_some(),
            Topic::Ntp => !ntp.is_empty(),
            Topic::Duplicates => self.duplicates,
        }
    }
}

/// An address and a gateway.
struct Said<C, G>(Option<C>, Option<G>, bool);

impl<C: fmt::Display, G: fmt::Display> fmt::Display for Said<C, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0, self.2) {
            (Some(cidr), _) => write!(f, "{cidr}")?,
            (None, true) => f.write_str("dhcp")?,
            (None, false) => f.write_str("no address")?,
        }
        match &self.1 {
            Some(gateway) => write!(f, " by way of {gateway}"),
            None => Ok(()),
        }
    }
}
