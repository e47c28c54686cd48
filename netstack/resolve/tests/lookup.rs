//! What is asked, what is understood of the answers, and what is remembered.

mod common;

use common::{SERVER, World, address, at, name, run};
use fata_resolve::{Config, Data, Error, Kind, Source};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

fn addresses(answer: &fata_resolve::Answer) -> Vec<String> {
    answer.addresses().map(|address| address.to_string()).collect()
}

#[test]
fn a_name_is_looked_up_and_remembered() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve(53, |query| query.a(9));
        let resolver = world.usual();
        let answer = resolver.lookup("www.example.", Kind::A).await.unwrap();
        assert_eq!(
            (addresses(&answer), answer.source),
            (vec!["10.0.0.9".into()], Source::Server(address(SERVER)))
        );
        assert_eq!(answer.ttl_s(&answer.records()[0]), 60);
        rt.sleep(Duration::from_secs(20)).await;
        let again = resolver.lookup("WWW.example", Kind::A).await.unwrap();
        assert_eq!((again.source, again.age_s), (Source::Memory(address(SERVER)), 20));
        assert_eq!(again.ttl_s(&again.records()[0]), 40);
        assert_eq!(world.questions(), 1);
        rt.sleep(Duration::from_secs(40)).await;
        let later = resolver.lookup("www.example.", Kind::A).await.unwrap();
        assert_eq!((later.source, world.questions()), (Source::Server(address(SERVER)), 2));
        assert_eq!((resolver.counts().remembered, resolver.counts().questions), (1, 2));
        world.settled().await;
    });
}

#[test]
fn every_question_is_another_to_whoever_forges() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve(53, |query| query.a(9));
        let resolver = world.usual();
        for number in 0..200 {
            resolver.lookup(&format!("host{number}.some-longer-domain.example."), Kind::A).await.unwrap();
        }
        let asked = world.asked.borrow();
        let different = |values: Vec<u64>| {
            let mut values = values;
            values.sort_unstable();
            values.dedup();
            values.len()
        };
        assert!(different(asked.iter().map(|query| query.id().into()).collect()) > 190);
        assert!(different(asked.iter().map(|query| query.from.port.into()).collect()) > 190);
        assert!(asked.iter().all(|query| query.from.port >= 32_768 && query.edns && !query.stream));
        // Each letter is large half of the time.
        let large =
            asked.iter().flat_map(|query| query.name.chars()).filter(char::is_ascii_uppercase).count();
        let letters =
            asked.iter().flat_map(|query| query.name.chars()).filter(char::is_ascii_alphabetic).count();
        assert!((letters * 4 / 10..letters * 6 / 10).contains(&large), "{large} of {letters}");
        drop(asked);
        assert_eq!(resolver.counts().questions, 200);
    });
}

#[test]
fn names_lead_to_names_in_one_message_or_several() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve(53, |query| {
            let reply = query.reply();
            vec![match () {
                () if query.is("one.example") => reply
                    .cname("one.example", 300, "two.example")
                    .record("three.example", Kind::A, 20, &[10, 0, 0, 3])
                    .record("three.example", Kind::A, 20, &[10, 0, 0, 4])
                    .cname("two.example", 100, "three.example"),
                () if query.is("far.example") => reply.cname("far.example", 50, "one.example"),
                () if query.is("gone.example") => {
                    reply.cname("gone.example", 50, "not.example").rcode(3).soa("example", 90, 90)
                }
                () if query.is("empty.example") => {
                    reply.cname("empty.example", 50, "there.example").soa("example", 20, 90)
                }
                () => reply.rcode(3),
            }]
        });
        let resolver = world.usual();
        let answer = resolver.lookup("one.example.", Kind::A).await.unwrap();
        assert_eq!(addresses(&answer), ["10.0.0.3", "10.0.0.4"]);
        let names: Vec<_> = answer.records().iter().map(|record| record.name.to_string()).collect();
        assert_eq!(names, ["one.example.", "two.example.", "three.example.", "three.example."]);
        let answer = resolver.lookup("far.example.", Kind::A).await.unwrap();
        assert_eq!((addresses(&answer).len(), answer.records().len()), (2, 5));
        // The shortest time on the way counts.
        rt.sleep(Duration::from_secs(19)).await;
        assert!(matches!(resolver.lookup("far.example.", Kind::A).await.unwrap().source, Source::Memory(_)));
        rt.sleep(Duration::from_secs(2)).await;
        let before = world.questions();
        assert!(matches!(resolver.lookup("far.example.", Kind::A).await.unwrap().source, Source::Server(_)));
        assert_eq!(world.questions() - before, 2);
        for (text, error) in [("gone.example.", Error::NoSuchName), ("empty.example.", Error::NoData)] {
            for _ in 0..2 {
                assert_eq!(resolver.lookup(text, Kind::A).await.err(), Some(error));
            }
            // What it leads to is not there; it is.
            let answer = resolver.lookup(text, Kind::CNAME).await.unwrap();
            assert!(matches!(&answer.records()[0].data, Data::Cname(_)));
        }
        assert_eq!(world.questions() - before, 6);
    });
}

