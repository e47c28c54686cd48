//! Servers that are slow, ill, simple or gone.

mod common;

use common::{SERVER, World, address, addresses, at, run};
use fata_link::{Parked, wire};
use fata_netstack::Stack;
use fata_random::Random;
use fata_resolve::{Config, Error, Kind, Resolver};
use fata_sim::Rng;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

const S: u64 = 1_000_000_000;

#[test]
fn the_next_server_is_asked_if_one_does_not_answer() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve(53, |_| Vec::new());
        world.serve(54, |query| query.a(9));
        // The third is a host that there is not.
        let servers = [at(SERVER, 53), at("fd00::2", 54), at("10.0.0.77", 53)];
        let resolver = world.resolver(&servers, Config::default());
        let begin_ns = rt.now_ns();
        assert!(resolver.lookup("a.example.", Kind::A).await.is_ok());
        assert_eq!((rt.now_ns() - begin_ns) / S, 2);
        // From then on it is asked first, for a while.
        let begin_ns = rt.now_ns();
        assert!(resolver.lookup("b.example.", Kind::A).await.is_ok());
        assert_eq!((rt.now_ns() - begin_ns) / S, 0);
        assert_eq!(resolver.servers()[0], at("fd00::2", 54));
        rt.sleep(Duration::from_secs(31)).await;
        assert_eq!(resolver.servers()[0], at(SERVER, 53));
    });
}

#[test]
fn silence_ends() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve(53, |_| Vec::new());
        let servers = [at(SERVER, 53), at("10.0.0.77", 53), at("fd00::77", 53)];
        let resolver = world.resolver(&servers, Config::default());
        let begin_ns = rt.now_ns();
        assert_eq!(resolver.lookup("a.example.", Kind::A).await.err(), Some(Error::Timeout));
        assert_eq!((rt.now_ns() - begin_ns) / S, 12);
        assert_eq!((world.questions(), world.ours.sockets()), (2, (0, 0)));
    });
}

/// Each name leads to another, after a while.
#[test]
fn slowness_ends_too() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve(53, |query| {
            vec![query.reply().cname(&query.name, 60, &format!("x{}", query.name)).after(1900)]
        });
        let config = Config { limit: Duration::from_secs(5), ..Config::default() };
        let resolver = world.resolver(&[at(SERVER, 53)], config);
        let begin_ns = rt.now_ns();
        assert_eq!(resolver.lookup("a.example.", Kind::A).await.err(), Some(Error::Timeout));
        assert_eq!(((rt.now_ns() - begin_ns) / S, world.ours.sockets()), (5, (0, 0)));
    });
}

#[test]
fn what_servers_say_instead_of_an_answer() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve(53, |query| {
            let rcode = match query.name.as_bytes()[0] | 32 {
                b'r' => 5,
                b'f' => 2,
                b'n' => 4,
                _ => 9,
            };
            vec![query.reply().rcode(rcode)]
        });
        world.serve(54, |query| if query.is("refused.there.") { query.a(9) } else { Vec::new() });
        for (text, error) in [
            ("refused.", Error::Refused),
            ("failed.", Error::ServerFailed),
            ("not-implemented.", Error::ServerFailed),
            ("other.", Error::ServerFailed),
        ] {
            let resolver = world.usual();
            let begin_ns = rt.now_ns();
            assert_eq!(resolver.lookup(text, Kind::A).await.err(), Some(error), "{text}");
            assert!(rt.now_ns() - begin_ns < S);
            // It is told although the other one is silent.
            let resolver = world.resolver(&[at(SERVER, 53), at(SERVER, 54)], Config::default());
            assert_eq!(resolver.lookup(text, Kind::A).await.err(), Some(error), "{text}");
        }
        let resolver = world.resolver(&[at(SERVER, 53), at(SERVER, 54)], Config::default());
        assert!(resolver.lookup("refused.there.", Kind::A).await.is_ok());
    });
}

#[test]
fn servers_without_edns_are_asked_without() {
    run(async |rt| {
        let world = World::new(&rt);
        // One repeats the question, one does not, one says it in the way of EDNS.
        world.serve(53, |query| if query.edns { vec![query.reply().rcode(1)] } else { query.a(9) });
        world.serve(54, |query| match query.edns {
            true => {
                let mut reply = query.reply().rcode(4).byte(5, 0);
                reply.bytes.truncate(12);
                vec![reply]
            }
            false => query.a(9),
        });
        world.serve(55, |query| match query.edns {
            true => {
                let mut reply = query.reply().byte(11, 1);
                reply.bytes.extend_from_slice(&[0, 0, 41, 4, 208, 1, 0, 0, 0, 0, 0]);
                vec![reply]
            }
            false => query.a(9),
        });
        for port in [53, 54, 55] {
            let resolver = world.resolver(&[at(SERVER, port)], Config::default());
            for text in ["a.", "b.", "c."] {
                assert!(resolver.lookup(text, Kind::A).await.is_ok());
            }
            // It is asked in vain only once.
            assert_eq!(resolver.counts().questions, 4);
        }
    });
}

