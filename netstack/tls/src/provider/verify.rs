//! Signatures that are verified: ECDSA with P-256 and P-384, Ed25519, RSA.

use super::rsa::{self, Padding};
use crate::der::{self, Reader};
use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use sha2::{Digest, Sha256, Sha384, Sha512};

type Algorithm = &'static dyn SignatureVerificationAlgorithm;

pub(crate) static ALGORITHMS: WebPkiSupportedAlgorithms =
    WebPkiSupportedAlgorithms { all: ALL, mapping: SCHEMES };

static ALL: &[Algorithm] = &[
    &P256_SHA256,
    &P256_SHA384,
    &P384_SHA384,
    &P384_SHA256,
    &Ed25519,
    &PKCS1_SHA256,
    &PKCS1_SHA384,
    &PKCS1_SHA512,
    &PSS_SHA256,
    &PSS_SHA384,
    &PSS_SHA512,
];

/// The first of each is for TLS 1.3, where the scheme names the curve; in TLS 1.2 it names the hash only.
static SCHEMES: &[(SignatureScheme, &[Algorithm])] = &[
    (SignatureScheme::ECDSA_NISTP256_SHA256, &[&P256_SHA256, &P384_SHA256]),
    (SignatureScheme::ECDSA_NISTP384_SHA384, &[&P384_SHA384, &P256_SHA384]),
    (SignatureScheme::ED25519, &[&Ed25519]),
    (SignatureScheme::RSA_PSS_SHA256, &[&PSS_SHA256]),
    (SignatureScheme::RSA_PSS_SHA384, &[&PSS_SHA384]),
    (SignatureScheme::RSA_PSS_SHA512, &[&PSS_SHA512]),
    (SignatureScheme::RSA_PKCS1_SHA256, &[&PKCS1_SHA256]),
    (SignatureScheme::RSA_PKCS1_SHA384, &[&PKCS1_SHA384]),
    (SignatureScheme::RSA_PKCS1_SHA512, &[&PKCS1_SHA512]),
];

#[derive(Clone, Copy, Debug)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// A digest, which may be shorter than the room for it.
#[derive(Clone, Copy)]
pub(super) struct Digested {
    bytes: [u8; 64],
    len: usize,
}

impl Digested {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Hash {
    pub(super) fn of(self, parts: &[&[u8]]) -> Digested {
        fn digest<D: Digest>(parts: &[&[u8]]) -> Digested {
            let mut digest = D::new();
            parts.iter().for_each(|part| digest.update(part));
            let (mut bytes, made) = ([0; 64], digest.finalize());
            bytes[..made.len()].copy_from_slice(&made);
            Digested { bytes, len: made.len() }
        }
        match self {
            Self::Sha256 => digest::<Sha256>(parts),
            Self::Sha384 => digest::<Sha384>(parts),
            Self::Sha512 => digest::<Sha512>(parts),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Curve {
    P256,
    P384,
}

#[derive(Debug)]
struct Ecdsa {
    curve: Curve,
    hash: Hash,
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
}

macro_rules! ecdsa {
    ($name:ident, $curve:ident, $hash:ident, $key:ident, $signature:ident) => {
        static $name: Ecdsa = Ecdsa {
            curve: Curve::$curve,
            hash: Hash::$hash,
            key: alg_id::$key,
            signature: alg_id::$signature,
        };
    };
}

ecdsa!(P256_SHA256, P256, Sha256, ECDSA_P256, ECDSA_SHA256);
ecdsa!(P256_SHA384, P256, Sha384, ECDSA_P256, ECDSA_SHA384);
ecdsa!(P384_SHA384, P384, Sha384, ECDSA_P384, ECDSA_SHA384);
ecdsa!(P384_SHA256, P384, Sha256, ECDSA_P384, ECDSA_SHA256);

impl SignatureVerificationAlgorithm for Ecdsa {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        use p256::ecdsa::signature::hazmat::PrehashVerifier;
        let digest = self.hash.of(&[message]);
        match self.curve {
            Curve::P256 => {
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key).map_err(|_| InvalidSignature)?;
                let both: [u8; 64] = numbers(signature)?;
                let signature = p256::ecdsa::Signature::from_slice(&both).map_err(|_| InvalidSignature)?;
                key.verify_prehash(digest.bytes(), &signature).map_err(|_| InvalidSignature)
            }
            Curve::P384 => {
                let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(key).map_err(|_| InvalidSignature)?;
                let both: [u8; 96] = numbers(signature)?;
                let signature = p384::ecdsa::Signature::from_slice(&both).map_err(|_| InvalidSignature)?;
                key.verify_prehash(digest.bytes(), &signature).map_err(|_| InvalidSignature)
            }
        }
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

/// The two numbers of an Ecdsa-Sig-Value, each in half of the room.
fn numbers<const N: usize>(signature: &[u8]) -> Result<[u8; N], InvalidSignature> {
    let read = || {
        let mut outer = Reader::new(signature);
        let mut inner = outer.inner(der::SEQUENCE)?;
        outer.end()?;
        let both = (inner.unsigned()?, inner.unsigned()?);
        inner.end()?;
        Ok::<_, der::Malformed>(both)
    };
    let (r, s) = read().map_err(|_| InvalidSignature)?;
    let mut both = [0; N];
    let (first, second) = both.split_at_mut(N / 2);
    for (half, number) in [(first, r), (second, s)] {
        let start = half.len().checked_sub(number.len()).ok_or(InvalidSignature)?;
        half[start..].copy_from_slice(number);
    }
    Ok(both)
}

#[derive(Debug)]
struct Ed25519;

impl SignatureVerificationAlgorithm for Ed25519 {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let key = key.try_into().map_err(|_| InvalidSignature)?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(key).map_err(|_| InvalidSignature)?;
        let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| InvalidSignature)?;
        key.verify_strict(message, &signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ED25519
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ED25519
    }
}

#[derive(Debug)]
struct Rsa {
    padding: Padding,
    hash: Hash,
    signature: AlgorithmIdentifier,
}

macro_rules! rsa {
    ($name:ident, $padding:ident, $hash:ident, $signature:ident) => {
        static $name: Rsa =
            Rsa { padding: Padding::$padding, hash: Hash::$hash, signature: alg_id::$signature };
    };
}

rsa!(PKCS1_SHA256, Pkcs1, Sha256, RSA_PKCS1_SHA256);
rsa!(PKCS1_SHA384, Pkcs1, Sha384, RSA_PKCS1_SHA384);
rsa!(PKCS1_SHA512, Pkcs1, Sha512, RSA_PKCS1_SHA512);
rsa!(PSS_SHA256, Pss, Sha256, RSA_PSS_SHA256);
rsa!(PSS_SHA384, Pss, Sha384, RSA_PSS_SHA384);
rsa!(PSS_SHA512, Pss, Sha512, RSA_PSS_SHA512);

impl SignatureVerificationAlgorithm for Rsa {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let key = rsa::PublicKey::read(key).ok_or(InvalidSignature)?;
        if key.verify(self.padding, self.hash, message, signature) { Ok(()) } else { Err(InvalidSignature) }
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_ENCRYPTION
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}
