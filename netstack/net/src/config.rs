//! Which addresses an interface is to have, from the words of a command line.

use alloc::vec::Vec;
use core::error::Error;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use smoltcp::wire::{Ipv4Cidr, Ipv6Cidr};

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

/// The most IPv6 addresses that can be given, beside the link-local one.
pub const MAX_V6: usize = 4;

/// The addresses of an interface.
///
/// The words are `ip=10.0.0.2/24` with `gw=10.0.0.1`, or `ip=dhcp`, or `ip=off`; and `ip6=fd00::2/64`, more than once if
/// need be, with `gw6=fe80::1`, or `ip6=off`. Without a word there is no IPv4, and of IPv6 the link-local address alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// IPv4.
    pub v4: V4,
    /// The way to the IPv4 Internet.
    pub gateway_v4: Option<Ipv4Addr>,
    /// IPv6 addresses, without the link-local one, which is made of the Ethernet address.
    pub v6: Vec<Ipv6Cidr>,
    /// The way to the IPv6 Internet.
    pub gateway_v6: Option<Ipv6Addr>,
    /// No IPv6 at all.
    pub v6_off: bool,
}

/// Why addresses make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// `ip=` is neither `dhcp`, `off` nor an address with a prefix.
    BadV4,
    /// `ip6=` is neither `off` nor an address with a prefix.
    BadV6,
    /// `gw=` or `gw6=` is no address.
    BadGateway,
    /// No host can have that address: it is nobody's, everybody's, a group's, or its network's first or last.
    NotHost,
    /// A prefix longer than 32 or 128, or of length zero.
    BadPrefix,
    /// The same was said twice.
    Twice,
    /// There are more IPv6 addresses than there is room for.
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
            Self::BadV6 => "ip6= wants off, or an IPv6 address with its prefix, such as fd00::2/64",
            Self::BadGateway => "gw= wants an IPv4 address, and gw6= an IPv6 address, both without a prefix",
            Self::NotHost => "no host can have this address",
            Self::BadPrefix => "a prefix is from 1 to 32 bits long, for IPv6 to 128",
            Self::Twice => "the same was said twice",
            Self::TooMany => "there is room for four IPv6 addresses",
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
        match (name, value) {
            ("ip", _) if self.v4 != V4::Off => return Err(ConfigError::Twice),
            ("ip", "off") => {}
            ("ip", "dhcp") => self.v4 = V4::Dhcp,
            ("ip", _) => {
                let (address, prefix) = split(value).ok_or(ConfigError::BadV4)?;
                let address: Ipv4Addr = address.parse().map_err(|_| ConfigError::BadV4)?;
                self.v4 = V4::Static(v4_cidr(address, prefix)?);
            }
            ("gw", _) if self.gateway_v4.is_some() => return Err(ConfigError::Twice),
            ("gw", _) => self.gateway_v4 = Some(value.parse().map_err(|_| ConfigError::BadGateway)?),
            ("ip6", "off") => self.v6_off = true,
            ("ip6", _) => {
                let (address, prefix) = split(value).ok_or(ConfigError::BadV6)?;
                let address: Ipv6Addr = address.parse().map_err(|_| ConfigError::BadV6)?;
                let cidr = v6_cidr(address, prefix)?;
                if self.v6.iter().any(|other| other.address() == address) {
                    return Err(ConfigError::Twice);
                }
                if self.v6.len() == MAX_V6 {
                    return Err(ConfigError::TooMany);
                }
                self.v6.push(cidr);
            }
            ("gw6", _) if self.gateway_v6.is_some() => return Err(ConfigError::Twice),
            ("gw6", _) => self.gateway_v6 = Some(value.parse().map_err(|_| ConfigError::BadGateway)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether all of it fits together. To be asked after the last word.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.v6_off && !(self.v6.is_empty() && self.gateway_v6.is_none()) {
            return Err(ConfigError::OffAndOn);
        }
        if let V4::Static(cidr) = self.v4 {
            v4_cidr(cidr.address(), cidr.prefix_len())?;
        }
        if let Some(gateway) = self.gateway_v4 {
            let V4::Static(cidr) = self.v4 else { return Err(ConfigError::GatewayWithoutAddress) };
            check_gateway(cidr, gateway)?;
        }
        for cidr in &self.v6 {
            v6_cidr(cidr.address(), cidr.prefix_len())?;
        }
        if let Some(gateway) = self.gateway_v6 {
            if gateway.is_multicast() || gateway.is_unspecified() || gateway.is_loopback() {
                return Err(ConfigError::NotHost);
            }
            if self.v6.iter().any(|cidr| cidr.address() == gateway) {
                return Err(ConfigError::GatewayIsSelf);
            }
            let near =
                gateway.is_unicast_link_local() || self.v6.iter().any(|cidr| cidr.contains_addr(&gateway));
            if !near {
                return Err(ConfigError::GatewayOutside);
            }
        }
        Ok(())
    }
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
mod tests {
    use super::*;

    fn config(text: &str) -> Result<Config, ConfigError> {
        let mut config = Config::default();
        for word in text.split_whitespace() {
            let (name, value) = word.split_once('=').unwrap();
            assert!(config.word(name, value)?, "{word}");
        }
        config.check().map(|()| config)
    }

    #[test]
    fn words_become_addresses() {
        let v4 = config("ip=10.0.0.2/24 gw=10.0.0.1").unwrap();
        assert_eq!(v4.v4, V4::Static(Ipv4Cidr::new(Ipv4Addr::new(10, 0, 0, 2), 24)));
        assert_eq!(v4.gateway_v4, Some(Ipv4Addr::new(10, 0, 0, 1)));
        let both = config("ip=dhcp ip6=fd00::2/64 ip6=2001:db8::9/48 gw6=fe80::1").unwrap();
        assert_eq!((both.v4, both.v6.len()), (V4::Dhcp, 2));
        assert_eq!(config("ip=off ip6=off").unwrap().v4, V4::Off);
        assert!(config("ip=10.0.0.0/31 gw=10.0.0.1").is_ok() && config("ip=10.0.0.0/32").is_ok());
        assert!(config("ip6=fd00::1/64 gw6=fd00::2").is_ok() && config("gw6=fe80::1").is_ok());
        assert_eq!(Config::default().word("console", "hvc0"), Ok(false));
    }

    #[test]
    fn what_makes_no_sense_is_called_by_its_name() {
        use ConfigError as E;
        let cases = [
            ("ip=", E::BadV4),
            ("ip=10.0.0.2", E::BadV4),
            ("ip=10.0.0/24", E::BadV4),
            ("ip=10.0.0.2/+8", E::BadV4),
            ("ip=10.0.0.02/24", E::BadV4),
            ("ip=10.0.0.2/24/8", E::BadV4),
            ("ip=10.0.0.2/33", E::BadPrefix),
            ("ip=10.0.0.2/256", E::BadPrefix),
            ("ip=10.0.0.2/0", E::BadPrefix),
            ("ip=10.0.0.2/", E::BadPrefix),
            ("ip=10.0.0.0/24", E::NotHost),
            ("ip=10.0.0.255/24", E::NotHost),
            ("ip=224.0.0.1/24", E::NotHost),
            ("ip=127.0.0.1/8", E::NotHost),
            ("ip=0.0.0.0/8", E::NotHost),
            ("ip=dhcp ip=10.0.0.2/24", E::Twice),
            ("ip=10.0.0.2/24 gw=10.0.1.1", E::GatewayOutside),
            ("ip=10.0.0.2/24 gw=10.0.0.2", E::GatewayIsSelf),
            ("ip=10.0.0.2/24 gw=10.0.0.255", E::NotHost),
            ("ip=10.0.0.2/24 gw=10.0.0.1/24", E::BadGateway),
            ("gw=10.0.0.1", E::GatewayWithoutAddress),
            ("ip=dhcp gw=10.0.0.1", E::GatewayWithoutAddress),
            ("ip6=fd00::1", E::BadV6),
            ("ip6=fd00::g/64", E::BadV6),
            ("ip6=dhcp", E::BadV6),
            ("ip6=fd00::1/129", E::BadPrefix),
            ("ip6=ff02::1/64", E::NotHost),
            ("ip6=::ffff:10.0.0.1/96", E::NotHost),
            ("ip6=fd00::1/64 ip6=fd00::1/48", E::Twice),
            ("ip6=fd00::1/64 ip6=fd00::2/64 ip6=fd00::3/64 ip6=fd00::4/64 ip6=fd00::5/64", E::TooMany),
            ("ip6=fd00::1/64 gw6=fd01::1", E::GatewayOutside),
            ("ip6=fd00::1/64 gw6=fd00::1", E::GatewayIsSelf),
            ("gw6=ff02::1", E::NotHost),
            ("gw6=10.0.0.1", E::BadGateway),
            ("ip6=off ip6=fd00::1/64", E::OffAndOn),
        ];
        for (text, error) in cases {
            assert_eq!(config(text), Err(error), "{text}");
        }
    }
}
