//! Servers that lie, and others who answer in their place.

mod common;

use common::message::Reply;
use common::{SERVER, World, address, at, run};
use fata_resolve::{Config, Error, Kind};
use fata_sim::Rng;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const EVIL: [u8; 4] = [6, 6, 6, 6];

#[test]
fn answers_that_are_not_ours_are_counted_and_ignored() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve(53, |query| {
            let evil = || query.reply().record(&query.name, Kind::A, 60, &EVIL);
            let mut other_name = evil();
            other_name.bytes[13] = b'z';
            let mut other_kind = evil();
            let end = 12 + common::name(&query.name).wire().len();
            other_kind.bytes[end + 1] = 28;
            vec![
                evil().id(query.id().wrapping_add(1)),
                evil().elsewhere(),
                other_name,
                other_kind,
                // A question, and another kind of message.
                evil().byte(2, 1),
                evil().byte(2, 0xa9),
                Reply { bytes: evil().bytes[..11].to_vec(), ..evil() },
                query.a(9).remove(0).after(50),
            ]
        });
        let resolver = world.usual();
        let answer = resolver.lookup("a.example.", Kind::A).await.unwrap();
        assert_eq!(answer.addresses().collect::<Vec<_>>(), [address("10.0.0.9")]);
        let counts = resolver.counts();
        assert_eq!((counts.spoofed, counts.questions, counts.failures), (7, 1, 0));
    });
}

#[test]
fn if_somebody_guesses_a_stream_is_asked_for() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve(53, |query| {
            if query.stream {
                return query.a(9);
            }
            let evil = |number| query.reply().record(&query.name, Kind::A, 60, &EVIL).id(number);
            let wrong = (0..200u16).filter(|number| *number != query.id());
            wrong.map(|number| evil(number).after(number.into())).collect()
        });
        let resolver = world.usual();
        let answer = resolver.lookup("a.example.", Kind::A).await.unwrap();
        assert_eq!(answer.addresses().collect::<Vec<_>>(), [address("10.0.0.9")]);
        assert_eq!((resolver.counts().spoofed, resolver.counts().streams), (16, 1));
    });
}

/// Who guesses number and port, but not the letters.
#[test]
fn letters_in_another_case_are_looked_at_twice() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve(53, |query| match query.stream {
            true => query.a(9),
            false => vec![query.reply().record(&query.name, Kind::A, 60, &EVIL).lowered()],
        });
        let resolver = world.usual();
        for number in 0..3 {
            let answer =
                resolver.lookup(&format!("some-long-name-{number}.example."), Kind::A).await.unwrap();
            assert_eq!(answer.addresses().collect::<Vec<_>>(), [address("10.0.0.9")]);
        }
        assert_eq!((resolver.counts().spoofed, resolver.counts().streams), (3, 3));
    });
}

#[test]
fn what_was_not_asked_for_is_not_believed() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve(53, |query| {
            if query.is("bank.example") || query.kind == Kind::MX {
                return query.no_data();
            }
            vec![
                query
                    .reply()
                    .record("bank.example", Kind::A, 6000, &EVIL)
                    .record(&query.name, Kind::MX, 60, b"\0\x0a\x04bank\x07example\0")
                    .record(&query.name, Kind::A, 60, &[10, 0, 0, 9])
                    .extra("bank.example", Kind::A, &EVIL),
            ]
        });
        let resolver = world.usual();
        let answer = resolver.lookup("a.example.", Kind::A).await.unwrap();
        assert_eq!(answer.records().len(), 1);
        assert_eq!(resolver.lookup("bank.example.", Kind::A).await.err(), Some(Error::NoData));
        assert_eq!(resolver.lookup("a.example.", Kind::MX).await.err(), Some(Error::NoData));
    });
}

#[test]
fn names_that_lead_nowhere_end() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve(53, |query| {
            let name = query.name.to_ascii_lowercase();
            let (first, rest) = name.split_once('.').unwrap();
            let number: usize = first.parse().unwrap_or_default();
            let at = |number: usize| format!("{number}.{rest}");
            let mut reply = query.reply();
            match rest {
                "self." => reply = reply.cname(&name, 60, &name),
                "two." => reply = reply.cname("0.two", 60, "1.two").cname("1.two", 60, "0.two"),
                // One more, each time; and many at once.
                "step." => reply = reply.cname(&name, 60, &at(number + 1)),
                "many." => {
                    for link in 0..40 {
                        reply = reply.cname(&at(link), 60, &at(link + 1));
                    }
                }
                "ends." if number < 7 => reply = reply.cname(&name, 60, &at(number + 1)),
                "chain." => {
                    for link in 0..16 {
                        reply = reply.cname(&at(link), 60, &at(link + 1));
                    }
                    reply = reply.record(&at(16), Kind::A, 60, &[10, 0, 0, 9]);
                }
                _ => reply = reply.record(&name, Kind::A, 60, &[10, 0, 0, 9]),
            }
            vec![reply]
        });
        let resolver = world.usual();
        for (text, questions) in [("0.self.", 1), ("0.two.", 1), ("0.step.", 8), ("0.many.", 1)] {
            let before = world.questions();
            assert_eq!(resolver.lookup(text, Kind::A).await.err(), Some(Error::Loop), "{text}");
            assert_eq!(world.questions() - before, questions, "{text}");
        }
        for text in ["0.ends.", "0.chain."] {
            assert!(resolver.lookup(text, Kind::A).await.is_ok(), "{text}");
        }
    });
}

