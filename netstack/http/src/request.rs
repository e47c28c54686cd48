//! What a client asks for.

use crate::error::{Error, Rule};
use crate::fields::{Field, Fields};
use crate::head::RequestHead;
use crate::method::Method;
use crate::path;
use alloc::string::String;
use alloc::vec::Vec;

/// A request, but for its body, which [`Exchange::read`](crate::Exchange::read) reads.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What is to be done.
    pub method: Method,
    /// With what: a path from the root, decoded, without `.` and `..`, or `*`. It never leads beyond the root.
    pub path: &'a str,
    /// What stood behind the question mark, if there was one, as it was sent: see [`query_value`](crate::query_value).
    pub query: Option<&'a str>,
    /// Of which host, perhaps with a port; empty if the client does not say, as it may in HTTP/1.0.
    pub host: &'a str,
    /// All that was said besides.
    pub fields: Fields<'a>,
    /// Path and query as they were sent, which begin with a slash; or `*`. For logs, and to send clients to another host.
    pub target: &'a str,
    /// Whether it is HTTP/1.0.
    pub is_old: bool,
    method_name: &'a str,
}

/// Target and host of a request.
#[derive(Default)]
pub(crate) struct Text {
    target: String,
    /// It is checked once, since requests mostly name the same.
    host: String,
}

impl Text {
    /// Whether this is the host of the last request, and so is one.
    pub(crate) fn has_host(&self, host: &[u8]) -> bool {
        self.host.as_bytes() == host
    }

    /// `host` was checked.
    pub(crate) fn set(&mut self, target: &str, host: &[u8]) -> Result<(), Error> {
        if !self.has_host(host) {
            put(&mut self.host, core::str::from_utf8(host).map_err(|_| Rule::Host)?)?;
        }
        // Of `http://host` and `http://host?query`.
        let start = if target.starts_with(['/', '*']) { "" } else { "/" };
        put(&mut self.target, start)?;
        self.target.try_reserve(target.len()).map_err(|_| Error::NoMemory)?;
        self.target.push_str(target);
        Ok(())
    }
}

fn put(into: &mut String, text: &str) -> Result<(), Error> {
    into.clear();
    into.try_reserve(text.len()).map_err(|_| Error::NoMemory)?;
    into.push_str(text);
    Ok(())
}

impl<'a> Request<'a> {
    /// From its head. `room` is for a path that has to be decoded.
    pub(crate) fn new(
        bytes: &'a [u8],
        head: &RequestHead,
        fields: &'a [Field],
        text: &'a Text,
        room: &'a mut Vec<u8>,
    ) -> Result<Self, Error> {
        let (target, host) = (&*text.target, &*text.host);
        let (path, query) = match target.bytes().position(|byte| byte == b'?') {
            Some(mark) => (&target[..mark], Some(&target[mark + 1..])),
            None => (target, None),
        };
        let path = if path == "*" || path::is_plain(path) {
            path
        } else {
            path::normalise(path, room)?;
            core::str::from_utf8(room).unwrap_or_default()
        };
        Ok(Self {
            method: head.method,
            path,
            query,
            host,
            fields: Fields::new(bytes, fields, head.seen),
            target,
            is_old: head.minor == 0,
            method_name: match head.method {
                Method::Other => head.name.text(bytes),
                method => method.name(),
            },
        })
    }

    /// The value of a field, if there is one and it is UTF-8; the first, if there are several.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.fields.text(name)
    }

    /// The method's name, as it was sent.
    pub fn method_name(&self) -> &'a str {
        self.method_name
    }

    /// A value in the query.
    pub fn query_value(&self, name: &str) -> Option<String> {
        path::query_value(self.query?, name)
    }
}
