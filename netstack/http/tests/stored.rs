//! What is answered when a stored thing is asked for: conditions, ranges, encodings.
#![forbid(unsafe_code)]

mod common;

use common::{Behind, Script};
use fata_http::{
    Error, Exchange, Method, Options, Request, Server, Status, Stored, Validators, Verdict, date, encoding,
    preconditions, serve,
};
use fata_sim::{Rng, alone};
use std::cell::RefCell;
use std::rc::Rc;

const MODIFIED: u64 = 784_111_777;
const BODY: &[u8] = b"0123456789abcdefghij";

fn stored() -> Stored {
    let stored = Stored::new("text/plain").unwrap().etag("\"v1\"").unwrap().modified(MODIFIED).unwrap();
    stored.header("Cache-Control", "no-cache").unwrap()
}

/// What a server answers to a request with these fields.
fn ask(
    request: &str,
    handle: impl AsyncFn(&Request<'_>, &mut Exchange<'_, Script>) -> Result<(), Error>,
) -> String {
    alone(async |rt| {
        let server = Server::new(&rt, Options::default());
        let script = Script::new([request.into()], Behind::End);
        let written = script.written.clone();
        assert!(serve(&server, script, handle).await.why.is_ok());
        String::from_utf8(written.take()).unwrap()
    })
}

fn get_as(method: &str, fields: &[&str], body: &[u8]) -> (u16, String, String) {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let stored = stored();
    let text = ask(&format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"), async |request, exchange| {
        stored.answer(request, exchange, body).await
    });
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), head.to_owned(), body.to_owned())
}

fn get(fields: &[&str]) -> (u16, String) {
    let (status, _, body) = get_as("GET", fields, BODY);
    (status, body)
}

fn at(seconds: u64) -> String {
    String::from_utf8(date(seconds).to_vec()).unwrap()
}

/// Every combination of the four conditions and a range, against what section 13.2.2 says in words.
#[test]
fn conditions_are_taken_in_their_order() {
    let (older, same, newer) = (at(MODIFIED - 1), at(MODIFIED), at(MODIFIED + 1));
    let tags = |name: &str, wrong: &str| {
        [
            (None, None),
            (Some(true), Some(format!("{name}: \"x\", \"v1\""))),
            (Some(true), Some(format!("{name}: *"))),
            (Some(false), Some(format!("{name}: {wrong}"))),
        ]
    };
    let since = |name: &str| {
        [
            (None, None),
            (Some(MODIFIED - 1), Some(format!("{name}: {older}"))),
            (Some(MODIFIED), Some(format!("{name}: {same}"))),
            (Some(MODIFIED + 1), Some(format!("{name}: {newer}"))),
            (None, Some(format!("{name}: yesterday"))),
        ]
    };
    for (if_match, match_line) in tags("If-Match", "W/\"v1\"") {
        for (unmodified, unmodified_line) in since("If-Unmodified-Since") {
            for (if_none, none_line) in tags("If-None-Match", "\"v2\"") {
                for (modified, modified_line) in since("If-Modified-Since") {
                    for method in ["GET", "HEAD", "POST"] {
                        let lines: Vec<_> = [&match_line, &unmodified_line, &none_line, &modified_line]
                            .into_iter()
                            .filter_map(|line| line.as_deref())
                            .collect();
                        let is_read = method != "POST";
                        let wanted = if if_match == Some(false)
                            || if_match.is_none() && unmodified.is_some_and(|date| MODIFIED > date)
                        {
                            412
                        } else if if_none == Some(true) {
                            if is_read { 304 } else { 412 }
                        } else if if_none.is_none()
                            && is_read
                            && modified.is_some_and(|date| MODIFIED <= date)
                        {
                            304
                        } else {
                            200
                        };
                        let (status, head, body) = get_as(method, &lines, BODY);
                        assert_eq!(status, wanted, "{method} {lines:?}");
                        let is_whole = status == 200 && method != "HEAD";
                        assert_eq!(body.as_bytes(), if is_whole { BODY } else { b"" }, "{head}");
                        assert!(head.contains("\r\nETag: \"v1\"\r\n") && head.contains("no-cache"));
                        assert_eq!(head.contains("Content-Type"), status == 200);
                    }
                }
            }
        }
    }
}

