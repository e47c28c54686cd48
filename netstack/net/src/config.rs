//! Which addresses an interface is to have, from the words of a command line.

use alloc::string::String;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use smoltcp::wire::{IpAddress, IpCidr, Ipv4Cidr, Ipv6Cidr};

/// Where the IPv4 address comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum V4 {
    /// Nowhere: no IPv4.
    #[default]
    Off,
    /// It was given.
    Static(Ipv4Cidr),
    /// A server is asked for it.
    Dhcp,
}

impl V4 {
    /// The address, if it was given.
    pub fn address(&self) -> Option<Ipv4Addr> {
        match self {
            Self::Static(cidr) => Some(cidr.address()),
            Self::Off | Self::Dhcp => None,
        }
    }
}

/// The most IPv4 addresses that can be given.
pub const MAX_V4: usize = 3;
/// The most IPv6 addresses beside the link-local one, those that were made from routers' prefixes among them.
pub const MAX_V6: usize = 4;
/// The most name servers, and the most time servers.
pub const MAX_SERVERS: usize = 4;
/// The most domains to look for names in.
pub const MAX_SEARCH: usize = 6;
/// The most routes beside the way out.
pub const MAX_ROUTES: usize = 4;
/// The smallest MTU that can be asked for (RFC 791 has every host take as much), and the least with IPv6 (RFC 8200).
pub(crate) const LEAST_MTU: u16 = 576;
pub(crate) const LEAST_MTU_V6: u16 = 1280;

/// The way to a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Whom it leads to.
    pub to: IpCidr,
    /// The router, in a network of ours.
    pub via: IpAddress,
}

/// How careful we are not to take an address that somebody has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Duplicates {
    /// An address is used at once, and given up if somebody else turns out to have it.
    #[default]
    Optimistic,
    /// It is used when nobody has claimed it: after a second for IPv6, and six at most for IPv4.
    Wait,
    /// Nobody is asked. Whoever asks for our addresses is answered still.
    Off,
}

/// The addresses of an interface, and what else a host wants to know of its network.
///
/// The words are `ip=10.0.0.2/24`, more than once if need be, with `gw=10.0.0.1`, or `ip=dhcp`, or `ip=off`;
/// `ip6=fd00::2/64`, more than once if need be, with `gw6=fe80::1`, or `ip6=slaac`, or `ip6=off`; `route=NETWORK,ROUTER`;
/// `dns=`, `search=` and `ntp=` with one or more values and commas between them; `hostname=`; `mtu=`; and
/// `dad=optimistic`, `wait` or `off`. Without a word there is no IPv4, and of IPv6 the link-local address alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// IPv4.
    pub v4: V4,
    /// More IPv4 addresses that were given.
    pub more_v4: Vec<Ipv4Cidr>,
    /// The way to the IPv4 Internet.
    pub gateway_v4: Option<Ipv4Addr>,
    /// Something was said of IPv4, if only that there is to be none.
    pub says_v4: bool,
    /// IPv6 addresses, without the link-local one, which is made of the Ethernet address.
    pub v6: Vec<Ipv6Cidr>,
    /// The way to the IPv6 Internet.
    pub gateway_v6: Option<Ipv6Addr>,
    /// Routers are asked for more of both.
    pub slaac: bool,
    /// No IPv6 at all.
    pub v6_off: bool,
    /// Something was said of IPv6.
    pub says_v6: bool,
    /// Ways to networks that are not by way of the gateways.
    pub routes: Vec<Route>,
    /// Who resolves names.
    pub dns: Vec<IpAddress>,
    /// The domains in which names are looked for.
    pub search: Vec<String>,
    /// Who knows what time it is.
    pub ntp: Vec<IpAddress>,
    /// What we are called.
    pub host_name: Option<String>,
    /// The largest packet, if the link's is too large.
    pub mtu: Option<u16>,
    /// How careful to be with addresses.
    pub duplicates: Duplicates,
}

