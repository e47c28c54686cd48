//! Where a peer is, and how it is reached, as text.

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

/// The host that stands for all of our own addresses, to listen at.
pub const ANY: &str = "*";

/// Bytes of an address at most: a name of DNS, a path in Xenstore, and what goes with them.
const LONGEST: usize = 512;
/// Of a host's name (RFC 1035 section 2.3.4).
const LONGEST_HOST: usize = 255;

/// Where a peer is, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A host by its name or address, and a port.
    Tcp {
        /// Without brackets.
        host: String,
        /// Not zero.
        port: u16,
    },
    /// The same, and TLS over it.
    Tls {
        /// Without brackets. It is what the other end has to prove to be.
        host: String,
        /// Not zero.
        port: u16,
    },
    /// Another domain, and what follows it: [`Outside`](crate::Outside) knows what that means.
    Vchan(String),
    /// Another part of this program.
    Memory(String),
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadAddress {
    /// It does not begin with `SCHEME://`, of a scheme that there is.
    Scheme,
    /// It names nobody, or nobody can have such a name.
    Host,
    /// There is no port, or that is none.
    Port,
    /// It goes on where it should end.
    Trailing,
    /// It is longer than any of use.
    TooLong,
}

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "it does not begin with tcp://, tls://, vchan:// or memory://",
            Self::Host => "it has no name, or none that can be",
            Self::Port => "it has no port between 1 and 65535",
            Self::Trailing => "something follows the port",
            Self::TooLong => "it is too long",
        })
    }
}

impl core::error::Error for BadAddress {}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        if text.len() > LONGEST {
            return Err(BadAddress::TooLong);
        }
        let (scheme, rest) = text.split_once("://").ok_or(BadAddress::Scheme)?;
        let is_plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        match scheme {
            "tcp" => {
                let (host, port) = endpoint(rest)?;
                Ok(Self::Tcp { host: host.to_string(), port })
            }
            "tls" => {
                let (host, port) = endpoint(rest)?;
                Ok(Self::Tls { host: host.to_string(), port })
            }
            "vchan" if is_plain(rest) => Ok(Self::Vchan(rest.to_string())),
            "memory" if is_plain(rest) => Ok(Self::Memory(rest.to_string())),
            "vchan" | "memory" => Err(BadAddress::Host),
            _ => Err(BadAddress::Scheme),
        }
    }
}

/// `HOST:PORT`, with IPv6 addresses in brackets (RFC 3986 section 3.2.2).
fn endpoint(text: &str) -> Result<(&str, u16), BadAddress> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or(BadAddress::Host)?;
            let is_v6 = host.parse::<core::net::Ipv6Addr>().is_ok();
            (host, rest.strip_prefix(':').filter(|_| is_v6).ok_or(BadAddress::Host)?)
        }
        None => {
            let (host, port) = text.split_once(':').ok_or(BadAddress::Port)?;
            // All that names have, and what stands for all addresses.
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            if host.is_empty() || !(host == ANY || host.bytes().all(is_name)) {
                return Err(BadAddress::Host);
            }
            (host, port)
        }
    };
    if host.len() > LONGEST_HOST {
        return Err(BadAddress::Host);
    }
    let digits = port.bytes().take_while(u8::is_ascii_digit).count();
    let number = port[..digits].parse().ok().filter(|&number: &u16| number > 0).ok_or(BadAddress::Port)?;
    if digits == port.len() { Ok((host, number)) } else { Err(BadAddress::Trailing) }
}

fn endpoint_to(f: &mut fmt::Formatter<'_>, scheme: &str, host: &str, port: u16) -> fmt::Result {
    match host.contains(':') {
        true => write!(f, "{scheme}://[{host}]:{port}"),
        false => write!(f, "{scheme}://{host}:{port}"),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => endpoint_to(f, "tcp", host, *port),
            Self::Tls { host, port } => endpoint_to(f, "tls", host, *port),
            Self::Vchan(rest) => write!(f, "vchan://{rest}"),
            Self::Memory(name) => write!(f, "memory://{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for text in [
            "tcp://www.example.org:80",
            "tcp://*:443",
            "tcp://10.0.0.2:65535",
            "tcp://[fd00::1]:7",
            "tls://[fd00::1]:443",
            "tls://www.example.org:443",
            "vchan://0/web",
            "memory://one",
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
        let v6 = Address::Tcp { host: "fd00::1".into(), port: 7 };
        assert_eq!("tcp://[fd00::1]:7".parse(), Ok(v6));
    }

    #[test]
    fn what_is_none_says_why() {
        let long = alloc::format!("memory://{}", "x".repeat(LONGEST));
        for (text, why) in [
            ("", BadAddress::Scheme),
            ("example.org:80", BadAddress::Scheme),
            ("udp://a:1", BadAddress::Scheme),
            ("TCP://a:1", BadAddress::Scheme),
            ("tcp://", BadAddress::Port),
            ("tcp://a", BadAddress::Port),
            ("tcp://:80", BadAddress::Host),
            ("tcp://a:", BadAddress::Port),
            ("tcp://a:0", BadAddress::Port),
            ("tcp://a:65536", BadAddress::Port),
            ("tcp://a:+1", BadAddress::Port),
            ("tcp://a:80/", BadAddress::Trailing),
            ("tcp://a b:80", BadAddress::Host),
            ("tcp://user@a:80", BadAddress::Host),
            ("tcp://fd00::1:80", BadAddress::Port),
            ("tcp://[fd00::1]", BadAddress::Host),
            ("tcp://[fd00::1:80", BadAddress::Host),
            ("tcp://[a]:80", BadAddress::Host),
            ("vchan://", BadAddress::Host),
            ("memory://a b", BadAddress::Host),
            (&long, BadAddress::TooLong),
        ] {
            assert_eq!(text.parse::<Address>(), Err(why), "{text}");
        }
    }
}
