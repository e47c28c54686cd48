//! What is answered, rule by rule.

mod common;

use common::ask::{Said, ask, query, query_with, respond, said};
use common::{with_head, zone};
use domain::base::iana::Class;
use fata_dns::{ANSWER_MAX, Transport, Zone, answer, truncate};
use std::rc::Rc;

const RECORDS: &str = "\
    @ MX 10 mail\n@ MX 20 mail.elsewhere.net.\n@ TXT \"hello\"\n@ CAA 0 issue \"ca.example\"\n\
    mail A 192.0.2.25\nmail AAAA 2001:db8::25\n\
    WWW A 192.0.2.80\n\
    a.b.c.deep TXT deep\n\
    alias CNAME www\nchain CNAME alias\nout CNAME www.elsewhere.net.\nlost CNAME nowhere\n\
    loop1 CNAME loop2\nloop2 CNAME loop1\nto-sub CNAME host.sub\n\
    sub NS ns.sub\nsub NS ns\nsub NS ns.other-sub\nsub NS ns.elsewhere.net.\nns.sub A 192.0.2.53\nns.sub AAAA 2001:db8::53\n\
    sub TYPE43 \\# 4 00010203\n\
    other-sub NS ns.other-sub\nns.other-sub A 192.0.2.54\n\
    *.wild A 192.0.2.99\n*.wild MX 5 mail\nhost.wild TXT here\nx.y.wild TXT there\n*.alias-wild CNAME www\n\
    *.loop CNAME a.loop\n\
    a.*.ent-wild A 192.0.2.98\n\
    dname DNAME elsewhere.net.\ninner DNAME deep\nsub-dname DNAME sub\n\
    _http._tcp SRV 1 2 80 www\nsvc HTTPS 1 . alpn=h2\nsvc A 192.0.2.82\nsvc-alias HTTPS 0 svc\n\
    odd TYPE999 \\# 2 abcd\n\
    short 5 A 192.0.2.5\n";

fn zones() -> Vec<Rc<Zone>> {
    vec![Rc::new(zone(&with_head(RECORDS)))]
}

const SOA: &str = "example.com 300 SOA ns.example.com hostmaster.example.com 7 7200 1800 1209600 300";

#[track_caller]
fn check(name: &str, kind: &str, flags: &str, rcode: &str, sections: [&[&str]; 3]) {
    let said = ask(&zones(), name, kind);
    let [answer, authority, additional] =
        sections.map(|section| section.iter().map(|line| (*line).to_owned()).collect());
    let flags = format!("{flags} rd").trim().to_owned();
    assert_eq!(said, Said { rcode: rcode.into(), flags, answer, authority, additional }, "{name} {kind}");
}

#[test]
fn what_is_there_is_answered_with_authority() {
    check("www.example.com", "A", "aa", "NOERROR", [&["www.example.com 3600 A 192.0.2.80"], &[], &[]]);
    check("example.com", "TXT", "aa", "NOERROR", [&["example.com 3600 TXT \"hello\""], &[], &[]]);
    check("short.example.com", "A", "aa", "NOERROR", [&["short.example.com 5 A 192.0.2.5"], &[], &[]]);
    check(
        "odd.example.com",
        "TYPE999",
        "aa",
        "NOERROR",
        [&["odd.example.com 3600 TYPE999 \\# 2 ab cd"], &[], &[]],
    );
    let soa = SOA.replace(" 300 SOA", " 3600 SOA");
    check("example.com", "SOA", "aa", "NOERROR", [&[&soa], &[], &[]]);
}

#[test]
fn what_is_not_there_is_denied_for_as_long_as_the_soa_says() {
    // RFC 2308: the name is not there, or it is and has none of these; those between names are there.
    check("nothing.example.com", "A", "aa", "NXDOMAIN", [&[], &[SOA], &[]]);
    check("x.www.example.com", "A", "aa", "NXDOMAIN", [&[], &[SOA], &[]]);
    check("www.example.com", "AAAA", "aa", "NOERROR", [&[], &[SOA], &[]]);
    for between in ["deep.example.com", "c.deep.example.com", "b.c.deep.example.com", "_tcp.example.com"] {
        check(between, "TXT", "aa", "NOERROR", [&[], &[SOA], &[]]);
    }
    // The lesser of the SOA's time to live and its minimum.
    let zone = zone("a. 20 SOA b. c. 1 2 3 4 50\n NS b.\n");
    assert_eq!(ask(&[Rc::new(zone)], "x.a", "A").authority, ["a 20 SOA b c 1 2 3 4 50"]);
}

