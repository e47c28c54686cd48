use super::*;
use fata_sim::Rng;
use std::format;
use std::vec;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn question(text: &str, kind: Kind) -> Question {
    Question { name: name(text), kind }
}

/// An answer to a question for `a.example`, with these counts and what follows the question at byte 27.
fn answer(kind: Kind, flags: u16, counts: [u16; 3], rest: &[u8]) -> Vec<u8> {
    let mut bytes = question("a.example", kind).message(7, false);
    bytes[2..4].copy_from_slice(&flags.to_be_bytes());
    for (at, count) in counts.iter().enumerate() {
        bytes[6 + 2 * at..8 + 2 * at].copy_from_slice(&count.to_be_bytes());
    }
    bytes.extend_from_slice(rest);
    bytes
}

/// A record whose name is at byte 12, which is that of the question.
fn record(kind: Kind, ttl: u32, data: &[u8]) -> Vec<u8> {
    owned(b"\xc0\x0c", kind, ttl, data)
}

fn owned(owner: &[u8], kind: Kind, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = [owner, &kind.0.to_be_bytes(), &[0, 1], &ttl.to_be_bytes()].concat();
    bytes.extend_from_slice(&(data.len() as u16).to_be_bytes());
    bytes.extend_from_slice(data);
    bytes
}

fn fitting<'a>(bytes: &'a [u8], question: &Question) -> Message<'a> {
    let (fit, begin) = Message::fit(bytes, 7, question);
    assert_eq!(fit, Fit::Exact);
    Message::new(bytes, begin)
}

fn found(bytes: &[u8], kind: Kind) -> Result<Answers, Corrupt> {
    let question = question("a.example", kind);
    let message = fitting(bytes, &question);
    message.rcode()?;
    let mut answers = Answers::default();
    message.answers(&question.name, kind, &mut answers)?;
    message.nothing_for_s(&question.name)?;
    Ok(answers)
}

fn one(kind: Kind, data: &[u8]) -> Result<Data, Corrupt> {
    let answers = found(&answer(kind, 0x8180, [1, 0, 0], &record(kind, 60, data)), kind)?;
    Ok(answers.records.into_iter().next().unwrap().data)
}

#[test]
fn questions_are_as_the_rfc_has_them() {
    let bytes = question("ab.c", Kind::AAAA).message(0x1234, true);
    let expected = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\x01\x02ab\x01c\0\0\x1c\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\0";
    assert_eq!(bytes, expected);
    assert_eq!(question("ab.c", Kind::AAAA).message(0x1234, false).len(), bytes.len() - 11);
}

#[test]
fn answers_must_fit() {
    let ours = question("a.example", Kind::A);
    let fit = |bytes: &[u8]| Message::fit(bytes, 7, &ours).0;
    let good = answer(Kind::A, 0x8180, [0; 3], b"");
    assert_eq!(fit(&good), Fit::Exact);
    assert_eq!(Message::fit(&good, 8, &ours).0, Fit::Not);
    for (at, value, expected) in [
        (13, b'A', Fit::OtherCase),
        (13, b'b', Fit::Not),
        (12, 2, Fit::Not),
        (2, 0x01, Fit::Not),
        (2, 0x89, Fit::Not),
        (5, 0, Fit::Not),
        (5, 2, Fit::Not),
        (good.len() - 1, 2, Fit::Not),
        (good.len() - 3, 28, Fit::Not),
    ] {
        let mut bytes = good.clone();
        bytes[at] = value;
        assert_eq!(fit(&bytes), expected, "{at}");
    }
    for len in 0..good.len() {
        assert_eq!(fit(&good[..len]), Fit::Not);
    }
    assert_eq!(fit(b"\0\x07\x81\x81\0\0\0\0\0\0\0\0"), Fit::Blunt);
    assert_eq!(fit(b"\0\x07\x81\x85\0\0\0\0\0\0\0\0"), Fit::Not);
}

