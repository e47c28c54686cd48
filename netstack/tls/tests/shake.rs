//! Handshakes: both versions, every kind of key, what is agreed upon, and resuming.

mod common;

use common::pki::{Authority, Wish};
use common::{both, client, failure, run, server, shake};
use embedded_io_async::{Read, Write};
use fata_tls::{Alert, ClientOptions, Failure, ServerOptions, Stream, Version, Versions, Why};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

/// Data of some length in both directions at once, and the end of both.
async fn talk<IO: Read + Write>(mut a: Stream<IO>, mut b: Stream<IO>, len: usize) {
    let data: Vec<u8> = (0..len).map(|n| (n * 7 + n / 256) as u8).collect();
    for _ in 0..2 {
        let write = async {
            a.write_all(&data).await.unwrap();
            a.flush().await.unwrap();
        };
        let mut got = vec![0; len];
        both(write, async { b.read_exact(&mut got).await.unwrap() }).await;
        assert_eq!(got, data);
        std::mem::swap(&mut a, &mut b);
    }
    a.close().await.unwrap();
    assert_eq!(b.read(&mut [0; 9]).await.unwrap(), 0);
    b.close().await.unwrap();
    assert_eq!(a.read(&mut [0; 9]).await.unwrap(), 0);
}

#[test]
fn every_version_with_every_kind_of_key() {
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let authority = Authority::with("authority", algorithm);
        for versions in [Versions::Tls13, Versions::Tls12, Versions::Both] {
            let identity = authority.make(&Wish { algorithm, ..Wish::server("a.example") }).identity();
            let server = server(ServerOptions::new(identity));
            let client = client(ClientOptions { versions, ..ClientOptions::new(authority.trust()) });
            let (near, far) = shake(&client, &server, "a.example");
            let (near, far) = (near.unwrap(), far.unwrap());
            let version = if versions == Versions::Tls12 { Version::Tls12 } else { Version::Tls13 };
            assert_eq!((near.facts().version, far.facts().version), (version, version));
            assert_eq!(far.facts().server_name.as_deref(), Some("a.example"));
            assert_eq!(near.facts().suite, far.facts().suite);
            assert_eq!(near.facts().certificates.len(), 1);
            run(talk(near, far, 100_000));
        }
    }
}

#[test]
fn nothing_in_common() {
    let authority = Authority::new("authority");
    let server = server(ServerOptions {
        versions: Versions::Tls13,
        ..ServerOptions::new(authority.server("a.example"))
    });
    let client = client(ClientOptions { versions: Versions::Tls12, ..ClientOptions::new(authority.trust()) });
    let (near, far) = shake(&client, &server, "a.example");
    let alert = Alert::PROTOCOL_VERSION;
    assert_eq!(failure(near), Failure::Received(alert));
    assert_eq!(failure(far), Failure::Refused { alert, why: Why::NothingInCommon });
}
