//! Streams: bytes that come in any pieces, ends that are none, waits that are given up, two tasks at once.

mod common;

use common::pipe::{End, Gone, pair};
use common::pki::{Authority, Wish};
use common::{both, client, failure, run, server};
use embedded_io_async::{Read, Write};
use fata_tls::{
    Alert, Client, ClientOptions, Clients, Error, Failure, Server, ServerOptions, Stream, Versions, Why,
};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

const BOTH: [Versions; 2] = [Versions::Tls13, Versions::Tls12];

/// A server and a client who ask each other for certificates. Signatures with these keys are all of the same length.
fn mutual(versions: Versions) -> (Client, Server) {
    let algorithm = &rcgen::PKCS_ED25519;
    let authority = Authority::with("authority", algorithm);
    let identity = Some(authority.make(&Wish { algorithm, ..Wish::client() }).identity());
    let options =
        ServerOptions::new(authority.make(&Wish { algorithm, ..Wish::server("a.example") }).identity());
    let server = server(ServerOptions { clients: Clients::MustShow(authority.trust()), ..options });
    (client(ClientOptions { versions, identity, ..ClientOptions::new(authority.trust()) }), server)
}

/// Their streams, client first.
fn streams(versions: Versions, room: usize) -> (Stream<End>, Stream<End>) {
    let (client, server) = mutual(versions);
    let (near, far) = pair(room);
    let (near, far) = run(both(client.connect(near, "a.example"), server.accept(far)));
    (near.unwrap(), far.unwrap())
}

