//! The same application over TCP and in memory, on a clock that goes on when nobody has anything to do.

use embedded_io_async::{Read, Write};
use fata_conduit::{Address, Conduit, Error, Listener, Memory, Peer, Relayed, Stream, relay};
use fata_netstack::{Error as NetError, Stack};
use fata_random::Random;
use fata_resolve::{Config as Names, Resolver};
use fata_rt::Rt;
use fata_sim::{Rng, alone};
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// Two programs with a wire between them, which meet in memory too.
struct Two {
    client: Conduit,
    server: Conduit,
    stacks: [Stack; 2],
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn two(rt: &Rt) -> Two {
    let stacks = fata_ends::stacks(rt, "ip=10.0.0.1/24 ip6=fd00::1/64", "ip=10.0.0.2/24 ip6=fd00::2/64");
    let memory = Memory::new();
    let resolver = Resolver::new(&stacks[0], &Random::known(3), Names::default());
    let client = Conduit::new().with_names(&resolver).with_memory(&memory);
    let server = Conduit::new().with_stack(&stacks[1]).with_memory(&memory);
    #[cfg(feature = "tls")]
    let (client, server) = {
        let (tls_client, tls_server) = fata_ends::tls(rt, &["10.0.0.2", "fd00::2"]);
        (client.with_tls_client(&tls_client), server.with_tls_server(&tls_server))
    };
    Two { client, server, stacks }
}

#[cfg(feature = "tls")]
mod tls {
    use super::*;

    #[test]
    fn what_tls_agreed_upon_is_known() {
        alone(async |rt| {
            let two = two(&rt);
            let listener = two.server.listen(&address("tls://*:443")).unwrap();
            let served = rt.spawn(async move { echo(listener.accept().await.unwrap()).await });
            let stream = two.client.connect(&address("tls://10.0.0.2:443")).await.unwrap();
            assert_eq!(stream.facts().unwrap().version, fata_tls::Version::Tls13);
            stream.finish().await.unwrap();
            assert!(read_all(&stream).await.is_empty());
            served.await.unwrap();
        });
    }

    /// Who does not get on with it is not waited for by others, and not for ever.
    #[test]
    fn handshakes_are_nobody_elses_business() {
        alone(async |rt| {
            let two = two(&rt);
            let listener = two.server.listen(&address("tls://*:443")).unwrap();
            let failed = Rc::new(std::cell::RefCell::new(Vec::new()));
            let (failures, rt2) = (failed.clone(), rt.clone());
            let serving = rt.spawn(async move {
                let serve = move |stream: Result<Stream, Error>| {
                    let failures = failures.clone();
                    async move {
                        match stream {
                            Ok(stream) => echo(stream).await,
                            Err(error) => failures.borrow_mut().push(error.to_string()),
                        }
                    }
                };
                listener.serve(&rt2, 10, serve).await
            });
            let silent = two.client.connect(&address("tcp://10.0.0.2:443")).await.unwrap();
            let wrong = two.client.connect(&address("tcp://10.0.0.2:443")).await.unwrap();
            wrong.write(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            let stream = two.client.connect(&address("tls://10.0.0.2:443")).await.unwrap();
            stream.write(b"hello").await.unwrap();
            stream.finish().await.unwrap();
            assert_eq!(read_all(&stream).await, b"hello");
            rt.sleep(Duration::from_secs(11)).await;
            assert!(matches!(silent.read(&mut [0]).await, Ok(0) | Err(_)));
            let said = failed.take();
            assert_eq!(said.len(), 2, "{said:?}");
            assert_eq!(said[1], "TLS took too long to come about");
            // By another name it is another's.
            let other = two.client.connect(&address("tls://[fd00::2]:443")).await;
            assert!(other.is_ok());
            serving.abort();
        });
    }

    /// Echoes from now on, and counts those who took too long.
    fn serve_echo(rt: &Rt, two: &Two, most: usize) -> Rc<Cell<u32>> {
        let listener = two.server.listen(&address("tls://*:443")).unwrap();
        let (late, rt2) = (Rc::new(Cell::new(0)), rt.clone());
        let counted = late.clone();
        drop(rt.spawn(async move {
            let serve = move |stream: Result<Stream, Error>| {
                let counted = counted.clone();
                async move {
                    match stream {
                        Ok(stream) => echo(stream).await,
                        Err(Error::Late) => counted.set(counted.get() + 1),
                        Err(error) => panic!("{error}"),
                    }
                }
            };
            listener.serve(&rt2, most, serve).await
        }));
        late
    }

    /// Those who begin and do not go on make room for those who do.
    #[test]
    fn who_dawdles_does_not_keep_others_out() {
        alone(async |rt| {
            let two = two(&rt);
            let late = serve_echo(&rt, &two, 2);
            let dawdle = address("tcp://10.0.0.2:443");
            let dawdlers: Vec<_> = (0..150).map(|_| two.client.connect(&dawdle)).collect();
            let dawdlers = rt.timeout(Duration::from_secs(5), all(dawdlers)).await.unwrap();
            for round in 0..3 {
                let begun_ns = rt.now_ns();
                let stream = two.client.connect(&address("tls://10.0.0.2:443")).await.unwrap();
                stream.write(b"hello").await.unwrap();
                assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 5);
                assert!(rt.now_ns() - begun_ns < 3_000_000_000, "{round}");
            }
            // Those who were not in the way had their ten seconds, and some are younger than that.
            assert!((86..150).contains(&late.get()), "{}", late.get());
            rt.sleep(Duration::from_secs(11)).await;
            assert_eq!(late.get(), 150);
            drop(dawdlers);
        });
    }

