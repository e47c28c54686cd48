//! Methods (RFC 9110 section 9, RFC 5789).

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Method {
    /// Give it.
    Get,
    /// Say what would be given.
    Head,
    /// Do something with this.
    Post,
    /// Put this there.
    Put,
    /// Remove it.
    Delete,
    /// Change a part of it.
    Patch,
    /// Say what can be done with it.
    Options,
    /// Say what came. Never routed: it tells secrets (RFC 9110 section 9.3.8).
    Trace,
    /// Be a tunnel. Not done.
    Connect,
    /// Another, which [`Request::method_name`](crate::Request::method_name) tells.
    Other,
}

const NAMES: [(&str, Method); 9] = [
    ("GET", Method::Get),
    ("HEAD", Method::Head),
    ("POST", Method::Post),
    ("PUT", Method::Put),
    ("DELETE", Method::Delete),
    ("PATCH", Method::Patch),
    ("OPTIONS", Method::Options),
    ("TRACE", Method::Trace),
    ("CONNECT", Method::Connect),
];

impl Method {
    /// Letters of another case are another method.
    pub(crate) fn of(name: &str) -> Self {
        NAMES.iter().find(|(known, _)| *known == name).map_or(Self::Other, |(_, method)| *method)
    }

    /// Its name, or nothing if it is another.
    pub fn name(self) -> &'static str {
        NAMES.get(self as usize).map_or("", |(name, _)| name)
    }

    /// Whether it changes nothing.
    pub fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Trace)
    }

    /// Whether doing it again comes to the same, so that it may be tried again (RFC 9110 section 9.2.2).
    pub fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self, Self::Put | Self::Delete)
    }
}
