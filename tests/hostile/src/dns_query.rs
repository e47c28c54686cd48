//! Any bytes as a message to the name server: it answers with a message that others can read, or not at all.

use domain::base::Message;
use domain::rdata::AllRecordData;
use fata_dns::{ANSWER_MAX, Limits, Transfer, Transport, UDP_MAX, Zone, answer, truncate};
use std::rc::Rc;

/// Something of everything that answers are made of.
const ZONE: &str = "$ORIGIN example.com.\n$TTL 60\n@ SOA ns h 7 2 3 4 5\n@ NS ns\n@ MX 1 mail\nns A 192.0.2.1\nmail AAAA ::1\n\
    a.b.c TXT deep\nalias CNAME ns\nchain CNAME alias\nloop CNAME loop\nlost CNAME no\nsub NS ns.sub\nns.sub A 192.0.2.2\n\
    *.w A 192.0.2.3\n*.l CNAME x.l\n*.c CNAME a.b.c\nd DNAME w\ne DNAME e.e\nf DNAME long.elsewhere.test.\n\
    s SRV 1 2 3 ns\nh HTTPS 1 . alpn=h2\nh A 192.0.2.4\nt TYPE999 \\# 2 abcd\n";

/// Types whose data is looked into.
const KNOWN: [u16; 13] = [1, 2, 5, 6, 12, 15, 16, 28, 33, 39, 64, 65, 257];

/// Answers, and looks at what comes of it.
///
/// # Panics
/// If the server does what it must not.
pub fn dns_query(input: &[u8]) {
    let big: String = (0..90).map(|n| format!("big A 192.0.2.{n}\n")).collect();
    let (zone, _) = Zone::read(format!("{ZONE}{big}").as_bytes(), None, Limits::default()).unwrap();
    let zones = [Rc::new(zone)];
    let mut out = vec![0; ANSWER_MAX];
    for (transport, limit) in [(Transport::Udp, UDP_MAX), (Transport::Tcp, ANSWER_MAX)] {
        let Some(reply) = answer(&zones, input, transport, &mut out) else { continue };
        assert!(reply.len <= limit && input[2] & 0x80 == 0);
        // Without EDNS there is less room.
        assert!(transport == Transport::Tcp || reply.len <= 512 || input[11] > 0);
        sound(input, &out[..reply.len]);
    }
    if let Some(len) = truncate(input, &mut out) {
        assert!(len <= input.len());
        sound(input, &out[..len]);
    }
    let Some(mut transfer) = Transfer::begin(&zones, input) else { return };
    let mut messages = 0;
    while let Some(len) = transfer.next(&mut out) {
        sound(input, &out[..len]);
        messages += 1;
    }
    assert!((1..10).contains(&messages));
}

/// A whole message, in answer to this one.
pub(crate) fn sound(query: &[u8], bytes: &[u8]) {
    assert_eq!((&bytes[..2], bytes[2] & 0x80), (&query[..2], 0x80));
    let message = Message::from_octets(bytes).unwrap();
    let (question, answer, authority, additional) = message.sections().unwrap();
    question.for_each(|question| assert!(question.is_ok()));
    for section in [answer, authority, additional] {
        for record in section {
            let record = record.unwrap();
            // Of other types any bytes are data here (RFC 3597), but not for `domain`.
            let known = KNOWN.contains(&record.rtype().to_int());
            assert!(!known || record.into_any_record::<AllRecordData<_, _>>().is_ok());
        }
    }
}
