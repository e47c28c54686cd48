//! The suites of TLS 1.3 and 1.2, and how they protect the records of a handshake.

use super::hash::{H256, H384, Hmac256, Hmac384};
use crate::record::{Fault, Keys, OVERHEAD_MAX, Version};
use alloc::boxed::Box;
use alloc::vec::Vec;
use fata_ciphers::Cipher;
use rustls::crypto::KeyExchangeAlgorithm;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, KeyBlockShape, MessageDecrypter,
    MessageEncrypter, OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls12AeadAlgorithm,
    Tls13AeadAlgorithm, UnsupportedOperationError,
};
use rustls::crypto::tls12::PrfUsingHmac;
use rustls::crypto::tls13::HkdfUsingHmac;
use rustls::{
    CipherSuite, CipherSuiteCommon, ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion,
    SignatureScheme, SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite,
};

/// How many records a key of AES-GCM may seal (RFC 8446, 5.5, rounded down).
pub(crate) const AES_RECORDS: u64 = 1 << 24;

/// Those with instructions of their own in the CPU first.
#[cfg(target_feature = "aes")]
pub(crate) static ALL: [SupportedCipherSuite; 9] = [
    AES128_SHA256,
    AES256_SHA384,
    CHACHA20_SHA256,
    ECDSA_AES128,
    ECDSA_AES256,
    ECDSA_CHACHA20,
    RSA_AES128,
    RSA_AES256,
    RSA_CHACHA20,
];

/// Without them, ChaCha20 takes a fraction of the time.
#[cfg(not(target_feature = "aes"))]
pub(crate) static ALL: [SupportedCipherSuite; 9] = [
    CHACHA20_SHA256,
    AES128_SHA256,
    AES256_SHA384,
    ECDSA_CHACHA20,
    ECDSA_AES128,
    ECDSA_AES256,
    RSA_CHACHA20,
    RSA_AES128,
    RSA_AES256,
];

macro_rules! common {
    ($suite:ident, $hash:ident, $cipher:expr) => {
        CipherSuiteCommon {
            suite: CipherSuite::$suite,
            hash_provider: &$hash,
            confidentiality_limit: match $cipher {
                Cipher::ChaCha20 => u64::MAX,
                _ => AES_RECORDS,
            },
        }
    };
}

macro_rules! tls13 {
    ($name:ident, $suite:ident, $hash:ident, $hmac:ident, $cipher:expr) => {
        static $name: SupportedCipherSuite = SupportedCipherSuite::Tls13(&Tls13CipherSuite {
            common: common!($suite, $hash, $cipher),
            hkdf_provider: &HkdfUsingHmac(&$hmac),
            aead_alg: &Sealed($cipher),
            quic: None,
        });
    };
}

macro_rules! tls12 {
    ($name:ident, $suite:ident, $hash:ident, $hmac:ident, $cipher:expr, $sign:expr) => {
        static $name: SupportedCipherSuite = SupportedCipherSuite::Tls12(&Tls12CipherSuite {
            common: common!($suite, $hash, $cipher),
            prf_provider: &PrfUsingHmac(&$hmac),
            kx: KeyExchangeAlgorithm::ECDHE,
            sign: $sign,
            aead_alg: &Sealed($cipher),
        });
    };
}

tls13!(AES128_SHA256, TLS13_AES_128_GCM_SHA256, H256, Hmac256, Cipher::Aes128);
tls13!(AES256_SHA384, TLS13_AES_256_GCM_SHA384, H384, Hmac384, Cipher::Aes256);
tls13!(CHACHA20_SHA256, TLS13_CHACHA20_POLY1305_SHA256, H256, Hmac256, Cipher::ChaCha20);
tls12!(ECDSA_AES128, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, H256, Hmac256, Cipher::Aes128, ECDSA);
tls12!(ECDSA_AES256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, H384, Hmac384, Cipher::Aes256, ECDSA);
tls12!(ECDSA_CHACHA20, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, H256, Hmac256, Cipher::ChaCha20, ECDSA);
tls12!(RSA_AES128, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, H256, Hmac256, Cipher::Aes128, RSA);
tls12!(RSA_AES256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, H384, Hmac384, Cipher::Aes256, RSA);
tls12!(RSA_CHACHA20, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, H256, Hmac256, Cipher::ChaCha20, RSA);