#[test]
fn nonsense_is_an_error_and_the_next_server_is_asked() {
    run(async |rt| {
        let world = World::new(&rt);
        world.serve(53, |query| {
            let reply = query.reply().record(&query.name, Kind::A, 60, &[10, 0, 0, 9]);
            // A record whose name points there.
            let begin = query.reply().bytes.len();
            let pointing = |to: usize| {
                let mut reply = query.reply().byte(7, 1);
                reply.bytes.extend_from_slice(&[0xc0, to as u8, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 9]);
                reply
            };
            vec![match query.name.as_bytes()[0] | 32 {
                // More records than there are.
                b'c' => reply.byte(7, 2),
                b'm' => reply.byte(7, 0xff).byte(6, 0xff),
                // A length that is too long.
                b'l' => {
                    let last = reply.bytes.len() - 5;
                    reply.byte(last, 5)
                }
                // Itself, and ahead.
                b'p' => pointing(begin),
                _ => pointing(begin + 2),
            }]
        });
        world.serve(54, |query| query.a(9));
        for text in ["counts.", "pointers.", "ahead.", "lengths.", "more-counts."] {
            let resolver = world.usual();
            assert_eq!(resolver.lookup(text, Kind::A).await.err(), Some(Error::Corrupt), "{text}");
            assert_eq!(resolver.remembered().0, 0);
            let resolver = world.resolver(&[at(SERVER, 53), at(SERVER, 54)], Config::default());
            assert!(resolver.lookup(text, Kind::A).await.is_ok(), "{text}");
        }
    });
}

/// Answers of all kinds with a few bytes turned, by datagrams and by streams: each lookup ends, and nothing is left.
#[test]
fn whatever_servers_say_lookups_end() {
    let random = Rng::new();
    run(async |rt| {
        let world = World::new(&rt);
        let (mut dice, mut ours) = (random.clone(), random.clone());
        world.serve(53, move |query| {
            let mut reply = query
                .reply()
                .cname(&query.name, 60, "b.example")
                .record("b.example", query.kind, 60, &[0, 1, 1, b'x', 0])
                .soa("example", 60, 60);
            if !query.stream && dice.within(0..4) == 0 {
                reply = reply.truncated();
            }
            for _ in 0..dice.within(0..5) {
                let at = dice.within(2..reply.bytes.len());
                reply.bytes[at] = dice.number() as u8;
            }
            if dice.within(0..8) == 0 {
                reply.len = Some(dice.number() as u16);
            }
            let kept = dice.within(0..2 * reply.bytes.len());
            reply.bytes.truncate(kept);
            vec![reply]
        });
        let config = Config { timeout: Duration::from_millis(100), cache_bytes: 4000, ..Config::default() };
        let resolver = world.resolver(&[at(SERVER, 53)], config);
        let mut outcomes = [0; 2];
        let kinds = [Kind::A, Kind::MX, Kind::TXT, Kind::SVCB, Kind::CNAME, Kind::PTR, Kind::SOA, Kind(99)];
        for number in 0..2000 {
            let kind = kinds[ours.within(0..kinds.len())];
            let lookup = resolver.lookup(&format!("{number}.example."), kind).await;
            outcomes[usize::from(lookup.is_ok())] += 1;
            if let Ok(answer) = lookup {
                for record in answer.records() {
                    assert!(record.data.to_string().bytes().all(|byte| (b' '..=b'~').contains(&byte)));
                }
            }
            assert!(resolver.remembered().1 <= 4000);
        }
        assert!(outcomes.iter().all(|count| *count > 100), "{outcomes:?}");
        world.settled().await;
    });
}

/// A stream that is full of records.
#[test]
fn as_much_as_there_can_be_is_bounded() {
    run(async |rt| {
        let world = World::new(&rt);
        let asked = Rc::new(RefCell::new(Vec::new()));
        let seen = asked.clone();
        world.serve(53, move |query| {
            seen.borrow_mut().push(query.stream);
            if !query.stream {
                return vec![query.reply().truncated()];
            }
            // Their names are that of the question, by a pointer.
            let mut reply = query.reply();
            let exchange = query.is("large.example");
            let (mut count, record): (u16, &[u8]) = match exchange {
                true => (4000, b"\xc0\x0c\0\x0f\0\x01\0\0\0\x3c\0\x04\0\0\xc0\x0c"),
                false => (1000, b"\xc0\x0c\0\x0f\0\x01\0\0\0\x3c\0\x04\0\0\xc0\x0c"),
            };
            reply.bytes[6..8].copy_from_slice(&count.to_be_bytes());
            while count > 0 {
                reply.bytes.extend_from_slice(record);
                count -= 1;
            }
            vec![reply]
        });
        let resolver = world.usual();
        assert_eq!(resolver.lookup("large.example.", Kind::MX).await.err(), Some(Error::Corrupt));
        let answer = resolver.lookup("less.example.", Kind::MX).await.unwrap();
        assert_eq!((answer.records().len(), asked.borrow().len()), (1000, 4));
    });
}
