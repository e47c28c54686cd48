//! Certificates that are not believed, of servers and of clients: what each end says, and is told.

mod common;

use common::pki::{Authority, Made, Wish, self_signed};
use common::{both, client, failure, pipe, run, server, shake};
use embedded_io_async::{Read, Write};
use fata_tls::{
    Alert, BadCertificate, ClientOptions, Clients, Error, Failure, ServerOptions, Trust, TrustError,
    Versions, Why, key_hash,
};
use rcgen::ExtendedKeyUsagePurpose;

const BOTH: [Versions; 2] = [Versions::Tls13, Versions::Tls12];

/// A server with this certificate and a client that trusts so.
fn server_refused(made: &Made, trust: impl Fn() -> Trust) -> (Alert, BadCertificate) {
    let mut seen = None;
    for versions in BOTH {
        let server = server(ServerOptions::new(made.identity()));
        let client = client(ClientOptions { versions, ..ClientOptions::new(trust()) });
        let (near, far) = shake(&client, &server, "a.example");
        let Failure::Refused { alert, why: Why::Certificate(bad) } = failure(near) else { panic!() };
        assert_eq!(failure(far), Failure::Received(alert));
        assert!(seen.is_none_or(|seen| seen == (alert, bad)));
        seen = Some((alert, bad));
    }
    seen.unwrap()
}