#[test]
fn what_answers_point_to_comes_along() {
    let addresses = ["mail.example.com 3600 A 192.0.2.25", "mail.example.com 3600 AAAA 2001:db8::25"];
    let mx = ["example.com 3600 MX 10 mail.example.com", "example.com 3600 MX 20 mail.elsewhere.net"];
    check("example.com", "MX", "aa", "NOERROR", [&mx, &[], &addresses]);
    let ns = ["ns.example.com 3600 A 192.0.2.1"];
    check("example.com", "NS", "aa", "NOERROR", [&["example.com 3600 NS ns.example.com"], &[], &ns]);
    let srv = ["_http._tcp.example.com 3600 SRV 1 2 80 www.example.com"];
    let www = ["WWW.example.com 3600 A 192.0.2.80"];
    check("_http._tcp.example.com", "SRV", "aa", "NOERROR", [&srv, &[], &www]);
    let svc = ["svc.example.com 3600 A 192.0.2.82"];
    let said = ask(&zones(), "svc.example.com", "HTTPS");
    assert_eq!((said.answer.len(), &said.additional[..]), (1, &svc.map(String::from)[..]));
    assert_eq!(ask(&zones(), "svc-alias.example.com", "HTTPS").additional, svc);
}

#[test]
fn aliases_are_followed_inside_of_the_zone() {
    let www = "www.example.com 3600 A 192.0.2.80";
    let alias = "alias.example.com 3600 CNAME www.example.com";
    let chain = "chain.example.com 3600 CNAME alias.example.com";
    check("chain.example.com", "A", "aa", "NOERROR", [&[chain, alias, www], &[], &[]]);
    check("alias.example.com", "CNAME", "aa", "NOERROR", [&[alias], &[], &[]]);
    check("alias.example.com", "TXT", "aa", "NOERROR", [&[alias], &[SOA], &[]]);
    let out = "out.example.com 3600 CNAME www.elsewhere.net";
    check("out.example.com", "A", "aa", "NOERROR", [&[out], &[], &[]]);
    let lost = "lost.example.com 3600 CNAME nowhere.example.com";
    check("lost.example.com", "A", "aa", "NXDOMAIN", [&[lost], &[SOA], &[]]);
    let said = ask(&zones(), "loop1.example.com", "A");
    assert_eq!((said.rcode.as_str(), said.flags.as_str()), ("NOERROR", "aa rd"));
    let loops =
        ["loop1.example.com 3600 CNAME loop2.example.com", "loop2.example.com 3600 CNAME loop1.example.com"];
    assert_eq!(said.answer, loops);
    // Each of these is another name.
    let said = ask(&zones(), "x.loop.example.com", "A");
    assert_eq!(said.answer[..2].iter().filter(|line| line.contains("CNAME a.loop.example.com")).count(), 2);
    // RFC 1034 section 4.3.2: what was found has our authority, and the rest is somebody else's.
    let said = ask(&zones(), "to-sub.example.com", "A");
    assert_eq!((said.flags.as_str(), said.answer.len(), said.authority.len()), ("aa rd", 1, 4));
}

#[test]
fn delegations_have_no_authority_and_all_glue() {
    let ns = [
        "sub.example.com 3600 NS ns.sub.example.com",
        "sub.example.com 3600 NS ns.example.com",
        "sub.example.com 3600 NS ns.other-sub.example.com",
        "sub.example.com 3600 NS ns.elsewhere.net",
    ];
    let glue = [
        "ns.sub.example.com 3600 A 192.0.2.53",
        "ns.sub.example.com 3600 AAAA 2001:db8::53",
        "ns.example.com 3600 A 192.0.2.1",
        "ns.other-sub.example.com 3600 A 192.0.2.54",
    ];
    for (name, kind) in [
        ("sub.example.com", "NS"),
        ("sub.example.com", "ANY"),
        ("sub.example.com", "SOA"),
        ("host.sub.example.com", "A"),
        ("ns.sub.example.com", "A"),
        ("a.b.c.sub.example.com", "DS"),
    ] {
        check(name, kind, "", "NOERROR", [&[], &ns, &glue]);
    }
    // RFC 4035 section 3.1.4.1: the parent's side.
    let said = ask(&zones(), "sub.example.com", "DS");
    assert_eq!((said.flags.as_str(), said.answer.len(), said.authority.len()), ("aa rd", 1, 0));
    check("other-sub.example.com", "DS", "aa", "NOERROR", [&[], &[SOA], &[]]);
}

