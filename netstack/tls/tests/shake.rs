//! Handshakes: both versions, every kind of key, what is agreed upon, and resuming.

mod common;

use common::pki::{Authority, Made, Wish};
use common::{NOW, Time, both, client, failure, run, server, shake};
use embedded_io_async::{Read, Write};
use fata_random::Random;
use fata_tls::{
    Alert, Client, ClientOptions, Failure, Identities, Server, ServerOptions, Stream, Trust, Version,
    Versions, Why, key_hash,
};
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
    let options = ServerOptions::new(authority.server("a.example"));
    let server = server(ServerOptions { versions: Versions::Tls13, ..options });
    let client = client(ClientOptions { versions: Versions::Tls12, ..ClientOptions::new(authority.trust()) });
    let (near, far) = shake(&client, &server, "a.example");
    let alert = Alert::PROTOCOL_VERSION;
    assert_eq!(failure(near), Failure::Received(alert));
    assert_eq!(failure(far), Failure::Refused { alert, why: Why::NothingInCommon });
}

/// The serial numbers of the certificates that a client sees.
fn shown(client: &Client, server: &Server, name: &str) -> Result<Vec<u8>, Failure> {
    let (near, _) = shake(client, server, name);
    match near {
        Ok(stream) => Ok(stream.facts().certificates[0].to_vec()),
        other => Err(failure(other)),
    }
}

#[test]
fn identities_by_name() {
    let authority = Authority::new("authority");
    let make = |name: &str| authority.make(&Wish::server(name));
    let (first, exact, wild) = (make("first.example"), make("a.b.example"), make("*.b.example"));
    let identities = Identities::new([&first, &exact, &wild].map(Made::identity));
    let server = server(ServerOptions::new(identities.clone()));
    let mut trust = authority.trust();
    // So that a certificate for another name can be looked at.
    [&first, &exact, &wild].iter().for_each(|made| trust.accept_key(key_hash(&made.der).unwrap()));
    let client = client(ClientOptions { sessions: 0, ..ClientOptions::new(trust) });
    let expected = [
        ("a.b.example", &exact),
        ("A.B.Example", &exact),
        ("c.b.example", &wild),
        // A wildcard is for one level, and not for the name itself.
        ("d.c.b.example", &first),
        ("b.example", &first),
        ("first.example", &first),
        ("other.example", &first),
        // Nobody names an address.
        ("192.0.2.1", &first),
        ("2001:db8::1", &first),
    ];
    for (name, made) in expected {
        assert_eq!(shown(&client, &server, name).as_deref(), Ok(&made.der[..]), "{name}");
    }
    assert_eq!(shown(&client, &server, "not a name"), Err(Failure::Name));
}

#[test]
fn identities_are_replaced_and_connections_live_on() {
    let authority = Authority::new("authority");
    let (old, new) = (authority.make(&Wish::server("a.example")), authority.make(&Wish::server("a.example")));
    let identities = Identities::from(old.identity());
    let server = server(ServerOptions::new(identities.clone()));
    let client = client(ClientOptions { sessions: 0, ..ClientOptions::new(authority.trust()) });
    let (near, far) = shake(&client, &server, "a.example");
    identities.replace([new.identity()]);
    assert_eq!(shown(&client, &server, "a.example").as_deref(), Ok(&new.der[..]));
    identities.replace([]);
    let (none, refused) = shake(&client, &server, "a.example");
    let alert = Alert::ACCESS_DENIED;
    assert_eq!(failure(none), Failure::Received(alert));
    assert_eq!(failure(refused), Failure::Refused { alert, why: Why::NoIdentity });
    run(talk(near.unwrap(), far.unwrap(), 1000));
}

#[test]
fn of_two_kinds_a_client_gets_the_one_it_knows() {
    let authority = Authority::new("authority");
    let make = |algorithm| authority.make(&Wish { algorithm, ..Wish::server("a.example") });
    let (first, second) = (make(&PKCS_ED25519), make(&PKCS_ECDSA_P256_SHA256));
    let server = server(ServerOptions::new(Identities::new([first.identity(), second.identity()])));
    let client = client(ClientOptions::new(authority.trust()));
    assert_eq!(shown(&client, &server, "a.example").as_deref(), Ok(&first.der[..]));
}

#[test]
fn application_protocols() {
    let authority = Authority::new("authority");
    let list = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>();
    let shake = |mine: &[&str], theirs: &[&str]| {
        let options = ServerOptions::new(authority.server("a.example"));
        let server = server(ServerOptions { protocols: list(theirs), ..options });
        let client = client(ClientOptions { protocols: list(mine), ..ClientOptions::new(authority.trust()) });
        shake(&client, &server, "a.example")
    };
    // The server's choice counts.
    let (near, far) = shake(&["one", "two"], &["two", "one"]);
    assert_eq!(near.unwrap().facts().protocol.as_deref(), Some(&b"two"[..]));
    assert_eq!(far.unwrap().facts().protocol.as_deref(), Some(&b"two"[..]));
    for (mine, theirs) in [(&["one"][..], &[][..]), (&[], &["one"])] {
        let (near, far) = shake(mine, theirs);
        assert_eq!(
            (near.unwrap().facts().protocol.clone(), far.unwrap().facts().protocol.clone()),
            (None, None)
        );
    }
    let (near, far) = shake(&["one"], &["two"]);
    let alert = Alert::NO_APPLICATION_PROTOCOL;
    assert_eq!(failure(near), Failure::Received(alert));
    assert_eq!(failure(far), Failure::Refused { alert, why: Why::NoProtocol });
}

