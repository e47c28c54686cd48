//! The cryptography that rustls is given, from crates of RustCrypto and dalek that need no standard library.

mod hash;
mod kx;
pub(crate) mod random;
mod rsa;
#[cfg(test)]
mod rsa_tests;
pub(crate) mod sign;
pub(crate) mod suites;
pub(crate) mod verify;

use alloc::sync::Arc;
use rustls::crypto::{CryptoProvider, KeyProvider};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;

/// All of it.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: suites::ALL.to_vec(),
        kx_groups: kx::ALL.to_vec(),
        signature_verification_algorithms: verify::ALGORITHMS,
        secure_random: &random::Drawn,
        key_provider: &NoKeys,
    })
}

/// Keys are read by [`crate::Identity`].
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General("keys are not read here".into()))
    }
}
