//! Zone files: what they say, and what is wrong with them.

mod common;

use common::{HEAD, read, text, with_head, zone};
use fata_dns::{BadName, Kind, Limits, Odd, Reader, What, Zone};

/// What a record becomes when it is written.
#[track_caller]
fn check(record: &str, expected: &str) {
    let zone = zone(&with_head(record));
    let all = text(&zone);
    let line = all.lines().find(|line| line.starts_with("x.example.com.")).unwrap();
    assert_eq!(line.strip_prefix("x.example.com. "), Some(expected), "{record}");
}

#[test]
fn records_of_every_type_are_read_and_written() {
    check("x A 192.0.2.9", "3600 IN A 192.0.2.9");
    check("x AAAA 2001:DB8::9", "3600 IN AAAA 2001:db8::9");
    check("x CNAME Other", "3600 IN CNAME Other.example.com.");
    check("x DNAME elsewhere.net.", "3600 IN DNAME elsewhere.net.");
    check("x MX 10 mail.example.net.", "3600 IN MX 10 mail.example.net.");
    check("x MX 0 .", "3600 IN MX 0 .");
    check("x PTR ns", "3600 IN PTR ns.example.com.");
    check("x TXT a \"b c\" \"\"", "3600 IN TXT \"a\" \"b c\" \"\"");
    check(r#"x TXT "\"\\\065\200;" a\ b"#, r#"3600 IN TXT "\"\\A\200;" "a b""#);
    check("x SRV 1 2 443 ns", "3600 IN SRV 1 2 443 ns.example.com.");
    check("x CAA 128 issue \"ca.example; a=b\"", "3600 IN CAA 128 issue \"ca.example; a=b\"");
    check("x CAA 0 iodef \"\"", "3600 IN CAA 0 iodef \"\"");
    check("x TYPE99 \\# 3 01 02f F", "3600 IN TYPE99 \\# 3 0102ff");
    check("x TYPE99 \\# 0", "3600 IN TYPE99 \\# 0");
    check("x TYPE1 \\# 4 c0000209", "3600 IN A 192.0.2.9");
    check("x TYPE1 192.0.2.9", "3600 IN A 192.0.2.9");
    check("x MX \\# 5 000a 0161 00", "3600 IN MX 10 a.");
}

#[test]
fn services_have_parameters() {
    check("x HTTPS 0 pool.example.net.", "3600 IN HTTPS 0 pool.example.net.");
    check("x HTTPS 1 .", "3600 IN HTTPS 1 .");
    let all = "x SVCB 16 foo port=53 mandatory=ipv4hint,alpn alpn=\"h2,h3-19\" no-default-alpn \
        ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=\"2001:db8::1\" ech=AQIDBA== dohpath=/q{?dns} ohttp key667=hello";
    let sorted = "3600 IN SVCB 16 foo.example.com. mandatory=alpn,ipv4hint alpn=h2,h3-19 no-default-alpn port=53 \
        ipv4hint=192.0.2.1,192.0.2.2 ech=AQIDBA== ipv6hint=2001:db8::1 dohpath=\"/q{?dns}\" ohttp key667=\"hello\"";
    check(all, sorted);
    // RFC 9460 appendix D: the same in other words.
    check(
        "x SVCB 1 foo key667=\"hello\\210qoo\"",
        "3600 IN SVCB 1 foo.example.com. key667=\"hello\\210qoo\"",
    );
    check("x SVCB 1 foo alpn=h2 key2", "3600 IN SVCB 1 foo.example.com. alpn=h2 no-default-alpn");
    let escaped = r#"3600 IN SVCB 16 foo.example.com. key1="\008f\\oo,bar\002h2""#;
    check(r#"x SVCB 16 foo alpn="f\\\\oo\\,bar,h2""#, escaped);
    check(r"x SVCB 16 foo alpn=f\\\092oo\092,bar,h2", escaped);
}

#[test]
fn services_that_make_no_sense_are_refused() {
    // Among them RFC 9460 appendix D.3.
    for (parameters, what) in [
        ("key123=abc key123=def", What::ParameterTwice),
        ("mandatory", What::Parameter),
        ("alpn", What::Parameter),
        ("port", What::Parameter),
        ("ipv4hint", What::Parameter),
        ("ipv6hint", What::Parameter),
        ("no-default-alpn=abc", What::Parameter),
        ("mandatory=key123", What::ParameterMissing),
        ("mandatory=mandatory", What::Parameter),
        ("mandatory=key123,key123 key123=abc", What::Parameter),
        ("no-default-alpn", What::ParameterMissing),
        ("alpn=", What::Parameter),
        ("alpn=h2,,h3", What::Parameter),
        ("port=65536", What::Parameter),
        ("port=1 key3=ab", What::ParameterTwice),
        ("key3=abc", What::Parameter),
        ("ipv4hint=192.0.2", What::Parameter),
        ("ech=AQIDB", What::Parameter),
        ("ech=AQIDBB==", What::Parameter),
        ("key65535=x", What::Parameter),
        ("key007=x", What::Parameter),
        ("colour=red", What::Parameter),
    ] {
        refused(&format!("x SVCB 1 foo {parameters}"), 6, what);
    }
}

#[test]
fn owners_times_and_classes_may_be_left_out() {
    let all = "$TTL 1h\n$ORIGIN com.\nexample IN 60 SOA ns.example h.example 1 2 3 4 5\n\
        \tNS ns.example\n\t30 IN NS ns2.example ; comment\n$ORIGIN example.com.\nns A 192.0.2.1\n   1D A 192.0.2.2\n\
        ns2 in a 192.0.2.3\n@ TXT (\n a ; b\n c )\n*.w \"3600\" ; no\n";
    assert_eq!(read(all).unwrap_err().what, What::Type);
    let all = all.replace("\"3600\" ; no", "CLASS1 5 TYPE16 w");
    let expected = "example.com. 60 IN SOA ns.example.com. h.example.com. 1 2 3 4 5\n\
        example.com. 3600 IN NS ns.example.com.\n\
        example.com. 3600 IN NS ns2.example.com.\n\
        example.com. 3600 IN TXT \"a\" \"c\"\n\
        ns.example.com. 3600 IN A 192.0.2.1\n\
        ns.example.com. 3600 IN A 192.0.2.2\n\
        ns2.example.com. 3600 IN A 192.0.2.3\n\
        *.w.example.com. 5 IN TXT \"w\"\n";
    assert_eq!(text(&zone(&all)), expected);
}

/// Without `$TTL`: that of the record before, and for a SOA its minimum.
#[test]
fn times_to_live_come_from_somewhere() {
    let zone = zone("a. SOA b. c. 1 2 3 4 50\n NS b.\n 7 TXT x\nb.a. TXT y\n");
    let ttls: Vec<_> = text(&zone).lines().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(ttls, ["50", "50", "7", "7"]);
}

#[test]
fn records_that_are_there_twice_count_once_and_keep_their_order() {
    let zone = zone(&with_head("x A 192.0.2.9\nx A 192.0.2.8\nX A 192.0.2.9\nx A 192.0.2.7\n"));
    let expected = ["192.0.2.9", "192.0.2.8", "192.0.2.7"];
    let all = text(&zone);
    let found: Vec<_> =
        all.lines().filter_map(|line| line.strip_prefix("x.example.com. 3600 IN A ")).collect();
    assert_eq!((found, zone.records()), (expected.to_vec(), 6));
}

#[track_caller]
fn refused(rest: &str, line: u32, what: What) {
    let error = read(&with_head(rest)).map(|(zone, _)| text(&zone)).unwrap_err();
    assert_eq!((error.line, error.what), (line, what), "{rest}: {error}");
}

#[test]
fn mistakes_are_told_with_their_line() {
    refused("x A 192.0.2.300", 6, What::V4);
    refused("x A", 6, What::Short);
    refused("x A 192.0.2.1 192.0.2.2", 6, What::Long);
    refused("\n\nx AAAA 192.0.2.1", 8, What::V6);
    refused("x MX mail", 6, What::Number);
    refused("x MX 65536 mail", 6, What::Number);
    refused("x TXT", 6, What::Short);
    refused(&format!("x TXT {}", "a".repeat(256)), 6, What::String);
    refused("x TXT \"\\999\"", 6, What::String);
    refused("x TXT \"a", 6, What::OpenQuote);
    refused("x TXT (\na\nb", 6, What::OpenParenthesis);
    refused("x TXT a )", 6, What::CloseParenthesis);
    refused("x MX (\n1\nmail..a )", 8, What::Name(BadName::EmptyLabel));
    refused("x SPF a", 6, What::Type);
    refused("x TYPE99 a", 6, What::Type);
    refused("x OPT \\# 0", 6, What::Type);
    refused("x TYPE41 \\# 0", 6, What::MetaType);
    refused("x TYPE255 \\# 0", 6, What::MetaType);
    refused("x CH TXT a", 6, What::Class);
    refused("x CLASS3 TXT a", 6, What::Class);
    refused("x 3000000000 TXT a", 6, What::Time);
    refused("x A \\# 4 c00002", 6, What::Hex);
    refused("x A \\# 3 c00002", 6, What::Data(Kind::A));
    refused("x TYPE99 \\# 1 0g", 6, What::Hex);
    refused("x MX \\# 4 000a c00c", 6, What::Data(Kind::MX));
    refused("x CAA 0 is-sue \"\"", 6, What::Tag);
    refused("x CAA 256 issue \"\"", 6, What::Number);
    refused("$INCLUDE other.zone", 6, What::Include);
    refused("$GENERATE 1-9 a$ A 192.0.2.$", 6, What::Generate);
    refused("$ttl", 6, What::Short);
    refused("$ORIGIN a b", 6, What::Long);
    refused("$what", 6, What::Directive);
    refused("x.example.net. A 192.0.2.1", 6, What::OutOfZone);
    refused("x..y A 192.0.2.1", 6, What::Name(BadName::EmptyLabel));
    refused(&format!("x TYPE99 \\# 65536 {}", "00".repeat(65_536)), 6, What::Number);
    let texts = format!("x TXT {}\n", format!("\"{}\" ", "a".repeat(250)).repeat(262));
    refused(&texts, 6, What::RecordTooLarge);
}

#[test]
fn files_that_begin_wrong_are_refused() {
    for (text, line, what) in [
        ("", 1, What::NoSoa),
        ("\n; nothing\n", 3, What::NoSoa),
        ("@ A 192.0.2.1", 1, What::Name(BadName::Relative)),
        (" A 192.0.2.1", 1, What::NoOwner),
        ("a. A 192.0.2.1", 1, What::NoTtl),
        ("a. 5 A 192.0.2.1", 1, What::NoSoa),
        ("a. 5 SOA b. c. 1 2 3 4 5\n", 0, What::NoNs),
        ("a. 5 SOA b. c. 1 2 3 4 5\na. SOA b. c. 2 2 3 4 5\na. NS b.", 1, What::TwoSoas),
        ("a. 5 SOA b. c. 1 2 3 4 5\na. NS b.\nb.a. SOA b. c. 2 2 3 4 5", 3, What::TwoSoas),
    ] {
        let error = read(text).unwrap_err();
        assert_eq!((error.line, error.what), (line, what), "{text}");
    }
    let error = read(&with_head("x A 1.2.3.4.5")).unwrap_err();
    assert_eq!(error.to_string(), "line 6: 1.2.3.4.5: this is no IPv4 address");
}

#[test]
fn zones_that_contradict_themselves_are_refused() {
    refused("x CNAME a\nx A 192.0.2.1", 7, What::CnameAndOther);
    refused("x CNAME a\nx CNAME b", 6, What::CnameAndOther);
    refused("@ CNAME b", 6, What::CnameAndOther);
    refused("x DNAME a.\nx DNAME b.", 6, What::TwoDnames);
    refused("x DNAME a.\ny.x A 192.0.2.1", 7, What::BelowDname);
    refused("*.x NS ns", 6, What::WildcardNs);
    refused("*.x DNAME ns", 6, What::WildcardNs);
    refused("@ NS nowhere", 4, What::NoAddress);
    refused("@ NS alias\nalias CNAME ns", 4, What::TargetIsCname);
    refused("sub NS ns.sub", 6, What::NoAddress);
    assert!(read(&with_head("x CNAME a\nx TYPE46 \\# 1 00\nx TYPE47 \\# 1 00")).is_ok());
    assert!(read(&with_head("sub NS ns.sub\nns.sub A 192.0.2.5\n@ NS *\n* A 192.0.2.1")).is_ok());
    assert!(read(&with_head("sub NS other.net.")).is_ok());
}

#[test]
fn what_is_odd_is_told() {
    for (rest, line, odd) in [
        ("@ MX 1 nowhere", 6, Odd::NoAddress),
        ("@ MX 1 alias\nalias CNAME ns", 6, Odd::Alias),
        ("_a._tcp SRV 0 0 1 nowhere", 6, Odd::NoAddress),
        ("sub NS other.net.\nx.sub TXT hidden", 7, Odd::Hidden),
        ("a NS ns.b\nb NS x.net.", 6, Odd::NoGlue),
    ] {
        let (_, warnings) = read(&with_head(rest)).unwrap();
        assert_eq!((warnings.len(), warnings[0].line, warnings[0].odd), (1, line, odd), "{rest}");
    }
    let quiet =
        "@ MX 1 mail\nmail A 192.0.2.1\n@ MX 0 .\n@ MX 5 m.example.net.\nsub NS ns.sub\nns.sub A 192.0.2.7\n";
    assert_eq!(read(&with_head(quiet)).unwrap().1, []);
}

#[test]
fn zones_are_no_larger_than_they_may_be() {
    let text = with_head("a A 192.0.2.1\nb A 192.0.2.1\n");
    let read = |limits| Zone::read(text.as_bytes(), None, limits).map(|_| ()).map_err(|error| error.what);
    let limits = Limits { text: text.len(), names: 4, records: 5, data: 200 };
    assert_eq!(read(limits), Ok(()));
    assert_eq!(read(Limits { text: text.len() - 1, ..limits }), Err(What::TooLarge));
    assert_eq!(read(Limits { names: 3, ..limits }), Err(What::TooLarge));
    assert_eq!(read(Limits { records: 4, ..limits }), Err(What::TooLarge));
    assert_eq!(read(Limits { data: 50, ..limits }), Err(What::TooLarge));
}

/// The image's aim: 10,000 names in a guest of 8 MiB, with another zone beside it while it is read.
#[test]
fn ten_thousand_names_take_less_than_a_megabyte() {
    let names: String = (0..10_000).map(|n| format!("host{n} A 10.{}.{}.1\n", n / 250, n % 250)).collect();
    let all = with_head(&names);
    let mut reader = Reader::new(all.as_bytes(), None, Limits::default()).unwrap();
    let mut turns = 0;
    while !reader.read(4096).unwrap() {
        turns += 1;
    }
    let (zone, _) = reader.finish().unwrap();
    println!("{zone:?}: {} bytes, {turns} turns", zone.bytes());
    assert_eq!((zone.names(), zone.records()), (10_002, 10_003));
    assert!(zone.bytes() < 1 << 20 && turns > 40);
}

#[test]
fn hosts_end_lines_in_their_way() {
    let unix = text(&zone(HEAD));
    assert_eq!(text(&zone(&HEAD.replace('\n', "\r\n"))), unix);
    assert_eq!(text(&zone(HEAD.trim_end())), unix);
}
