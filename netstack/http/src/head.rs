//! The head of a message: its first line, its fields, and what they say about its body (RFC 9112 sections 2 to 6).
//!
//! Whatever two readers might understand in two ways is refused here, since an attacker would find the two (section 11.2).

use crate::error::{Error, Excess, Rule};
use crate::fields::{Field, Fields, Seen, Span};
use crate::limits::Limits;
use crate::method::Method;
use crate::request::Text;
use crate::status::Status;
use crate::words::{number, parts};
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use httparse::{Header, Status as Parsed};

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// As its chunks say.
    Chunked,
    /// Until the stream ends.
    Close,
}

/// What the head of a request says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestHead {
    pub(crate) len: usize,
    pub(crate) method: Method,
    pub(crate) name: Span,
    /// Of the fields.
    pub(crate) seen: Seen,
    pub(crate) minor: u8,
    pub(crate) framing: Framing,
    pub(crate) persists: bool,
    pub(crate) expects: bool,
}

/// Reads a request's head. `bytes` ends with a line, if not with the last one; then there is nothing yet.
pub(crate) fn request(
    bytes: &[u8],
    limits: &Limits,
    fields: &mut Vec<Field>,
    text: &mut Text,
) -> Result<Option<RequestHead>, Error> {
    check_line(bytes, limits)?;
    let mut room = [const { MaybeUninit::<Header<'_>>::uninit() }; Limits::FIELDS];
    let room = &mut room[..limits.fields.min(Limits::FIELDS)];
    let mut parsed = httparse::Request::new(&mut []);
    if matches!(bytes.first(), Some(b'\r' | b'\n')) {
        // The parser would skip any number of them.
        return Err(Rule::RequestLine.into());
    }
    let len = match parsed.parse_with_uninit_headers(bytes, room) {
        Ok(Parsed::Complete(len)) => len,
        Ok(Parsed::Partial) => return Ok(None),
        Err(httparse::Error::Version) if !names_a_version(bytes) => return Err(Rule::RequestLine.into()),
        Err(error) => return Err(rule(error, Rule::RequestLine)),
    };
    let head = &bytes[..len];
    let (Some(name), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(Rule::RequestLine.into());
    };
    let seen = take_fields(head, parsed.headers, fields)?;
    let facts = Facts::of(Fields::new(head, fields, seen), minor)?;
    let framing = match (facts.chunked, facts.length) {
        (true, _) => Framing::Chunked,
        (false, Some(0) | None) => Framing::None,
        (false, Some(length)) => Framing::Length(length),
    };
    let host = match (facts.host, facts.hosts, minor) {
        (Some(host), 1, _) if text.has_host(host) || is_authority(host) => host,
        (None, _, 0) => &head[..0],
        _ => return Err(Rule::Host.into()),
    };
    let method = Method::of(name);
    if method == Method::Connect {
        return Err(Status::NOT_IMPLEMENTED.into());
    }
    let (host, target) = split(method, target, host)?;
    text.set(target, host)?;
    Ok(Some(RequestHead {
        len,
        method,
        name: Span::of(head, name.as_bytes()),
        seen,
        minor,
        framing,
        persists: facts.persists(minor),
        expects: facts.expects && minor > 0 && framing != Framing::None,
    }))
}

/// Reads trailers, which end with an empty line.
pub(crate) fn trailers(bytes: &[u8], fields: &mut Vec<Field>) -> Result<Seen, Error> {
    let mut room = [httparse::EMPTY_HEADER; Limits::FIELDS];
    match httparse::parse_headers(bytes, &mut room) {
        Ok(Parsed::Complete((len, found))) if len == bytes.len() => take_fields(bytes, found, fields),
        Err(httparse::Error::TooManyHeaders) => Err(Error::TooMuch(Excess::Fields)),
        _ => Err(Rule::Trailer.into()),
    }
}

/// A first line is no longer than it may be, whether all of it is there or not.
pub(crate) fn check_line(bytes: &[u8], limits: &Limits) -> Result<(), Error> {
    let most = limits.line.saturating_add(2);
    match bytes.get(..most) {
        Some(start) if !start.contains(&b'\n') => Err(Error::TooMuch(Excess::Line)),
        _ => Ok(()),
    }
}

/// Whether the first line ends with a version, if not with one that is known.
fn names_a_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut words = line.strip_suffix(b"\r").unwrap_or(line).split(|byte| *byte == b' ');
    let version = words.nth(2);
    let is_version = matches!(version, Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor])
        if major.is_ascii_digit() && minor.is_ascii_digit());
    is_version && words.next().is_none()
}

