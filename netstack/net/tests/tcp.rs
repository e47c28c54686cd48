//! TCP streams, over good links and bad ones.

mod net;

use embedded_io_async::{Read, Write};
use fata_link::{Plan, wire};
use fata_netstack::tcp::Options;
use fata_netstack::{Error, IpEndpoint, Stack, TcpStream};
use fata_rt::Rt;
use fata_sim::Rng;
use net::{A, B, address, bad_pair, pair, run};
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;

fn to(text: &str) -> IpEndpoint {
    IpEndpoint::new(address(text), 80)
}

/// The byte at a place of a stream.
fn byte(seed: u64, at: usize) -> u8 {
    (seed as usize + at + at / 251 + at / 65_537) as u8
}

async fn write(stream: &TcpStream, seed: u64, total: usize) -> Result<(), Error> {
    let mut sent = 0;
    while sent < total {
        let size = (total - sent).min(1 + (sent * 31 + 7) % 20_000);
        let chunk: Vec<u8> = (sent..sent + size).map(|at| byte(seed, at)).collect();
        (&*stream).write_all(&chunk).await?;
        sent += size;
    }
    stream.shutdown();
    Ok(())
}

/// Gives how many bytes there were.
async fn verify(stream: &TcpStream, seed: u64) -> Result<usize, Error> {
    let (mut at, mut buffer) = (0, vec![0; 10_000]);
    loop {
        let size = 1 + at * 17 % buffer.len();
        match (&*stream).read(&mut buffer[..size]).await? {
            0 => return Ok(at),
            len => {
                for (offset, is) in buffer[..len].iter().enumerate() {
                    assert_eq!(*is, byte(seed, at + offset), "at {}", at + offset);
                }
                at += len;
            }
        }
    }
}

/// Both ways at the same time, to the end.
async fn exchange(rt: &Rt, stream: TcpStream, seed: u64, total: usize) -> Result<(), Error> {
    let stream = Rc::new(stream);
    let writer = stream.clone();
    let write = rt.spawn(async move { write(&writer, seed, total).await });
    assert_eq!(verify(&stream, seed).await?, total);
    write.await.unwrap()?;
    stream.settled().await
}

async fn both(rt: &Rt, a: &Stack, b: &Stack, at: &str, total: usize, options: Options) {
    let listener = b.listen(80, 4, options).unwrap();
    let rt2 = rt.clone();
    let server = rt.spawn(async move {
        let stream = listener.accept().await;
        exchange(&rt2, stream, 5, total).await
    });
    let stream = a.connect(to(at), options).await.unwrap();
    exchange(rt, stream, 5, total).await.unwrap();
    server.await.unwrap().unwrap();
    // The end of connections takes a while, and then nothing is left.
    rt.sleep(Duration::from_secs(61)).await;
    assert_eq!((a.sockets(), b.sockets()), ((0, 0), (0, 0)));
}

#[test]
fn streams_arrive_over_every_kind_of_link() {
    let segmentation = NonZeroUsize::new(65_000);
    for (mtu, checksum_offload, segmentation) in
        [(1280, false, None), (1500, false, None), (9000, true, None), (1500, true, segmentation)]
    {
        for there in B {
            run(async |rt| {
                let link = wire::Options { mtu, checksum_offload, segmentation, ..wire::Options::default() };
                let (a, b, _) = pair(&rt, link);
                both(&rt, &a, &b, there, 3_000_000, Options::default()).await;
            });
        }
    }
}

#[test]
fn large_windows_and_tiny_buffers_do_as_well() {
    for size in [1000, 5000, 1 << 20] {
        run(async |rt| {
            let (a, b, _) = pair(&rt, wire::Options::default());
            let options = Options { receive: size, send: size, ..Options::default() };
            both(&rt, &a, &b, B[0], 400_000, options).await;
        });
    }
}

/// Both windows are full again and again, and become smaller by what their units leave over.
#[test]
fn an_echo_that_fills_all_windows_goes_on() {
    const TOTAL: usize = 3_000_000;
    for (receive, send) in [(300_001, 70_001), (1_000_003, 3000), (262_143, 65_000)] {
        let options = Options { receive, send, ..Options::default() };
        run(async |rt| {
            let (a, b, _) = pair(&rt, wire::Options::default());
            let listener = b.listen(80, 1, options).unwrap();
            let server = rt.spawn(async move {
                let stream = listener.accept().await;
                let mut buffer = vec![0; 7777];
                loop {
                    match (&stream).read(&mut buffer).await.unwrap() {
                        0 => return stream.shutdown(),
                        len => (&stream).write_all(&buffer[..len]).await.unwrap(),
                    }
                }
            });
            let stream = a.connect(to(B[0]), options).await.unwrap();
            exchange(&rt, stream, 5, TOTAL).await.unwrap();
            server.await.unwrap();
        });
    }
}

