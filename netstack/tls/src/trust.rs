//! Whose certificates are believed.

use crate::error::BadCertificate;
use crate::moment::Moment;
use crate::pem::{Blocks, PemError};
use crate::provider::verify::ALGORITHMS;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use sha2::{Digest, Sha256};
use webpki::{
    CertRevocationList, EndEntityCert, Error, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy,
};

/// The SHA-256 of a public key as certificates have it, a SubjectPublicKeyInfo: what
/// `openssl x509 -pubkey -noout | openssl pkey -pubin -outform DER | sha256sum` prints.
pub type KeyHash = [u8; 32];

/// Whose certificates are believed: authorities' roots, single keys, and who is not believed any more. Empty, it believes
/// nobody.
#[derive(Default)]
pub struct Trust {
    anchors: Vec<TrustAnchor<'static>>,
    accepted: Vec<KeyHash>,
    refused: Vec<KeyHash>,
    lists: Vec<CertRevocationList<'static>>,
    strict: bool,
}

/// A root or a list of revoked certificates cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustError {
    /// The text is not PEM.
    Pem(PemError),
    /// The certificate in the block at this line is none, or no root; 0 without PEM.
    Root {
        /// Where it begins.
        line: u32,
    },
    /// The list of revoked certificates in the block at this line is none that can be used; 0 without PEM.
    List {
        /// Where it begins.
        line: u32,
    },
    /// There is no such block.
    Missing,
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem(error) => error.fmt(f),
            Self::Root { line } => write!(f, "line {line} begins a certificate that is malformed"),
            Self::List { line } => {
                write!(f, "line {line} begins a list of revoked certificates that is malformed")
            }
            Self::Missing => f.write_str("there is nothing of the kind in the text"),
        }
    }
}

impl core::error::Error for TrustError {}

impl From<PemError> for TrustError {
    fn from(error: PemError) -> Self {
        Self::Pem(error)
    }
}

impl Trust {
    /// Nobody.
    pub const fn nobody() -> Self {
        Self {
            anchors: Vec::new(),
            accepted: Vec::new(),
            refused: Vec::new(),
            lists: Vec::new(),
            strict: false,
        }
    }

    /// The authorities that Mozilla trusts with web sites.
    #[cfg(feature = "mozilla")]
    pub fn mozilla() -> Self {
        Self { anchors: webpki_roots::TLS_SERVER_ROOTS.to_vec(), ..Self::nobody() }
    }

    /// The authorities whose certificates are in a text of PEM.
    pub fn pem(text: &[u8]) -> Result<Self, TrustError> {
        let mut trust = Self::nobody();
        trust.add_pem(text)?;
        Ok(trust)
    }

    /// Trusts the authorities whose certificates are in a text of PEM, of which there has to be one at least; how many there
    /// were.
    pub fn add_pem(&mut self, text: &[u8]) -> Result<usize, TrustError> {
        let before = self.anchors.len();
        for block in Blocks::of(text) {
            let block = block?;
            if block.label == "CERTIFICATE" {
                self.add_der(&block.data).map_err(|_| TrustError::Root { line: block.line })?;
            }
        }
        let count = self.anchors.len() - before;
        if count == 0 { Err(TrustError::Missing) } else { Ok(count) }
    }

    /// Trusts the authority with this certificate.
    pub fn add_der(&mut self, certificate: &[u8]) -> Result<(), TrustError> {
        let certificate = CertificateDer::from(certificate);
        let anchor =
            webpki::anchor_from_trusted_cert(&certificate).map_err(|_| TrustError::Root { line: 0 })?;
        self.anchors.push(anchor.to_owned());
        Ok(())
    }

    /// Believes whoever has this key, whatever name, time and issuer its certificate has: for private deployments.
    pub fn accept_key(&mut self, key: KeyHash) {
        self.accepted.push(key);
    }