/// RFC 4592.
#[test]
fn wildcards_stand_for_what_is_not_there() {
    check("x.wild.example.com", "A", "aa", "NOERROR", [&["x.wild.example.com 3600 A 192.0.2.99"], &[], &[]]);
    check(
        "x.z.wild.example.com",
        "A",
        "aa",
        "NOERROR",
        [&["x.z.wild.example.com 3600 A 192.0.2.99"], &[], &[]],
    );
    check("*.wild.example.com", "A", "aa", "NOERROR", [&["*.wild.example.com 3600 A 192.0.2.99"], &[], &[]]);
    check("x.wild.example.com", "TXT", "aa", "NOERROR", [&[], &[SOA], &[]]);
    // What is there is not replaced, not even without records, and nor is what is below.
    check("host.wild.example.com", "A", "aa", "NOERROR", [&[], &[SOA], &[]]);
    check("x.host.wild.example.com", "A", "aa", "NXDOMAIN", [&[], &[SOA], &[]]);
    check("y.wild.example.com", "A", "aa", "NOERROR", [&[], &[SOA], &[]]);
    check("z.y.wild.example.com", "A", "aa", "NXDOMAIN", [&[], &[SOA], &[]]);
    check("wild.example.com", "A", "aa", "NOERROR", [&[], &[SOA], &[]]);
    // An asterisk without records is there.
    check("x.ent-wild.example.com", "A", "aa", "NOERROR", [&[], &[SOA], &[]]);
    let cname = "x.alias-wild.example.com 3600 CNAME www.example.com";
    check(
        "x.alias-wild.example.com",
        "A",
        "aa",
        "NOERROR",
        [&[cname, "www.example.com 3600 A 192.0.2.80"], &[], &[]],
    );
    let said = ask(&zones(), "x.wild.example.com", "MX");
    assert_eq!((said.answer.len(), said.additional.len()), (1, 2));
}

/// RFC 6672.
#[test]
fn dnames_stand_for_what_is_below_them() {
    let dname = "dname.example.com 3600 DNAME elsewhere.net";
    let cname = "x.y.dname.example.com 3600 CNAME x.y.elsewhere.net";
    check("x.y.dname.example.com", "A", "aa", "NOERROR", [&[dname, cname], &[], &[]]);
    check("dname.example.com", "DNAME", "aa", "NOERROR", [&[dname], &[], &[]]);
    check("dname.example.com", "A", "aa", "NOERROR", [&[], &[SOA], &[]]);
    let inner = "inner.example.com 3600 DNAME deep.example.com";
    let found = "a.b.c.inner.example.com 3600 CNAME a.b.c.deep.example.com";
    let deep = "a.b.c.deep.example.com 3600 TXT \"deep\"";
    check("a.b.c.inner.example.com", "TXT", "aa", "NOERROR", [&[inner, found, deep], &[], &[]]);
    check("a.b.c.inner.example.com", "CNAME", "aa", "NOERROR", [&[inner, found], &[], &[]]);
    let said = ask(&zones(), "x.sub-dname.example.com", "A");
    assert_eq!((said.answer.len(), said.authority.len(), said.flags.as_str()), (2, 4, "aa rd"));
    let long = format!("{0}.{0}.{0}.dname.example.com", "y".repeat(63));
    assert_eq!(ask(&zones(), &long, "A").rcode, "NOERROR");
    let longest = format!("{0}.{0}.{0}.{1}.dname.example.com", "y".repeat(63), "y".repeat(40));
    let zone = zone(&with_head(&format!("dname DNAME {}.net.", "z".repeat(60))));
    let said = ask(&[Rc::new(zone)], &longest, "A");
    assert_eq!((said.rcode.as_str(), said.answer.len()), ("YXDOMAIN", 1));
}