#[test]
fn data_of_every_kind() {
    let printed = |kind, data: &[u8]| one(kind, data).map(|data| format!("{data}"));
    for (kind, data, text) in [
        (Kind::A, &b"\x0a\0\0\x01"[..], "10.0.0.1"),
        (Kind::AAAA, b"\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01", "fd00::1"),
        (Kind::NS, b"\x02ns\xc0\x0e", "ns.example."),
        (Kind::PTR, b"\x01b\0", "b."),
        (Kind::MX, b"\0\x0a\xc0\x0c", "10 a.example."),
        (Kind::TXT, b"\x02hi\x01!", "\"hi\" \"!\""),
        (Kind::SRV, b"\0\x01\0\x02\0\x50\x01x\0", "1 2 80 x."),
        (Kind::HTTPS, b"\0\x01\0\0\x03\0\x02\x01\xbb", "1 . port=443"),
        (Kind::SVCB, b"\0\0\x01x\0", "0 x."),
        (
            Kind::SOA,
            b"\xc0\x0c\x01h\xc0\x0e\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05",
            "a.example. h.example. 1 2 3 4 5",
        ),
        (Kind(257), b"\0\x05", "\\# 2 0005"),
    ] {
        assert_eq!(printed(kind, data).as_deref(), Ok(text));
        // A byte less, or one more.
        let more = [data, &[1]].concat();
        if kind != Kind(257) {
            assert_eq!(printed(kind, &data[..data.len() - 1]), Err(Corrupt), "{text}");
            assert_eq!(printed(kind, &more), Err(Corrupt), "{text}");
        }
    }
}

#[test]
fn names_lead_to_names() {
    let rest = [
        owned(b"\x01b\xc0\x0e", Kind::CNAME, 20, b"\x01c\xc0\x0e"),
        owned(b"\x01z\xc0\x0e", Kind::A, 20, b"\x09\x09\x09\x09"),
        owned(b"\x01c\xc0\x0e", Kind::A, 10, b"\x0a\0\0\x01"),
        record(Kind::CNAME, 30, b"\x01b\xc0\x0e"),
    ]
    .concat();
    let bytes = answer(Kind::A, 0x8180, [4, 0, 0], &rest);
    let message = fitting(&bytes, &question("a.example", Kind::A));
    let mut answers = Answers::default();
    for (from, to) in [("a.example", "b.example"), ("B.EXAMPLE", "c.example")] {
        message.answers(&name(from), Kind::A, &mut answers).unwrap();
        assert_eq!(answers.alias.as_ref().unwrap().data, Data::Cname(name(to)));
        assert_eq!(answers.records.len(), 0);
    }
    message.answers(&name("c.example"), Kind::A, &mut answers).unwrap();
    assert!(answers.alias.is_none());
    assert_eq!((answers.records.len(), answers.records[0].ttl_s), (1, 10));
}

#[test]
fn nothing_is_kept_as_long_as_the_zone_says() {
    let soa = |ttl, least: u32| {
        let data = [&b"\0\0"[..], &[0; 16], &least.to_be_bytes()].concat();
        owned(b"\xc0\x0e", Kind::SOA, ttl, &data)
    };
    let for_s = |bytes: &[u8]| {
        let message = fitting(bytes, &question("a.example", Kind::A));
        message.nothing_for_s(&name("a.example"))
    };
    assert_eq!(for_s(&answer(Kind::A, 0x8183, [0, 1, 0], &soa(300, 60))), Ok(Some(60)));
    assert_eq!(for_s(&answer(Kind::A, 0x8183, [0, 1, 0], &soa(30, 60))), Ok(Some(30)));
    assert_eq!(for_s(&answer(Kind::A, 0x8183, [0, 1, 0], &soa(u32::MAX, 60))), Ok(Some(0)));
    assert_eq!(for_s(&answer(Kind::A, 0x8183, [0, 0, 1], &soa(30, 60))), Ok(None));
    // Of another zone.
    let other = owned(b"\x01z\0", Kind::SOA, 30, &[&b"\0\0"[..], &[0; 20]].concat());
    assert_eq!(for_s(&answer(Kind::A, 0x8183, [0, 1, 0], &other)), Ok(None));
}

#[test]
fn a_rcode_may_go_on_elsewhere() {
    let option = [&b"\0"[..], &OPT.to_be_bytes(), &[4, 0xd0, 1, 0, 0, 0, 0, 0]].concat();
    let bytes = answer(Kind::A, 0x8180, [0, 0, 1], &option);
    let message = fitting(&bytes, &question("a.example", Kind::A));
    assert_eq!(message.rcode(), Ok(16));
}

