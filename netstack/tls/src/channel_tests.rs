//! What a peer may send after a handshake that one of ours would not.

use crate::alert::Alert;
use crate::channel::Channel;
use crate::error::{Error, Failure, Why};
use crate::record::{ALERT, DATA, HANDSHAKE, Version};
use crate::{ClientOptions, ServerOptions, Stream, Versions};
use common::pipe::{End, Gone};
use common::pki::Authority;
use common::{both, client, run, server, shake};
use embedded_io_async::{Read, Write};

#[path = "../tests/common/mod.rs"]
mod common;

const BOTH: [Versions; 2] = [Versions::Tls13, Versions::Tls12];

/// Both ends of a connection: the server's, and the client's.
fn ends(versions: Versions) -> (Stream<End>, Stream<End>) {
    let authority = Authority::new("authority");
    let server =
        server(ServerOptions { tickets: false, ..ServerOptions::new(authority.server("a.example")) });
    let client = client(ClientOptions { versions, ..ClientOptions::new(authority.trust()) });
    let (near, far) = shake(&client, &server, "a.example");
    (far.unwrap(), near.unwrap())
}

impl Stream<End> {
    /// Does something to what it is over, and lets it be sent.
    fn rudely(&mut self, f: impl FnOnce(&mut Channel)) {
        f(&mut self.channel.borrow_mut());
        run(self.flush()).unwrap();
    }

    fn hears(&mut self) -> Result<Vec<u8>, Error<Gone>> {
        let mut into = [0; 100];
        run(self.read(&mut into)).map(|len| into[..len].to_vec())
    }
}

fn refused(why: Why) -> Error<Gone> {
    Error::Tls(Failure::refused(why))
}

fn alert_of(why: Why) -> Alert {
    match Failure::refused(why) {
        Failure::Refused { alert, .. } => alert,
        other => panic!("{other}"),
    }
}

/// Whoever hears it gives up for this reason, and the other hears why.
fn assert_refused(versions: Versions, why: Why, from_server: bool, f: impl FnOnce(&mut Channel)) {
    let (mut from, mut to) = ends(versions);
    if !from_server {
        std::mem::swap(&mut from, &mut to);
    }
    from.rudely(f);
    let heard = loop {
        match to.hears() {
            Ok(data) if !data.is_empty() => {}
            other => break other,
        }
    };
    assert_eq!(heard, Err(refused(why)));
    assert_eq!(from.hears(), Err(Error::Tls(Failure::Received(alert_of(why)))));
    // It stays so, whatever is tried.
    assert_eq!((to.hears(), run(to.write(b"x"))), (Err(refused(why)), Err(refused(why))));
    assert_eq!(run(from.write(b"x")), Err(Error::Tls(Failure::Received(alert_of(why)))));
}

#[test]
fn empty_records_are_taken_until_there_are_too_many() {
    for versions in BOTH {
        let (mut from, mut to) = ends(versions);
        for _ in 0..10 {
            from.rudely(|channel| (0..32).for_each(|_| channel.seal(DATA, &[])));
            from.rudely(|channel| channel.seal(DATA, b"x"));
            assert_eq!(to.hears().unwrap(), b"x");
        }
        assert_refused(versions, Why::Flood, true, |channel| (0..33).for_each(|_| channel.seal(DATA, &[])));
    }
}

#[test]
fn warnings_are_taken_until_there_are_too_many() {
    let (mut from, mut to) = ends(Versions::Tls12);
    from.rudely(|channel| (0..32).for_each(|_| channel.seal(ALERT, &[1, 100])));
    from.rudely(|channel| channel.seal(DATA, b"x"));
    assert_eq!(to.hears().unwrap(), b"x");
    assert_refused(Versions::Tls12, Why::Flood, false, |channel| {
        (0..33).for_each(|_| channel.seal(ALERT, &[1, 100]))
    });
    // TLS 1.3 has one that is not the end.
    let (mut from, mut to) = ends(Versions::Tls13);
    from.rudely(|channel| channel.seal(ALERT, &[1, Alert::USER_CANCELED.0]));
    from.rudely(|channel| channel.seal(ALERT, &[1, Alert::NO_RENEGOTIATION.0]));
    assert_eq!(to.hears(), Err(Error::Tls(Failure::Received(Alert::NO_RENEGOTIATION))));
}

#[test]
fn keys_change_in_both_directions_while_data_flows() {
    let (mut a, mut b) = ends(Versions::Tls13);
    for round in 0..100u8 {
        a.rudely(|channel| channel.update().unwrap());
        run(a.write_all(&[round; 3])).unwrap();
        assert_eq!(b.hears().unwrap(), [round; 3]);
        std::mem::swap(&mut a, &mut b);
    }
}