/// Servers have other names point to the name in the question, whose letters are mixed.
#[test]
fn names_are_spelled_as_they_were() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve(53, |query| {
            let mut reply = query.reply();
            reply.bytes[7] = 2;
            reply.bytes.extend_from_slice(b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x07\x04Host\xc0\x12");
            reply.bytes.extend_from_slice(b"\x04Host\xc0\x12\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x09");
            vec![reply]
        });
        let resolver = world.usual();
        for number in 0..20 {
            let asked = format!("alia{}.Some-Long-Name.Example.", char::from(b'a' + number));
            let answer = resolver.lookup(&asked, Kind::A).await.unwrap();
            let [first, second] = answer.records() else { panic!("{answer:?}") };
            assert_eq!(first.name.to_string(), asked);
            assert_eq!(first.data.to_string(), "Host.Some-Long-Name.Example.");
            assert_eq!(second.name.to_string(), "Host.Some-Long-Name.Example.");
        }
    });
}

#[test]
fn what_there_is_not_is_remembered_as_the_zone_says() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve(53, |query| match () {
            () if query.is("not.example") => query.no_such_name(),
            () if query.is("brief.example") => vec![query.reply().rcode(3)],
            () => query.no_data(),
        });
        let resolver = world.usual();
        let none = |text: &'static str, kind| {
            let resolver = resolver.clone();
            async move { resolver.lookup(text, kind).await.unwrap_err() }
        };
        assert_eq!(none("not.example.", Kind::A).await, Error::NoSuchName);
        // Nor anything of another kind.
        assert_eq!(none("not.example.", Kind::MX).await, Error::NoSuchName);
        assert_eq!(world.questions(), 1);
        assert_eq!(none("some.example.", Kind::AAAA).await, Error::NoData);
        assert_eq!(none("some.example.", Kind::AAAA).await, Error::NoData);
        assert_eq!(none("some.example.", Kind::MX).await, Error::NoData);
        assert_eq!(world.questions(), 3);
        rt.sleep(Duration::from_secs(31)).await;
        assert_eq!(none("not.example.", Kind::A).await, Error::NoSuchName);
        assert_eq!(world.questions(), 4);
        // Nobody says for how long.
        assert_eq!(none("brief.example.", Kind::A).await, Error::NoSuchName);
        assert_eq!(none("brief.example.", Kind::A).await, Error::NoSuchName);
        assert_eq!(world.questions(), 6);
    });
}

#[test]
fn absurd_times_are_cut() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve(53, |query| match () {
            () if query.is("not.example") => {
                vec![query.reply().rcode(3).soa("example", 0x7fff_ffff, 0x7fff_ffff)]
            }
            () if query.is("minus.example") => {
                vec![query.reply().record("minus.example", Kind::A, u32::MAX, &[10, 0, 0, 1])]
            }
            () => vec![query.reply().record(&query.name, Kind::A, 0x7fff_ffff, &[10, 0, 0, 1])],
        });
        let resolver = world.usual();
        let answer = resolver.lookup("long.example.", Kind::A).await.unwrap();
        assert_eq!(answer.records()[0].ttl_s, 86_400);
        let _ = resolver.lookup("not.example.", Kind::A).await;
        for _ in 0..2 {
            assert_eq!(resolver.lookup("minus.example.", Kind::A).await.unwrap().records()[0].ttl_s, 0);
        }
        assert_eq!(world.questions(), 4);
        rt.sleep(Duration::from_secs(901)).await;
        let _ = resolver.lookup("not.example.", Kind::A).await;
        let _ = resolver.lookup("long.example.", Kind::A).await;
        assert_eq!(world.questions(), 5);
        rt.sleep(Duration::from_secs(86_400)).await;
        let _ = resolver.lookup("long.example.", Kind::A).await;
        assert_eq!(world.questions(), 6);
    });
}

