//! Served by a port of a network stack, over a wire.
#![forbid(unsafe_code)]

use embedded_io_async::{Read, Write};
use fata_http::{
    At, Client, Error, Exchange, Limits, Method, Options, Request, Server, Status, Url, serve_port,
};
use fata_link::wire;
use fata_netstack::{Config, IpAddress, IpEndpoint, Random, Stack, TcpStream, tcp};
use fata_rt::Rt;
use fata_sim::alone;
use std::time::Duration;

const PLACE: IpEndpoint = IpEndpoint { addr: IpAddress::v4(10, 0, 0, 2), port: 80 };
static BIG: [u8; 300_000] = [b'x'; 300_000];

fn start(rt: &Rt, link: wire::Wire, address: &str, seed: u64) -> Stack {
    let mut config = Config::default();
    config.word("ip", address).unwrap();
    Stack::start(rt, link, config, &Random::known(seed))
}

fn options(buffer: usize) -> tcp::Options {
    tcp::Options { receive: buffer, send: buffer, nagle: false, ..tcp::Options::default() }
}

async fn handle(request: &Request<'_>, exchange: &mut Exchange<'_, &TcpStream>) -> Result<(), Error> {
    match (request.method, request.path) {
        (Method::Get, "/") => exchange.reply(Status::OK).body(&[b'p'; 612]).await,
        (Method::Get, "/big") => exchange.reply(Status::OK).body(&BIG).await,
        (Method::Get, "/half") => {
            let mut writer = exchange.reply(Status::OK).stream(None).await?;
            writer.write(&BIG).await?;
            Err(Status::INTERNAL_SERVER_ERROR.into())
        }
        (Method::Put, "/") => {
            let len = exchange.read_all(100_000).await?.len();
            exchange.reply(Status::OK).body(len.to_string().as_bytes()).await
        }
        _ => Err(Status::NOT_FOUND.into()),
    }
}

/// A client's stack beside a server that serves so many at a time.
fn run(most: u32, test: impl AsyncFnOnce(Rt, Stack, Stack)) {
    alone(async |rt| {
        let (a, b, _) = wire::pair(wire::Options::default());
        let served = start(&rt, b, "10.0.0.2/24", 2);
        let (server, listener) =
            (Server::new(&rt, Options::default()), served.listen(80, 64, options(8192)).unwrap());
        drop(rt.spawn(async move { serve_port(&server, &listener, most, handle).await }));
        let client = start(&rt, a, "10.0.0.1/24", 1);
        test(rt.clone(), client, served.clone()).await;
        // Nothing is left but the listener.
        rt.sleep(Duration::from_secs(120)).await;
        assert_eq!(served.sockets().0, 0);
    });
}

async fn open(rt: &Rt, stack: &Stack) -> Client<TcpStream> {
    Client::new(rt, stack.connect(PLACE, options(8192)).await.unwrap(), Limits::default())
}

fn url(path: &str) -> Url {
    Url::parse(&format!("http://10.0.0.2{path}")).unwrap()
}

async fn get(client: &mut Client<TcpStream>, path: &str) -> Result<(Status, Vec<u8>), Error> {
    let mut answer = client.request(Method::Get, &url(path)).send().await?;
    let body = answer.read_all(1 << 20).await?;
    Ok((answer.status(), body))
}

#[test]
fn pages_small_and_large_come_over_a_connection_that_is_kept() {
    run(10, async |rt, stack, _| {
        let mut client = open(&rt, &stack).await;
        for _ in 0..20 {
            assert_eq!(get(&mut client, "/").await, Ok((Status::OK, vec![b'p'; 612])));
            assert_eq!(get(&mut client, "/big").await, Ok((Status::OK, BIG.to_vec())));
            let put = client.request(Method::Put, &url("/")).body(&BIG[..100_000]).await;
            assert_eq!(put.unwrap().read_all(100).await.unwrap(), b"100000");
        }
    });
}