#[test]
fn lies_are_corrupt() {
    let a = record(Kind::A, 60, &[10, 0, 0, 1]);
    for (counts, rest) in [
        // More records than there are, in each section.
        ([2, 0, 0], a.clone()),
        ([1, 1, 0], a.clone()),
        ([1, 0, 65_535], a.clone()),
        // A length beyond the end.
        ([1, 0, 0], [&a[..10], &[0xff, 0xff], &a[12..]].concat()),
        // Names that point to themselves, ahead, to each other, and out of the message.
        ([1, 0, 0], owned(b"\xc0\x1b", Kind::A, 60, &[10, 0, 0, 1])),
        ([1, 0, 0], owned(b"\xc0\x1d", Kind::A, 60, &[10, 0, 0, 1])),
        ([1, 0, 0], owned(b"\x01x\xc0\x1b", Kind::A, 60, &[10, 0, 0, 1])),
        ([1, 0, 0], owned(b"\xff\xff", Kind::A, 60, &[10, 0, 0, 1])),
        // Labels of kinds that there are not.
        ([1, 0, 0], owned(b"\x40x\0", Kind::A, 60, &[10, 0, 0, 1])),
        ([1, 0, 0], owned(b"\x80x\0", Kind::A, 60, &[10, 0, 0, 1])),
    ] {
        let bytes = answer(Kind::A, 0x8180, counts, &rest);
        assert_eq!(found(&bytes, Kind::A).err(), Some(Corrupt), "{rest:?}");
    }
}

#[test]
fn names_of_many_pointers_are_bounded() {
    // Each record's data is a pointer to the last one's.
    for (count, holds) in [(120u16, true), (130, false)] {
        let mut rest = owned(b"\0", Kind(999), 0, b"\xc0\x0c");
        let mut last = 27 + rest.len() as u16 - 2;
        for _ in 1..count {
            rest.extend_from_slice(&owned(b"\0", Kind(999), 0, &(0xc000 | last).to_be_bytes()));
            last = 27 + rest.len() as u16 - 2;
        }
        rest.extend_from_slice(&owned(&(0xc000 | last).to_be_bytes(), Kind::A, 60, &[10, 0, 0, 1]));
        let bytes = answer(Kind::A, 0x8180, [count + 1, 0, 0], &rest);
        assert_eq!(found(&bytes, Kind::A).is_ok(), holds);
    }
    // One that is too long.
    let label = [&[63][..], &[b'x'; 63]].concat();
    let long = [label.clone(), label.clone(), label.clone(), label, vec![0]].concat();
    let bytes = answer(Kind::A, 0x8180, [1, 0, 0], &owned(&long, Kind::A, 60, &[10, 0, 0, 1]));
    assert_eq!(found(&bytes, Kind::A).err(), Some(Corrupt));
}

#[test]
fn what_names_stand_for_is_bounded() {
    // Preferences and two bytes for each name, that of the question.
    let rest: Vec<u8> = (0..4000).flat_map(|_| record(Kind::MX, 60, b"\0\0\xc0\x0c")).collect();
    let bytes = answer(Kind::MX, 0x8180, [4000, 0, 0], &rest);
    assert!(bytes.len() < 65_536);
    assert_eq!(found(&bytes, Kind::MX).err(), Some(Corrupt));
}

#[test]
fn whatever_comes_is_an_answer_or_corrupt() {
    let mut random = Rng::new();
    let kinds = [Kind::A, Kind::MX, Kind::SOA, Kind::SRV, Kind::SVCB, Kind::TXT, Kind::CNAME];
    let soa = b"\xc0\x0c\x01h\xc0\x0e\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05";
    let rest = [
        record(Kind::CNAME, 1, b"\x01x\xc0\x0e"),
        record(Kind::MX, 1, b"\0\x0a\xc0\x0c"),
        record(Kind::SRV, 1, b"\0\x01\0\x02\0\x50\x01x\0"),
        record(Kind::SVCB, 1, b"\0\x01\0\0\x03\0\x02\x01\xbb"),
        record(Kind::TXT, 1, b"\x02hi\x01!"),
        record(Kind::SOA, 1, soa),
    ]
    .concat();
    for _ in 0..20_000 {
        let kind = kinds[random.within(0..kinds.len())];
        let mut bytes = answer(kind, 0x8180, [5, 1, 0], &rest);
        for _ in 0..=random.within(0..4) {
            let at = random.within(27..bytes.len());
            bytes[at] = match random.within(0..3) {
                0 => random.number() as u8,
                1 => 0xc0,
                _ => bytes[at].wrapping_add(1),
            };
        }
        bytes.truncate(random.within(27..2 * bytes.len()));
        let _ = found(&bytes, kind);
    }
}
