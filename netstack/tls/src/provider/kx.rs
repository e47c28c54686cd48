//! Key exchange: X25519, P-256 and P-384.

use super::random;
use alloc::boxed::Box;
use p256::elliptic_curve::sec1::ToSec1Point;
use rustls::crypto::{ActiveKeyExchange, SharedSecret, SupportedKxGroup};
use rustls::{Error, NamedGroup, PeerMisbehaved};
use zeroize::Zeroize;

pub(super) static ALL: [&dyn SupportedKxGroup; 3] = [&X25519, &P256, &P384];

fn bad_share() -> Error {
    PeerMisbehaved::InvalidKeyShare.into()
}

#[derive(Debug)]
struct X25519;

struct ActiveX25519(x25519_dalek::StaticSecret, x25519_dalek::PublicKey);

impl SupportedKxGroup for X25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut bytes = [0; 32];
        random::fill(&mut bytes)?;
        let secret = x25519_dalek::StaticSecret::from(bytes);
        bytes.zeroize();
        let public = (&secret).into();
        Ok(Box::new(ActiveX25519(secret, public)))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

impl ActiveKeyExchange for ActiveX25519 {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer: [u8; 32] = peer.try_into().map_err(|_| bad_share())?;
        let shared = self.0.diffie_hellman(&peer.into());
        // Not for points of small order, which give the same whatever our secret is.
        if !shared.was_contributory() {
            return Err(bad_share());
        }
        Ok(shared.as_bytes().as_slice().into())
    }

    fn pub_key(&self) -> &[u8] {
        self.1.as_bytes()
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

macro_rules! curve {
    ($name:ident, $active:ident, $curve:ident, $scalar:expr, $group:expr) => {
        #[derive(Debug)]
        struct $name;

        struct $active($curve::SecretKey, [u8; 1 + 2 * $scalar]);

        impl SupportedKxGroup for $name {
            fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
                // All but one in 2^32 numbers will do.
                for _ in 0..8 {
                    let mut bytes = [0; $scalar];
                    random::fill(&mut bytes)?;
                    let secret = $curve::SecretKey::from_slice(&bytes);
                    bytes.zeroize();
                    let Ok(secret) = secret else { continue };
                    let mut public = [0; 1 + 2 * $scalar];
                    public.copy_from_slice(secret.public_key().to_sec1_point(false).as_bytes());
                    return Ok(Box::new($active(secret, public)));
                }
                Err(Error::FailedToGetRandomBytes)
            }

            fn name(&self) -> NamedGroup {
                $group
            }
        }

        impl ActiveKeyExchange for $active {
            fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
                // RFC 8446, 4.2.8.2: uncompressed.
                if peer.len() != self.1.len() {
                    return Err(bad_share());
                }
                let peer = $curve::PublicKey::from_sec1_bytes(peer).map_err(|_| bad_share())?;
                let shared = $curve::ecdh::diffie_hellman(self.0.to_nonzero_scalar(), peer.as_affine());
                Ok(shared.raw_secret_bytes().as_slice().into())
            }

            fn pub_key(&self) -> &[u8] {
                &self.1
            }

            fn group(&self) -> NamedGroup {
                $group
            }
        }
    };
}

curve!(P256, ActiveP256, p256, 32, NamedGroup::secp256r1);
curve!(P384, ActiveP384, p384, 48, NamedGroup::secp384r1);