    /// Who waits for a place, and is done with the handshake, need not fear those who are not.
    #[test]
    fn who_is_done_does_not_have_to_make_room() {
        alone(async |rt| {
            let two = two(&rt);
            let late = serve_echo(&rt, &two, 1);
            let to = address("tls://10.0.0.2:443");
            let served = two.client.connect(&to).await.unwrap();
            let waiting = two.client.connect(&to).await.unwrap();
            waiting.write(b"hello").await.unwrap();
            let dawdle = address("tcp://10.0.0.2:443");
            let _dawdlers = all((0..100).map(|_| two.client.connect(&dawdle)).collect()).await;
            rt.sleep(Duration::from_secs(2)).await;
            assert!(late.get() >= 36);
            drop(served);
            assert_eq!(waiting.read(&mut [0; 8]).await.unwrap(), 5);
        });
    }
}

/// Where a server listens, and where its client finds it.
const PAIRS: &[[&str; 2]] = &[
    #[cfg(feature = "tls")]
    ["tls://*:7", "tls://10.0.0.2:7"],
    #[cfg(feature = "tls")]
    ["tls://*:7", "tls://[fd00::2]:7"],
    ["tcp://*:7", "tcp://10.0.0.2:7"],
    ["tcp://10.0.0.2:7", "tcp://10.0.0.2:7"],
    ["tcp://*:7", "tcp://[fd00::2]:7"],
    ["memory://echo", "memory://echo"],
];

fn on_each(test: impl AsyncFn(&Rt, &Two, &Address, &Address)) {
    for &[at, to] in PAIRS {
        alone(async |rt| {
            let two = two(&rt);
            test(&rt, &two, &address(at), &address(to)).await;
            // All is closed on both sides, and forgotten.
            rt.sleep(Duration::from_secs(70)).await;
            assert_eq!(two.stacks.each_ref().map(Stack::sockets), [(0, 0); 2], "{at}");
        });
    }
}

async fn echo(mut stream: Stream) {
    let mut buffer = [0; 1000];
    while let Ok(len @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..len]).await.is_err() {
            return;
        }
    }
    let _ = stream.finish().await;
}

/// Waits for all of them.
async fn all<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.into_iter().map(|future| (Some(Box::pin(future)), None)).collect();
    poll_fn(|cx| {
        for (future, value) in &mut waiting {
            if let Some(Poll::Ready(done)) = future.as_mut().map(|future| future.as_mut().poll(cx)) {
                (*future, *value) = (None, Some(done));
            }
        }
        if waiting.iter().all(|(_, value)| value.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    waiting.into_iter().filter_map(|(_, value)| value).collect()
}

/// Both ends of a stream.
async fn meet(client: &Conduit, to: &Address, listener: &Listener) -> (Stream, Stream) {
    let ends: Vec<Pin<Box<dyn Future<Output = Stream> + '_>>> = vec![
        Box::pin(async { client.connect(to).await.unwrap() }),
        Box::pin(async { listener.accept().await.unwrap() }),
    ];
    let [ours, theirs] = all(ends).await.try_into().ok().unwrap();
    (ours, theirs)
}

async fn read_all(mut stream: &Stream) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), [0; 777]);
    while let len @ 1.. = Read::read(&mut stream, &mut buffer).await.unwrap() {
        all.extend(&buffer[..len]);
    }
    all
}

