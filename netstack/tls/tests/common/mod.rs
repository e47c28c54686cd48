//! A pipe, a clock, authorities that vouch for anything, and both ends of a connection in one thread.
#![allow(dead_code, reason = "each test uses some of it")]

pub(crate) mod pipe;
pub(crate) mod pki;

use fata_random::Random;
use fata_rt::{Executor, Machine};
use fata_time::Clock;
use fata_tls::{Client, ClientOptions, Error, Failure, Server, ServerOptions, Stream};
use pipe::{End, Gone};
use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// 2026-11-25, a Wednesday.
pub(crate) const NOW: u64 = 1_795_600_000;

struct Still;

impl Machine for Still {
    fn demux(&self) {}
    fn idle(&self, _: Option<u64>) {}
    fn now_ns(&self) -> u64 {
        0
    }
}

/// What time it is; zero if nobody knows.
#[derive(Clone)]
pub(crate) struct Time(Rc<Cell<u64>>, Clock);

impl Time {
    pub(crate) fn at(seconds: u64) -> Self {
        let cell = Rc::new(Cell::new(seconds));
        let seen = cell.clone();
        let rt = Executor::new(Rc::new(Still)).rt();
        let xen = move || Some(seen.get()).filter(|now| *now > 0).map(Duration::from_secs);
        Self(cell, Clock::new(&rt, xen))
    }

    pub(crate) fn set(&self, seconds: u64) {
        self.0.set(seconds);
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.1
    }
}

pub(crate) fn server(options: ServerOptions) -> Server {
    Server::new(options, &Random::known(1), Time::at(NOW).clock())
}

pub(crate) fn client(options: ClientOptions) -> Client {
    Client::new(options, &Random::known(2), Time::at(NOW).clock())
}

/// Runs a future whose every wait is for something that another of its parts does.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    for _ in 0..10_000_000 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
    panic!("it waits for ever");
}

/// Two futures at once.
pub(crate) async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut from_a, mut from_b) = (None, None);
    std::future::poll_fn(|cx| {
        if from_a.is_none()
            && let Poll::Ready(value) = a.as_mut().poll(cx)
        {
            from_a = Some(value);
        }
        if from_b.is_none()
            && let Poll::Ready(value) = b.as_mut().poll(cx)
        {
            from_b = Some(value);
        }
        if from_a.is_some() && from_b.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (from_a.unwrap(), from_b.unwrap())
}

pub(crate) type Shaken = Result<Stream<End>, Error<Gone>>;

/// A handshake of both.
pub(crate) fn shake(client: &Client, server: &Server, name: &str) -> (Shaken, Shaken) {
    let (near, far) = pipe::pair(1 << 16);
    run(both(client.connect(near, name), server.accept(far)))
}

/// What a failed handshake says.
pub(crate) fn failure(shaken: Shaken) -> Failure {
    match shaken {
        Err(Error::Tls(failure)) => failure,
        other => panic!("{other:?}"),
    }
}