#[test]
fn tags_are_compared_as_each_condition_wants_it() {
    for (line, status) in [
        ("If-None-Match: W/\"v1\"", 304),
        ("If-None-Match: \"v2\", W/\"v1\"", 304),
        ("If-None-Match: v1", 200),
        ("If-None-Match: \"v1", 200),
        ("If-None-Match: \"a,\\\"\",\"v1\"", 304),
        ("If-None-Match:", 200),
        ("If-Match: W/\"v1\"", 412),
        ("If-Match: v1", 412),
        ("If-Match:", 412),
        ("If-Match: *", 200),
    ] {
        assert_eq!(get(&[line]).0, status, "{line}");
    }
    assert_eq!(get(&["If-None-Match: \"a\"", "If-None-Match: \"v1\""]).0, 304);
}

#[test]
fn where_there_is_nothing_yet_it_can_be_put_once() {
    let verdict = |fields: &str, exists: bool| {
        let verdict = Rc::new(RefCell::new(None));
        ask(&format!("PUT / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n"), async |request, _| {
            let current = Validators { etag: Some("\"v1\""), modified: None };
            verdict.replace(Some(preconditions(request, exists.then_some(&current))));
            Err(Status::OK.into())
        });
        verdict.take().unwrap()
    };
    assert_eq!(verdict("If-None-Match: *", false), Verdict::Met);
    assert_eq!(verdict("If-None-Match: *", true), Verdict::Failed);
    assert_eq!(verdict("If-Match: *", false), Verdict::Failed);
    assert_eq!(verdict("If-Match: \"v1\"", true), Verdict::Met);
    assert_eq!(verdict("X: y", false), Verdict::Met);
}

#[test]
fn ranges_are_what_they_say() {
    for (range, status, body) in [
        ("bytes=0-0", 206, "0"),
        ("bytes=0-19", 206, "0123456789abcdefghij"),
        ("bytes=5-", 206, "56789abcdefghij"),
        ("bytes=18-99999999999999999999999999", 206, "ij"),
        ("bytes=-3", 206, "hij"),
        ("bytes=-99999999999999999999999999", 206, "0123456789abcdefghij"),
        ("BYTES=1-2", 206, "12"),
        ("bytes= 1-2 ,", 206, "12"),
        ("bytes=1-2,20-", 206, "12"),
        ("bytes=20-", 416, ""),
        ("bytes=99999999999999999999999999-", 416, ""),
        ("bytes=-0", 416, ""),
        ("bytes=20-,-0", 416, ""),
        // Not understood, or too much of it.
        ("bytes=2-1", 200, "0123456789abcdefghij"),
        ("bytes=", 200, "0123456789abcdefghij"),
        ("bytes=-", 200, "0123456789abcdefghij"),
        ("bytes=a-b", 200, "0123456789abcdefghij"),
        ("bytes=+1-2", 200, "0123456789abcdefghij"),
        ("bytes=1-2-3", 200, "0123456789abcdefghij"),
        ("bytes 1-2", 200, "0123456789abcdefghij"),
        ("lines=1-2", 200, "0123456789abcdefghij"),
        ("bytes=0-5,5-9", 200, "0123456789abcdefghij"),
        ("bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16", 200, "0123456789abcdefghij"),
    ] {
        assert_eq!(get(&[&format!("Range: {range}")]), (status, body.to_owned()), "{range}");
    }
    let (_, head, _) = get_as("GET", &["Range: bytes=5-7"], BODY);
    assert!(head.contains("\r\nContent-Range: bytes 5-7/20\r\n") && head.contains("\r\nContent-Length: 3"));
    let (_, head, _) = get_as("GET", &["Range: bytes=20-"], BODY);
    assert!(head.contains("\r\nContent-Range: bytes */20\r\n"), "{head}");
    // Only GET has ranges, in one line, and of something.
    assert_eq!(get_as("HEAD", &["Range: bytes=1-2"], BODY).0, 200);
    assert_eq!(get(&["Range: bytes=1-2", "Range: bytes=3-4"]).0, 200);
    assert_eq!(get_as("GET", &["Range: bytes=0-"], b"").0, 200);
}