pub(crate) fn rule(error: httparse::Error, first_line: Rule) -> Error {
    match error {
        httparse::Error::HeaderName => Rule::FieldName.into(),
        httparse::Error::HeaderValue => Rule::FieldValue.into(),
        httparse::Error::NewLine => Rule::LineEnd.into(),
        httparse::Error::TooManyHeaders => Error::TooMuch(Excess::Fields),
        httparse::Error::Version => Rule::Version.into(),
        httparse::Error::Status | httparse::Error::Token => first_line.into(),
    }
}

/// Notes where fields are. The parser takes a lone LF for the end of a line; others take it for a part of one.
pub(crate) fn take_fields(head: &[u8], found: &[Header<'_>], fields: &mut Vec<Field>) -> Result<Seen, Error> {
    let mut seen = Seen::default();
    fields.clear();
    fields.try_reserve(found.len()).map_err(|_| Error::NoMemory)?;
    for header in found {
        let name = Span::of(head, header.name.as_bytes());
        let before = name.start().checked_sub(2).and_then(|at| head.get(at));
        if before.is_some_and(|before| *before != b'\r') {
            return Err(Rule::LineEnd.into());
        }
        seen.note(header.name);
        fields.push(Field { name, value: Span::of(head, header.value) });
    }
    let is_end = head.ends_with(b"\r\n\r\n") || head == b"\r\n";
    if is_end { Ok(seen) } else { Err(Rule::LineEnd.into()) }
}

/// What fields say about the message and its connection.
#[derive(Default)]
pub(crate) struct Facts<'a> {
    host: Option<&'a [u8]>,
    hosts: u32,
    pub(crate) length: Option<u64>,
    pub(crate) chunked: bool,
    close: bool,
    keep_alive: bool,
    expects: bool,
}

impl<'a> Facts<'a> {
    pub(crate) fn of(fields: Fields<'a>, minor: u8) -> Result<Self, Error> {
        let mut facts = Self::default();
        let (mut is_encoded, mut is_unknown) = (false, false);
        for (name, value) in fields.raw() {
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            match name.len() {
                4 if is("host") => {
                    facts.host = Some(value);
                    facts.hosts += 1;
                }
                6 if is("expect") => match value.eq_ignore_ascii_case(b"100-continue") {
                    true => facts.expects = true,
                    false => return Err(Rule::Expectation.into()),
                },
                10 if is("connection") => {
                    for option in parts(value, b',') {
                        facts.close |= option.eq_ignore_ascii_case(b"close");
                        facts.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                14 if is("content-length") => {
                    let length = number(value).filter(|_| facts.length.is_none());
                    facts.length = Some(length.ok_or(Rule::ContentLength)?);
                }
                17 if is("transfer-encoding") => {
                    is_encoded = true;
                    for coding in parts(value, b',') {
                        // Nothing comes after the last one.
                        if facts.chunked || coding.is_empty() {
                            return Err(Rule::TransferEncoding.into());
                        }
                        let is_chunked = coding.eq_ignore_ascii_case(b"chunked");
                        facts.chunked = is_chunked;
                        is_unknown |= !is_chunked;
                    }
                }
                _ => {}
            }
        }
        match is_encoded {
            true if facts.length.is_some() => Err(Rule::TwoLengths.into()),
            true if minor == 0 || !facts.chunked => Err(Rule::TransferEncoding.into()),
            true if is_unknown => Err(Rule::Coding.into()),
            _ => Ok(facts),
        }
    }

    pub(crate) fn persists(&self, minor: u8) -> bool {
        !self.close && (minor > 0 || self.keep_alive)
    }
}

/// Parts a target (section 3.2) into the host that it names, if it does, and its path with query.
fn split<'a>(method: Method, target: &'a str, host: &'a [u8]) -> Result<(&'a [u8], &'a str), Error> {
    if !target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(Rule::Target.into());
    }
    if target.starts_with('/') || target == "*" && method == Method::Options {
        return Ok((host, target));
    }
    let scheme = ["http://", "https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let rest = &target[scheme.ok_or(Rule::Target)?.len()..];
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if authority.is_empty() || !is_authority(authority.as_bytes()) {
        return Err(Rule::Target.into());
    }
    Ok((authority.as_bytes(), path))
}

/// Whether it is a host, perhaps with a port, and without a user.
pub(crate) fn is_authority(text: &[u8]) -> bool {
    let is_name = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'!' | b'$'..=b'.' | b';' | b'=' | b'_' | b'~')
    };
    let port = match text {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
            if !rest[..end].iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')) {
                return false;
            }
            &rest[end + 1..]
        }
        name => &name[name.iter().position(|byte| !is_name(byte)).unwrap_or(name.len())..],
    };
    match port {
        [] => true,
        [b':', digits @ ..] => digits.is_empty() || number(digits).is_some_and(|port| port <= 65_535),
        _ => false,
    }
}