#[test]
fn servers_that_change_letters_are_believed_after_a_second_look() {
    run(async |rt| {
        let world = World::new(&rt);
        let answer = |query: &common::message::Query| {
            query.a(9).into_iter().map(common::message::Reply::lowered).collect::<Vec<_>>()
        };
        world.serve(53, answer);
        world.serve_datagrams(54, Rc::new(RefCell::new(answer)));
        for (port, streams) in [(53, 1), (54, 1)] {
            let resolver = world.resolver(&[at(SERVER, port)], Config::default());
            for number in 0..5 {
                let name = format!("a-name-with-letters-{number}.");
                assert!(resolver.lookup(&name, Kind::A).await.is_ok());
            }
            let counts = resolver.counts();
            assert_eq!((counts.streams, counts.spoofed, counts.failures), (streams, 0, 0), "{port}");
            // Then it is asked in plain letters, by datagrams.
            assert_eq!(world.asked.borrow().last().unwrap().name, "a-name-with-letters-4.");
            assert!(!world.asked.borrow().last().unwrap().stream);
        }
        let resolver = world.resolver(&[at(SERVER, 53)], Config { mix_case: false, ..Config::default() });
        assert!(resolver.lookup("Plain.Name.", Kind::A).await.is_ok());
        assert_eq!((resolver.counts().streams, resolver.counts().questions), (0, 1));
        assert_eq!(world.asked.borrow().last().unwrap().name, "Plain.Name.");
    });
}

#[test]
fn what_is_too_long_comes_by_a_stream() {
    run(async |rt| {
        let world = World::new(&rt);
        let text: Vec<u8> = [&[200][..], &[b'x'; 200]].concat().repeat(300);
        let long = text.clone();
        world.serve(53, move |query| match query.stream {
            true => {
                let mut reply = query.reply().record(&query.name, Kind::TXT, 60, &long);
                reply.piece = 1000;
                vec![reply]
            }
            false => vec![query.reply().truncated().record(&query.name, Kind::TXT, 60, b"\x04part")],
        });
        let resolver = world.usual();
        let answer = resolver.lookup("long.example.", Kind::TXT).await.unwrap();
        assert_eq!(answer.records().len(), 1);
        let printed = answer.records()[0].data.to_string();
        assert_eq!(printed.len(), 300 * 203 - 1);
        assert_eq!((resolver.counts().truncated, resolver.counts().streams), (1, 1));
        // It does not fit into the memory.
        assert_eq!(resolver.remembered(), (1, resolver.remembered().1));
        world.settled().await;
    });
}

#[test]
fn streams_that_fail_are_no_answer() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve_datagrams(
            53,
            Rc::new(RefCell::new(|query: &common::message::Query| vec![query.reply().truncated()])),
        );
        let broken = Rc::new(Cell::new(0));
        let kind = broken.clone();
        world.serve(54, move |query| {
            if !query.stream {
                return vec![query.reply().truncated()];
            }
            let mut reply = query.a(9).remove(0);
            match kind.get() {
                // Too short, too long, cut off, without end, with another number, truncated again.
                0 => reply.len = Some(11),
                1 => reply.len = Some(reply.bytes.len() as u16 - 1),
                2 => reply.len = Some(u16::MAX),
                3 => (reply.piece, reply.between) = (1, Duration::from_secs(1)),
                4 => reply = reply.id(query.id().wrapping_add(1)),
                5 => reply = reply.truncated(),
                _ => return Vec::new(),
            }
            vec![reply]
        });
        let resolver = world.usual();
        assert_eq!(resolver.lookup("a.example.", Kind::A).await.err(), Some(Error::ServerFailed));
        let expected = [
            Error::Corrupt,
            Error::Corrupt,
            Error::ServerFailed,
            Error::Timeout,
            Error::Corrupt,
            Error::Corrupt,
            Error::ServerFailed,
        ];
        for (number, error) in expected.into_iter().enumerate() {
            broken.set(number);
            let begin_ns = rt.now_ns();
            let resolver = world.resolver(&[at(SERVER, 54)], Config::default());
            assert_eq!(resolver.lookup("a.example.", Kind::A).await.err(), Some(error), "{number}");
            assert!(rt.now_ns() - begin_ns < 9 * S);
        }
        world.settled().await;
    });
}

