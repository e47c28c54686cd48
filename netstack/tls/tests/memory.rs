//! What connections take of memory. A program of its own, since its allocator counts.

mod common;

use common::pki::Authority;
use common::{both, client, pipe, run, server};
use embedded_io_async::{Read, Write};
use fata_sim::Counted;
use fata_tls::{ClientOptions, ServerOptions, Versions};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

#[global_allocator]
static HEAP: Counted = Counted;

/// What a server's connection takes that waits, what it takes at most in a handshake, and what is added while data comes.
fn taken(versions: Versions) -> [isize; 3] {
    let authority = Authority::new("authority");
    let server = server(ServerOptions::new(authority.server("a.example")));
    let client = client(ClientOptions { versions, sessions: 0, ..ClientOptions::new(authority.trust()) });
    let mut cx = Context::from_waker(Waker::noop());
    let (near, far) = pipe::pair(1 << 16);
    // So that the pipe does not grow.
    run(async {
        let (mut a, mut b) = (far.again(), near.again());
        for _ in 0..2 {
            a.write_all(&[0; 1 << 16]).await.unwrap();
            b.read_exact(&mut [0; 1 << 16]).await.unwrap();
            std::mem::swap(&mut a, &mut b);
        }
    });
    let mut connect = pin!(client.connect(near, "a.example"));
    let (mut accept, mut held) = Counted::most(|| Box::pin(server.accept(far)));
    let (mut near, mut far, mut shaking) = (None, None, held);
    while far.is_none() || near.is_none() {
        if near.is_none()
            && let Poll::Ready(stream) = connect.as_mut().poll(&mut cx)
        {
            near = Some(stream.unwrap());
        }
        if far.is_none() {
            let before = Counted::held();
            let (polled, most) = Counted::most(|| accept.as_mut().poll(&mut cx));
            shaking = shaking.max(held + most);
            held += Counted::held() - before;
            if let Poll::Ready(stream) = polled {
                far = Some(stream.unwrap());
            }
        }
    }
    let (mut near, mut far) = (near.unwrap(), Box::new(far.unwrap()));
    run(near.write_all(&[1; 40_000])).unwrap();
    let mut got = [0; 40_000];
    let (_, talking) = Counted::most(|| run(far.read_exact(&mut got)));
    // It waits for the next.
    assert!(pin!(far.read(&mut [0])).poll(&mut cx).is_pending());
    run(both(async { far.write_all(&[1; 40_000]).await.unwrap() }, async {
        near.read_exact(&mut got).await.unwrap()
    }));
    assert_eq!(far.buffered(), 0);
    let before = Counted::held();
    drop(far);
    [before - Counted::held(), shaking, talking]
}

#[test]
fn connections_that_wait_take_little() {
    for versions in [Versions::Tls13, Versions::Tls12] {
        let [waiting, shaking, talking] = taken(versions);
        println!(
            "{versions:?}: waiting {waiting}, in the handshake up to {shaking}, with data {talking} more"
        );
        assert!((300..4000).contains(&waiting) && shaking < 20_000 && talking < 40_000);
    }
}