#[test]
fn who_is_asked_for_new_keys_changes_them_before_the_next_data_and_once() {
    let (mut a, mut b) = ends(Versions::Tls13);
    let ask = |channel: &mut Channel| {
        channel.update().unwrap();
        channel.seal(DATA, b"?");
    };
    for _ in 0..3 {
        a.rudely(|channel| (0..20).for_each(|_| channel.ask_for_update()));
        a.rudely(ask);
        assert_eq!(b.hears().unwrap(), b"?");
        // Nothing is sent for that alone.
        let before = b.io().written();
        run(b.flush()).unwrap();
        assert_eq!(b.io().written(), before);
        run(b.write_all(b"!")).unwrap();
        let one = b.io().written() - before;
        assert_eq!(a.hears().unwrap(), b"!");
        run(b.write_all(b"!")).unwrap();
        // A KeyUpdate of 5 bytes, and what seals it, came before the first.
        assert_eq!(one - (b.io().written() - before - one), 5 + 5 + 1 + 16);
        assert_eq!(a.hears().unwrap(), b"!");
    }
}

#[test]
fn new_keys_for_ever_are_too_many() {
    assert_refused(Versions::Tls13, Why::Flood, false, |channel| {
        (0..33).for_each(|_| channel.update().unwrap())
    });
}

#[test]
fn keys_change_when_they_have_sealed_enough() {
    let (mut a, mut b) = ends(Versions::Tls13);
    a.rudely(|channel| channel.wear_out());
    run(a.write_all(b"x")).unwrap();
    run(a.write_all(b"y")).unwrap();
    assert_eq!((b.hears().unwrap(), b.hears().unwrap()), (b"x".to_vec(), b"y".to_vec()));
    let (mut a, _b) = ends(Versions::Tls12);
    a.rudely(|channel| channel.wear_out());
    assert_eq!(run(a.write(b"x")), Err(Error::Tls(Failure::Exhausted)));
}

#[test]
fn messages_that_may_not_come() {
    let tls13 = |why, from_server, message: &'static [u8]| {
        assert_refused(Versions::Tls13, why, from_server, |channel| channel.seal(HANDSHAKE, message));
    };
    // New keys: not a bit, too short, with something after them, and in a record with something else.
    tls13(Why::Misbehaved, true, &[24, 0, 0, 1, 2]);
    tls13(Why::Misbehaved, true, &[24, 0, 0, 0]);
    tls13(Why::Misbehaved, true, &[24, 0, 0, 2, 0, 0]);
    tls13(Why::Unexpected, true, &[24, 0, 0, 1, 0, 24, 0, 0, 1, 0]);
    // A ticket from a client; certificates asked for; hellos; one of no kind; nothing at all.
    tls13(Why::Unexpected, false, &[4, 0, 0, 1, 0]);
    tls13(Why::Unexpected, true, &[13, 0, 0, 1, 0]);
    tls13(Why::Unexpected, false, &[1, 0, 0, 1, 0]);
    tls13(Why::Unexpected, true, &[0, 0, 0, 0]);
    tls13(Why::Unexpected, true, &[]);
    // Longer than any is.
    tls13(Why::TooLong, true, &[4, 0, 0x40, 1]);
    tls13(Why::TooLong, false, &[24, 0xff, 0xff, 0xff]);
    for (versions, kind, why) in [
        (Versions::Tls13, 20, Why::Unexpected),
        (Versions::Tls12, 20, Why::Unexpected),
        (Versions::Tls13, 24, Why::Unexpected),
    ] {
        assert_refused(versions, why, true, |channel| channel.seal(kind, &[1]));
    }
    for alert in [&[][..], &[1], &[1, 0, 0]] {
        assert_refused(Versions::Tls13, Why::Malformed, true, |channel| channel.seal(ALERT, alert));
    }
    // TLS 1.2 has no new keys.
    assert_refused(Versions::Tls12, Why::Unexpected, true, |channel| {
        channel.seal(HANDSHAKE, &[24, 0, 0, 1, 0])
    });
}

#[test]
fn messages_in_parts() {
    let (mut a, mut b) = ends(Versions::Tls13);
    let secrets = a.channel.borrow_mut().fresh().unwrap();
    a.rudely(|channel| {
        [24, 0, 0, 1, 0].iter().for_each(|byte| channel.seal(HANDSHAKE, &[*byte]));
        channel.renew(secrets);
        channel.seal(DATA, b"x");
    });
    assert_eq!(b.hears().unwrap(), b"x");
    // Nothing else may come between.
    assert_refused(Versions::Tls13, Why::Unexpected, true, |channel| {
        channel.seal(HANDSHAKE, &[4, 0]);
        channel.seal(DATA, b"x");
    });
}

