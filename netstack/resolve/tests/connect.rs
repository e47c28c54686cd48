//! Connections to hosts by name, some of whose addresses do not work.

mod common;

use common::message::Query;
use common::{SERVER, World, address, addresses, at, run};
use fata_link::{Parked, wire};
use fata_netstack::{Error as NetError, IpAddress, Stack, TcpStream, tcp};
use fata_random::Random;
use fata_resolve::{Attempt, Config, ConnectError, Error, Kind, Resolver};
use fata_rt::Rt;
use std::time::Duration;

const MS: u64 = 1_000_000;

/// What a host has, and how long each answer takes.
struct Host {
    v6: &'static [&'static str],
    v6_ms: u64,
    v4: &'static [&'static str],
    v4_ms: u64,
}

const HERE: Host = Host { v6: &["fd00::2"], v6_ms: 0, v4: &["10.0.0.2"], v4_ms: 0 };

fn serve(world: &World, host: Host) {
    world.serve(53, move |query: &Query| {
        let (all, ms) = if query.kind == Kind::A { (host.v4, host.v4_ms) } else { (host.v6, host.v6_ms) };
        let mut reply = query.reply().after(ms);
        for one in all {
            let octets = match address(one) {
                IpAddress::Ipv4(address) => address.octets().to_vec(),
                IpAddress::Ipv6(address) => address.octets().to_vec(),
            };
            reply = reply.record(&query.name, query.kind, 60, &octets);
        }
        vec![reply]
    });
}

/// Which address connects, and after how many milliseconds; or what all have met. Then nothing is left of the others.
async fn connect(rt: &Rt, host: Host) -> (Result<IpAddress, ConnectError>, u64) {
    let world = World::new(rt);
    serve(&world, host);
    listen(&world, 80);
    let resolver = world.usual();
    world.ours.up().await;
    let begin_ns = rt.now_ns();
    let stream = resolver.connect("host.example", 80, tcp::Options::default()).await;
    let ms = (rt.now_ns() - begin_ns) / MS;
    let there = stream.as_ref().map(|stream| stream.remote().unwrap().addr).map_err(Clone::clone);
    // The others were not open, so that nothing is left of them.
    rt.sleep(Duration::from_millis(10)).await;
    assert_eq!(world.ours.sockets(), (usize::from(stream.is_ok()), 0));
    if let Ok(stream) = &stream {
        exchange(stream).await;
    }
    drop(stream);
    world.settled().await;
    (there, ms)
}

async fn exchange(stream: &TcpStream) {
    use embedded_io_async::{Read, Write};
    let mut stream = stream;
    stream.write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"hello");
}

fn listen(world: &World, port: u16) {
    use embedded_io_async::{Read, Write};
    let listener = world.theirs.listen(port, 8, tcp::Options::default()).unwrap();
    drop(world.rt.spawn(async move {
        loop {
            let mut stream = listener.accept().await;
            let mut buffer = [0; 5];
            if stream.read_exact(&mut buffer).await.is_ok() {
                let _ = stream.write_all(&buffer).await;
            }
        }
    }));
}

fn won(text: &str) -> Result<IpAddress, ConnectError> {
    Ok(address(text))
}

#[test]
fn the_better_family_is_tried_first() {
    run(async |rt| {
        assert_eq!(connect(&rt, HERE).await, (won("fd00::2"), 0));
        assert_eq!(connect(&rt, Host { v4_ms: 500, ..HERE }).await, (won("fd00::2"), 0));
        // It is waited for, but not for long.
        assert_eq!(connect(&rt, Host { v6_ms: 40, ..HERE }).await, (won("fd00::2"), 40));
        assert_eq!(connect(&rt, Host { v6_ms: 500, ..HERE }).await, (won("10.0.0.2"), 50));
        assert_eq!(connect(&rt, Host { v6: &[], v6_ms: 30, ..HERE }).await, (won("10.0.0.2"), 30));
        assert_eq!(connect(&rt, Host { v4: &[], v6_ms: 900, ..HERE }).await, (won("fd00::2"), 900));
        assert_eq!(connect(&rt, Host { v6: &[], v4_ms: 900, ..HERE }).await, (won("10.0.0.2"), 900));
        assert_eq!(connect(&rt, Host { v6_ms: 400, v4_ms: 300, ..HERE }).await, (won("10.0.0.2"), 350));
    });
}