#[test]
fn streams_are_exact_over_a_bad_link() {
    let mut random = Rng::new();
    let late = smoltcp::time::Duration::from_millis(3);
    let jitter = smoltcp::time::Duration::from_micros(500);
    let plans = [
        Plan { loss: 100, ..Plan::default() },
        Plan { duplicate: 100, ..Plan::default() },
        Plan { corrupt: 100, ..Plan::default() },
        Plan { reorder: 100, late, ..Plan::default() },
        Plan { loss: 50, duplicate: 50, corrupt: 50, reorder: 50, late, jitter, delay: late },
    ];
    for plan in plans {
        for (there, checksum_offload) in B.into_iter().flat_map(|there| [(there, false), (there, true)]) {
            // Who relies on the link for checksums does not notice what it spoils.
            let plan = if checksum_offload { Plan { corrupt: 0, ..plan } } else { plan };
            run(async |rt| {
                let link = wire::Options { checksum_offload, room: 20, ..wire::Options::default() };
                let (a, b, _) = bad_pair(&rt, link, plan, &mut random);
                println!("{plan:?}");
                let listener = b.listen(80, 4, Options::default()).unwrap();
                let rt2 = rt.clone();
                let server = rt.spawn(async move {
                    let stream = listener.accept().await;
                    exchange(&rt2, stream, 9, 150_000).await
                });
                acquaint(&rt, &a, there).await;
                let stream = a.connect(to(there), Options::default()).await.unwrap();
                exchange(&rt, stream, 9, 150_000).await.unwrap();
                server.await.unwrap().unwrap();
            });
        }
    }
}

/// Has stacks know each other's cards. ARP has no checksum, so what spoils frames gives them wrong addresses, for a minute.
async fn acquaint(rt: &Rt, a: &Stack, there: &str) {
    let mut pinger = a.pinger(address(there), 8).await.unwrap();
    while rt.timeout(Duration::from_secs(70), pinger.ping(&[0; 8])).await.is_err() {}
}

/// Down and up again, several times, each time as another link, while a stream is on its way.
#[test]
fn a_stream_survives_the_link() {
    let links = [
        wire::Options { mtu: 9000, ..wire::Options::default() },
        wire::Options { mtu: 1280, ..wire::Options::default() },
        wire::Options {
            checksum_offload: true,
            segmentation: NonZeroUsize::new(60_000),
            ..wire::Options::default()
        },
        wire::Options { checksum_offload: true, mtu: 1280, ..wire::Options::default() },
        wire::Options::default(),
    ];
    for there in B {
        run(async |rt| {
            let (a, b, cable) = pair(&rt, wire::Options::default());
            let listener = b.listen(80, 4, Options::default()).unwrap();
            let total = 20_000_000;
            let server = rt.spawn(async move {
                let stream = listener.accept().await;
                write(&stream, 3, total).await.unwrap();
                stream.settled().await
            });
            let stream = a.connect(to(there), Options::default()).await.unwrap();
            let (rt2, cable2) = (rt.clone(), cable.clone());
            let trouble = rt.spawn(async move {
                let mut counted = 0;
                for link in links.iter().cycle().take(20) {
                    // Some way on, in turns of the run loop since a wire takes no time.
                    for _ in 0..40 + counted * 8 {
                        fata_rt::yield_now().await;
                    }
                    cable2.unplug();
                    rt2.sleep(Duration::from_millis(100 * counted)).await;
                    cable2.plug(*link);
                    counted += 1;
                }
                counted
            });
            assert_eq!(verify(&stream, 3).await, Ok(total));
            stream.shutdown();
            server.await.unwrap().unwrap();
            assert!(b.counts().ups > 10, "the link was down only {} times", b.counts().ups);
            trouble.abort();
        });
    }
}

