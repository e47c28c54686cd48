//! Reading identities: what is taken, and which line is wrong.

mod common;

use common::pki::{Authority, Wish};
use fata_tls::{Identity, IdentityError, KeyError, PemError, PemFault};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

const CERTIFICATE: &str = include_str!("data/keys/certificate.pem");
const SEC1: &str = include_str!("data/keys/sec1.pem");

fn lines(text: &str) -> u32 {
    text.lines().count() as u32
}

#[test]
fn keys_of_all_kinds_in_any_order() {
    let authority = Authority::new("authority");
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let made = authority.make(&Wish { algorithm, ..Wish::server("a.example") });
        let (key, der) = (made.key.serialize_pem(), made.key.serialize_der());
        for text in [[&made.pem[..], &key].concat(), [&key[..], "and\n", &made.pem].concat()] {
            let identity = Identity::from_pem(text.as_bytes()).unwrap();
            assert!(identity.names().eq(["a.example"]) && identity.certificates().eq([&made.der[..]]));
            // With the line ends of others.
            assert!(Identity::from_pem(text.replace('\n', "\r\n").as_bytes()).is_ok());
        }
        assert!(Identity::from_pem_pair(made.pem.as_bytes(), key.as_bytes()).is_ok());
        assert!(Identity::from_der(&[&made.der, authority.der()], &der).unwrap().certificates().count() == 2);
    }
    // What openssl writes in front of a key of SEC 1, and names in capitals.
    let identity = Identity::from_pem_pair(CERTIFICATE.as_bytes(), SEC1.as_bytes()).unwrap();
    assert!(identity.names().eq(["a.example", "*.b.example"]));
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let after = lines(CERTIFICATE) + 1;
    let key = |why| IdentityError::Key { line: after, why };
    let unfinished = |line| IdentityError::Pem(PemError { line, fault: PemFault::Unfinished });
    let fault = |line, fault| IdentityError::Pem(PemError { line, fault });
    let cases = [
        ("".to_owned(), IdentityError::NoKey),
        (CERTIFICATE.to_owned(), IdentityError::NoKey),
        (SEC1.to_owned(), IdentityError::NoCertificate),
        ([CERTIFICATE, SEC1, SEC1].concat(), IdentityError::SecondKey { line: after + 3 + lines(SEC1) }),
        ([CERTIFICATE, include_str!("data/keys/p521.pem")].concat(), key(KeyError::Unknown)),
        ([CERTIFICATE, include_str!("data/keys/rsa.pem")].concat(), key(KeyError::Rsa)),
        ([CERTIFICATE, include_str!("data/keys/rsa-old.pem")].concat(), key(KeyError::Rsa)),
        ([CERTIFICATE, include_str!("data/keys/encrypted.pem")].concat(), key(KeyError::Encrypted)),
        (
            [CERTIFICATE, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"].concat(),
            key(KeyError::Malformed),
        ),
        (format!("x\n{}", CERTIFICATE.replace("MII", "MIJ")), IdentityError::Certificate { line: 2 }),
        ("\n\n-----BEGIN CERTIFICATE-----\nAAAA\n".to_owned(), unfinished(3)),
        ("-----BEGIN X-----\nAAAA\n-----END Y-----\n".to_owned(), fault(3, PemFault::WrongEnd)),
        ("-----BEGIN X-----\nAA*A\n-----END X-----\n".to_owned(), fault(2, PemFault::Base64)),
        ("-----BEGIN X-----\nAAA\n-----END X-----\n".to_owned(), fault(3, PemFault::Base64)),
        ("-----BEGIN X-----\nAAB=\n-----END X-----\n".to_owned(), fault(2, PemFault::Base64)),
        ("-----BEGIN X-----\nAA==\nAAAA\n-----END X-----\n".to_owned(), fault(3, PemFault::Base64)),
        (
            "-----BEGIN X-----\nProc-Type: 4,ENCRYPTED\n\n-----END X-----\n".to_owned(),
            fault(1, PemFault::Encrypted),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(Identity::from_pem(text.as_bytes()).map(drop), Err(expected), "{text}");
        assert!(!expected.to_string().is_empty());
    }
    assert_eq!(Identity::from_pem(b"a\n\xff\n").map(drop), Err(fault(2, PemFault::Text)));
    let other = Authority::new("authority").make(&Wish::server("a.example"));
    let text = [CERTIFICATE, &other.key.serialize_pem()].concat();
    assert_eq!(Identity::from_pem(text.as_bytes()).map(drop), Err(IdentityError::Mismatch));
}

#[test]
fn no_word_of_a_key_is_shown() {
    let identity = Identity::from_pem_pair(CERTIFICATE.as_bytes(), SEC1.as_bytes()).unwrap();
    assert_eq!(format!("{identity:?}"), r#"Identity { names: ["a.example", "*.b.example"], .. }"#);
}