/// Why addresses make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// `ip=` is neither `dhcp`, `off` nor an address with a prefix.
    BadV4,
    /// `ip6=` is neither `slaac`, `off` nor an address with a prefix.
    BadV6,
    /// `gw=` or `gw6=` is no address.
    BadGateway,
    /// `route=` is no network and a router.
    BadRoute,
    /// `dns=` or `ntp=` has what is no address that a server can have.
    BadServer,
    /// `search=` or `hostname=` has what is no name.
    BadName,
    /// `mtu=` is no number, or too small.
    BadMtu,
    /// `dad=` is none of its three.
    BadDuplicates,
    /// No host can have that address: it is nobody's, everybody's, a group's, or its network's first or last.
    NotHost,
    /// A prefix longer than 32 or 128, or of length zero.
    BadPrefix,
    /// The same was said twice.
    Twice,
    /// There are more than there is room for.
    TooMany,
    /// The gateway is in no network that we are in, so there is no way to it.
    GatewayOutside,
    /// The gateway is ourselves.
    GatewayIsSelf,
    /// A gateway, but no address to reach it from; or one that the DHCP server is to name.
    GatewayWithoutAddress,
    /// `ip6=off` beside an IPv6 address or gateway.
    OffAndOn,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadV4 => "ip= wants dhcp, off, or an IPv4 address with its prefix, such as 10.0.0.2/24",
            Self::BadV6 => "ip6= wants slaac, off, or an IPv6 address with its prefix, such as fd00::2/64",
            Self::BadGateway => "gw= wants an IPv4 address, and gw6= an IPv6 address, both without a prefix",
            Self::BadRoute => "route= wants a network and a router, such as 10.1.0.0/16,10.0.0.1",
            Self::BadServer => "a server wants an IPv4 or IPv6 address",
            Self::BadName => "a name has letters, digits and hyphens, with dots between its parts",
            Self::BadMtu => "mtu= wants a number of bytes from 1280 to 65535, without IPv6 from 576",
            Self::BadDuplicates => "dad= wants optimistic, wait or off",
            Self::NotHost => "no host can have this address",
            Self::BadPrefix => "a prefix is from 1 to 32 bits long, for IPv6 to 128",
            Self::Twice => "the same was said twice",
            Self::TooMany => "there are more than there is room for",
            Self::GatewayOutside => "the gateway is outside of our networks",
            Self::GatewayIsSelf => "the gateway has our own address",
            Self::GatewayWithoutAddress => "a gateway needs an address given with it",
            Self::OffAndOn => "ip6=off contradicts an IPv6 address",
        })
    }
}

impl Error for ConfigError {}

