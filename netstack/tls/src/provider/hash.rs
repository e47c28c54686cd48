//! SHA-256 and SHA-384, alone and as HMAC.

use alloc::boxed::Box;
use hmac::{KeyInit, Mac, SimpleHmac};
use rustls::crypto::hash::{Context, Hash, HashAlgorithm, Output};
use rustls::crypto::hmac::{Hmac, Key, Tag};
use sha2::{Digest, Sha256, Sha384};

macro_rules! hash {
    ($name:ident, $context:ident, $hmac:ident, $key:ident, $digest:ty, $len:expr, $algorithm:expr) => {
        pub(crate) struct $name;
        struct $context($digest);
        pub(crate) struct $hmac;
        struct $key(SimpleHmac<$digest>);

        impl Hash for $name {
            fn start(&self) -> Box<dyn Context> {
                Box::new($context(<$digest>::new()))
            }

            fn hash(&self, data: &[u8]) -> Output {
                Output::new(&<$digest>::digest(data))
            }

            fn output_len(&self) -> usize {
                $len
            }

            fn algorithm(&self) -> HashAlgorithm {
                $algorithm
            }
        }

        impl Context for $context {
            fn fork_finish(&self) -> Output {
                Output::new(&self.0.clone().finalize())
            }

            fn fork(&self) -> Box<dyn Context> {
                Box::new($context(self.0.clone()))
            }

            fn finish(self: Box<Self>) -> Output {
                Output::new(&self.0.finalize())
            }

            fn update(&mut self, data: &[u8]) {
                Digest::update(&mut self.0, data);
            }
        }

        impl Hmac for $hmac {
            fn with_key(&self, key: &[u8]) -> Box<dyn Key> {
                // Keys of any length do.
                let hmac = SimpleHmac::<$digest>::new_from_slice(key);
                Box::new($key(hmac.unwrap_or_else(|_| SimpleHmac::<$digest>::new(&Default::default()))))
            }

            fn hash_output_len(&self) -> usize {
                $len
            }
        }

        impl Key for $key {
            fn sign_concat(&self, first: &[u8], middle: &[&[u8]], last: &[u8]) -> Tag {
                let mut mac = self.0.clone();
                mac.update(first);
                middle.iter().for_each(|part| mac.update(part));
                mac.update(last);
                Tag::new(&mac.finalize().into_bytes())
            }

            fn tag_len(&self) -> usize {
                $len
            }
        }
    };
}

hash!(H256, Context256, Hmac256, Key256, Sha256, 32, HashAlgorithm::SHA256);
hash!(H384, Context384, Hmac384, Key384, Sha384, 48, HashAlgorithm::SHA384);
