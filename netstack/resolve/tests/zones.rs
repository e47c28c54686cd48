//! Answers of `netstack/dns` from zones of every kind of record, as the resolver reads them and as the `domain` crate does.

mod common;

use common::{World, run};
use domain::base::{Message, Rtype};
use domain::rdata::AllRecordData;
use fata_dns::{ANSWER_MAX, Limits, Transport, Zone, answer};
use fata_resolve::{Error, Kind};
use fata_sim::Rng;
use std::cell::RefCell;
use std::fmt::Write;
use std::rc::Rc;

const KINDS: [&str; 11] = ["A", "AAAA", "CNAME", "NS", "PTR", "MX", "TXT", "SRV", "HTTPS", "SVCB", "TYPE999"];

/// Names of all lengths and depths, so that some are compressed.
fn name(random: &mut Rng) -> String {
    let mut name = String::new();
    for _ in 0..random.within(1..5) {
        let len = random.within(1..20);
        name.extend((0..len).map(|_| char::from(b'a' + random.within(0..26) as u8)));
        name.push('.');
    }
    if random.within(0..4) > 0 { name + "example." } else { name }
}

fn data(kind: &str, random: &mut Rng) -> String {
    let mut number = |end| random.within(0..end);
    match kind {
        "A" => format!("10.{}.{}.{}", number(256), number(256), number(256)),
        "AAAA" => format!("fd00::{:x}:{:x}", number(65_536), number(65_536)),
        "MX" => format!("{} {}", number(65_536), name(random)),
        "SRV" => format!("{} {} {} {}", number(65_536), number(65_536), number(65_536), name(random)),
        "TXT" => {
            let parts = 1 + number(12);
            let part = |_| format!("\"{}\"", "t".repeat(random.within(0..256)));
            (0..parts).map(part).collect::<Vec<_>>().join(" ")
        }
        "HTTPS" | "SVCB" => {
            let (priority, port, last) = (1 + number(100), number(65_536), number(256));
            format!(
                "{priority} {} alpn=h2,h3 port={port} ipv4hint=10.0.0.{last} ipv6hint=fd00::{last:x}",
                name(random)
            )
        }
        "TYPE999" => format!("\\# 3 {:02X}{:02X}{:02X}", number(256), number(256), number(256)),
        _ => name(random),
    }
}

/// A zone, and what to ask it.
fn zone(random: &mut Rng) -> (String, Vec<(String, &'static str)>) {
    let mut text =
        String::from("$ORIGIN example.\n$TTL 300\n@ SOA ns mail 1 2 3 4 60\n@ NS ns\nns A 10.0.0.1\n");
    let mut questions =
        vec![("example.".into(), "SOA"), ("example.".into(), "NS"), ("gone.example.".into(), "A")];
    // It takes a stream.
    writeln!(text, "long TXT {}", "\"text\" ".repeat(400)).unwrap();
    questions.push(("long.example.".into(), "TXT"));
    for number in 0..60 {
        let kind = KINDS[random.within(0..KINDS.len())];
        let owner = format!("{}{number}", ["x", "Much-Longer.Name.", "mid."][random.within(0..3)]);
        let count = if kind == "CNAME" { 1 } else { random.within(1..10) };
        for _ in 0..count {
            // A delegation is another matter.
            let kind = if kind == "NS" { "PTR" } else { kind };
            writeln!(text, "{owner} {} {kind} {}", 60 + number, data(kind, random)).unwrap();
        }
        questions.push((format!("{owner}.example."), if kind == "NS" { "PTR" } else { kind }));
    }
    (text, questions)
}

/// The answer section, line by line; names in small letters and without the dot at their end.
fn read(bytes: &[u8]) -> Vec<String> {
    let message = Message::from_octets(bytes).unwrap();
    let (_, section, ..) = message.sections().unwrap();
    let line = |record: domain::base::ParsedRecord<'_, &[u8]>| {
        let record = record.into_any_record::<AllRecordData<_, _>>().unwrap();
        assert_ne!(record.rtype(), Rtype::OPT);
        format!("{}. {} {} {}", record.owner(), record.ttl().as_secs(), record.rtype(), record.data())
    };
    section.map(|record| plain(&line(record.unwrap()))).collect()
}

fn plain(line: &str) -> String {
    // The texts of both differ in quotes around protocols, and in blanks between numbers.
    let mut line = line.to_ascii_lowercase().replace("alpn=\"h2,h3\"", "alpn=h2,h3");
    if let Some((head, numbers)) = line.split_once("\\# 3 ") {
        line = format!("{head}\\# 3 {}", numbers.replace(' ', ""));
    }
    let word = |word: &str| word.strip_suffix('.').filter(|word| !word.is_empty()).unwrap_or(word).to_owned();
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn both_read_the_same() {
    let mut random = Rng::new();
    run(async |rt| {
        let world = World::new(&rt);
        let (text, questions) = zone(&mut random);
        let (zone, _) = Zone::read(text.as_bytes(), None, Limits::default()).unwrap();
        let zones = [Rc::new(zone)];
        let last = Rc::new(RefCell::new(Vec::new()));
        let sent = last.clone();
        world.serve(53, move |query| {
            // What we ask makes sense to others.
            let asked = Message::from_octets(&query.bytes[..]).unwrap();
            assert_eq!(asked.opt().unwrap().udp_payload_size(), 1232);
            let transport = if query.stream { Transport::Tcp } else { Transport::Udp };
            let mut out = vec![0; ANSWER_MAX];
            let len = answer(&zones, &query.bytes, transport, &mut out).unwrap().len;
            out.truncate(len);
            sent.borrow_mut().clone_from(&out);
            vec![common::message::Reply { bytes: out, ..query.reply() }]
        });
        let resolver = world.usual();
        for (name, kind) in questions {
            let answer = resolver.lookup(&name, Kind::parse(kind).unwrap()).await;
            let expected = read(&last.borrow());
            let lines: Vec<_> = match answer {
                Ok(answer) => answer
                    .records()
                    .iter()
                    .map(|record| {
                        plain(&format!("{} {} {} {}", record.name, record.ttl_s, record.kind, record.data))
                    })
                    .collect(),
                Err(error) => {
                    assert_eq!((error, name.as_str()), (Error::NoSuchName, "gone.example."));
                    Vec::new()
                }
            };
            assert_eq!(lines, expected, "{name} {kind}");
        }
        assert!(resolver.counts().streams > 0, "none was too long");
        assert_eq!((resolver.counts().spoofed, resolver.counts().failures), (0, 0));
    });
}
