//! What a server knows of earlier connections, kept by its clients: tickets, sealed with keys that nobody else has and that
//! change.

use crate::moment::Moment;
use crate::provider::random;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use fata_ciphers::{Aead, Cipher, NONCE, TAG};
use rustls::server::ProducesTickets;
use spin::Mutex;
use zeroize::Zeroize;

/// How long a key seals tickets. It opens them for as long again, and is gone then.
const LIFETIME_S: u32 = 6 * 60 * 60;
/// How many it seals, far fewer than would wear it out.
const TICKETS: u32 = 1 << 24;
const NAME: usize = 8;

/// Seals and opens them.
pub(crate) struct Tickets {
    moment: Arc<Moment>,
    keys: Mutex<[Option<Key>; 2]>,
}

struct Key {
    name: [u8; NAME],
    aead: Box<dyn Aead>,
    made: u64,
    sealed: u32,
}

impl Tickets {
    pub(crate) fn new(moment: Arc<Moment>) -> Self {
        Self { moment, keys: Mutex::new([None, None]) }
    }

    /// Forgets keys whose time is over: the current one is the first, the one before it the second.
    fn turn(keys: &mut [Option<Key>; 2], now: u64) {
        let lifetime = u64::from(LIFETIME_S);
        // Time that goes backwards, or that was not known before, ends them as well.
        let age = |key: &Key| now.checked_sub(key.made).unwrap_or(u64::MAX);
        if keys[0].as_ref().is_some_and(|key| age(key) >= lifetime || key.sealed >= TICKETS) {
            keys[1] = keys[0].take();
        }
        if keys[1].as_ref().is_some_and(|key| age(key) >= 2 * lifetime) {
            keys[1] = None;
        }
    }
}

impl Key {
    fn new(made: u64) -> Option<Self> {
        let (mut name, mut key) = ([0; NAME], [0; 32]);
        random::fill(&mut name).ok()?;
        random::fill(&mut key).ok()?;
        let aead = Cipher::ChaCha20.keyed(&key);
        key.zeroize();
        Some(Self { name, aead, made, sealed: 0 })
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME_S
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let now = self.moment.seconds().unwrap_or(0);
        let mut keys = self.keys.lock();
        Self::turn(&mut keys, now);
        if keys[0].is_none() {
            keys[0] = Key::new(now);
        }
        let key = keys[0].as_mut()?;
        key.sealed += 1;
        let mut nonce = [0; NONCE];
        random::fill(&mut nonce).ok()?;
        let mut ticket = Vec::with_capacity(NAME + NONCE + plain.len() + TAG);
        ticket.extend_from_slice(&key.name);
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(plain);
        let tag = key.aead.seal(&nonce, &key.name, &mut ticket[NAME + NONCE..]);
        ticket.extend_from_slice(&tag);
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE>()?;
        let (sealed, tag) = rest.split_last_chunk::<TAG>()?;
        let mut keys = self.keys.lock();
        Self::turn(&mut keys, self.moment.seconds().unwrap_or(0));
        let key = keys.iter().flatten().find(|key| key.name == *name)?;
        let mut plain = sealed.to_vec();
        key.aead.open(nonce, name, &mut plain, tag).ok()?;
        Some(plain)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fata_random::Random;

    #[test]
    fn tickets_that_were_changed_are_none() {
        random::begin(&Random::known(7));
        let tickets = Tickets::new(Arc::new(Moment::new()));
        assert_eq!(tickets.decrypt(&[0; 99]), None);
        let ticket = tickets.encrypt(b"known").unwrap();
        assert_eq!(tickets.decrypt(&ticket).as_deref(), Some(&b"known"[..]));
        // Not the same twice, so that nobody sees whose they are.
        assert_ne!(tickets.encrypt(b"known").unwrap(), ticket);
        for at in 0..ticket.len() * 8 {
            let mut changed = ticket.clone();
            changed[at / 8] ^= 1 << (at % 8);
            assert_eq!(tickets.decrypt(&changed), None);
        }
        assert!((0..ticket.len()).all(|end| tickets.decrypt(&ticket[..end]).is_none()));
    }

    #[test]
    fn keys_wear_out() {
        random::begin(&Random::known(8));
        let tickets = Tickets::new(Arc::new(Moment::new()));
        let all: Vec<_> = (0..3)
            .map(|_| {
                let ticket = tickets.encrypt(b"known").unwrap();
                tickets.keys.lock()[0].as_mut().unwrap().sealed = TICKETS;
                ticket
            })
            .collect();
        let opened = all.iter().map(|ticket| tickets.decrypt(ticket).is_some());
        // The last key has turned into the one before.
        assert_eq!(opened.collect::<Vec<_>>(), [false, false, true]);
    }
}