/// What is written, and its end, comes back; more than there is room for on the way.
#[test]
fn bytes_go_there_and_back() {
    on_each(async |rt, two, at, to| {
        let listener = two.server.listen(at).unwrap();
        let served = rt.spawn(async move { echo(listener.accept().await.unwrap()).await });
        let stream = Rc::new(two.client.connect(to).await.unwrap());
        assert_ne!(stream.peer(), Peer::Unknown);
        let bytes = Rng::new().bytes(300_000);
        let (writer, sent) = (stream.clone(), bytes.clone());
        let written = rt.spawn(async move {
            (&*writer).write_all(&sent).await.unwrap();
            writer.finish().await.unwrap();
        });
        assert!(read_all(&stream).await == bytes);
        written.await.unwrap();
        served.await.unwrap();
    });
}

/// Who has nothing more to say can be answered still; who has gone is not written to for ever.
#[test]
fn ends_are_told_apart() {
    on_each(async |_, two, at, to| {
        let listener = two.server.listen(at).unwrap();
        let (ours, mut theirs) = meet(&two.client, to, &listener).await;
        ours.finish().await.unwrap();
        assert!(ours.write(b"more").await.is_err());
        assert_eq!(theirs.read(&mut [0; 8]).await.unwrap(), 0);
        theirs.write_all(b"goodbye").await.unwrap();
        let mut buffer = [0; 8];
        assert_eq!(ours.read(&mut buffer).await.unwrap(), 7);
        ours.abort();
        let error = loop {
            if let Err(error) = theirs.write(&[0; 5000]).await {
                break error;
            }
        };
        assert!(matches!(error, Error::Gone | Error::Net(NetError::Reset)), "{error}");
    });
}

#[test]
fn as_many_are_served_at_a_time_as_may_be() {
    on_each(async |rt, two, at, to| {
        let listener = two.server.listen(at).unwrap();
        let counts = Rc::new(Cell::new((0, 0)));
        let (counted, rt2) = (counts.clone(), rt.clone());
        let serving = rt.spawn(async move {
            let rt3 = rt2.clone();
            let serve = move |stream: Result<_, _>| {
                let (counted, rt) = (counted.clone(), rt3.clone());
                async move {
                    let (open, most) = counted.get();
                    counted.set((open + 1, most.max(open + 1)));
                    // Others come meanwhile.
                    rt.sleep(Duration::from_secs(1)).await;
                    echo(stream.unwrap()).await;
                    let (open, most) = counted.get();
                    counted.set((open - 1, most));
                }
            };
            listener.serve(&rt2, 3, serve).await
        });
        let ask = async || {
            let mut stream = two.client.connect(to).await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            stream.finish().await.unwrap();
            assert_eq!(read_all(&stream).await, b"hello");
        };
        all((0..10).map(|_| ask()).collect()).await;
        rt.sleep(Duration::from_secs(1)).await;
        assert_eq!(counts.get(), (0, 3));
        serving.abort();
    });
}

/// From memory to TCP and on, with ends in between.
#[test]
fn a_relay_carries_both_ways_and_both_ends() {
    on_each(async |rt, two, at, to| {
        let front = two.server.listen(&address("memory://front")).unwrap();
        let back = two.server.listen(at).unwrap();
        let answered = rt.spawn(async move {
            let mut stream = back.accept().await.unwrap();
            // Not a byte before the end of the question.
            let asked = read_all(&stream).await;
            stream.write_all(&asked).await.unwrap();
            stream.write_all(b"!").await.unwrap();
            stream.finish().await.unwrap();
        });
        let bytes = Rng::new().bytes(100_000);
        let asking = {
            let (stream, bytes) =
                (two.client.connect(&address("memory://front")).await.unwrap(), bytes.clone());
            rt.spawn(async move {
                (&stream).write_all(&bytes).await.unwrap();
                stream.finish().await.unwrap();
                read_all(&stream).await
            })
        };
        let (one, other) = (front.accept().await.unwrap(), two.client.connect(to).await.unwrap());
        let Relayed { there, back, error } = relay(rt, &one, &other, Duration::from_secs(60)).await;
        drop((one, other));
        assert_eq!((there, back), (100_000, 100_001), "{error:?}");
        let mut expected = bytes;
        expected.push(b'!');
        assert!(asking.await.unwrap() == expected);
        answered.await.unwrap();
    });
}