/// A thousand connections that do nothing are in nobody's way, and end.
#[test]
fn idle_connections_cost_little_and_make_room() {
    const MANY: usize = 1000;
    run(MANY as u32 + 1, async |rt, stack, served| {
        let mut held = Vec::new();
        for number in 0..MANY {
            let mut client = open(&rt, &stack).await;
            // Some have been served before.
            if number % 2 == 0 {
                get(&mut client, "/").await.unwrap();
            }
            held.push(client);
        }
        let mut client = open(&rt, &stack).await;
        let wakes = rt.stats().wakes;
        assert_eq!(get(&mut client, "/").await.unwrap().0, Status::OK);
        assert!(rt.stats().wakes - wakes < 50);
        assert_eq!(served.sockets().0, MANY + 1);
        rt.sleep(Duration::from_secs(130)).await;
        for client in &mut held {
            let error = get(client, "/").await.unwrap_err();
            assert!(error.nothing_came(), "{error:?}");
        }
    });
}

#[test]
fn those_who_are_too_many_have_their_turn() {
    run(2, async |rt, stack, _| {
        let (mut first, second) = (open(&rt, &stack).await, open(&rt, &stack).await);
        let mut third = open(&rt, &stack).await;
        get(&mut first, "/").await.unwrap();
        let waited = rt.timeout(Duration::from_secs(5), get(&mut third, "/")).await;
        assert!(waited.is_err());
        drop(second);
        let mut fourth = open(&rt, &stack).await;
        drop((first, third));
        assert_eq!(get(&mut fourth, "/").await.unwrap().0, Status::OK);
    });
}

/// A refusal arrives, though more comes than anybody reads.
#[test]
fn who_is_refused_learns_why() {
    run(10, async |rt, stack, _| {
        let mut client = open(&rt, &stack).await;
        let answer = client.request(Method::Put, &url("/")).body(&[b'x'; 500_000]).await;
        assert_eq!(answer.unwrap().status(), Status::CONTENT_TOO_LARGE);
        let mut stream = stack.connect(PLACE, options(8192)).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost : a\r\n\r\nand more\r\n").await.unwrap();
        let (mut text, mut room) = (Vec::new(), [0; 1000]);
        loop {
            match stream.read(&mut room).await.unwrap() {
                0 => break,
                count => text.extend_from_slice(&room[..count]),
            }
        }
        assert!(text.starts_with(b"HTTP/1.1 400 "));
    });
}

/// Nobody takes what is cut off for the whole, not even an old client that waits for the end.
#[test]
fn what_is_not_whole_ends_with_a_reset() {
    run(10, async |rt, stack, _| {
        let mut client = open(&rt, &stack).await;
        let error = get(&mut client, "/half").await.unwrap_err();
        assert!(matches!(error, Error::Broken { at: At::Body, .. }), "{error:?}");
        let mut stream = stack.connect(PLACE, options(8192)).await.unwrap();
        stream.write_all(b"GET /half HTTP/1.0\r\n\r\n").await.unwrap();
        let mut room = [0; 1000];
        let end = loop {
            match stream.read(&mut room).await {
                Ok(1..) => {}
                end => break end,
            }
        };
        assert_eq!(end, Err(fata_netstack::Error::Reset));
    });
}

/// Who says a byte now and then, or reads one, is not served for ever.
#[test]
fn slow_clients_are_let_go() {
    run(10, async |rt, stack, served| {
        let began = rt.now_ns();
        let mut slow = stack.connect(PLACE, options(8192)).await.unwrap();
        while slow.write_all(b"G").await.is_ok() {
            rt.sleep(Duration::from_secs(1)).await;
        }
        assert!((rt.now_ns() - began) / 1_000_000_000 < 20);
        let mut deaf = stack.connect(PLACE, options(1000)).await.unwrap();
        deaf.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        rt.sleep(Duration::from_secs(60)).await;
        assert_eq!(served.sockets().0, 0);
    });
}