impl Config {
    /// Takes a word of a command line. `Ok(false)` if it is none of ours.
    pub fn word(&mut self, name: &str, value: &str) -> Result<bool, ConfigError> {
        match name {
            "ip" => self.ip(value)?,
            "ip6" => self.ip6(value)?,
            "gw" if self.gateway_v4.is_some() => return Err(ConfigError::Twice),
            "gw" => {
                self.says_v4 = true;
                self.gateway_v4 = Some(value.parse().map_err(|_| ConfigError::BadGateway)?);
            }
            "gw6" if self.gateway_v6.is_some() => return Err(ConfigError::Twice),
            "gw6" => {
                self.says_v6 = true;
                self.gateway_v6 = Some(value.parse().map_err(|_| ConfigError::BadGateway)?);
            }
            "route" => {
                let route = route(value)?;
                add(&mut self.routes, route, MAX_ROUTES)?;
            }
            "dns" => servers(&mut self.dns, value)?,
            "ntp" => servers(&mut self.ntp, value)?,
            "search" => {
                for name in value.split(',') {
                    add(&mut self.search, domain(name)?, MAX_SEARCH)?;
                }
            }
            "hostname" if self.host_name.is_some() => return Err(ConfigError::Twice),
            "hostname" => self.host_name = Some(domain(value)?),
            "mtu" if self.mtu.is_some() => return Err(ConfigError::Twice),
            "mtu" => {
                let mtu = value.parse().ok().filter(|mtu| *mtu >= LEAST_MTU);
                self.mtu = Some(mtu.ok_or(ConfigError::BadMtu)?);
            }
            "dad" => {
                self.duplicates = match value {
                    "optimistic" => Duplicates::Optimistic,
                    "wait" => Duplicates::Wait,
                    "off" => Duplicates::Off,
                    _ => return Err(ConfigError::BadDuplicates),
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn ip(&mut self, value: &str) -> Result<(), ConfigError> {
        let said = core::mem::replace(&mut self.says_v4, true) && self.gateway_v4.is_none();
        let one_of_many = matches!(self.v4, V4::Static(_)) && !matches!(value, "off" | "dhcp");
        if (said || self.v4 != V4::Off) && !one_of_many {
            return Err(ConfigError::Twice);
        }
        self.v4 = match value {
            "off" => V4::Off,
            "dhcp" => V4::Dhcp,
            _ => {
                let (address, prefix) = split(value).ok_or(ConfigError::BadV4)?;
                let address: Ipv4Addr = address.parse().map_err(|_| ConfigError::BadV4)?;
                let cidr = v4_cidr(address, prefix)?;
                if self.static_v4().any(|other| other.address() == address) {
                    return Err(ConfigError::Twice);
                }
                if one_of_many {
                    return add(&mut self.more_v4, cidr, MAX_V4 - 1);
                }
                V4::Static(cidr)
            }
        };
        Ok(())
    }

    fn ip6(&mut self, value: &str) -> Result<(), ConfigError> {
        self.says_v6 = true;
        match value {
            "off" => self.v6_off = true,
            "slaac" => self.slaac = true,
            _ => {
                let (address, prefix) = split(value).ok_or(ConfigError::BadV6)?;
                let address: Ipv6Addr = address.parse().map_err(|_| ConfigError::BadV6)?;
                let cidr = v6_cidr(address, prefix)?;
                if self.v6.iter().any(|other| other.address() == address) {
                    return Err(ConfigError::Twice);
                }
                add(&mut self.v6, cidr, MAX_V6)?;
            }
        }
        Ok(())
    }

    /// The IPv4 addresses that were given.
    pub fn static_v4(&self) -> impl Iterator<Item = Ipv4Cidr> + '_ {
        let first = match self.v4 {
            V4::Static(cidr) => Some(cidr),
            V4::Off | V4::Dhcp => None,
        };
        first.into_iter().chain(self.more_v4.iter().copied())
    }

    /// Whether all of it fits together. To be asked after the last word.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_v4()?;
        self.check_v6()?;
        let is_too_many = self.dns.len() > MAX_SERVERS
            || self.ntp.len() > MAX_SERVERS
            || self.search.len() > MAX_SEARCH
            || self.routes.len() > MAX_ROUTES;
        if is_too_many {
            return Err(ConfigError::TooMany);
        }
        let least = if self.v6_off { LEAST_MTU } else { LEAST_MTU_V6 };
        if self.mtu.is_some_and(|mtu| mtu < least) {
            return Err(ConfigError::BadMtu);
        }
        Ok(())
    }

    /// Whether what is said of IPv4 fits together.
    pub fn check_v4(&self) -> Result<(), ConfigError> {
        if self.more_v4.len() >= MAX_V4 {
            return Err(ConfigError::TooMany);
        }
        for cidr in self.static_v4() {
            v4_cidr(cidr.address(), cidr.prefix_len())?;
        }
        if let Some(gateway) = self.gateway_v4 {
            let V4::Static(_) = self.v4 else { return Err(ConfigError::GatewayWithoutAddress) };
            self.check_router(gateway.into())?;
        }
        self.routes
            .iter()
            .filter(|route| is_v4(&route.via))
            .try_for_each(|route| self.check_router(route.via))
    }

    /// Whether what is said of IPv6 fits together.
    pub fn check_v6(&self) -> Result<(), ConfigError> {
        if self.v6_off && !(self.v6.is_empty() && self.gateway_v6.is_none() && !self.slaac) {
            return Err(ConfigError::OffAndOn);
        }
        if self.v6.len() > MAX_V6 {
            return Err(ConfigError::TooMany);
        }
        for cidr in &self.v6 {
            v6_cidr(cidr.address(), cidr.prefix_len())?;
        }
        if let Some(gateway) = self.gateway_v6 {
            self.check_router(gateway.into())?;
        }
        self.routes
            .iter()
            .filter(|route| !is_v4(&route.via))
            .try_for_each(|route| self.check_router(route.via))
    }

    /// Whether packets can be sent by way of `router`.
    fn check_router(&self, router: IpAddress) -> Result<(), ConfigError> {
        match router {
            IpAddress::Ipv4(router) => {
                let mut why = Err(ConfigError::GatewayOutside);
                for cidr in self.static_v4() {
                    why = match check_gateway(cidr, router) {
                        Err(ConfigError::GatewayOutside) => why,
                        Err(error) => return Err(error),
                        Ok(()) => Ok(()),
                    }
                }
                why
            }
            IpAddress::Ipv6(router) => {
                if router.is_multicast() || router.is_unspecified() || router.is_loopback() {
                    return Err(ConfigError::NotHost);
                }
                if self.v6.iter().any(|cidr| cidr.address() == router) {
                    return Err(ConfigError::GatewayIsSelf);
                }
                let near =
                    router.is_unicast_link_local() || self.v6.iter().any(|cidr| cidr.contains_addr(&router));
                if near { Ok(()) } else { Err(ConfigError::GatewayOutside) }
            }
        }
    }
}

fn is_v4(address: &IpAddress) -> bool {
    matches!(address, IpAddress::Ipv4(_))
}

/// Adds one that is not there yet, if there is room.
fn add<T: PartialEq>(all: &mut Vec<T>, one: T, most: usize) -> Result<(), ConfigError> {
    if !all.contains(&one) {
        if all.len() >= most {
            return Err(ConfigError::TooMany);
        }
        all.push(one);
    }
    Ok(())
}

fn servers(all: &mut Vec<IpAddress>, value: &str) -> Result<(), ConfigError> {
    for server in value.split(',') {
        let server: IpAddress = server.parse().map_err(|_| ConfigError::BadServer)?;
        if !is_server(&server) {
            return Err(ConfigError::BadServer);
        }
        add(all, server, MAX_SERVERS)?;
    }
    Ok(())
}

/// Whether somebody else can have this address.
pub(crate) fn is_server(address: &IpAddress) -> bool {
    match address {
        IpAddress::Ipv4(address) => v4_cidr(*address, 32).is_ok(),
        IpAddress::Ipv6(address) => v6_cidr(*address, 128).is_ok(),
    }
}

fn route(value: &str) -> Result<Route, ConfigError> {
    let (to, via) = value.split_once(',').ok_or(ConfigError::BadRoute)?;
    let (to, prefix) = split(to).ok_or(ConfigError::BadRoute)?;
    let to: IpAddress = to.parse().map_err(|_| ConfigError::BadRoute)?;
    let via: IpAddress = via.parse().map_err(|_| ConfigError::BadRoute)?;
    let most = if is_v4(&to) { 32 } else { 128 };
    if !(1..=most).contains(&prefix) {
        return Err(ConfigError::BadPrefix);
    }
    if is_v4(&to) != is_v4(&via) || !to.is_unicast() {
        return Err(ConfigError::BadRoute);
    }
    Ok(Route { to: IpCidr::new(to, prefix), via })
}

/// A name of letters, digits, hyphens and, since people use them, underscores, with dots between its parts; a last dot
/// goes (RFC 1123 section 2.1, RFC 1035 section 2.3.4 for the lengths).
pub(crate) fn domain(name: &str) -> Result<String, ConfigError> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_good = |part: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&part.len())
            && part.bytes().all(inner)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(is_good) {
        return Err(ConfigError::BadName);
    }
    Ok(name.to_ascii_lowercase())
}