/// RFC 8482.
#[test]
fn any_gets_one_set() {
    check("mail.example.com", "ANY", "aa", "NOERROR", [&["mail.example.com 3600 A 192.0.2.25"], &[], &[]]);
    check("deep.example.com", "ANY", "aa", "NOERROR", [&[], &[SOA], &[]]);
    check("example.com", "ANY", "aa", "NOERROR", [&[&SOA.replace(" 300 SOA", " 3600 SOA")], &[], &[]]);
    check("nothing.example.com", "ANY", "aa", "NXDOMAIN", [&[], &[SOA], &[]]);
    check(
        "alias.example.com",
        "ANY",
        "aa",
        "NOERROR",
        [&["alias.example.com 3600 CNAME www.example.com"], &[], &[]],
    );
}

/// Clients that make their letters large and small at random look whether they come back.
#[test]
fn letters_come_back_as_they_were() {
    let query = query("wWw.eXaMpLe.CoM", "A");
    let answer = respond(&zones(), &query, Transport::Udp).unwrap();
    assert_eq!(answer[12..query.len()], query[12..]);
    assert_eq!(answer[query.len()..][..2], [0xc0, 12]);
    assert_eq!(said(&answer).answer, ["wWw.eXaMpLe.CoM 3600 A 192.0.2.80"]);
}

#[test]
fn names_are_compressed() {
    let answer = respond(&zones(), &query("example.com", "MX"), Transport::Udp).unwrap();
    // A name for each that is new, and pointers for the rest: 12 + 17, the MXs with 16 and 28, addresses with 16 and 28.
    assert_eq!(answer.len(), 29 + (12 + 2 + 7) + (12 + 2 + 20) + 16 + 28, "{answer:x?}");
    // Not in types that not everybody knows (RFC 3597 section 4).
    let answer = respond(&zones(), &query("_http._tcp.example.com", "SRV"), Transport::Udp).unwrap();
    assert!(answer.windows(17).any(|window| window == b"\x03www\x07example\x03com\0"));
}

#[test]
fn what_is_not_ours_is_refused() {
    check("example.net", "A", "", "REFUSED", [&[], &[], &[]]);
    check("com", "A", "", "REFUSED", [&[], &[], &[]]);
    check(".", "NS", "", "REFUSED", [&[], &[], &[]]);
    check("notexample.com", "A", "", "REFUSED", [&[], &[], &[]]);
    assert_eq!(ask(&[], "example.com", "A").rcode, "REFUSED");
    check("example.com", "AXFR", "", "FORMERR", [&[], &[], &[]]);
    let over_tcp =
        |kind| said(&respond(&zones(), &query("example.com", kind), Transport::Tcp).unwrap()).rcode;
    assert_eq!((over_tcp("AXFR").as_str(), over_tcp("IXFR").as_str()), ("REFUSED", "REFUSED"));
    // Who asks for changes in a datagram is told where the zone is by now (RFC 1995 section 2).
    check("example.com", "IXFR", "aa", "NOERROR", [&[&SOA.replace(" 300 SOA", " 3600 SOA")], &[], &[]]);
    let below = respond(&zones(), &query("www.example.com", "AXFR"), Transport::Tcp).unwrap();
    assert_eq!(said(&below).rcode, "NOTAUTH");
    for kind in ["TYPE128", "MAILB", "TSIG", "TKEY", "OPT", "TYPE0"] {
        check("www.example.com", kind, "", "NOTIMP", [&[], &[], &[]]);
    }
}

#[test]
fn classes() {
    let ask = |class| {
        said(&respond(&zones(), &query_with("www.example.com", "A", class, None), Transport::Udp).unwrap())
    };
    assert_eq!(ask(Class::CH).rcode, "REFUSED");
    assert_eq!(ask(Class::NONE).rcode, "REFUSED");
    let any = ask(Class::ANY);
    assert_eq!((any.rcode.as_str(), any.flags.as_str()), ("NOERROR", "rd"));
    assert_eq!(any.answer, ["www.example.com 3600 A 192.0.2.80"]);
}