#[test]
fn a_range_of_another_state_is_all_of_it() {
    for (line, status) in [
        ("\"v1\"", 206),
        ("\"v2\"", 200),
        ("W/\"v1\"", 200),
        (&at(MODIFIED), 206),
        (&at(MODIFIED + 1), 200),
        (&at(MODIFIED - 1), 200),
        ("yesterday", 200),
    ] {
        assert_eq!(get(&["Range: bytes=1-2", &format!("If-Range: {line}")]).0, status, "{line}");
    }
    // A range that is not there does not count either.
    assert_eq!(get(&["Range: bytes=99-", "If-Range: \"v2\""]).0, 200);
    assert_eq!(get(&["Range: bytes=1-2", "If-None-Match: \"v1\""]).0, 304);
    assert_eq!(get(&["Range: bytes=1-2", "If-Match: \"v2\""]).0, 412);
}

/// Any ranges that are apart come back each in its part.
#[test]
fn several_ranges_come_in_parts() {
    let mut random = Rng::new();
    let body: Vec<u8> = (0..5000).map(|at| b"abcdefghijklmnopqrstuvwxyz\r\n-"[at * at % 29]).collect();
    for _ in 0..200 {
        let (mut at, mut ranges) = (0, Vec::new());
        while ranges.len() < 8 && at < 4900 {
            let start = at + random.within(0..600);
            let end = (start + random.within(1..700)).min(5000);
            if start < end {
                ranges.push((start, end));
            }
            at = end;
        }
        if ranges.len() < 2 {
            continue;
        }
        let swapped = random.within(0..ranges.len());
        ranges.swap(0, swapped);
        let list: Vec<_> = ranges.iter().map(|(start, end)| format!("{start}-{}", end - 1)).collect();
        let (status, head, mut text) = get_as("GET", &[&format!("Range: bytes={}", list.join(","))], &body);
        assert_eq!(status, 206);
        let field = |name: &str| {
            let line = head.lines().find(|line| line.starts_with(name)).unwrap();
            line[name.len() + 2..].to_owned()
        };
        assert_eq!(field("Content-Length"), text.len().to_string());
        let boundary =
            field("Content-Type").strip_prefix("multipart/byteranges; boundary=").unwrap().to_owned();
        for (start, end) in ranges {
            let head = format!(
                "\r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes {start}-{}/5000\r\n\r\n",
                end - 1
            );
            text = text.strip_prefix(&head).unwrap_or_else(|| panic!("{head}{text}")).to_owned();
            let part = std::str::from_utf8(&body[start..end]).unwrap();
            text = text.strip_prefix(part).unwrap().to_owned();
        }
        assert_eq!(text, format!("\r\n--{boundary}--\r\n"));
    }
}

#[test]
fn encodings_are_chosen_by_their_weight() {
    let choice = |line: Option<&str>| {
        let choice = Rc::new(RefCell::new(None));
        let line = line.map(|line| format!("Accept-Encoding: {line}\r\n")).unwrap_or_default();
        ask(&format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n"), async |request, _| {
            choice.replace(encoding(request.fields, &["br", "gzip"]));
            Err(Status::OK.into())
        });
        choice.take()
    };
    const BR: Option<usize> = Some(0);
    const GZIP: Option<usize> = Some(1);
    for (line, wanted) in [
        ("gzip, deflate, br, zstd", BR),
        ("gzip", GZIP),
        ("GZIP", GZIP),
        ("x-gzip", GZIP),
        ("*", BR),
        ("br;q=0, *", GZIP),
        ("br;q=0.5, gzip;q=0.6", GZIP),
        ("br;q=0.5, gzip;q=0.50", BR),
        ("gzip ; q = 0.001", GZIP),
        ("br;q=0,gzip;q=0", None),
        ("br;q=0.000", None),
        ("", None),
        ("identity", None),
        ("identity, gzip;q=0.9", None),
        ("identity;q=0.5, gzip;q=0.5", GZIP),
        ("identity;q=0", None),
        ("deflate", None),
        ("gzip;q=2", None),
        ("gzip;q=1.001", None),
        ("gzip;q=0.1234", None),
        ("gzip;q=", None),
        ("gzip;x=1", None),
        ("*;q=0", None),
    ] {
        assert_eq!(choice(Some(line)), wanted, "{line}");
    }
    assert_eq!(choice(None), None);
}

#[test]
fn what_is_stored_is_checked_when_it_is_made() {
    assert!(Stored::new("text/plain\r\nX: y").is_err());
    assert!(stored().etag("\"\r\n\"").is_err());
    assert!(stored().encoding("gzip\n").is_err());
    assert!(stored().header("Set-Cookie", "a=b\r\n").is_err());
    assert_eq!(stored().content_type(), "text/plain");
    assert!(Method::Get.is_safe());
}