/// Whether packets can be sent by way of `gateway`.
pub(crate) fn check_gateway(cidr: Ipv4Cidr, gateway: Ipv4Addr) -> Result<(), ConfigError> {
    if gateway == cidr.address() {
        return Err(ConfigError::GatewayIsSelf);
    }
    if !cidr.contains_addr(&gateway) {
        return Err(ConfigError::GatewayOutside);
    }
    v4_cidr(gateway, cidr.prefix_len()).map(|_| ())
}

/// An address that a host can have in its network.
pub(crate) fn v4_cidr(address: Ipv4Addr, prefix: u8) -> Result<Ipv4Cidr, ConfigError> {
    if !(1..=32).contains(&prefix) {
        return Err(ConfigError::BadPrefix);
    }
    let nobody = address.is_multicast()
        || address.is_broadcast()
        || address.is_loopback()
        || address.octets()[0] == 0
        || address.octets()[0] >= 240;
    let host_bits = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
    let host = address.to_bits() & host_bits;
    // A network of two or one has no addresses of its own (RFC 3021).
    if nobody || (prefix < 31 && (host == 0 || host == host_bits)) {
        return Err(ConfigError::NotHost);
    }
    Ok(Ipv4Cidr::new(address, prefix))
}

fn v6_cidr(address: Ipv6Addr, prefix: u8) -> Result<Ipv6Cidr, ConfigError> {
    if !(1..=128).contains(&prefix) {
        return Err(ConfigError::BadPrefix);
    }
    let mapped = address.to_ipv4_mapped().is_some();
    if address.is_multicast() || address.is_unspecified() || address.is_loopback() || mapped {
        return Err(ConfigError::NotHost);
    }
    Ok(Ipv6Cidr::new(address, prefix))
}

fn split(value: &str) -> Option<(&str, u8)> {
    let (address, prefix) = value.split_once('/')?;
    let is_number = prefix.len() <= 3 && prefix.bytes().all(|byte| byte.is_ascii_digit());
    // What does not fit is a prefix that is too long.
    is_number.then(|| (address, prefix.parse().unwrap_or(if prefix.is_empty() { 0 } else { u8::MAX })))
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
