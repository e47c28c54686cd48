//! URLs of http and https (RFC 9110 section 4.2, RFC 3986).

use crate::error::Rule;
use crate::head::is_authority;
use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An absolute URL, without a fragment.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    is_https: bool,
    /// In small letters; an IPv6 address without its brackets.
    host: String,
    port: u16,
    /// Path and query; it begins with a slash.
    target: String,
}

/// Why a text is no URL for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadUrl {
    /// It does not begin with `http://` or `https://`.
    Scheme,
    /// It names a user, which the standard warns of.
    User,
    /// It names no host, or one with what hosts do not have.
    Host,
    /// The port is none.
    Port,
    /// It has what URLs do not have.
    Byte,
    /// It is too long.
    Length,
}

/// Bytes of a URL.
const MOST: usize = 8000;

impl Url {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        check(text)?;
        let text = text.split('#').next().unwrap_or_default();
        let (scheme, rest) = text.split_once("://").ok_or(BadUrl::Scheme)?;
        let is_https = match scheme {
            _ if scheme.eq_ignore_ascii_case("http") => false,
            _ if scheme.eq_ignore_ascii_case("https") => true,
            _ => return Err(BadUrl::Scheme),
        };
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = authority_of(authority)?;
        let mut url = Self {
            is_https,
            host: host.to_ascii_lowercase(),
            port: port.unwrap_or(if is_https { 443 } else { 80 }),
            target: String::new(),
        };
        url.set_target(target);
        Ok(url)
    }

    fn set_target(&mut self, target: &str) {
        let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
        let mut new = String::new();
        without_dots(path, &mut new);
        new.push_str(query);
        self.target = new;
    }

    /// What a reference means that was found at this URL (RFC 3986 section 5.2).
    pub fn join(&self, reference: &str) -> Result<Self, BadUrl> {
        check(reference)?;
        let reference = reference.split('#').next().unwrap_or_default();
        let colon = reference.find([':', '/', '?']).filter(|at| reference[*at..].starts_with(':'));
        if colon.is_some() {
            return Self::parse(reference);
        }
        let scheme = if self.is_https { "https:" } else { "http:" };
        let mut url = self.clone();
        if reference.starts_with("//") {
            let mut text = String::from(scheme);
            text.push_str(reference);
            return Self::parse(&text);
        }
        let path = self.path();
        let target = match reference.as_bytes() {
            [] => self.target.clone(),
            [b'/', ..] => reference.into(),
            [b'?', ..] => [path, reference].concat(),
            _ => [&path[..=path.rfind('/').unwrap_or(0)], reference].concat(),
        };
        url.set_target(&target);
        if url.target.len() > MOST { Err(BadUrl::Length) } else { Ok(url) }
    }

    /// Whether it is `https`.
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// The host: a name or an address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host as an address, if it is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The port, said or not.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query, as a request has them.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The path alone.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Host and port as the field `Host` has them.
    pub fn authority(&self) -> String {
        let mut text = String::new();
        let _ = self.write_authority(&mut text);
        text
    }

    fn write_authority(&self, out: &mut impl fmt::Write) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(out, "[{}]", self.host)?,
            false => out.write_str(&self.host)?,
        }
        let default = if self.is_https { 443 } else { 80 };
        if self.port == default { Ok(()) } else { write!(out, ":{}", self.port) }
    }

    /// Whether both are of the same scheme, host and port, so that secrets for one may be told to the other.
    pub fn has_origin_of(&self, other: &Self) -> bool {
        (self.is_https, self.port, &self.host) == (other.is_https, other.port, &other.host)
    }
}

/// Nothing but visible ASCII, and not too much.
fn check(text: &str) -> Result<(), BadUrl> {
    if text.len() > MOST {
        return Err(BadUrl::Length);
    }
    let is_wrong = |byte: u8| !byte.is_ascii_graphic() || b"\"<>\\^`{|}".contains(&byte);
    if text.bytes().any(is_wrong) { Err(BadUrl::Byte) } else { Ok(()) }
}

fn authority_of(authority: &str) -> Result<(&str, Option<u16>), BadUrl> {
    if authority.contains('@') {
        return Err(BadUrl::User);
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(BadUrl::Host)?;
            host.parse::<Ipv6Addr>().map_err(|_| BadUrl::Host)?;
            (host, port)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    // What looks like an address of four numbers is one, or it would be read in several ways.
    let last = host.rsplit('.').find(|part| !part.is_empty()).unwrap_or_default();
    let is_numeric =
        last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x") || last.starts_with("0X");
    let is_v4 = || host.parse::<Ipv4Addr>().is_ok();
    let is_name = !host.is_empty() && is_authority(host.as_bytes()) && (!is_numeric || is_v4());
    if !is_name && !host.contains(':') {
        return Err(BadUrl::Host);
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        Some("") => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|port| *port > 0).ok_or(BadUrl::Port)?)
        }
        _ => return Err(BadUrl::Port),
    };
    Ok((host, port))
}