/// Whether a connection was resumed, as both see it, after a word from each.
fn resumed(client: &Client, server: &Server, name: &str) -> bool {
    let (near, far) = shake(client, server, name);
    let (near, far) = (near.unwrap(), far.unwrap());
    let resumed = near.facts().resumed;
    assert_eq!((far.facts().resumed, near.facts().certificates.len()), (resumed, 1));
    run(talk(near, far, 10));
    resumed
}

#[test]
fn connections_are_resumed() {
    let authority = Authority::new("authority");
    for versions in [Versions::Tls13, Versions::Tls12] {
        let time = Time::at(NOW);
        let options = ServerOptions { versions, ..ServerOptions::new(authority.server("a.example")) };
        let server = Server::new(options, &Random::known(1), time.clock());
        let options = ClientOptions { sessions: 2, ..ClientOptions::new(authority.trust()) };
        let client = Client::new(options, &Random::known(2), time.clock());
        assert!(!resumed(&client, &server, "a.example"));
        assert!(resumed(&client, &server, "a.example"));
        assert!(resumed(&client, &server, "a.example"));
        // The key changes after six hours, and opens tickets for six more.
        time.set(NOW + 5 * 3600);
        assert!(resumed(&client, &server, "a.example"));
        time.set(NOW + 10 * 3600);
        assert!(resumed(&client, &server, "a.example"));
        time.set(NOW + 23 * 3600);
        assert!(!resumed(&client, &server, "a.example"));
    }
}

#[test]
fn who_gives_no_tickets_or_keeps_none_shakes_hands_each_time() {
    let authority = Authority::new("authority");
    for versions in [Versions::Tls13, Versions::Tls12] {
        for (tickets, sessions) in [(false, 9), (true, 0)] {
            let options = ServerOptions::new(authority.server("a.example"));
            let server = server(ServerOptions { versions, tickets, ..options });
            let client = client(ClientOptions { sessions, ..ClientOptions::new(authority.trust()) });
            assert!((0..3).all(|_| !resumed(&client, &server, "a.example")));
        }
    }
}

#[test]
fn tickets_of_another_server_are_not_taken() {
    let authority = Authority::new("authority");
    for versions in [Versions::Tls13, Versions::Tls12] {
        let make = |random| {
            let options = ServerOptions { versions, ..ServerOptions::new(authority.server("a.example")) };
            Server::new(options, &Random::known(random), Time::at(NOW).clock())
        };
        let (one, other) = (make(3), make(4));
        // So that it has a key.
        assert!(!resumed(&client(ClientOptions::new(authority.trust())), &one, "a.example"));
        let client = client(ClientOptions::new(authority.trust()));
        assert!(!resumed(&client, &other, "a.example"));
        assert!(!resumed(&client, &one, "a.example"));
        assert!(resumed(&client, &one, "a.example"));
    }
}

#[test]
fn a_client_forgets_who_was_used_longest_ago() {
    let authority = Authority::new("authority");
    let server =
        server(ServerOptions::new(Identities::new(["a", "b", "c"].map(|name| authority.server(name)))));
    let client = client(ClientOptions { sessions: 2, ..ClientOptions::new(authority.trust()) });
    let all = ["a", "b", "a", "c", "a", "b"].map(|name| resumed(&client, &server, name));
    assert_eq!(all, [false, false, true, false, true, false]);
}

#[test]
fn without_the_time_nobody_is_believed_but_servers_serve() {
    let authority = Authority::new("authority");
    let made = authority.make(&Wish::server("a.example"));
    let time = Time::at(0);
    let server = Server::new(ServerOptions::new(made.identity()), &Random::known(1), time.clock());
    let client = Client::new(ClientOptions::new(authority.trust()), &Random::known(2), time.clock());
    assert_eq!(failure(shake(&client, &server, "a.example").0), Failure::NoTime);
    // A key is believed at any time.
    let mut trust = Trust::nobody();
    trust.accept_key(key_hash(&made.der).unwrap());
    let pinned = Client::new(ClientOptions::new(trust), &Random::known(2), time.clock());
    assert!(!resumed(&pinned, &server, "a.example"));
    assert!(resumed(&pinned, &server, "a.example"));
    time.set(NOW);
    assert!(!resumed(&client, &server, "a.example"));
}