/// A client with this certificate and a server that trusts so. In TLS 1.3 the client hears of it after its handshake.
fn client_refused(made: &Made, trust: impl Fn() -> Trust) -> (Alert, BadCertificate) {
    let other = Authority::new("of the server");
    let mut seen = None;
    for versions in BOTH {
        let options = ServerOptions::new(other.server("a.example"));
        let server = server(ServerOptions { clients: Clients::MayShow(trust()), ..options });
        let options = ClientOptions { identity: Some(made.identity()), ..ClientOptions::new(other.trust()) };
        let client = client(ClientOptions { versions, ..options });
        let (near, far) = shake(&client, &server, "a.example");
        let Failure::Refused { alert, why: Why::Certificate(bad) } = failure(far) else { panic!() };
        let heard = match near {
            Ok(mut stream) => run(stream.read(&mut [0])).unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(heard, Error::Tls(Failure::Received(alert)));
        assert!(seen.is_none_or(|seen| seen == (alert, bad)));
        seen = Some((alert, bad));
    }
    seen.unwrap()
}

#[test]
fn times_names_and_issuers() {
    let authority = Authority::new("authority");
    let trust = || authority.trust();
    let good = || Wish::server("a.example");
    let usage = ExtendedKeyUsagePurpose::ClientAuth;
    let cases = [
        (
            authority.make(&Wish { from: 2024, to: 2025, ..good() }),
            Alert::CERTIFICATE_EXPIRED,
            BadCertificate::Expired,
        ),
        (
            authority.make(&Wish { from: 2030, to: 2031, ..good() }),
            Alert::CERTIFICATE_EXPIRED,
            BadCertificate::NotYetValid,
        ),
        (authority.make(&Wish::server("b.example")), Alert::BAD_CERTIFICATE, BadCertificate::WrongName),
        (
            authority.make(&Wish { usage, ..good() }),
            Alert::UNSUPPORTED_CERTIFICATE,
            BadCertificate::WrongPurpose,
        ),
        (Authority::new("other").make(&good()), Alert::UNKNOWN_CA, BadCertificate::UnknownIssuer),
        // It says the same name, with another key.
        (Authority::new("authority").make(&good()), Alert::DECRYPT_ERROR, BadCertificate::BadSignature),
        (self_signed("a.example"), Alert::UNKNOWN_CA, BadCertificate::UnknownIssuer),
        // Nobody vouches for the one in between.
        (authority.below("below").make(&good()), Alert::UNKNOWN_CA, BadCertificate::UnknownIssuer),
    ];
    for (made, alert, bad) in cases {
        assert_eq!(server_refused(&made, trust), (alert, bad));
    }
    let good = Wish::client;
    let cases = [
        (
            authority.make(&Wish { from: 2024, to: 2025, ..good() }),
            Alert::CERTIFICATE_EXPIRED,
            BadCertificate::Expired,
        ),
        (
            authority.make(&Wish::server("b.example")),
            Alert::UNSUPPORTED_CERTIFICATE,
            BadCertificate::WrongPurpose,
        ),
        (Authority::new("other").make(&good()), Alert::UNKNOWN_CA, BadCertificate::UnknownIssuer),
        (self_signed("a.example"), Alert::UNKNOWN_CA, BadCertificate::UnknownIssuer),
    ];
    for (made, alert, bad) in cases {
        assert_eq!(client_refused(&made, trust), (alert, bad));
    }
}

#[test]
fn revoked_by_a_list_or_by_key() {
    let authority = Authority::new("authority");
    let revoked = (Alert::CERTIFICATE_REVOKED, BadCertificate::Revoked);
    let (list, other) = (authority.revoke(7), authority.revoke(8));
    let listing = |list: &str, strict: bool| {
        let mut trust = authority.trust();
        trust.add_revoked_pem(list.as_bytes()).unwrap();
        if strict {
            trust.require_lists();
        }
        trust
    };
    let made = authority.make(&Wish::server("a.example"));
    assert_eq!(server_refused(&made, || listing(&list, false)), revoked);
    let refusing = |key| {
        let mut trust = authority.trust();
        trust.refuse_key(key);
        // To be refused counts more.
        trust.accept_key(key);
        trust
    };
    assert_eq!(server_refused(&made, || refusing(key_hash(&made.der).unwrap())), revoked);
    // That of whoever vouches for it.
    assert_eq!(server_refused(&made, || refusing(key_hash(authority.der()).unwrap())), revoked);
    let own = authority.make(&Wish::client());
    assert_eq!(client_refused(&own, || listing(&list, false)), revoked);
    assert_eq!(client_refused(&own, || refusing(key_hash(&own.der).unwrap())), revoked);

    let accepted = |trust| {
        let client = client(ClientOptions::new(trust));
        shake(&client, &server(ServerOptions::new(made.identity())), "a.example").0.map(drop)
    };
    assert!(accepted(listing(&other, false)).is_ok() && accepted(listing(&other, true)).is_ok());
    // The list of somebody else says nothing.
    let foreign = Authority::new("foreign").revoke(7);
    assert!(accepted(listing(&foreign, false)).is_ok());
    let unknown = Failure::Refused {
        alert: Alert::UNKNOWN_CA,
        why: Why::Certificate(BadCertificate::UnknownRevocation),
    };
    assert_eq!(accepted(listing(&foreign, true)), Err(Error::Tls(unknown)));
}

#[test]
fn a_key_is_enough_where_it_is_known() {
    let made = self_signed("whoever");
    let mut trust = Trust::nobody();
    trust.accept_key(key_hash(&made.der).unwrap());
    let (near, far) =
        shake(&client(ClientOptions::new(trust)), &server(ServerOptions::new(made.identity())), "a.example");
    assert!(near.is_ok() && far.is_ok());
}

#[test]
fn clients_that_show_who_they_are_and_clients_that_do_not() {
    let authority = Authority::new("authority");
    let own = authority.make(&Wish::client());
    for versions in BOTH {
        for (must, shows) in [(false, false), (false, true), (true, true), (true, false)] {
            let trust = authority.trust();
            let clients = if must { Clients::MustShow(trust) } else { Clients::MayShow(trust) };
            let server =
                server(ServerOptions { clients, ..ServerOptions::new(authority.server("a.example")) });
            let identity = shows.then(|| own.identity());
            let options = ClientOptions { versions, identity, ..ClientOptions::new(authority.trust()) };
            let client = client(options);
            // The second time it is resumed, and known all the same.
            for time in 0..2 {
                let (near, far) = shake(&client, &server, "a.example");
                if must && !shows {
                    let Failure::Refused { alert, why: Why::NoCertificate } = failure(far) else { panic!() };
                    let heard = match near {
                        Ok(mut stream) => run(stream.read(&mut [0])).unwrap_err(),
                        Err(error) => error,
                    };
                    assert_eq!(heard, Error::Tls(Failure::Received(alert)));
                    assert_eq!(alert, Alert::CERTIFICATE_REQUIRED);
                    continue;
                }
                let (mut near, mut far) = (near.unwrap(), far.unwrap());
                let certificates = far.facts().certificates.clone();
                assert_eq!(certificates.len(), usize::from(shows));
                assert!(certificates.iter().all(|certificate| **certificate == own.der));
                assert_eq!((far.facts().resumed, near.facts().resumed), (time == 1, time == 1));
                run(async {
                    far.write_all(b"x").await.unwrap();
                    near.read_exact(&mut [0]).await.unwrap();
                });
            }
        }
    }
}

#[test]
fn a_chain_of_three() {
    let root = Authority::new("root");
    let below = root.below("below");
    let made = below.make(&Wish::server("a.example"));
    let pem = [made.pem.clone(), below.pem(), made.key.serialize_pem()].concat();
    let identity = fata_tls::Identity::from_pem(pem.as_bytes()).unwrap();
    let (near, _) =
        shake(&client(ClientOptions::new(root.trust())), &server(ServerOptions::new(identity)), "a.example");
    assert_eq!(near.unwrap().facts().certificates.len(), 2);
}

#[test]
fn what_to_trust_is_read_from_text() {
    let authority = Authority::new("authority");
    let text = format!("first\n{}second\r\n{}", authority.pem(), authority.pem());
    let mut trust = Trust::nobody();
    assert_eq!((trust.add_pem(text.as_bytes()), trust.roots()), (Ok(2), 2));
    assert_eq!(trust.add_pem(b"nothing"), Err(TrustError::Missing));
    assert_eq!(trust.add_revoked_pem(text.as_bytes()), Err(TrustError::Missing));
    let broken = "\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(trust.add_pem(broken.as_bytes()), Err(TrustError::Root { line: 2 }));
    let broken = broken.replace("CERTIFICATE", "X509 CRL");
    assert_eq!(trust.add_revoked_pem(broken.as_bytes()), Err(TrustError::List { line: 2 }));
}

#[test]
fn who_refuses_has_told_before_it_gives_up() {
    // However little goes at once, the alert gets through.
    let authority = Authority::new("authority");
    let (near, far) = pipe::pair(64);
    let (server, client) = (
        server(ServerOptions::new(authority.server("b.example"))),
        client(ClientOptions::new(authority.trust())),
    );
    let (near, far) = run(both(client.connect(near, "a.example"), server.accept(far)));
    assert!(near.is_err());
    assert_eq!(far.map(drop), Err(Error::Tls(Failure::Received(Alert::BAD_CERTIFICATE))));
}