#[test]
fn addresses_that_do_not_answer_are_not_waited_for() {
    run(async |rt| {
        // Nobody is there.
        let hole = Host { v6: &["fd00::99"], ..HERE };
        assert_eq!(connect(&rt, hole).await, (won("10.0.0.2"), 250));
        let hole = Host { v4: &["10.0.0.99"], v6: &["fd00::99", "fd00::2"], ..HERE };
        assert_eq!(connect(&rt, hole).await, (won("fd00::2"), 500));
        // The one that works is known late.
        let hole = Host { v6: &["fd00::98", "fd00::99"], v4_ms: 1000, ..HERE };
        assert_eq!(connect(&rt, hole).await, (won("10.0.0.2"), 1000));
        let hole = Host { v4: &["10.0.0.99"], v6_ms: 100, ..HERE };
        assert_eq!(connect(&rt, hole).await, (won("fd00::2"), 300));
        let hole =
            Host { v4: &["10.0.0.97", "10.0.0.98", "10.0.0.99"], v6: &["fd00::98", "fd00::99"], ..HERE };
        let (outcome, ms) = connect(&rt, hole).await;
        let order = ["fd00::98", "10.0.0.97", "fd00::99", "10.0.0.98", "10.0.0.99"];
        let attempts = order.map(|text| Attempt { address: address(text), error: None });
        assert_eq!((outcome, ms), (Err(ConnectError::Attempts(attempts.to_vec())), 31_000));
    });
}

#[test]
fn the_next_is_tried_at_once_if_one_is_refused() {
    run(async |rt| {
        let world = World::new(&rt);
        serve(&world, HERE);
        world.ours.up().await;
        let resolver = world.usual();
        let begin_ns = rt.now_ns();
        let error = resolver.connect("host.example", 81, tcp::Options::default()).await.err().unwrap();
        let refused = |text| Attempt { address: address(text), error: Some(NetError::Refused) };
        assert_eq!(error, ConnectError::Attempts(vec![refused("fd00::2"), refused("10.0.0.2")]));
        assert_eq!(
            error.to_string(),
            "fd00::2: the connection was refused; 10.0.0.2: the connection was refused"
        );
        assert!(rt.now_ns() - begin_ns < MS);
        // One family is refused, the other is not.
        let _listener = world.theirs.listen((address("10.0.0.2"), 82), 4, tcp::Options::default()).unwrap();
        let stream = resolver.connect("host.example", 82, tcp::Options::default()).await.unwrap();
        assert_eq!(stream.remote().unwrap().addr, address("10.0.0.2"));
        assert!(rt.now_ns() - begin_ns < MS);
    });
}

#[test]
fn names_that_are_not_there_are_told() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve(53, |query| if query.is("not.example") { query.no_such_name() } else { query.no_data() });
        let resolver = world.resolver(&[at(SERVER, 53)], Config::default());
        for (host, error) in [
            ("not.example", Error::NoSuchName),
            ("empty.example", Error::NoData),
            ("a..b", Error::BadName),
            ("x.invalid", Error::NoSuchName),
        ] {
            let outcome = resolver.connect(host, 80, tcp::Options::default()).await.err();
            assert_eq!(outcome, Some(ConnectError::Lookup(error)), "{host}");
        }
        let silent = world.resolver(&[at("10.0.0.99", 53)], Config::default());
        let outcome = silent.connect("host.example", 80, tcp::Options::default()).await.err();
        assert_eq!(outcome, Some(ConnectError::Lookup(Error::Timeout)));
    });
}

#[test]
fn addresses_are_hosts_too() {
    run(async |rt| {
        let world = World::new(&rt);
        listen(&world, 80);
        let resolver = world.resolver(&[], Config::default());
        for there in ["10.0.0.2", "fd00::3"] {
            let stream = resolver.connect(there, 80, tcp::Options::default()).await.unwrap();
            assert_eq!(stream.remote().unwrap().addr, address(there));
        }
    });
}

/// Who has no IPv6 beyond the link does not try there.
#[test]
fn what_cannot_be_reached_is_not_tried() {
    run(async |rt| {
        let (a, _b, _) = wire::pair(wire::Options::default());
        let random = Random::known(1);
        let ours = Stack::start(&rt, Parked::new(a), addresses("ip=10.0.0.1/24"), &random);
        ours.up().await;
        let hosts = vec![(common::name("host"), address("2001:db8::1"))];
        let resolver = Resolver::new(&ours, &random, Config { hosts, ..Config::default() });
        let outcome = resolver.connect("host", 80, tcp::Options::default()).await.err().unwrap();
        let attempt = Attempt { address: address("2001:db8::1"), error: Some(NetError::NoAddress) };
        assert_eq!(outcome, ConnectError::Attempts(vec![attempt]));
    });
}

#[test]
fn who_gives_up_leaves_nothing_behind() {
    run(async |rt| {
        for limit_ms in [0, 10, 100, 300, 600] {
            let world = World::new(&rt);
            serve(&world, Host { v6: &["fd00::98", "fd00::99"], v4: &["10.0.0.99"], v6_ms: 5, v4_ms: 20 });
            world.ours.up().await;
            rt.sleep(Duration::from_secs(10)).await;
            let before = rt.stats();
            let resolver = world.usual();
            let connect = resolver.connect("host.example", 80, tcp::Options::default());
            assert!(rt.timeout(Duration::from_millis(limit_ms), connect).await.is_err());
            rt.sleep(Duration::from_secs(10)).await;
            assert_eq!(world.ours.sockets(), (0, 0), "{limit_ms}");
            assert_eq!((rt.stats().tasks, rt.stats().timers), (before.tasks, before.timers), "{limit_ms}");
        }
    });
}