#[test]
fn what_is_no_query_gets_an_error_or_nothing() {
    let rcode = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut message = query("www.example.com", "A");
        change(&mut message);
        let answer = respond(&zones(), &message, Transport::Udp)?;
        assert_eq!((answer[..2] == message[..2], answer[2] & 0x80), (true, 0x80));
        Some((answer[3] & 15, answer.len()))
    };
    assert_eq!(rcode(&|message| message.truncate(11)), None);
    assert_eq!(rcode(&Vec::clear), None);
    assert_eq!(rcode(&|message| message[2] |= 0x80), None);
    for opcode in 1..16 {
        assert_eq!(rcode(&|message| message[2] |= opcode << 3), Some((4, 12)));
    }
    let formerr = Some((1, 12));
    assert_eq!(rcode(&|message| message.truncate(12)), formerr);
    assert_eq!(rcode(&|message| message[5] = 0), formerr);
    assert_eq!(rcode(&|message| message[5] = 2), formerr);
    assert_eq!(rcode(&|message| message[4] = 1), formerr);
    assert_eq!(rcode(&|message| message[7] = 1), formerr);
    assert_eq!(rcode(&|message| message[9] = 1), formerr);
    assert_eq!(rcode(&|message| message[11] = 1), formerr);
    assert_eq!(rcode(&|message| message.push(0)), formerr);
    assert_eq!(
        rcode(&|message| {
            message.pop();
        }),
        formerr
    );
    assert_eq!(rcode(&|message| message[12] = 64), formerr);
    assert_eq!(rcode(&|message| message[12] = 0xc0), formerr);
    assert_eq!(rcode(&|message| message[12] = 63), formerr);
    assert_eq!(rcode(&|message| message[10..12].fill(0xff)), formerr);
}

/// RFC 6891.
#[test]
fn extensions() {
    let opt = |size, dnssec, change: &dyn Fn(&mut Vec<u8>)| {
        let mut message = query_with("www.example.com", "A", Class::IN, Some((size, dnssec)));
        change(&mut message);
        said(&respond(&zones(), &message, Transport::Udp).unwrap())
    };
    let nothing = |_: &mut Vec<u8>| {};
    assert_eq!(opt(1400, false, &nothing).additional, ["OPT 1232 00000000"]);
    assert_eq!(opt(0, true, &nothing).additional, ["OPT 1232 00008000"]);
    // Another version: which is ours, and the rest unread.
    let at = query("www.example.com", "A").len();
    let other = opt(1232, true, &|message| message[at + 6] = 1);
    assert_eq!((other.rcode.as_str(), other.answer.len()), ("BADVERS", 0));
    assert_eq!(other.additional, ["OPT 1232 01008000"]);
    // Options that nobody knows.
    let options = |message: &mut Vec<u8>| {
        message.extend_from_slice(&[0xff, 0xf0, 0, 2, 1, 2]);
        message[at + 10] = 6;
    };
    assert_eq!(opt(1232, false, &options).answer.len(), 1);
    let broken = |message: &mut Vec<u8>| {
        message.extend_from_slice(&[0xff, 0xf0, 0, 3, 1, 2]);
        message[at + 10] = 6;
    };
    assert_eq!(opt(1232, false, &broken).rcode, "FORMERR");
    let twice = |message: &mut Vec<u8>| {
        message.extend_from_within(at..);
        message[11] = 2;
    };
    assert_eq!(opt(1232, false, &twice).rcode, "FORMERR");
    assert_eq!(
        opt(1232, false, &|message| message.splice(at..=at, *b"\x01a\0").for_each(drop)).rcode,
        "FORMERR"
    );
    // Records that are not for us are left alone, whatever they are.
    let other = |message: &mut Vec<u8>| {
        message.extend_from_slice(b"\x03key\0\0\x10\0\xff\0\0\0\0\0\x02\x01a");
        message[11] = 2;
    };
    assert_eq!(opt(1232, false, &other).additional.len(), 1);
}

#[test]
fn answers_that_are_too_large_are_cut_to_nothing_and_fit_into_a_stream() {
    let many: String = (0..100).map(|n| format!("big A 192.0.2.{n}\nmid A 192.0.3.{}\n", n % 40)).collect();
    let zones = [Rc::new(zone(&with_head(&many)))];
    let ask = |name, edns, transport| {
        let bytes = respond(&zones, &query_with(name, "A", Class::IN, edns), transport).unwrap();
        (said(&bytes), bytes.len())
    };
    let (cut, len) = ask("mid.example.com", None, Transport::Udp);
    assert_eq!((cut.flags.as_str(), cut.answer.len(), len), ("aa tc rd", 0, 33));
    let (whole, len) = ask("mid.example.com", Some((1232, false)), Transport::Udp);
    assert_eq!((whole.flags.as_str(), whole.answer.len(), len), ("aa rd", 40, 33 + 40 * 16 + 11));
    // More than 1232 bytes are not sent, whoever says that it can take them.
    let (cut, len) = ask("big.example.com", Some((65_535, true)), Transport::Udp);
    assert_eq!((cut.flags.as_str(), cut.additional.len(), len), ("aa tc rd", 1, 33 + 11));
    let (whole, _) = ask("big.example.com", None, Transport::Tcp);
    assert_eq!((whole.flags.as_str(), whole.answer.len()), ("aa rd", 100));
}