/// Does a future as far as it goes at once, and gives it up.
fn give_up<T>(future: impl Future<Output = T>) {
    assert!(pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

#[test]
fn in_pieces_of_every_length() {
    for versions in BOTH {
        let (client, server) = mutual(versions);
        for len in (1..40).chain([100, 1000]) {
            let (near, far) = pair(1 << 16);
            near.pieces(len);
            let (near, far) = run(both(client.connect(near, "a.example"), server.accept(far)));
            let (mut near, mut far) = (near.unwrap(), far.unwrap());
            let mut got = vec![0; 3000];
            run(both(async { near.write_all(&[5; 3000]).await.unwrap() }, async {
                far.read_exact(&mut got).await.unwrap()
            }));
            assert_eq!(got, [5; 3000]);
        }
    }
}

/// Whether who hears gets all, when so much gets through from one end to the other.
fn whole_after(versions: Versions, from_client: bool, at: usize) -> bool {
    let (client, server) = mutual(versions);
    let ((near, near_wire), (far_wire, far)) = (pair(1 << 16), pair(1 << 16));
    // Copies from one pipe to the other, up to so many bytes in one direction.
    let copy = async |mut from: End, mut to: End, most: usize| {
        let (mut done, mut bytes) = (0, [0; 512]);
        while done < most {
            let Ok(len) = from.read(&mut bytes).await else { break };
            let len = len.min(most - done);
            if len == 0 || to.write_all(&bytes[..len]).await.is_err() {
                break;
            }
            done += len;
        }
        to.end();
    };
    let (most_up, most_down) = if from_client { (at, usize::MAX) } else { (usize::MAX, at) };
    let up = copy(near_wire.again(), far_wire.again(), most_up);
    let down = copy(far_wire, near_wire, most_down);
    let talk = async |stream: Result<Stream<End>, Error<Gone>>| {
        let mut stream = stream?;
        stream.write_all(b"all").await?;
        stream.close().await?;
        let mut all = Vec::new();
        let mut bytes = [0; 10];
        loop {
            match stream.read(&mut bytes).await? {
                0 => return Ok(all),
                len => all.extend_from_slice(&bytes[..len]),
            }
        }
    };
    let near = async { talk(client.connect(near, "a.example").await).await };
    let far = async { talk(server.accept(far).await).await };
    let ((near, far), _) = run(both(both(near, far), both(up, down)));
    match if from_client { far } else { near } {
        Ok(all) => assert_eq!(all, b"all"),
        Err(Error::Tls(Failure::Truncated) | Error::Transport(Gone)) => return false,
        Err(error) => panic!("{error}"),
    }
    true
}

#[test]
fn a_connection_that_is_cut_off_anywhere_is_not_taken_for_a_whole_one() {
    for versions in BOTH {
        for from_client in [true, false] {
            // At the ends of records, and in the middle of them.
            let some =
                (0..1000).map(|at| at * 83).find(|at| whole_after(versions, from_client, *at)).unwrap();
            assert!(some > 500);
            let all = (some - 82..=some).find(|at| whole_after(versions, from_client, *at)).unwrap();
            assert!((all - 30..all).all(|at| !whole_after(versions, from_client, at)));
        }
    }
}

#[test]
fn an_end_without_a_word_is_an_error_and_stays_one() {
    for versions in BOTH {
        let (mut near, mut far) = streams(versions, 1 << 16);
        run(near.write_all(b"some")).unwrap();
        near.io().end();
        let mut bytes = [0; 10];
        // What came is still given.
        assert_eq!(run(far.read(&mut bytes)), Ok(4));
        assert_eq!(run(far.read(&mut bytes)), Err(Error::Tls(Failure::Truncated)));
        assert_eq!(run(far.read(&mut bytes)), Err(Error::Tls(Failure::Truncated)));
        assert_eq!(run(far.write(b"x")), Err(Error::Tls(Failure::Truncated)));
    }
}

#[test]
fn one_end_closes_and_the_other_goes_on() {
    for versions in BOTH {
        let (mut near, mut far) = streams(versions, 1 << 16);
        run(async {
            near.close().await.unwrap();
            near.close().await.unwrap();
            let mut bytes = [0; 10];
            assert_eq!(near.write(b"x").await, Err(Error::Tls(Failure::Closed)));
            assert_eq!(far.read(&mut bytes).await, Ok(0));
            far.write_all(b"more").await.unwrap();
            assert_eq!(near.read(&mut bytes).await, Ok(4));
            far.close().await.unwrap();
            assert_eq!((near.read(&mut bytes).await, near.read(&mut bytes).await), (Ok(0), Ok(0)));
            // What comes after that is not looked at.
            near.io().inject(b"anything");
            assert_eq!(near.read(&mut bytes).await, Ok(0));
        });
    }
}

#[test]
fn a_transport_that_fails_is_not_the_protocol() {
    for versions in BOTH {
        let (mut near, mut far) = streams(versions, 1 << 16);
        near.io().break_off();
        assert_eq!(run(near.read(&mut [0])), Err(Error::Transport(Gone)));
        assert_eq!(run(far.write(b"x")), Err(Error::Transport(Gone)));
    }
    let (client, server) = mutual(Versions::Both);
    let (near, far) = pair(1 << 16);
    near.break_off();
    let (near, far) = run(both(client.connect(near, "a.example"), server.accept(far)));
    assert_eq!((near.map(drop), far.map(drop)), (Err(Error::Transport(Gone)), Err(Error::Transport(Gone))));
}

#[test]
fn reads_and_writes_that_are_given_up_have_done_nothing() {
    for versions in BOTH {
        let (mut near, mut far) = streams(versions, 200);
        let data: Vec<u8> = (0..50_000u32).map(|n| (n / 5) as u8).collect();
        let (mut sent, mut got) = (0, Vec::new());
        let mut bytes = [0; 97];
        while got.len() < data.len() {
            // One that goes through says how much, and one that does not is given up.
            let waker = Waker::noop();
            let mut cx = Context::from_waker(waker);
            if sent < data.len()
                && let Poll::Ready(len) =
                    pin!(near.write(&data[sent..data.len().min(sent + 700)])).poll(&mut cx)
            {
                sent += len.unwrap();
            }
            if sent == data.len() {
                let _ = pin!(near.flush()).poll(&mut cx);
            }
            let read = {
                let read = pin!(far.read(&mut bytes));
                read.poll(&mut cx)
            };
            if let Poll::Ready(len) = read {
                got.extend_from_slice(&bytes[..len.unwrap()]);
            }
        }
        assert_eq!(got, data);
        give_up(far.read(&mut bytes));
    }
}

#[test]
fn both_directions_at_once_from_two_tasks() {
    for versions in BOTH {
        let (near, far) = streams(versions, 300);
        let data: Vec<u8> = (0..100_000u32).map(|n| (n / 3) as u8).collect();
        let write = async |stream: &Stream<End>| {
            let mut writer = stream;
            writer.write_all(&data).await.unwrap();
            stream.close_shared().await.unwrap();
        };
        let read = async |stream: &Stream<End>| {
            let (mut reader, mut got, mut bytes) = (stream, Vec::new(), [0; 1000]);
            while let len @ 1.. = reader.read(&mut bytes).await.unwrap() {
                got.extend_from_slice(&bytes[..len]);
            }
            assert_eq!(got, data);
        };
        run(both(both(write(&near), read(&near)), both(write(&far), read(&far))));
    }
}

#[test]
fn what_was_written_is_sent_by_who_reads() {
    for versions in BOTH {
        let (mut near, mut far) = streams(versions, 100);
        // Too much for the pipe, and done nevertheless; nobody flushes.
        assert_eq!(run(near.write(&[7; 1000])), Ok(1000));
        let answer = async {
            far.read_exact(&mut [0; 1000]).await.unwrap();
            far.write_all(b"answer").await.unwrap();
        };
        let mut bytes = [0; 6];
        run(both(answer, async { near.read_exact(&mut bytes).await.unwrap() }));
        assert_eq!(&bytes, b"answer");
    }
}

#[test]
fn a_hello_in_one_byte_records_and_one_in_too_many() {
    let authority = Authority::new("authority");
    let server = server(ServerOptions::new(authority.server("a.example")));
    let client = client(ClientOptions::new(authority.trust()));
    let (near, wire) = pair(1 << 16);
    give_up(client.connect(near, "a.example"));
    let hello = wire.drain();
    let split: Vec<u8> = hello[5..].iter().flat_map(|byte| [22, 3, 1, 0, 1, *byte]).collect();
    let (near, far) = pair(1 << 16);
    far.inject(&split);
    give_up(server.accept(far));
    assert_eq!(near.drain()[0], 22);
    // A message of 60,000 bytes may come, but not like that.
    let (near, far) = pair(1 << 16);
    far.inject(&[22, 3, 1, 0, 4, 1, 0, 0xea, 0x60]);
    far.inject(&[22, 3, 1, 0, 1, 0].repeat(2000));
    let why = Why::Flood;
    assert_eq!(failure(run(server.accept(far))), Failure::Refused { alert: Alert::UNEXPECTED_MESSAGE, why });
    assert_eq!(near.drain(), [21, 3, 3, 0, 2, 2, 10]);
}

#[test]
fn what_is_no_hello() {
    let authority = Authority::new("authority");
    let server = server(ServerOptions::new(authority.server("a.example")));
    for (bytes, why) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], Why::Malformed),
        // Longer than records are.
        (&[22, 3, 1, 0x48, 1], Why::TooLong),
        (&[22, 3, 1, 0xff, 0xff], Why::TooLong),
        // A message longer than any, an empty record, data, a version of long ago.
        (&[22, 3, 1, 0, 4, 1, 1, 0, 0], Why::Malformed),
        (&[22, 3, 1, 0, 0], Why::Malformed),
        (&[23, 3, 3, 0, 1, 0], Why::Unexpected),
        (&[0x80, 46, 1, 0, 2, 0, 21], Why::Malformed),
    ] {
        let (near, far) = pair(1 << 20);
        far.inject(bytes);
        far.inject(&[0; 20_000]);
        let Failure::Refused { alert, why: said } = failure(run(server.accept(far))) else { panic!() };
        assert_eq!(said, why, "{bytes:?}");
        // The peer has been told in the clear.
        assert_eq!(near.drain(), [21, 3, 3, 0, 2, 2, alert.0], "{bytes:?}");
    }
    // Whoever gives up in the clear is heard. Whoever says that it is finished might be anybody: the end has to come.
    let (fatal, finished) = ([21, 3, 3, 0, 2, 2, 40], [21, 3, 3, 0, 2, 1, 0]);
    for (bytes, said) in
        [(fatal, Failure::Received(Alert::HANDSHAKE_FAILURE)), (finished, Failure::Truncated)]
    {
        let (near, far) = pair(1 << 16);
        far.inject(&bytes);
        near.end();
        assert_eq!(failure(run(server.accept(far))), said);
    }
}
