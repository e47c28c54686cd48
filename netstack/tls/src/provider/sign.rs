//! Private keys, and signing with them: ECDSA on P-256 and P-384, with nonces made of the key and the message (RFC 6979), and
//! Ed25519.

use crate::der::{self, Malformed, Reader};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use rustls::sign::{Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use sha2::{Digest, Sha256, Sha384};

/// id-ecPublicKey, 1.2.840.10045.2.1.
pub(crate) const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
/// secp256r1, 1.2.840.10045.3.1.7.
pub(crate) const CURVE_P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
/// secp384r1, 1.3.132.0.34.
pub(crate) const CURVE_P384: &[u8] = &[0x2b, 0x81, 4, 0, 0x22];
/// Ed25519, 1.3.101.112.
pub(crate) const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
/// rsaEncryption, 1.2.840.113549.1.1.1.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];

/// A private key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// It is not written as private keys are.
    Malformed,
    /// It needs a passphrase.
    Encrypted,
    /// RSA keys verify here, and do not sign.
    Rsa,
    /// It is of a kind that is not known: not P-256, P-384 or Ed25519.
    Unknown,
    /// It is on none of the curve's points.
    OutOfRange,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "is not a private key in PKCS#8 or SEC 1",
            Self::Encrypted => "is encrypted, and there is nobody to ask for the passphrase",
            Self::Rsa => "is an RSA key, which cannot sign here: use P-256, P-384 or Ed25519",
            Self::Unknown => "is of a kind that is not known: use P-256, P-384 or Ed25519",
            Self::OutOfRange => "is no key of its curve",
        })
    }
}

impl core::error::Error for KeyError {}

impl From<Malformed> for KeyError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

enum Secret {
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    Ed25519(ed25519_dalek::SigningKey),
}

/// A private key. It is overwritten when the last handle on it is dropped.
#[derive(Clone)]
pub(crate) struct Key(Arc<Held>);

struct Held {
    secret: Secret,
    /// The public one, as certificates have it.
    public: Vec<u8>,
}

impl Key {
    /// Reads PKCS#8 (RFC 5958) or SEC 1 (RFC 5915).
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, KeyError> {
        let mut outer = Reader::new(bytes);
        let mut key = outer.inner(der::SEQUENCE)?;
        outer.end()?;
        if key.tag() == Some(der::SEQUENCE) {
            // EncryptedPrivateKeyInfo begins with how.
            return Err(KeyError::Encrypted);
        }
        match key.value(der::INTEGER)? {
            [0 | 1] if key.tag() == Some(der::SEQUENCE) => Self::pkcs8(key),
            [1] if key.tag() == Some(der::OCTET_STRING) => Self::sec1(key, None),
            // RSAPrivateKey goes on with the modulus.
            [0] if key.tag() == Some(der::INTEGER) => Err(KeyError::Rsa),
            _ => Err(KeyError::Malformed),
        }
    }

    fn pkcs8(mut key: Reader<'_>) -> Result<Self, KeyError> {
        let mut algorithm = key.inner(der::SEQUENCE)?;
        let kind = algorithm.value(der::OID)?;
        let mut octets = Reader::new(key.value(der::OCTET_STRING)?);
        if kind == ED25519 {
            let seed = octets.value(der::OCTET_STRING)?.try_into().map_err(|_| KeyError::Malformed)?;
            octets.end()?;
            return Ok(Self::new(Secret::Ed25519(ed25519_dalek::SigningKey::from_bytes(seed))));
        }
        if kind == RSA {
            return Err(KeyError::Rsa);
        }
        if kind != EC {
            return Err(KeyError::Unknown);
        }
        let curve = algorithm.value(der::OID).map_err(|_| KeyError::Unknown)?;
        let mut inner = octets.inner(der::SEQUENCE)?;
        octets.end()?;
        match inner.value(der::INTEGER)? {
            [1] => Self::sec1(inner, Some(curve)),
            _ => Err(KeyError::Malformed),
        }
    }