#[test]
fn nobody_listens_there() {
    run(async |rt| {
        let (a, b, _) = pair(&rt, wire::Options::default());
        for there in B {
            assert_eq!(a.connect(to(there), Options::default()).await.err(), Some(Error::Refused));
        }
        let listener = b.listen((address(B[0]), 80), 4, Options::default()).unwrap();
        assert_eq!(b.listen(80, 4, Options::default()).err(), Some(Error::PortTaken));
        assert!(a.connect(to(B[0]), Options::default()).await.is_ok());
        assert_eq!(a.connect(to(B[1]), Options::default()).await.err(), Some(Error::Refused));
        drop(listener);
        assert_eq!(a.connect(to(B[0]), Options::default()).await.err(), Some(Error::Refused));
        rt.sleep(Duration::from_secs(70)).await;
        assert_eq!((a.sockets(), b.sockets()), ((0, 0), (0, 0)));
    });
}

/// Whether the peer is there or not.
#[test]
fn who_gives_up_connecting_leaves_nothing_behind() {
    run(async |rt| {
        let (a, b, _) = pair(&rt, wire::Options::default());
        let _full = b.listen(80, 1, Options::default()).unwrap();
        let first = a.connect(to(B[0]), Options::default()).await.unwrap();
        for there in ["10.0.0.99", "fd00::99", B[0], B[1]] {
            let there = IpEndpoint::new(address(there), 80);
            let connect = a.connect(there, Options::default());
            assert!(rt.timeout(Duration::from_millis(10), connect).await.is_err());
            assert_eq!(a.sockets(), (1, 0), "{there}");
        }
        drop(first);
        rt.sleep(Duration::from_secs(70)).await;
        assert_eq!(a.sockets(), (0, 0));
    });
}

/// More at once than the backlog has room for: all of them get through, later ones after a while.
#[test]
fn no_connection_is_reset_for_lack_of_room() {
    run(async |rt| {
        let (a, b, _) = pair(&rt, wire::Options::default());
        let options = Options { receive: 2000, send: 2000, ..Options::default() };
        let listener = b.listen(80, 8, options).unwrap();
        let clients: Vec<_> = (0..200)
            .map(|number| {
                let a = a.clone();
                rt.spawn(async move {
                    let mut stream = a.connect(to(B[number % 2]), options).await?;
                    stream.write_all(&[number as u8; 10]).await?;
                    let mut answer = [0; 10];
                    stream.read_exact(&mut answer).await.map_err(|_| Error::Reset)?;
                    assert_eq!(answer, [number as u8; 10]);
                    Ok::<_, Error>(())
                })
            })
            .collect();
        let rt2 = rt.clone();
        let server = rt.spawn(async move {
            loop {
                let mut stream = listener.accept().await;
                drop(rt2.spawn(async move {
                    let mut buffer = [0; 100];
                    while let Ok(len @ 1..) = stream.read(&mut buffer).await {
                        stream.write_all(&buffer[..len]).await.unwrap();
                    }
                }));
            }
        });
        for client in clients {
            assert_eq!(client.await, Ok(Ok(())));
        }
        let counts = b.counts();
        assert!(counts.backlog_full + counts.cookies_taken > 100, "{counts:?}");
        server.abort();
        rt.sleep(Duration::from_secs(70)).await;
        assert_eq!((a.sockets(), b.sockets()), ((0, 0), (0, 0)));
    });
}

#[test]
fn halves_close_by_themselves_and_resets_are_told() {
    run(async |rt| {
        let (a, b, _) = pair(&rt, wire::Options::default());
        let listener = b.listen(80, 4, Options::default()).unwrap();
        let mut here = a.connect(to(B[0]), Options::default()).await.unwrap();
        let mut there = listener.accept().await;
        assert_eq!(here.remote(), Some(to(B[0])));
        assert_eq!(there.remote(), here.local());
        here.write_all(b"question").await.unwrap();
        here.shutdown();
        let mut buffer = [0; 100];
        assert_eq!(there.read(&mut buffer).await, Ok(8));
        assert_eq!(there.read(&mut buffer).await, Ok(0));
        assert_eq!(here.write(b"more").await, Err(Error::Reset));
        there.write_all(b"answer").await.unwrap();
        there.flush().await.unwrap();
        assert_eq!(here.read(&mut buffer).await, Ok(6));
        there.abort();
        assert_eq!(here.read(&mut buffer).await, Err(Error::Reset));
    });
}