static ECDSA: &[SignatureScheme] = &[
    SignatureScheme::ED25519,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP256_SHA256,
];

static RSA: &[SignatureScheme] = &[
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PKCS1_SHA512,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA256,
];

struct Sealed(Cipher);

impl Sealed {
    fn secrets(&self, key: AeadKey, iv: Iv) -> ConnectionTrafficSecrets {
        match self.0 {
            Cipher::Aes128 => ConnectionTrafficSecrets::Aes128Gcm { key, iv },
            Cipher::Aes256 => ConnectionTrafficSecrets::Aes256Gcm { key, iv },
            Cipher::ChaCha20 => ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv },
        }
    }

    fn keys(&self, key: &AeadKey, version: Version, iv: Iv) -> Box<Protected> {
        Box::new(Protected(Keys::new(self.0, version, key.as_ref(), iv.as_ref())))
    }
}

/// The part that is fixed and the part that is sent, which for ChaCha20 are one.
fn joined(fixed: &[u8], explicit: &[u8]) -> Iv {
    let mut iv = [0; 12];
    for (into, from) in iv.iter_mut().zip(fixed.iter().chain(explicit)) {
        *into = *from;
    }
    Iv::new(iv)
}

impl Tls13AeadAlgorithm for Sealed {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        self.keys(&key, Version::Tls13, iv)
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        self.keys(&key, Version::Tls13, iv)
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Ok(self.secrets(key, iv))
    }
}

impl Tls12AeadAlgorithm for Sealed {
    fn encrypter(&self, key: AeadKey, iv: &[u8], extra: &[u8]) -> Box<dyn MessageEncrypter> {
        self.keys(&key, Version::Tls12, joined(iv, extra))
    }

    fn decrypter(&self, key: AeadKey, iv: &[u8]) -> Box<dyn MessageDecrypter> {
        self.keys(&key, Version::Tls12, joined(iv, &[]))
    }

    fn key_block_shape(&self) -> KeyBlockShape {
        let (fixed_iv_len, explicit_nonce_len) = if self.0 == Cipher::ChaCha20 { (12, 0) } else { (4, 8) };
        KeyBlockShape { enc_key_len: self.0.key_len(), fixed_iv_len, explicit_nonce_len }
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: &[u8],
        explicit: &[u8],
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Ok(self.secrets(key, joined(iv, explicit)))
    }
}

/// Keys as rustls uses them.
struct Protected(Keys);

impl MessageEncrypter for Protected {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        seq: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let mut record = Vec::with_capacity(message.payload.len() + 5 + OVERHEAD_MAX);
        self.0.seal(seq, message.typ.into(), &message.payload.to_vec(), &mut record);
        let mut payload = PrefixedPayload::with_capacity(record.len());
        payload.extend_from_slice(&record[5..]);
        let (kind, version) = (ContentType::from(record[0]), ProtocolVersion::TLSv1_2);
        Ok(OutboundOpaqueMessage::new(kind, version, payload))
    }

    fn encrypted_payload_len(&self, len: usize) -> usize {
        self.0.sealed_len(len)
    }
}

impl MessageDecrypter for Protected {
    fn decrypt<'a>(
        &mut self,
        message: InboundOpaqueMessage<'a>,
        seq: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let InboundOpaqueMessage { typ, version, mut payload } = message;
        let (kind, plain) = self.0.open(seq, typ.into(), &mut payload).map_err(|fault| match fault {
            Fault::Broken => Error::DecryptError,
            Fault::TooLong => Error::PeerSentOversizedRecord,
            Fault::NoType => rustls::PeerMisbehaved::IllegalTlsInnerPlaintext.into(),
        })?;
        let version = if self.0.version() == Version::Tls13 { ProtocolVersion::TLSv1_3 } else { version };
        let message = InboundOpaqueMessage { typ: kind.into(), version, payload };
        Ok(message.into_plain_message_range(plain))
    }
}
