//! Who we are: certificates, their keys, and which of them to show to whom.

use crate::pem::{Blocks, PemError};
use crate::provider::sign::{Key, KeyError};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::CertificateDer;
use spin::Mutex;
use webpki::EndEntityCert;

/// A certificate, those that vouch for it, and its private key, which is overwritten when nobody uses it any more.
#[derive(Clone)]
pub struct Identity {
    shown: Arc<CertifiedKey>,
    names: Arc<[String]>,
}

/// There is no identity in what was given. Lines count from 1; they are those of PEM, and 0 without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// The text is not PEM.
    Pem(PemError),
    /// There is no certificate.
    NoCertificate,
    /// There is no private key.
    NoKey,
    /// There are several private keys, and the second is here.
    SecondKey {
        /// Where it begins.
        line: u32,
    },
    /// The certificate there is malformed.
    Certificate {
        /// Where it begins.
        line: u32,
    },
    /// The private key there cannot be used.
    Key {
        /// Where it begins.
        line: u32,
        /// Why.
        why: KeyError,
    },
    /// The private key is not that of the first certificate.
    Mismatch,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem(error) => error.fmt(f),
            Self::NoCertificate => f.write_str("there is no certificate"),
            Self::NoKey => f.write_str("there is no private key"),
            Self::SecondKey { line } => write!(f, "line {line} begins a second private key"),
            Self::Certificate { line } => write!(f, "line {line} begins a certificate that is malformed"),
            Self::Key { line, why } => write!(f, "line {line} begins what {why}"),
            Self::Mismatch => f.write_str("the private key is not that of the first certificate"),
        }
    }
}

impl core::error::Error for IdentityError {}

impl From<PemError> for IdentityError {
    fn from(error: PemError) -> Self {
        Self::Pem(error)
    }
}

impl Identity {
    /// From PEM: the certificate, those that vouch for it each before the next, and the private key anywhere between them.
    pub fn from_pem(text: &[u8]) -> Result<Self, IdentityError> {
        Self::from_pems(&[text])
    }

    /// From PEM in two files, as most tools write it.
    pub fn from_pem_pair(certificates: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        Self::from_pems(&[certificates, key])
    }

    fn from_pems(texts: &[&[u8]]) -> Result<Self, IdentityError> {
        let (mut chain, mut key) = (Vec::new(), None);
        for block in texts.iter().flat_map(|text| Blocks::of(text)) {
            let block = block?;
            let line = block.line;
            match block.label {
                "CERTIFICATE" => {
                    let certificate = CertificateDer::from(block.data.as_slice()).into_owned();
                    if EndEntityCert::try_from(&certificate).is_err() {
                        return Err(IdentityError::Certificate { line });
                    }
                    chain.push(certificate);
                }
                "PRIVATE KEY" | "EC PRIVATE KEY" | "RSA PRIVATE KEY" | "ENCRYPTED PRIVATE KEY"
                    if key.is_some() =>
                {
                    return Err(IdentityError::SecondKey { line });
                }
                "PRIVATE KEY" | "EC PRIVATE KEY" | "RSA PRIVATE KEY" | "ENCRYPTED PRIVATE KEY" => {
                    key = Some(Key::read(&block.data).map_err(|why| IdentityError::Key { line, why })?);
                }
                // Parameters of curves, and what else tools add.
                _ => {}
            }
        }
        Self::new(chain, key.ok_or(IdentityError::NoKey)?)
    }

    /// From DER: the certificate and those that vouch for it, and the private key in PKCS#8 or SEC 1.
    pub fn from_der(chain: &[&[u8]], key: &[u8]) -> Result<Self, IdentityError> {
        let key = Key::read(key).map_err(|why| IdentityError::Key { line: 0, why })?;
        let chain: Vec<_> = chain.iter().map(|der| CertificateDer::from(*der).into_owned()).collect();
        if chain.iter().any(|certificate| EndEntityCert::try_from(certificate).is_err()) {
            return Err(IdentityError::Certificate { line: 0 });
        }
        Self::new(chain, key)
    }

    fn new(chain: Vec<CertificateDer<'static>>, key: Key) -> Result<Self, IdentityError> {
        let first = chain.first().ok_or(IdentityError::NoCertificate)?;
        let first = EndEntityCert::try_from(first).map_err(|_| IdentityError::Certificate { line: 0 })?;
        if *first.subject_public_key_info() != *key.public() {
            return Err(IdentityError::Mismatch);
        }
        let names = first.valid_dns_names().map(str::to_ascii_lowercase).collect();
        Ok(Self { shown: Arc::new(CertifiedKey::new(chain, Arc::new(key))), names })
    }

    /// The names of hosts that it is for, those with `*.` in front among them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The certificates, in DER.
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.shown.cert.iter().map(|certificate| certificate.as_ref())
    }

    pub(crate) fn shown(&self) -> &Arc<CertifiedKey> {
        &self.shown
    }

    fn key(&self) -> &dyn SigningKey {
        &*self.shown.key
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("names", &self.names).finish_non_exhaustive()
    }
}

/// The identities of a server, which can be replaced while it runs: connections that are there go on, new ones get the new.
/// Clones are the same ones.
///
/// A client that names a host gets the identity with that name; else one for all names below the next higher one; else, or
/// if it names none, the first. Of several it gets the first whose kind of signature it knows.
#[derive(Clone)]
pub struct Identities(Arc<Held>);

struct Held {
    all: Mutex<Arc<[Identity]>>,
    /// The name that was asked for last: rustls asks for an identity in the middle of a step, and keeps the name.
    asked: Mutex<Option<String>>,
}

impl Identities {
    /// These. With none, nobody can connect until some are put in their place.
    pub fn new(all: impl IntoIterator<Item = Identity>) -> Self {
        let all = all.into_iter().collect();
        Self(Arc::new(Held { all: Mutex::new(all), asked: Mutex::new(None) }))
    }

    /// Puts others in their place.
    pub fn replace(&self, all: impl IntoIterator<Item = Identity>) {
        let all = all.into_iter().collect();
        *self.0.all.lock() = all;
    }

    /// Those of now.
    pub fn all(&self) -> Arc<[Identity]> {
        self.0.all.lock().clone()
    }

    pub(crate) fn take_asked(&self) -> Option<String> {
        self.0.asked.lock().take()
    }
}

impl From<Identity> for Identities {
    fn from(identity: Identity) -> Self {
        Self::new([identity])
    }
}

impl ResolvesServerCert for Identities {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let all = self.all();
        let usable = || all.iter().filter(|one| one.key().choose_scheme(hello.signature_schemes()).is_some());
        let named = |name: &str| usable().find(|one| one.names().any(|other| other == name));
        let found = name.as_deref().and_then(|name| {
            let above = || name.split_once('.').and_then(|(_, above)| named(&["*.", above].concat()));
            named(name).or_else(above)
        });
        let found = found.or_else(|| usable().next()).map(|one| one.shown.clone());
        *self.0.asked.lock() = name;
        found
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all().iter()).finish()
    }
}

/// That of a client, shown to whichever server asks.
#[derive(Debug)]
pub(crate) struct Shown(pub(crate) Option<Identity>);

impl rustls::client::ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], schemes: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let identity = self.0.as_ref()?;
        identity.key().choose_scheme(schemes)?;
        Some(identity.shown().clone())
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}