#[test]
fn a_peer_that_is_gone_is_given_up() {
    run(async |rt| {
        let (a, b, _) = pair(&rt, wire::Options::default());
        let second = smoltcp::time::Duration::from_secs(1);
        let options = Options { timeout: Some(second * 5), keep_alive: Some(second), ..Options::default() };
        let listener = b.listen(80, 4, options).unwrap();
        let mut here = a.connect(to(B[0]), Options::default()).await.unwrap();
        let mut there = listener.accept().await;
        here.write_all(b"hello").await.unwrap();
        let mut buffer = [0; 5];
        there.read_exact(&mut buffer).await.unwrap();
        // Silent, but there.
        assert!(rt.timeout(Duration::from_secs(60), there.read(&mut buffer)).await.is_err());
        let gone = b.listen(81, 4, options).unwrap();
        drop(gone);
        let (c, d, cable) = pair(&rt, wire::Options::default());
        let listener = d.listen(80, 4, options).unwrap();
        let _here = c.connect(to(B[0]), Options::default()).await.unwrap();
        let mut there = listener.accept().await;
        cable.unplug();
        // As long as the link is down nothing happens; when it is up again, the peer has been silent for too long.
        assert!(rt.timeout(Duration::from_secs(60), there.read(&mut buffer)).await.is_err());
        drop((_here, c));
        cable.plug(wire::Options::default());
        assert!(rt.timeout(Duration::from_secs(60), there.read(&mut buffer)).await.unwrap().is_err());
    });
}

/// Idle connections cost nothing: five thousand of them, and a stream beside them takes as many wake-ups as alone.
#[test]
fn idle_connections_are_left_alone() {
    let mut wakes = Vec::new();
    for idle in [0, 5000] {
        wakes.push(run(async |rt| {
            let (a, b, _) = pair(&rt, wire::Options::default());
            let small = Options { receive: 64, send: 64, ..Options::default() };
            let listener = b.listen(81, 10_000, small).unwrap();
            let mut held = Vec::new();
            for _ in 0..idle {
                let endpoint = IpEndpoint::new(address(B[0]), 81);
                held.push(a.connect(endpoint, small).await.unwrap());
                held.push(listener.accept().await);
            }
            let before = rt.stats();
            both_once(&rt, &a, &b).await;
            let wakes = rt.stats().wakes - before.wakes;
            assert_eq!(a.sockets().0 >= idle, b.sockets().0 >= idle);
            wakes
        }));
    }
    assert!(wakes[0].abs_diff(wakes[1]) < wakes[0] / 10, "{wakes:?}");
}

async fn both_once(rt: &Rt, a: &Stack, b: &Stack) {
    let listener = b.listen(80, 4, Options::default()).unwrap();
    let rt2 = rt.clone();
    let server = rt.spawn(async move { exchange(&rt2, listener.accept().await, 1, 500_000).await });
    let stream = a.connect(to(B[0]), Options::default()).await.unwrap();
    exchange(rt, stream, 1, 500_000).await.unwrap();
    server.await.unwrap().unwrap();
}

#[test]
fn the_other_way_round() {
    run(async |rt| {
        let (a, b, _) = pair(&rt, wire::Options::default());
        both(&rt, &b, &a, A[1], 100_000, Options::default()).await;
    });
}

/// A server that lets go of many connections in a short time keeps few of them, and loses nothing that it wrote.
#[test]
fn connections_that_end_take_bounded_memory() {
    run(async |rt| {
        let (a, b, _) = pair(&rt, wire::Options::default());
        let listener = b.listen(80, 16, Options::default()).unwrap();
        drop(rt.spawn(async move {
            loop {
                listener.accept().await.write_all(b"answer").await.unwrap();
            }
        }));
        for number in 0..500 {
            let small = Options { receive: 100, send: 100, ..Options::default() };
            let mut stream = a.connect(to(B[number % 2]), small).await.unwrap();
            let mut answer = [0; 6];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!((&answer, stream.read(&mut [0]).await), (b"answer", Ok(0)));
            let (sockets, ending) = b.sockets();
            assert!(sockets <= 65 && ending <= 64, "{sockets} sockets, {ending} ending");
        }
        assert_eq!(b.counts().orphans_reset, 0);
        rt.sleep(Duration::from_secs(70)).await;
        assert_eq!((a.sockets(), b.sockets()), ((0, 0), (0, 0)));
    });
}