    /// Believes nobody who has this key, nor whom it vouches for: it was revoked.
    pub fn refuse_key(&mut self, key: KeyHash) {
        self.refused.push(key);
    }

    /// Believes none of the certificates in these lists (RFC 5280, 5), in PEM.
    pub fn add_revoked_pem(&mut self, text: &[u8]) -> Result<(), TrustError> {
        let before = self.lists.len();
        for block in Blocks::of(text) {
            let block = block?;
            if block.label == "X509 CRL" {
                self.add_revoked_der(&block.data).map_err(|_| TrustError::List { line: block.line })?;
            }
        }
        if self.lists.len() == before { Err(TrustError::Missing) } else { Ok(()) }
    }

    /// Believes none of the certificates in this list.
    pub fn add_revoked_der(&mut self, list: &[u8]) -> Result<(), TrustError> {
        let list = OwnedCertRevocationList::from_der(list).map_err(|_| TrustError::List { line: 0 })?;
        self.lists.push(list.into());
        Ok(())
    }

    /// From now on, if there is any list, there has to be a current one for each certificate. Without this, those that no list
    /// names are believed, and a list does not lapse.
    pub fn require_lists(&mut self) {
        self.strict = true;
    }

    /// How many authorities are trusted.
    pub fn roots(&self) -> usize {
        self.anchors.len()
    }

    /// Whether to believe a certificate: for that of a server, of this name; without one, for that of a client.
    pub(crate) fn check(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: Option<&ServerName<'_>>,
        moment: &Moment,
    ) -> Result<(), rustls::Error> {
        let certificate = EndEntityCert::try_from(certificate).map_err(|error| translated(&error))?;
        let key = hash(&certificate.subject_public_key_info());
        if self.refused.contains(&key) {
            return Err(rustls::CertificateError::Revoked.into());
        }
        if self.accepted.contains(&key) {
            return Ok(());
        }
        let now = moment.seconds().ok_or(rustls::Error::FailedToGetCurrentTime)?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let usage = if name.is_some() { KeyUsage::server_auth() } else { KeyUsage::client_auth() };
        let lists: Vec<_> = self.lists.iter().collect();
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
            let (unknown, expired) = match self.strict {
                true => (UnknownStatusPolicy::Deny, ExpirationPolicy::Enforce),
                false => (UnknownStatusPolicy::Allow, ExpirationPolicy::Ignore),
            };
            options
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(unknown)
                .with_expiration_policy(expired)
                .build()
        });
        let path = |path: &webpki::VerifiedPath<'_>| {
            let refused = |key: &[u8]| self.refused.contains(&hash(key));
            let mut others = path.intermediate_certificates();
            if refused(&path.anchor_key()) || others.any(|other| refused(&other.subject_public_key_info())) {
                return Err(Error::CertRevoked);
            }
            Ok(())
        };
        let (all, anchors) = (ALGORITHMS.all, &self.anchors);
        certificate
            .verify_for_usage(all, anchors, others, now, usage, revocation, Some(&path))
            .map_err(|error| translated(&error))?;
        name.map_or(Ok(()), |name| certificate.verify_is_valid_for_subject_name(name))
            .map_err(|error| translated(&error))
    }

    /// The names of the authorities, which a server tells its clients.
    pub(crate) fn subjects(&self) -> Vec<rustls::DistinguishedName> {
        self.anchors.iter().map(|anchor| rustls::DistinguishedName::in_sequence(&anchor.subject)).collect()
    }
}

/// The key at the end of a path.
trait AnchorKey {
    fn anchor_key(&self) -> Vec<u8>;
}

impl AnchorKey for webpki::VerifiedPath<'_> {
    fn anchor_key(&self) -> Vec<u8> {
        webpki::spki_for_anchor(self.anchor()).to_vec()
    }
}

fn hash(key: &[u8]) -> KeyHash {
    Sha256::digest(key).into()
}

