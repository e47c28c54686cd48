//! What the image serves, over a wire.

use echo::{Options, Totals, serve};
use embedded_io_async::{Read, Write};
use fata_link::wire;
use fata_netstack::{Config, IpAddress, IpEndpoint, Random, Stack, TcpStream, tcp, udp};
use fata_rt::Rt;
use fata_sim::alone;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

const SERVER: IpEndpoint = IpEndpoint { addr: IpAddress::v4(10, 0, 0, 2), port: 7 };

fn start(rt: &Rt, link: wire::Wire, address: &str, seed: u64) -> Stack {
    let mut config = Config::default();
    config.word("ip", address).unwrap();
    Stack::start(rt, link, config, &Random::known(seed))
}

/// A client beside the server with these words.
fn run(words: &str, test: impl AsyncFnOnce(Rt, Stack, Rc<Cell<Totals>>)) {
    let wish = Options::parse(words).unwrap().wish;
    alone(async |rt| {
        let (a, b, _) = wire::pair(wire::Options::default());
        let server = start(&rt, b, "10.0.0.2/24", 2);
        let totals = serve(&rt, &server, wish).unwrap();
        test(rt.clone(), start(&rt, a, "10.0.0.1/24", 1), totals).await;
        // Nothing is left but the listener and the socket for datagrams.
        rt.sleep(Duration::from_secs(70)).await;
        assert_eq!(server.sockets(), (1, 0));
    });
}

async fn open(stack: &Stack) -> TcpStream {
    let options = tcp::Options { receive: 1000, send: 1000, ..tcp::Options::default() };
    stack.connect(SERVER, options).await.unwrap()
}

/// Whether what is said comes back.
async fn speak(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    let mut back = vec![0; bytes.len()];
    stream.write_all(bytes).await.is_ok() && stream.read_exact(&mut back).await.is_ok() && back == bytes
}

#[test]
fn streams_and_datagrams_come_back() {
    run("buffer=300", async |_, stack, totals| {
        let mut stream = open(&stack).await;
        for size in [1, 299, 300, 301, 900] {
            let bytes: Vec<u8> = (0..size).map(|at| (at * 7) as u8).collect();
            assert!(speak(&mut stream, &bytes).await, "{size}");
        }
        stream.shutdown();
        assert_eq!(stream.read(&mut [0]).await, Ok(0));
        let socket = stack.udp(0, udp::Options::default()).unwrap();
        for size in [0, 1, 1472, 9000] {
            socket.send(&vec![9; size], SERVER).await.unwrap();
            let mut back = vec![0; 10_000];
            assert_eq!(socket.receive(&mut back).await.0, size);
            assert!(back[..size].iter().all(|byte| *byte == 9));
        }
        let all = totals.get();
        assert_eq!((all.open, all.served, all.refused, all.bytes, all.datagrams), (0, 1, 0, 1801, 4));
        assert_eq!(all.to_string(), "0 open, at most 1, 1 served, 0 refused, 1801 bytes, 4 datagrams");
    });
}

/// A thousand at a time; ten thousand more are turned away, and the thousand notice nothing.
#[test]
fn those_who_are_too_many_are_turned_away() {
    const MOST: u32 = 1000;
    run("most=1000 buffer=64", async |_, stack, totals| {
        let mut held = Vec::new();
        for number in 0..MOST {
            let mut stream = open(&stack).await;
            assert!(speak(&mut stream, &number.to_be_bytes()).await, "{number}");
            held.push(stream);
        }
        for number in 0..10_000 {
            assert!(!speak(&mut open(&stack).await, b"one more").await, "{number}");
        }
        for (mut stream, number) in held.into_iter().zip(0..MOST) {
            assert!(speak(&mut stream, &number.to_be_bytes()).await, "{number}");
        }
        let all = totals.get();
        assert_eq!((all.most, all.refused), (MOST, 10_000));
    });
}

/// A million requests, each on one of fifty connections, which are others after twenty requests each. Takes a while.
#[test]
#[ignore = "ten seconds when it is optimised: cargo test --release -p echo -- --ignored"]
fn a_million_requests_leave_nothing() {
    const REQUESTS: u64 = 1_000_000;
    const AT_A_TIME: usize = 50;
    const EACH: u64 = 20;
    /// What the host's allocator may differ by: less than a byte a request.
    const NOISE: u64 = 512 << 10;
    run("", async |_, stack, totals| {
        let (mut done, mut before) = (0u64, 0);
        while done < REQUESTS {
            let mut streams = Vec::new();
            for _ in 0..AT_A_TIME {
                streams.push(open(&stack).await);
            }
            for round in 0..EACH {
                for stream in &mut streams {
                    stream.write_all(&(done + round).to_be_bytes()).await.unwrap();
                }
                for stream in &mut streams {
                    let mut back = [0; 8];
                    stream.read_exact(&mut back).await.unwrap();
                    assert_eq!(back, (done + round).to_be_bytes());
                }
            }
            for mut stream in streams {
                stream.shutdown();
                assert_eq!(stream.read(&mut [0]).await, Ok(0));
            }
            done += AT_A_TIME as u64 * EACH;
            // What has ended is remembered for a minute, so tables must have grown first.
            if done == REQUESTS / 4 {
                before = resident();
            }
        }
        let (all, after) = (totals.get(), resident());
        assert_eq!((all.open, all.served, all.bytes), (0, REQUESTS / EACH, 8 * REQUESTS));
        println!("{before} bytes after a quarter, {after} after all");
        assert!(after <= before + NOISE, "{before} bytes after a quarter, and {after} after all");
    });
}

/// What this process has of the host's memory; nothing where that is not told.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok()).unwrap_or(0) * 4096
}

/// Who is silent for too long is reset, and who does not read as well.
#[test]
fn who_does_nothing_makes_room() {
    run("idle=5 buffer=500", async |rt, stack, totals| {
        let mut silent = open(&stack).await;
        let mut deaf = open(&stack).await;
        let talking =
            rt.timeout(Duration::from_secs(20), async { while deaf.write_all(&[1; 100]).await.is_ok() {} });
        assert_eq!(talking.await, Ok(()));
        assert!(silent.read(&mut [0]).await.is_err());
        assert_eq!((totals.get().open, totals.get().served), (0, 2));
    });
}

#[test]
fn words_are_understood_or_refused() {
    let wish = Options::parse("ip=10.0.0.2/24 port=9 most=5 buffer=100 idle=7 seed=00 gso=0").unwrap().wish;
    assert_eq!((wish.port, wish.most, wish.buffer, wish.idle), (9, 5, 100, Duration::from_secs(7)));
    for words in ["port=0", "port=65536", "most=0", "buffer=0", "buffer=1048577", "idle=0", "what", "gso=2"] {
        assert!(Options::parse(words).unwrap_err().contains(words.split('=').next().unwrap()), "{words}");
    }
}