#[test]
fn memory_is_bounded() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve(53, |query| query.a(9));
        let config = Config { cache_entries: 50, cache_bytes: 8000, ..Config::default() };
        let resolver = world.resolver(&[at(SERVER, 53)], config);
        for number in 0..300 {
            resolver.lookup(&format!("host{number}.example."), Kind::A).await.unwrap();
            let (entries, bytes) = resolver.remembered();
            assert!(entries <= 50 && bytes <= 8000, "{entries} entries, {bytes} bytes");
        }
        assert!(resolver.remembered().0 > 20);
        resolver.forget();
        assert_eq!(resolver.remembered(), (0, 0));
    });
}

#[test]
fn many_who_ask_the_same_cause_one_question() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve(53, |query| query.a(9).into_iter().map(|reply| reply.after(100)).collect());
        let resolver = world.usual();
        let all: Vec<_> = (0..100)
            .map(|number| {
                let resolver = resolver.clone();
                rt.spawn(async move {
                    resolver.lookup(["a.example.", "A.Example."][number % 2], Kind::A).await.is_ok()
                })
            })
            .collect();
        for one in all {
            assert_eq!(one.await, Ok(true));
        }
        assert_eq!((world.questions(), resolver.counts().shared), (1, 99));
        assert_eq!(world.ours.sockets(), (0, 0));
    });
}

#[test]
fn who_gives_up_leaves_nothing_behind() {
    run(async |rt| {
        let world = World::new(&rt);
        let slow = |query: &common::message::Query| query.a(9).remove(0).after(50_000);
        world
            .serve(53, move |query| vec![if query.stream { slow(query) } else { query.reply().truncated() }]);
        world.serve(54, |_| Vec::new());
        rt.sleep(Duration::from_secs(10)).await;
        let before = rt.stats();
        for port in [53, 54] {
            let resolver = world.resolver(&[at(SERVER, port)], Config::default());
            for wait_ms in [0, 1, 10, 1000] {
                let limit = Duration::from_millis(wait_ms);
                let one = rt.timeout(limit, resolver.lookup("a.example.", Kind::A)).await;
                assert!(one.is_err());
                // A second one waits for the same question, and the first gives up.
                let other = resolver.clone();
                let second = rt.spawn(async move { other.lookup("a.example.", Kind::A).await.err() });
                let one = rt.timeout(limit, resolver.lookup("a.example.", Kind::A)).await;
                assert!(one.is_err());
                assert!(!second.is_finished());
                second.abort();
                // What the stack says to the other end.
                rt.sleep(Duration::from_millis(100)).await;
                assert_eq!(world.ours.sockets(), (0, 0), "{port} {wait_ms}");
            }
        }
        rt.sleep(Duration::from_secs(100)).await;
        assert_eq!((rt.stats().tasks, rt.stats().timers), (before.tasks, before.timers));
    });
}

#[test]
fn questions_wait_for_their_turn() {
    run(async |rt| {
        let world = World::new(&rt);
        let most = Rc::new(Cell::new(0));
        world.serve(53, |query| query.a(9).into_iter().map(|reply| reply.after(10)).collect());
        let resolver = world.resolver(&[at(SERVER, 53)], Config { questions: 3, ..Config::default() });
        let all: Vec<_> = (0..50)
            .map(|number| {
                let (resolver, most, ours) = (resolver.clone(), most.clone(), world.ours.clone());
                rt.spawn(async move {
                    let answer = resolver.lookup(&format!("host{number}.example."), Kind::A).await;
                    most.set(most.get().max(ours.sockets().0));
                    answer.is_ok()
                })
            })
            .collect();
        // Some do not wait until the end.
        all.iter().skip(10).step_by(7).for_each(|one| one.abort());
        for (number, one) in all.into_iter().enumerate() {
            assert_eq!(one.await.is_ok(), number < 10 || (number - 10) % 7 != 0);
        }
        assert_eq!(most.get(), 3);
        assert_eq!(world.ours.sockets(), (0, 0));
    });
}

