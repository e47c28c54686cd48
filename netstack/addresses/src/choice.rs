//! Which source counts.

use crate::source::{Origin, Source, Topic};
use alloc::vec::Vec;
use core::fmt::{self, Write};
use fata_netstack::{Config, IpAddress, V4};

/// What was chosen, and why. Prints as one line.
#[derive(Clone, Debug)]
pub struct Choice {
    /// For [`fata_netstack::Stack::start`]. It passes its check.
    pub config: Config,
    /// Which source each topic was taken from, in the order of [`Topic::ALL`].
    pub from: [Option<Origin>; Topic::ALL.len()],
    sources: Vec<Source>,
}

/// Takes each topic from the first source that says something sensible of it. They must be in the order that counts.
///
/// Where nobody says anything of IPv4, a DHCP server is asked; where nobody says anything of IPv6, routers are.
pub fn choose(sources: Vec<Source>) -> Choice {
    let mut config = Config::default();
    let mut from = [None; Topic::ALL.len()];
    for (topic, from) in Topic::ALL.iter().zip(&mut from) {
        let says = |source: &&Source| source.says(*topic) && !source.is_broken(*topic);
        if let Some(source) = sources.iter().find(says) {
            *from = Some(source.origin);
            take(&mut config, *topic, &source.config);
        }
    }
    if from[0].is_none() {
        (config.v4, config.says_v4, from[0]) = (V4::Dhcp, true, Some(Origin::Network));
    }
    if from[1].is_none() {
        (config.slaac, config.says_v6, from[1]) = (true, true, Some(Origin::Network));
    }
    // What fits together by itself does so with the rest; but for a small MTU and IPv6.
    if config.check().is_err() {
        config.mtu = None;
    }
    Choice { config, from, sources }
}

fn take(config: &mut Config, topic: Topic, other: &Config) {
    let other = other.clone();
    let is_v4 = |address: &IpAddress| matches!(address, IpAddress::Ipv4(_));
    match topic {
        Topic::V4 => {
            (config.v4, config.more_v4, config.gateway_v4) = (other.v4, other.more_v4, other.gateway_v4);
            config.says_v4 = true;
            config.routes.extend(other.routes.into_iter().filter(|route| is_v4(&route.via)));
        }
        Topic::V6 => {
            (config.v6, config.gateway_v6) = (other.v6, other.gateway_v6);
            (config.slaac, config.v6_off, config.says_v6) = (other.slaac, other.v6_off, true);
            config.routes.extend(other.routes.into_iter().filter(|route| !is_v4(&route.via)));
        }
        Topic::Dns => config.dns = other.dns,
        Topic::Search => config.search = other.search,
        Topic::HostName => config.host_name = other.host_name,
        Topic::Mtu => config.mtu = other.mtu,
        Topic::Ntp => config.ntp = other.ntp,
        Topic::Duplicates => config.duplicates = other.duplicates,
    }
    config.routes.truncate(fata_netstack::MAX_ROUTES);
}

impl Choice {
    /// Where a topic was taken from.
    pub fn origin(&self, topic: Topic) -> Option<Origin> {
        let at = Topic::ALL.iter().position(|other| *other == topic)?;
        self.from[at]
    }

    /// The next best, if what this one chose of a topic turns out to be somebody else's.
    pub fn without(&self, topic: Topic) -> Self {
        let Some(origin) = self.origin(topic) else { return self.clone() };
        let mut sources = self.sources.clone();
        for source in sources.iter_mut().filter(|source| source.origin == origin) {
            let why = crate::source::Reason::Unreadable("somebody else has it".into());
            source.flaw(Some(topic), "its address", why);
        }
        choose(sources)
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("addresses: ")?;
        let mut first = true;
        let mut next = |f: &mut fmt::Formatter<'_>| {
            if !core::mem::replace(&mut first, false) {
                f.write_str("; ")?;
            }
            Ok(())
        };
        for (topic, from) in Topic::ALL.iter().zip(&self.from) {
            let Some(from) = from else { continue };
            next(f)?;
            if !matches!(topic, Topic::V4 | Topic::V6) {
                write!(f, "{topic} ")?;
            }
            write!(f, "{from} ")?;
            said(f, *topic, &self.config)?;
        }
        for source in &self.sources {
            for flaw in &source.flaws {
                next(f)?;
                let (origin, what, why) = (source.origin, &flaw.what, &flaw.why);
                write!(f, "{origin} ")?;
                // Commas, since a semicolon ends what is said of this.
                write!(Plain(f), "{what} refused, {why}")?;
            }
            for (topic, from) in Topic::ALL.iter().zip(&self.from) {
                let says = source.says(*topic) && !source.is_broken(*topic);
                let Some(winner) = from.filter(|from| says && *from != source.origin) else { continue };
                next(f)?;
                write!(f, "{} ", source.origin)?;
                if !matches!(topic, Topic::V4 | Topic::V6) {
                    write!(f, "{topic} ")?;
                }
                said(f, *topic, &source.config)?;
                write!(f, " ignored, the {winner} came first")?;
            }
        }
        Ok(())
    }
}

fn said(f: &mut fmt::Formatter<'_>, topic: Topic, config: &Config) -> fmt::Result {
    let Config { v4, gateway_v4, v6, gateway_v6, slaac, dns, search, host_name, mtu, ntp, .. } = config;
    let by_way_of = |f: &mut fmt::Formatter<'_>, gateway: Option<IpAddress>| match gateway {
        Some(gateway) => write!(f, " by way of {gateway}"),
        None => Ok(()),
    };
    match topic {
        Topic::V4 => {
            match v4 {
                V4::Off => f.write_str("no IPv4")?,
                V4::Dhcp => f.write_str("DHCP")?,
                V4::Static(_) => list(f, config.static_v4())?,
            }
            by_way_of(f, gateway_v4.map(IpAddress::Ipv4))
        }
        Topic::V6 => {
            match (v6.is_empty(), slaac) {
                (true, false) => f.write_str("no IPv6 beyond the link")?,
                (true, true) => f.write_str("SLAAC")?,
                (false, _) => list(f, v6.iter())?,
            }
            if *slaac && !v6.is_empty() {
                f.write_str(" and SLAAC")?;
            }
            by_way_of(f, gateway_v6.map(IpAddress::Ipv6))
        }
        Topic::Dns => list(f, dns.iter()),
        Topic::Search => list(f, search.iter()),
        Topic::HostName => list(f, host_name.iter()),
        Topic::Mtu => list(f, mtu.iter()),
        Topic::Ntp => list(f, ntp.iter()),
        Topic::Duplicates => write!(f, "{:?}", config.duplicates),
    }
}

fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, all: impl Iterator<Item = T>) -> fmt::Result {
    for (at, one) in all.enumerate() {
        if at > 0 {
            f.write_char(',')?;
        }
        write!(f, "{one}")?;
    }
    Ok(())
}

/// Without semicolons.
struct Plain<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Plain<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.split_inclusive(';').try_for_each(|part| match part.strip_suffix(';') {
            Some(rest) => self.0.write_str(rest).and_then(|()| self.0.write_char(',')),
            None => self.0.write_str(part),
        })
    }
}
