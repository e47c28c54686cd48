//! What has been agreed upon.

use crate::record::Version;
use alloc::boxed::Box;
use alloc::vec::Vec;
use rustls::{CipherSuite, CommonState, HandshakeKind, NamedGroup, ProtocolVersion};

/// What the two ends of a connection know of each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The version of the protocol.
    pub version: Version,
    /// The suite, by its name in the registry: `TLS_AES_128_GCM_SHA256`.
    pub suite: &'static str,
    /// The group in which keys were exchanged, which a resumed connection of TLS 1.2 does without: `x25519`.
    pub group: Option<&'static str>,
    /// The host that the client named.
    pub server_name: Option<Box<str>>,
    /// The application protocol (ALPN).
    pub protocol: Option<Box<[u8]>>,
    /// The peer's certificate, and those that vouch for it, in DER.
    pub certificates: Box<[Box<[u8]>]>,
    /// It goes on with what an earlier connection agreed upon.
    pub resumed: bool,
}

impl Facts {
    pub(crate) fn of(state: &CommonState, server_name: Option<&str>) -> Self {
        let suite = state.negotiated_cipher_suite().map(|suite| suite.suite());
        let group = state.negotiated_key_exchange_group().map(|group| group.name());
        let certificates = state.peer_certificates().unwrap_or_default().iter();
        let is_tls13 = state.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        Self {
            version: if is_tls13 { Version::Tls13 } else { Version::Tls12 },
            suite: suite.map_or("", name_of),
            group: group.and_then(|group| match group {
                NamedGroup::X25519 => Some("x25519"),
                NamedGroup::secp256r1 => Some("secp256r1"),
                NamedGroup::secp384r1 => Some("secp384r1"),
                _ => None,
            }),
            server_name: server_name.map(Box::from),
            protocol: state.alpn_protocol().map(Box::from),
            certificates: certificates
                .map(|certificate| Box::from(certificate.as_ref()))
                .collect::<Vec<_>>()
                .into(),
            resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }
}

fn name_of(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => {
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
        }
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => {
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"
        }
        _ => "",
    }
}