/// Whoever carries for people who are silent lets go of them.
#[test]
fn a_relay_does_not_wait_for_ever() {
    on_each(async |rt, two, at, to| {
        let (listener, start_ns) = (two.server.listen(at).unwrap(), rt.now_ns());
        let (one, theirs) = meet(&two.client, to, &listener).await;
        let front = two.server.listen(&address("memory://front")).unwrap();
        let ours = two.client.connect(&address("memory://front")).await.unwrap();
        let other = front.accept().await.unwrap();
        let rt2 = rt.clone();
        let spoken = rt.spawn(async move {
            for _ in 0..3 {
                rt2.sleep(Duration::from_secs(4)).await;
                ours.write(b"word").await.unwrap();
            }
            rt2.sleep(Duration::from_secs(20)).await;
        });
        let Relayed { there, back, error } = relay(rt, &one, &other, Duration::from_secs(5)).await;
        assert_eq!((there, back), (0, 12));
        assert!(matches!(error, Some(Error::Idle)), "{error:?}");
        assert_eq!((rt.now_ns() - start_ns) / 1_000_000_000, 17);
        drop((one, other, theirs));
        spoken.await.unwrap();
    });
}

#[test]
fn what_is_not_there_is_refused_by_name() {
    alone(async |rt| {
        let two = two(&rt);
        let refused = |error: Option<Error>, text: &str| assert_eq!(error.unwrap().to_string(), text);
        refused(
            two.client.connect(&address("memory://nobody")).await.err(),
            "nobody listens there, or too many wait",
        );
        refused(two.client.connect(&address("vchan://0/web")).await.err(), "this program has no vchan");
        refused(two.client.listen(&address("tcp://*:1")).err(), "this program has no network");
        refused(two.server.connect(&address("tcp://10.0.0.1:1")).await.err(), "this program has no names");
        refused(
            two.server.listen(&address("tcp://www:1")).err(),
            "what is listened at must be an address or *",
        );
        refused(
            two.client.connect(&address("tcp://10.0.0.2:1")).await.err(),
            "10.0.0.2: the connection was refused",
        );
        let _one = two.server.listen(&address("tcp://*:1")).unwrap();
        refused(two.server.listen(&address("tcp://*:1")).err(), "the port is taken");
        let _two = two.server.listen(&address("memory://a")).unwrap();
        refused(two.server.listen(&address("memory://a")).err(), "somebody listens there already");
        // Nobody accepts, so not all can wait.
        let opened: Vec<_> = futures_of(&two.client, "memory://a", 65).await;
        assert_eq!(opened.iter().filter(|opened| **opened).count(), 64);
    });
}

async fn futures_of(client: &Conduit, to: &str, count: usize) -> Vec<bool> {
    let (to, mut streams) = (address(to), Vec::new());
    for _ in 0..count {
        streams.push(client.connect(&to).await);
    }
    streams.iter().map(Result::is_ok).collect()
}

/// Without TLS, which does not come about with somebody who only waits.
fn plain(to: &Address) -> Address {
    to.to_string().replace("tls:", "tcp:").parse().unwrap()
}

/// A place is free again once nobody listens there.
#[test]
fn a_place_can_be_taken_again() {
    on_each(async |_, two, at, to| {
        for _ in 0..3 {
            let listener = two.server.listen(at).unwrap();
            let waited = two.client.connect(&plain(to)).await.unwrap();
            drop(listener);
            // Those who waited are told.
            assert!(matches!(waited.read(&mut [0]).await, Ok(0) | Err(_)));
        }
    });
}