    /// After the version; the curve is said here or has been.
    fn sec1(mut key: Reader<'_>, curve: Option<&[u8]>) -> Result<Self, KeyError> {
        const PARAMETERS: u8 = 0xa0;
        let secret = key.value(der::OCTET_STRING)?;
        let mut said = None;
        if key.tag() == Some(PARAMETERS) {
            let mut parameters = key.inner(PARAMETERS)?;
            said = Some(parameters.value(der::OID).map_err(|_| KeyError::Unknown)?);
        }
        let secret = match curve.or(said).ok_or(KeyError::Malformed)? {
            CURVE_P256 => p256::ecdsa::SigningKey::from_slice(secret).map(Secret::P256),
            CURVE_P384 => p384::ecdsa::SigningKey::from_slice(secret).map(Secret::P384),
            _ => return Err(KeyError::Unknown),
        };
        secret.map(Self::new).map_err(|_| KeyError::OutOfRange)
    }

    fn new(secret: Secret) -> Self {
        let public = match &secret {
            Secret::P256(key) => {
                spki(EC, Some(CURVE_P256), key.verifying_key().to_sec1_point(false).as_bytes())
            }
            Secret::P384(key) => {
                spki(EC, Some(CURVE_P384), key.verifying_key().to_sec1_point(false).as_bytes())
            }
            Secret::Ed25519(key) => spki(ED25519, None, key.verifying_key().as_bytes()),
        };
        Self(Arc::new(Held { secret, public }))
    }

    /// The public key as a SubjectPublicKeyInfo.
    pub(crate) fn public(&self) -> &[u8] {
        &self.0.public
    }
}

fn spki(kind: &[u8], parameter: Option<&[u8]>, key: &[u8]) -> Vec<u8> {
    let (mut algorithm, mut inner, mut out) = (Vec::new(), Vec::new(), Vec::new());
    der::write(&mut algorithm, der::OID, kind);
    if let Some(parameter) = parameter {
        der::write(&mut algorithm, der::OID, parameter);
    }
    der::write(&mut inner, der::SEQUENCE, &algorithm);
    let mut bits = Vec::with_capacity(key.len() + 1);
    // None of the last byte's bits are left over.
    bits.push(0);
    bits.extend_from_slice(key);
    der::write(&mut inner, der::BIT_STRING, &bits);
    der::write(&mut out, der::SEQUENCE, &inner);
    out
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl SigningKey for Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&self.scheme()).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.public().into())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.0.secret {
            Secret::Ed25519(_) => SignatureAlgorithm::ED25519,
            _ => SignatureAlgorithm::ECDSA,
        }
    }
}

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        use p256::ecdsa::signature::Signer as _;
        use p256::ecdsa::signature::hazmat::PrehashSigner;
        let failed = |_| rustls::Error::General("cannot sign".into());
        match &self.0.secret {
            Secret::P256(key) => {
                let signature: p256::ecdsa::Signature =
                    key.sign_prehash(&Sha256::digest(message)).map_err(failed)?;
                Ok(ecdsa(&signature.to_bytes()))
            }
            Secret::P384(key) => {
                let signature: p384::ecdsa::Signature =
                    key.sign_prehash(&Sha384::digest(message)).map_err(failed)?;
                Ok(ecdsa(&signature.to_bytes()))
            }
            Secret::Ed25519(key) => Ok(key.sign(message).to_bytes().to_vec()),
        }
    }

    fn scheme(&self) -> SignatureScheme {
        match self.0.secret {
            Secret::P256(_) => SignatureScheme::ECDSA_NISTP256_SHA256,
            Secret::P384(_) => SignatureScheme::ECDSA_NISTP384_SHA384,
            Secret::Ed25519(_) => SignatureScheme::ED25519,
        }
    }
}

/// Two numbers of the same length as Ecdsa-Sig-Value (RFC 3279, 2.2.3).
fn ecdsa(both: &[u8]) -> Vec<u8> {
    let (r, s) = both.split_at(both.len() / 2);
    let (mut numbers, mut out) = (Vec::new(), Vec::new());
    der::write_unsigned(&mut numbers, r);
    der::write_unsigned(&mut numbers, s);
    der::write(&mut out, der::SEQUENCE, &numbers);
    out
}