#[test]
fn short_names_are_completed() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve(53, |query| match () {
            () if query.is("host.one.example") || query.is("a.b.example") => query.a(1),
            () if query.is("half.one.example") => query.no_data(),
            () if query.is("ill.one.example") => vec![query.reply().rcode(2)],
            () if query.is("half.two.example") || query.is("ill.two.example") => query.a(2),
            () => query.no_such_name(),
        });
        let search = vec![name("two.example"), name("one.example")];
        let resolver = world.resolver(&[at(SERVER, 53)], Config { search, ..Config::default() });
        let mut before = 0;
        for (text, names, outcome) in [
            ("host", &["host.two.example.", "host.one.example."][..], Ok(())),
            ("host.", &["host."], Err(Error::NoSuchName)),
            (
                "not.there",
                &["not.there.", "not.there.two.example.", "not.there.one.example."],
                Err(Error::NoSuchName),
            ),
            ("a.b.example", &["a.b.example."], Ok(())),
            // It exists, so that others are not meant.
            ("half", &["half.two.example."], Ok(())),
            ("localhost", &[], Ok(())),
        ] {
            assert_eq!(resolver.lookup(text, Kind::A).await.map(|_| ()), outcome, "{text}");
            let asked: Vec<_> =
                world.asked.borrow()[before..].iter().map(|query| query.name.to_ascii_lowercase()).collect();
            assert_eq!(asked, names, "{text}");
            before = world.questions();
        }
        let search = vec![name("one.example"), name("two.example")];
        let resolver = world.resolver(&[at(SERVER, 53)], Config { search, ..Config::default() });
        assert_eq!(resolver.lookup("half", Kind::A).await.err(), Some(Error::NoData));
        assert!(resolver.lookup("ill", Kind::A).await.is_ok());
        assert_eq!(resolver.lookup("ill.three", Kind::A).await.err(), Some(Error::NoSuchName));
    });
}

#[test]
fn some_names_are_known_without_asking() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve(53, |query| query.a(9));
        let hosts =
            vec![(name("box.example"), address("10.0.0.7")), (name("box.example"), address("fd00::7"))];
        let resolver = world.resolver(&[at(SERVER, 53)], Config { hosts, ..Config::default() });
        world.ours.up().await;
        for (text, kind, expected) in [
            ("10.1.2.3", Kind::A, Ok("10.1.2.3")),
            ("10.1.2.3", Kind::AAAA, Err(Error::NoData)),
            ("fd00::5", Kind::AAAA, Ok("fd00::5")),
            ("fd00::5", Kind::A, Err(Error::NoData)),
            ("localhost", Kind::A, Ok("127.0.0.1")),
            ("a.LocalHost.", Kind::AAAA, Ok("::1")),
            ("localhost", Kind::MX, Err(Error::NoData)),
            ("www.invalid", Kind::A, Err(Error::NoSuchName)),
            ("www.onion", Kind::A, Err(Error::NoSuchName)),
            ("Box.Example", Kind::A, Ok("10.0.0.7")),
            ("box.example", Kind::AAAA, Ok("fd00::7")),
            ("box.example", Kind::TXT, Err(Error::NoData)),
            ("10.0.0.7", Kind::PTR, Ok("box.example.")),
            ("a b", Kind::A, Err(Error::BadName)),
            ("", Kind::A, Err(Error::BadName)),
        ] {
            let answer = resolver.lookup(text, kind).await.map(|answer| answer.records()[0].data.to_string());
            assert_eq!(answer.as_deref().map_err(|error| *error), expected, "{text}");
        }
        assert_eq!(
            resolver.addresses("box.example").await,
            Ok(vec![address("fd00::7"), address("10.0.0.7")])
        );
        assert_eq!(resolver.addresses("10.3.2.1").await, Ok(vec![address("10.3.2.1")]));
        assert_eq!(world.questions(), 0);
        assert!(resolver.lookup("www.test", Kind::A).await.is_ok());
        assert_eq!(world.questions(), 1);
    });
}

#[test]
fn both_families_are_asked_for_at_once_and_sorted() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve(53, |query| match (query.kind, ()) {
            (Kind::A, ()) if query.is("six.example") => query.no_data(),
            (Kind::A, ()) if query.is("ill.example") => vec![query.reply().rcode(2)],
            (_, ()) if query.is("not.example") => query.no_such_name(),
            (_, ()) if query.is("bare.example") => query.no_data(),
            (Kind::A, ()) => vec![query.a(5).remove(0).after(100)],
            (Kind::AAAA, ()) => {
                let data = address("fd00::5");
                let fata_netstack::IpAddress::Ipv6(data) = data else { unreachable!() };
                vec![query.reply().record(&query.name, Kind::AAAA, 60, &data.octets()).after(100)]
            }
            _ => Vec::new(),
        });
        let resolver = world.usual();
        let begin_ns = rt.now_ns();
        let both = resolver.addresses("www.example").await;
        assert_eq!(both, Ok(vec![address("fd00::5"), address("10.0.0.5")]));
        assert!(rt.now_ns() - begin_ns < 150_000_000);
        for text in ["six.example", "ill.example"] {
            assert_eq!(resolver.addresses(text).await, Ok(vec![address("fd00::5")]));
        }
        assert_eq!(resolver.addresses("not.example").await, Err(Error::NoSuchName));
        assert_eq!(resolver.addresses("bare.example").await, Err(Error::NoData));
    });
}