#[test]
fn questions_wait_for_the_network() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve(53, |query| query.a(9));
        let resolver = world.usual();
        world.cable.unplug();
        let (rt2, cable) = (rt.clone(), world.cable.clone());
        drop(rt.spawn(async move {
            rt2.sleep(Duration::from_millis(2500)).await;
            cable.plug(cable.options());
        }));
        let begin_ns = rt.now_ns();
        assert!(resolver.lookup("a.example.", Kind::A).await.is_ok());
        assert_eq!((rt.now_ns() - begin_ns) / 100_000_000, 25);
    });
}

#[test]
fn the_servers_are_those_of_the_stack_unless_some_are_named() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve(53, |query| query.a(9));
        let resolver = world.resolver(&[], Config::default());
        let begin_ns = rt.now_ns();
        assert_eq!(resolver.lookup("a.example.", Kind::A).await.err(), Some(Error::NoServers));
        assert_eq!((rt.now_ns() - begin_ns) / S, 4);
        // One is named while somebody waits.
        let other = resolver.clone();
        let waits = rt.spawn(async move { other.lookup("a.example.", Kind::A).await.is_ok() });
        rt.sleep(Duration::from_secs(1)).await;
        resolver.set_servers(&[at(SERVER, 53)]);
        assert_eq!(waits.await, Ok(true));
        assert_eq!((rt.now_ns() - begin_ns) / S, 5);
        assert_eq!((resolver.servers(), resolver.remembered().0), (vec![at(SERVER, 53)], 1));
        // Another one may say something else.
        world.serve(54, |query| query.a(8));
        resolver.set_servers(&[at(SERVER, 54)]);
        let answer = resolver.lookup("a.example.", Kind::A).await.unwrap();
        assert_eq!(answer.addresses().next(), Some(address("10.0.0.8")));
    });
}

#[test]
fn what_the_stack_knows_is_followed() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve(53, |query| if query.is("host.example") { query.a(9) } else { query.no_such_name() });
        let resolver = world.resolver(&[], Config::default());
        let (ours, rt2) = (world.ours.clone(), rt.clone());
        let words = "ip=10.0.0.1/24 ip6=fd00::1/64";
        drop(rt.spawn(async move {
            rt2.sleep(Duration::from_secs(1)).await;
            ours.configure(addresses(&format!("{words} dns=10.0.0.77,10.0.0.2 search=two.example,example")));
        }));
        // Whom to ask and what to add is not known at first.
        let begin_ns = rt.now_ns();
        assert!(resolver.lookup("host", Kind::A).await.is_ok());
        assert_eq!((rt.now_ns() - begin_ns) / S, 3);
        assert_eq!((world.questions(), resolver.remembered().0), (2, 2));
        world.ours.configure(addresses(&format!("{words} dns=fd00::2")));
        assert_eq!(resolver.lookup("host", Kind::A).await.err(), Some(Error::NoSuchName));
        assert_eq!(resolver.servers(), [at("fd00::2", 53)]);
    });
}

#[test]
fn a_server_that_is_leased_is_asked() {
    run(async |rt| {
        let (a, b, _) = wire::pair(wire::Options::default());
        let random = Random::known(Rng::new().number());
        let ours = Stack::start(&rt, Parked::new(a), addresses("ip=dhcp"), &random);
        let theirs = Stack::start(&rt, Parked::new(b), addresses("ip=10.0.0.1/24"), &random);
        common::lease(&rt, &theirs);
        let asked = theirs.udp(53, fata_netstack::udp::Options::default()).unwrap();
        drop(rt.spawn(async move {
            loop {
                let (bytes, from) = asked.receive_with(|bytes, from| (bytes.to_vec(), from.endpoint)).await;
                let query = common::message::Query::read(&bytes, false, from, 53);
                asked.send(&query.a(9)[0].bytes, from).await.unwrap();
            }
        }));
        let resolver = Resolver::new(&ours, &random, Config::default());
        // There is neither an address nor a server yet.
        assert!(resolver.lookup("a.example.", Kind::A).await.is_ok());
        assert_eq!(resolver.servers(), [at("10.0.0.1", 53)]);
    });
}