/// In the words of rustls, which knows the alert for each.
fn translated(error: &Error) -> rustls::Error {
    use rustls::CertificateError as C;
    match error {
        Error::BadDer | Error::BadDerTime | Error::TrailingData(_) | Error::UnsupportedCertVersion => {
            C::BadEncoding
        }
        Error::CertExpired { .. } | Error::InvalidCertValidity => C::Expired,
        Error::CertNotValidYet { .. } => C::NotValidYet,
        Error::CertNotValidForName(_) => C::NotValidForName,
        Error::CertRevoked | Error::CertDistrusted => C::Revoked,
        Error::UnknownRevocationStatus | Error::CrlExpired { .. } | Error::IssuerNotCrlSigner => {
            C::UnknownRevocationStatus
        }
        Error::InvalidCrlSignatureForPublicKey => C::UnknownRevocationStatus,
        // One that signed itself is nobody's, and not to be used as its own issuer.
        Error::UnknownIssuer | Error::CaUsedAsEndEntity => C::UnknownIssuer,
        Error::InvalidSignatureForPublicKey => C::BadSignature,
        Error::RequiredEkuNotFoundContext(_) => C::InvalidPurpose,
        Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            C::UnsupportedSignatureAlgorithmContext {
                signature_algorithm_id: Vec::new(),
                supported_algorithms: Vec::new(),
            }
        }
        _ => C::UnhandledCriticalExtension,
    }
    .into()
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}

/// The key of a certificate, as [`Trust::accept_key`] and [`Trust::refuse_key`] take it.
pub fn key_hash(certificate: &[u8]) -> Result<KeyHash, BadCertificate> {
    let certificate = CertificateDer::from(certificate);
    let certificate = EndEntityCert::try_from(&certificate).map_err(|_| BadCertificate::Malformed)?;
    Ok(hash(&certificate.subject_public_key_info()))
}

/// Asks [`Trust`] for rustls.
#[derive(Debug)]
pub(crate) struct Checker {
    pub(crate) trust: Arc<Trust>,
    pub(crate) moment: Arc<Moment>,
    /// Of servers: clients have to show one.
    pub(crate) mandatory: bool,
    pub(crate) subjects: Vec<rustls::DistinguishedName>,
}

mod checks {
    use super::{ALGORITHMS, Checker};
    use alloc::vec::Vec;
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
    use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

    macro_rules! signatures {
        () => {
            fn verify_tls12_signature(
                &self,
                message: &[u8],
                certificate: &CertificateDer<'_>,
                signed: &DigitallySignedStruct,
            ) -> Result<HandshakeSignatureValid, Error> {
                verify_tls12_signature(message, certificate, signed, &ALGORITHMS)
            }

            fn verify_tls13_signature(
                &self,
                message: &[u8],
                certificate: &CertificateDer<'_>,
                signed: &DigitallySignedStruct,
            ) -> Result<HandshakeSignatureValid, Error> {
                verify_tls13_signature(message, certificate, signed, &ALGORITHMS)
            }

            fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
                ALGORITHMS.supported_schemes()
            }
        };
    }

    impl ServerCertVerifier for Checker {
        fn verify_server_cert(
            &self,
            certificate: &CertificateDer<'_>,
            others: &[CertificateDer<'_>],
            name: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            self.trust.check(certificate, others, Some(name), &self.moment)?;
            Ok(ServerCertVerified::assertion())
        }

        signatures!();
    }

    impl ClientCertVerifier for Checker {
        fn client_auth_mandatory(&self) -> bool {
            self.mandatory
        }

        fn root_hint_subjects(&self) -> &[DistinguishedName] {
            &self.subjects
        }

        fn verify_client_cert(
            &self,
            certificate: &CertificateDer<'_>,
            others: &[CertificateDer<'_>],
            _: UnixTime,
        ) -> Result<ClientCertVerified, Error> {
            self.trust.check(certificate, others, None, &self.moment)?;
            Ok(ClientCertVerified::assertion())
        }

        signatures!();
    }
}