/// A path without dots (RFC 3986 section 5.2.4); at least a slash. Nothing is decoded.
fn without_dots(path: &str, out: &mut String) {
    let mut parts = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(part) = parts.next() {
        let is_dots = is_dot(part) || is_two_dots(part);
        if is_two_dots(part) {
            out.truncate(out.rfind('/').unwrap_or(0));
        }
        if !is_dots || parts.peek().is_none() {
            out.push('/');
        }
        if !is_dots {
            out.push_str(part);
        }
    }
}

fn is_dot(part: &str) -> bool {
    part == "." || part.eq_ignore_ascii_case("%2e")
}

fn is_two_dots(part: &str) -> bool {
    ["..", ".%2e", "%2e.", "%2e%2e"].iter().any(|dots| part.eq_ignore_ascii_case(dots))
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_https { "https://" } else { "http://" })?;
        self.write_authority(f)?;
        f.write_str(&self.target)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for BadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "the URL is not of http or https",
            Self::User => "the URL names a user",
            Self::Host => "the URL names no host",
            Self::Port => "the URL's port is none",
            Self::Byte => "the URL has what URLs do not have",
            Self::Length => "the URL is too long",
        })
    }
}

impl core::error::Error for BadUrl {}

impl From<BadUrl> for Rule {
    fn from(_: BadUrl) -> Self {
        Self::Target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (text, host, port, target, authority) in [
            ("http://a", "a", 80, "/", "a"),
            ("HTTP://Example.COM:8080/x/../y?q=/../#f", "example.com", 8080, "/y?q=/../", "example.com:8080"),
            ("https://a:443/", "a", 443, "/", "a"),
            ("https://a:80?x", "a", 80, "/?x", "a:80"),
            ("http://[::1]:81/a", "::1", 81, "/a", "[::1]:81"),
            ("http://[FE80::1]", "fe80::1", 80, "/", "[fe80::1]"),
            ("http://192.0.2.1/", "192.0.2.1", 80, "/", "192.0.2.1"),
            ("http://a:/", "a", 80, "/", "a"),
            ("http://a/%2e%2E/./b//c/.", "a", 80, "/b//c/", "a"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.host(), url.port(), url.target()), (host, port, target), "{text}");
            assert_eq!((url.authority().as_str(), url.is_https()), (authority, text.starts_with("https")));
            assert_eq!(Url::parse(&url.to_string()), Ok(url));
        }
    }

    #[test]
    fn others_are_refused() {
        for (text, why) in [
            ("", BadUrl::Scheme),
            ("a", BadUrl::Scheme),
            ("ftp://a/", BadUrl::Scheme),
            ("javascript:alert(1)", BadUrl::Scheme),
            ("http:/a", BadUrl::Scheme),
            ("http://", BadUrl::Host),
            ("http:///a", BadUrl::Host),
            ("http://:80/", BadUrl::Host),
            ("http://u@a/", BadUrl::User),
            ("http://u:p@a/", BadUrl::User),
            ("http://a@b@c/", BadUrl::User),
            ("http://[::1", BadUrl::Host),
            ("http://[::1]x/", BadUrl::Port),
            ("http://[::g]/", BadUrl::Host),
            ("http://::1/", BadUrl::Host),
            ("http://127.1/", BadUrl::Host),
            ("http://0x7f000001/", BadUrl::Host),
            ("http://0X7F000001/", BadUrl::Host),
            ("http://2130706433/", BadUrl::Host),
            ("http://127.0.0.1./", BadUrl::Host),
            ("http://a:0/", BadUrl::Port),
            ("http://a:65536/", BadUrl::Port),
            ("http://a:+1/", BadUrl::Port),
            ("http://a:8o/", BadUrl::Port),
            ("http://a b/", BadUrl::Byte),
            ("http://a/\r\nX: y", BadUrl::Byte),
            ("http://a/ü", BadUrl::Byte),
            ("http://a\\@b/", BadUrl::Byte),
        ] {
            assert_eq!(Url::parse(text), Err(why), "{text}");
        }
        assert_eq!(Url::parse(&format!("http://a/{}", "a".repeat(MOST))), Err(BadUrl::Length));
    }

    /// RFC 3986 section 5.4, but for other schemes and fragments.
    #[test]
    fn references_are_resolved() {
        let base = Url::parse("http://a/b/c/d;p?q").unwrap();
        for (reference, means) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("g#s", "http://a/b/c/g"),
            (";x", "http://a/b/c/;x"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            (".g", "http://a/b/c/.g"),
            ("g..", "http://a/b/c/g.."),
            ("./../g", "http://a/b/g"),
            ("./g/.", "http://a/b/c/g/"),
            ("g/./h", "http://a/b/c/g/h"),
            ("g/../h", "http://a/b/c/h"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
            ("https://c:1/d", "https://c:1/d"),
        ] {
            assert_eq!(base.join(reference).unwrap().to_string(), means, "{reference}");
        }
        assert_eq!(base.join("mailto:a"), Err(BadUrl::Scheme));
        assert_eq!(base.join("//u@b"), Err(BadUrl::User));
    }
}
