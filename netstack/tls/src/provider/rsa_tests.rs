//! Signatures that openssl made.

use super::rsa::{Padding, PublicKey};
use super::verify::Hash;

struct Signed<'a> {
    kind: &'a str,
    padding: Padding,
    hash: Hash,
    key: Vec<u8>,
    signature: Vec<u8>,
}

fn all() -> Vec<Signed<'static>> {
    let hex = |text: &str| -> Vec<u8> {
        (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
    };
    let read = |line: &'static str| {
        let words: Vec<_> = line.split(' ').collect();
        let hash = match words[2] {
            "sha256" => Hash::Sha256,
            "sha384" => Hash::Sha384,
            _ => Hash::Sha512,
        };
        let padding = if words[1] == "pss" { Padding::Pss } else { Padding::Pkcs1 };
        Signed { kind: words[0], padding, hash, key: hex(words[3]), signature: hex(words[4]) }
    };
    include_str!("../../tests/data/rsa.txt").lines().map(read).collect()
}

fn verifies(signed: &Signed<'_>, message: &[u8], signature: &[u8]) -> bool {
    PublicKey::read(&signed.key)
        .is_some_and(|key| key.verify(signed.padding, signed.hash, message, signature))
}

#[test]
fn what_openssl_signs_and_nothing_else() {
    for signed in all() {
        let good = signed.kind.parse::<u32>().is_ok();
        assert_eq!(verifies(&signed, b"message", &signed.signature), good, "{}", signed.kind);
        assert!(!verifies(&signed, b"massage", &signed.signature));
        let mut changed = signed.signature.clone();
        for at in (0..changed.len()).step_by(37).chain([changed.len() - 1]) {
            changed[at] ^= 1 << (at % 8);
            assert!(!verifies(&signed, b"message", &changed));
            changed[at] = signed.signature[at];
        }
        // Of another length, and the key's own modulus or more.
        assert!(!verifies(&signed, b"message", &[&[0], &signed.signature[..]].concat()));
        assert!(!verifies(&signed, b"message", &signed.signature[1..]));
        for odd in [vec![0; changed.len()], vec![0xff; changed.len()], Vec::new()] {
            assert!(!verifies(&signed, b"message", &odd));
        }
    }
}

#[test]
fn another_padding_or_hash_is_another_signature() {
    for signed in all().iter().filter(|signed| signed.kind == "2048") {
        let key = PublicKey::read(&signed.key).unwrap();
        for padding in [Padding::Pkcs1, Padding::Pss] {
            for (at, hash) in [Hash::Sha256, Hash::Sha384, Hash::Sha512].into_iter().enumerate() {
                let same = padding == signed.padding && at == signed.hash as usize;
                assert_eq!(key.verify(padding, hash, b"message", &signed.signature), same);
            }
        }
    }
}

#[test]
fn keys_that_are_none() {
    let key = &all()[0].key;
    assert!(PublicKey::read(key).is_some());
    assert!((0..key.len()).all(|end| PublicKey::read(&key[..end]).is_none()));
    assert!(PublicKey::read(&[&key[..], &[0]].concat()).is_none());
    // An even modulus, an even exponent, one of 1.
    let mut odd = key.clone();
    let at = odd.len() - 6;
    odd[at] &= 0xfe;
    assert!(PublicKey::read(&odd).is_none());
    let mut odd = key.clone();
    *odd.last_mut().unwrap() = 0;
    assert!(PublicKey::read(&odd).is_none());
}