/// RFC 9471: without the child's own addresses the way ends; without others it does not, nor without additional ones.
#[test]
fn glue_that_does_not_fit_is_worth_a_stream() {
    let servers = |n: u32, inside: bool| -> String {
        let zone = if inside { "sub" } else { "here" };
        let record = |n| {
            let host = format!("{}{n}.{zone}", "long-name-".repeat(4));
            format!("sub NS {host}\n{host} A 192.0.2.{n}\n")
        };
        (0..n).map(record).collect()
    };
    for (n, inside, flags) in [(3, true, "rd"), (7, true, "tc rd"), (7, false, "rd")] {
        let zones = [Rc::new(zone(&with_head(&servers(n, inside))))];
        let said = ask(&zones, "x.sub.example.com", "A");
        assert_eq!((said.flags.as_str(), said.authority.len()), (flags, n as usize));
        assert_eq!(said.additional.len() < n as usize, n == 7);
    }
    let mail: String = (0..10).map(|n| format!("@ MX 1 {0}{n}\n{0}{n} AAAA ::1\n", "m".repeat(20))).collect();
    let said = ask(&[Rc::new(zone(&with_head(&mail)))], "example.com", "MX");
    assert_eq!((said.flags.as_str(), said.answer.len()), ("aa rd", 10));
    assert!(said.additional.len() < 10);
}

#[test]
fn of_several_zones_the_closest_answers() {
    let child = "sub.example.com. 60 SOA a. b. 1 2 3 4 5\n NS a.\nhost.sub.example.com. TXT x\n";
    let mut zones = zones();
    zones.push(Rc::new(zone(child)));
    assert_eq!(ask(&zones, "host.sub.example.com", "TXT").answer, ["host.sub.example.com 60 TXT \"x\""]);
    assert_eq!(ask(&zones, "sub.example.com", "SOA").flags, "aa rd");
    assert_eq!(ask(&zones, "www.example.com", "A").answer.len(), 1);
    // Its DS is on the other side.
    assert_eq!(ask(&zones, "sub.example.com", "DS").answer.len(), 1);
    assert_eq!(ask(&zones[1..], "sub.example.com", "DS").authority.len(), 1);
}

#[test]
fn the_root_can_be_a_zone() {
    let zones = [Rc::new(zone(". 60 SOA a. b. 1 2 3 4 5\n. NS a.\na. A 192.0.2.1\n*. TXT any\n"))];
    assert_eq!(ask(&zones, ".", "NS").answer, [". 60 NS a"]);
    assert_eq!(ask(&zones, "x.y", "TXT").answer, ["x.y 60 TXT \"any\""]);
    assert_eq!(ask(&zones, "x", "A").authority, [". 5 SOA a b 1 2 3 4 5"]);
}

#[test]
fn who_is_slowed_down_is_told_to_use_a_stream() {
    let query = query_with("www.example.com", "A", Class::IN, Some((1232, false)));
    let mut out = [0; 512];
    let len = truncate(&query, &mut out).unwrap();
    let said = said(&out[..len]);
    assert_eq!((said.flags.as_str(), said.answer.len(), said.additional.len()), ("tc rd", 0, 1));
    assert!(len <= query.len());
    assert_eq!(truncate(&query[..20], &mut out), None);
}

#[test]
fn answers_that_are_alike_count_as_the_same() {
    let zones = zones();
    let token = |name, kind| {
        let mut out = vec![0; ANSWER_MAX];
        answer(&zones, &query(name, kind), Transport::Udp, &mut out).unwrap().token
    };
    assert_eq!(token("q1.example.com", "A"), token("q2.example.com", "A"));
    assert_eq!(token("a.wild.example.com", "A"), token("b.wild.example.com", "A"));
    assert_eq!(token("a.sub.example.com", "A"), token("b.sub.example.com", "A"));
    assert_ne!(token("q1.example.com", "A"), token("example.com", "TXT"));
    assert_ne!(token("www.example.com", "A"), token("mail.example.com", "A"));
}
