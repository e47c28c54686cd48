//! A connection of two ends, of which one can be made to say anything.

use crate::script::Script;
use embedded_io_async::{ErrorType, Read, Write};
use fata_random::Random;
use fata_rt::{Executor, Machine};
use fata_time::Clock;
use fata_tls::{
    Client, ClientOptions, Clients, Error, Failure, Identity, Server, ServerOptions, Stream, Trust, Versions,
};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

pub(crate) const AUTHORITY: &[u8] = include_bytes!("../../../netstack/tls/tests/data/authority.pem");
pub(crate) const SERVER: &[u8] = include_bytes!("../../../netstack/tls/tests/data/server.pem");
pub(crate) const CLIENT: &[u8] = include_bytes!("../../../netstack/tls/tests/data/client.pem");
pub(crate) const REVOKED: &[u8] = include_bytes!("../../../netstack/tls/tests/data/revoked.pem");

/// What either end's buffers may take.
const HELD_MAX: usize = 80 << 10;
/// Rounds in which nothing happens any more.
const ROUNDS: usize = 12;

/// One direction.
#[derive(Default)]
struct Way {
    bytes: VecDeque<u8>,
    ended: bool,
}

/// One end.
#[derive(Clone, Default)]
struct End {
    into: Rc<RefCell<Way>>,
    out: Rc<RefCell<Way>>,
}

impl ErrorType for End {
    type Error = Infallible;
}

impl Read for End {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Infallible> {
        poll_fn(|_| {
            let mut way = self.into.borrow_mut();
            let len = way.bytes.len().min(into.len());
            way.bytes.drain(..len).zip(into.iter_mut()).for_each(|(byte, into)| *into = byte);
            if len == 0 && !way.ended { Poll::Pending } else { Poll::Ready(Ok(len)) }
        })
        .await
    }
}

