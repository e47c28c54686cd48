//! Whole zones, for those who may have them.

mod common;

use common::ask::{query, said, without_dots};
use common::{HEAD, text, with_head, zone};
use fata_dns::{ANSWER_MAX, Transfer, Zone};
use std::rc::Rc;

fn messages(zones: &[Rc<Zone>], query: &[u8]) -> Vec<Vec<u8>> {
    let mut transfer = Transfer::begin(zones, query).unwrap();
    let mut out = vec![0; ANSWER_MAX];
    let mut messages = Vec::new();
    while let Some(len) = transfer.next(&mut out) {
        messages.push(out[..len].to_vec());
    }
    messages
}

#[test]
fn a_zone_comes_whole_between_two_soas() {
    let zones = [Rc::new(zone(&with_head("x TXT a\nsub NS ns.sub\nns.sub A 192.0.2.2\n*.w MX 1 x\n")))];
    let messages = messages(&zones, &query("EXAMPLE.com", "AXFR"));
    assert_eq!(messages.len(), 1);
    let said = said(&messages[0]);
    assert_eq!((said.rcode.as_str(), said.flags.as_str()), ("NOERROR", "aa rd"));
    let (first, last) = (&said.answer[0], said.answer.last().unwrap());
    assert!(first.to_lowercase() == last.to_lowercase() && first.contains(" SOA "));
    assert_eq!(said.answer.len(), text(&zones[0]).lines().count() + 1);
}

#[test]
fn large_zones_take_many_messages_and_can_be_read_again() {
    let many: String = (0..5000)
        .map(|n| format!("host{n} 60 A 10.0.{}.{}\nhost{n} MX 5 mail.host{n}\n", n / 250, n % 250))
        .collect();
    let texts: String = (0..200).map(|n| format!("big TXT {} {n}\n", "x".repeat(250))).collect();
    let zones = [Rc::new(zone(&with_head(&(many + &texts))))];
    let messages = messages(&zones, &query("example.com", "AXFR"));
    assert!(messages.len() > 10, "{}", messages.len());
    let mut records = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        // The question is in the first one (RFC 5936 section 2.2.1).
        assert_eq!((message[..2] == messages[0][..2], message[5]), (true, u8::from(index == 0)));
        let said = said(message);
        assert!(said.flags.starts_with("aa") && !said.answer.is_empty());
        records.extend(said.answer);
    }
    let text = text(&zones[0]);
    let mut written: Vec<_> = text.lines().map(|line| without_dots(&line.replace(" IN ", " "))).collect();
    assert_eq!(records.len(), written.len() + 1);
    records.pop();
    records.sort();
    written.sort();
    let same = records.iter().zip(&written).filter(|(a, b)| a.contains("SOA") || a == b).count();
    assert_eq!(same, written.len(), "{:?}", records.iter().zip(&written).find(|(a, b)| a != b));
}

/// With the SOA that somebody has (RFC 1995 section 3).
fn ixfr(serial: u32) -> Vec<u8> {
    let mut message = query("example.com", "IXFR");
    message[9] = 1;
    message.extend_from_slice(b"\xc0\x0c\0\x06\0\x01\0\0\0\0\0\x16\0\0");
    message.extend_from_slice(&serial.to_be_bytes());
    message.extend_from_slice(&[0; 16]);
    message
}

#[test]
fn who_asks_for_changes_gets_all_or_nothing() {
    let zones = [Rc::new(zone(HEAD))];
    let records = |serial| said(&messages(&zones, &ixfr(serial))[0]).answer.len();
    assert_eq!((records(6), records(7), records(8)), (4, 1, 1));
    // RFC 1982: numbers go round.
    assert_eq!((records(u32::MAX), records(0x8000_0006)), (4, 1));
    assert_eq!(messages(&zones, &query("example.com", "IXFR")).len(), 1);
}

#[test]
fn what_is_no_wish_for_a_zone_begins_nothing() {
    let zones = [Rc::new(zone(HEAD))];
    for (name, kind) in [("example.com", "A"), ("ns.example.com", "AXFR"), ("example.net", "AXFR")] {
        assert!(Transfer::begin(&zones, &query(name, kind)).is_none());
    }
    let mut broken = query("example.com", "AXFR");
    broken.push(0);
    assert!(Transfer::begin(&zones, &broken).is_none());
    assert!(Transfer::begin(&zones, &[]).is_none());
}

/// The one that has begun goes on with the zone that it has begun with.
#[test]
fn a_zone_may_be_replaced_meanwhile() {
    let many: String = (0..3000).map(|n| format!("host{n} A 10.0.0.1\n")).collect();
    let mut zones = vec![Rc::new(zone(&with_head(&many)))];
    let mut transfer = Transfer::begin(&zones, &query("example.com", "AXFR")).unwrap();
    let mut out = vec![0; ANSWER_MAX];
    let len = transfer.next(&mut out).unwrap();
    let mut records = said(&out[..len]).answer.len();
    zones[0] = Rc::new(zone(HEAD));
    while let Some(len) = transfer.next(&mut out) {
        records += said(&out[..len]).answer.len();
    }
    assert_eq!(records, 3004);
}