#[test]
fn tickets_that_make_no_sense_are_not_used_and_many_are_too_many() {
    let (mut server, mut client) = ends(Versions::Tls13);
    server.rudely(|channel| channel.seal(HANDSHAKE, &[4, 0, 0, 1, 0]));
    server.rudely(|channel| channel.seal(DATA, b"x"));
    assert_eq!(client.hears().unwrap(), b"x");
    let ticket: Vec<u8> = [4, 0, 0, 1, 0].repeat(33);
    assert_refused(Versions::Tls13, Why::Flood, true, |channel| {
        ticket.chunks(5).for_each(|ticket| channel.seal(HANDSHAKE, ticket));
    });
}

#[test]
fn nobody_negotiates_again() {
    for (from_server, message) in [(true, &[0, 0, 0, 0][..]), (false, &[1, 0, 0, 2, 3, 3])] {
        let (mut from, mut to) = ends(Versions::Tls12);
        if !from_server {
            std::mem::swap(&mut from, &mut to);
        }
        from.rudely(|channel| {
            channel.seal(HANDSHAKE, message);
            channel.seal(DATA, b"x");
        });
        let before = to.io().written();
        assert_eq!(to.hears().unwrap(), b"x");
        assert_eq!(
            to.io().written() - before,
            5 + 2 + 16 + if from.channel.borrow().shows_nonces() { 8 } else { 0 }
        );
        run(to.write_all(b"y")).unwrap();
        assert_eq!(from.hears().unwrap(), b"y");
        assert_refused(Versions::Tls12, Why::Flood, from_server, |channel| {
            (0..33).for_each(|_| channel.seal(HANDSHAKE, message));
        });
    }
}

#[test]
fn records_that_say_too_much() {
    for (versions, max) in [(Versions::Tls13, (1 << 14) + 256), (Versions::Tls12, (1 << 14) + 2048)] {
        for (len, why) in [(max + 1, Why::TooLong), (0xffff, Why::TooLong)] {
            let (_from, mut to) = ends(versions);
            to.io().inject(&[DATA, 3, 3, (len >> 8) as u8, len as u8]);
            assert_eq!(to.hears(), Err(refused(why)));
        }
        // As long as it may be sealed, and longer than it may be opened.
        assert_refused(versions, Why::TooLong, true, |channel| channel.seal(DATA, &vec![7; (1 << 14) + 1]));
        let (mut from, mut to) = ends(versions);
        from.rudely(|channel| channel.seal(DATA, &vec![7; 1 << 14]));
        assert_eq!(to.hears().unwrap(), [7; 100]);
    }
}

#[test]
fn records_that_are_none() {
    for versions in BOTH {
        for header in [&b"GET /"[..], &[19, 3, 3, 0, 1], &[23, 2, 0, 0, 1], &[0, 0, 0, 0, 0]] {
            let (_from, mut to) = ends(versions);
            to.io().inject(header);
            assert_eq!(to.hears(), Err(refused(Why::Malformed)));
        }
        // Not sealed, and not long enough to be.
        for record in [&[21, 3, 3, 0, 2, 1, 0][..], &[23, 3, 3, 0, 0], &[20, 3, 3, 0, 1, 1]] {
            let (_from, mut to) = ends(versions);
            to.io().inject(record);
            assert_eq!(to.hears(), Err(refused(Why::Broken)), "{record:?}");
        }
    }
}

#[test]
fn any_bit_that_changes_is_noticed() {
    for versions in BOTH {
        let (mut from, to) = ends(versions);
        run(from.write_all(b"data")).unwrap();
        let record = to.io().drain();
        let mut tampered = 0;
        // Its version is looked at before it is opened, and its length says where it ends.
        for at in (0..8).chain(5 * 8..record.len() * 8) {
            let mut changed = record.clone();
            changed[at / 8] ^= 1 << (at % 8);
            assert!(!to.channel.borrow().would_open(&changed), "bit {at}");
            tampered += 1;
        }
        assert!(to.channel.borrow().would_open(&record) && tampered > 100);
    }
}

#[test]
fn a_connection_that_waits_has_no_buffers() {
    for versions in BOTH {
        let (mut a, mut b) = ends(versions);
        let mut got = vec![0; 100_000];
        run(both(async { a.write_all(&[1; 100_000]).await.unwrap() }, async {
            b.read_exact(&mut got).await.unwrap()
        }));
        run(both(async { a.flush().await.unwrap() }, async {
            // One that waits.
            let mut byte = [0];
            let read = std::pin::pin!(b.read(&mut byte));
            assert!(read.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_pending());
        }));
        assert_eq!((a.channel.borrow().held(), b.channel.borrow().held()), (0, 0));
        assert_eq!(a.facts().version == Version::Tls13, versions == Versions::Tls13);
    }
}
