//! Versions of the protocol.

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

/// Which versions to speak. A peer that speaks both as well gets 1.3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// TLS 1.3 and 1.2.
    #[default]
    Both,
    /// TLS 1.3 only.
    Tls13,
    /// TLS 1.2 only, for tests.
    Tls12,
}

impl Versions {
    pub(crate) fn list(self) -> &'static [&'static SupportedProtocolVersion] {
        static ALL: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        match self {
            Self::Both => &ALL,
            Self::Tls13 => &ALL[..1],
            Self::Tls12 => &ALL[1..],
        }
    }
}