impl Write for End {
    async fn write(&mut self, from: &[u8]) -> Result<usize, Infallible> {
        self.out.borrow_mut().bytes.extend(from);
        Ok(from.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// A machine on which nothing happens.
struct Still;

impl Machine for Still {
    fn demux(&self) {}
    fn idle(&self, _: Option<u64>) {}
    fn now_ns(&self) -> u64 {
        0
    }
}

fn once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

type Shaken = Result<Stream<End>, Error<Infallible>>;

/// A handshake, and what came of it.
struct Shake<'a> {
    future: Option<Pin<Box<dyn Future<Output = Shaken> + 'a>>>,
    stream: Option<Stream<End>>,
}

impl<'a> Shake<'a> {
    fn new(future: impl Future<Output = Shaken> + 'a) -> Self {
        Self { future: Some(Box::pin(future)), stream: None }
    }

    /// Goes on; whether it is over.
    fn go_on(&mut self) -> bool {
        let Some(future) = &mut self.future else { return true };
        let Poll::Ready(shaken) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            return false;
        };
        self.future = None;
        self.stream = shaken.ok();
        true
    }
}

/// An input: which ends, how what the other end says is changed, and what it says afterwards. `server`: the end that has to
/// bear it.
pub(crate) fn play(server: bool, input: &[u8]) {
    let mut script = Script(input);
    let Some(manner) = script.byte() else { return };
    let clock = Clock::new(&Executor::new(Rc::new(Still)).rt(), || Some(Duration::from_secs(1_800_000_000)));
    let trust = || Trust::pem(AUTHORITY).unwrap();
    let versions = if manner & 1 == 0 { Versions::Tls13 } else { Versions::Tls12 };
    let clients = if manner & 2 == 0 { Clients::Anybody } else { Clients::MayShow(trust()) };
    let identity = (manner & 2 != 0).then(|| Identity::from_pem(CLIENT).unwrap());
    let options = ServerOptions::new(Identity::from_pem(SERVER).unwrap());
    let accepting = Server::new(ServerOptions { clients, ..options }, &Random::known(1), &clock);
    let options = ClientOptions { versions, identity, ..ClientOptions::new(trust()) };
    let calling = Client::new(options, &Random::known(2), &clock);
    let (near, far) = (End::default(), End::default());
    let shake = |server, end: &End| match server {
        true => Shake::new(accepting.accept(end.clone())),
        false => Shake::new(calling.connect(end.clone(), "server.example")),
    };
    let (mut bears, mut says) = (shake(server, &near), shake(!server, &far));
    let mut honest = false;
    if manner & 4 == 0 {
        honest = shake_hands(&mut script, (&near, &mut bears), (&far, &mut says));
    } else {
        // Nobody but the input speaks.
        near.into.borrow_mut().bytes.extend(script.bytes(usize::MAX));
    }
    let (Some(mut stream), Some(mut other)) = (bears.stream.take(), says.stream.take()) else {
        assert!(!honest);
        near.into.borrow_mut().ended = true;
        // It comes to an end when there is nothing more.
        assert!((0..ROUNDS).any(|_| bears.go_on()));
        return;
    };
    converse(&mut script, (&near, &mut stream), (&far, &mut other));
}

/// Lets both go on while what the one says is changed as the input says; whether nothing was.
fn shake_hands(script: &mut Script<'_>, near: (&End, &mut Shake<'_>), far: (&End, &mut Shake<'_>)) -> bool {
    let changes: Vec<_> =
        (0..script.below(4).unwrap_or(0)).map_while(|_| Some((script.word()?, script.byte()?))).collect();
    let mut passed = 0;
    for _ in 0..ROUNDS {
        far.1.go_on();
        let said: Vec<u8> = far.0.out.borrow_mut().bytes.drain(..).collect();
        for byte in said {
            let mut heard = vec![byte];
            for (what, value) in &changes {
                if (what & 0xffff) as usize == passed {
                    match what >> 16 & 3 {
                        0 => heard.iter_mut().for_each(|byte| *byte ^= value),
                        1 => heard.clear(),
                        2 => heard.extend(std::iter::repeat_n(*value, usize::from(*value))),
                        _ => heard = vec![*value],
                    }
                }
            }
            near.0.into.borrow_mut().bytes.extend(heard);
            passed += 1;
        }
        near.1.go_on();
        let answer: Vec<u8> = near.0.out.borrow_mut().bytes.drain(..).collect();
        far.0.into.borrow_mut().bytes.extend(answer);
    }
    changes.is_empty()
}

/// Says things, and looks at what is made of them.
fn converse(script: &mut Script<'_>, near: (&End, &mut Stream<End>), far: (&End, &mut Stream<End>)) {
    let ((near, stream), (far, other)) = (near, far);
    // What was sealed as data by who has the keys: nothing else may be read.
    let mut sealed = VecDeque::new();
    let mut failed = None;
    let mut steps = 0;
    while let Some(step) = script.byte() {
        steps += 1;
        if steps > 200 {
            break;
        }
        let len = usize::from(script.byte().unwrap_or(0));
        match step % 8 {
            0 => {
                let kind = [20, 21, 22, 23, 24, 0][len % 6];
                let said = script.bytes(len);
                // In TLS 1.3 a type of zero is padding, and the type is before that.
                let end = said.iter().rposition(|byte| *byte != 0);
                match end {
                    _ if kind == 23 => sealed.extend(said),
                    Some(end) if kind == 0 && said[end] == 23 => sealed.extend(&said[..end]),
                    _ => {}
                }
                other.seal(kind, said);
            }
            1 => near.into.borrow_mut().bytes.extend(script.bytes(len)),
            2 => other.ask_for_update(),
            3 => {
                let said = vec![step; len << (step >> 4)];
                if let Some(Ok(count)) = once(other.write(&said)) {
                    sealed.extend(&said[..count]);
                }
            }
            4 => _ = once(stream.write(&vec![step; len << (step >> 4)])),
            5 => {
                let mut way = far.out.borrow_mut();
                let at = len << (step >> 4) & 0x7fff;
                if let Some(byte) = way.bytes.get_mut(at) {
                    *byte ^= step | 1;
                }
            }
            6 => _ = once(other.close()),
            _ => _ = once(stream.close()),
        }
        let _ = once(other.flush());
        let said: Vec<u8> = far.out.borrow_mut().bytes.drain(..).collect();
        near.into.borrow_mut().bytes.extend(said);
        hear(stream, len, &mut sealed, &mut failed);
        let said: Vec<u8> = near.out.borrow_mut().bytes.drain(..).collect();
        far.into.borrow_mut().bytes.extend(said);
        let _ = once(other.read(&mut [0; 99]));
        assert!(stream.buffered() <= HELD_MAX, "{}", stream.buffered());
    }
    near.into.borrow_mut().ended = true;
    assert!((0..100_000).any(|_| hear(stream, 4096, &mut sealed, &mut failed)));
}

/// Reads once; whether that was the end.
fn hear(
    stream: &mut Stream<End>,
    len: usize,
    sealed: &mut VecDeque<u8>,
    failed: &mut Option<Failure>,
) -> bool {
    let mut into = vec![0; len + 1];
    match once(stream.read(&mut into)) {
        None => false,
        Some(Ok(0)) => {
            assert!(failed.is_none());
            true
        }
        Some(Ok(count)) => {
            assert!(failed.is_none() && sealed.drain(..count).eq(into[..count].iter().copied()));
            false
        }
        Some(Err(Error::Tls(failure))) => {
            assert_eq!(*failed.get_or_insert(failure), failure);
            assert!(failure.to_string().len() < 200);
            true
        }
    }
}
