//! What a server answers.
#![forbid(unsafe_code)]

mod common;

use common::{Behind, Script, unescape};
use fata_http::{
    At, End, Ended, Error, Exchange, Limits, Manner, Method, Misuse, Options, Record, Request, Routes, Rule,
    Server, Status, serve,
};
use fata_sim::{Rng, alone};
use std::cell::RefCell;
use std::rc::Rc;

#[derive(Clone, Copy)]
enum Page {
    Home,
    Echo,
    Stream,
    Ignore,
    Big,
    Names,
    Broken,
    Silent,
    Wrong,
}

const ROUTES: Routes<Page> = Routes(&[
    (Method::Get, "/", Page::Home),
    (Method::Post, "/echo", Page::Echo),
    (Method::Put, "/echo", Page::Echo),
    (Method::Get, "/stream", Page::Stream),
    (Method::Post, "/ignore", Page::Ignore),
    (Method::Get, "/big", Page::Big),
    (Method::Get, "/names/{}/{*}", Page::Names),
    (Method::Get, "/broken", Page::Broken),
    (Method::Get, "/silent", Page::Silent),
    (Method::Get, "/wrong", Page::Wrong),
]);

static BIG: [u8; 100_000] = [b'x'; 100_000];

async fn handle(request: &Request<'_>, exchange: &mut Exchange<'_, Script>) -> Result<(), Error> {
    match ROUTES.find(request) {
        Ok((Page::Home, _)) => {
            exchange.reply(Status::OK).header("Content-Type", "text/plain").body(b"hello\n").await
        }
        Ok((Page::Echo, _)) => {
            let mut body = exchange.read_all(1000).await?;
            for (name, value) in exchange.trailers().iter() {
                body.extend_from_slice(format!("|{name}={}", value.escape_ascii()).as_bytes());
            }
            exchange.reply(Status::OK).body(&body).await
        }
        Ok((Page::Stream, _)) => {
            let mut writer = exchange.reply(Status::OK).stream(None).await?;
            for piece in ["one", "", "two and a half"] {
                writer.write(piece.as_bytes()).await?;
            }
            writer.finish_with(&fata_http::Block::new().with("X-Sum", "3")?).await
        }
        Ok((Page::Ignore, _)) => exchange.reply(Status::NO_CONTENT).empty().await,
        Ok((Page::Big, _)) => exchange.reply(Status::OK).body(&BIG).await,
        Ok((Page::Names, [one, more])) => {
            let text = format!("{one}+{more}?{}@{}", request.query.unwrap_or("-"), request.host);
            exchange.reply(Status::OK).body(text.as_bytes()).await
        }
        Ok((Page::Broken, _)) => {
            let mut writer = exchange.reply(Status::OK).stream(Some(10)).await?;
            writer.write(b"half").await?;
            writer.finish().await
        }
        Ok((Page::Silent, _)) => Ok(()),
        Ok((Page::Wrong, _)) => exchange.reply(Status::OK).header("X", "a\r\nSet-Cookie: b").empty().await,
        Err(none) => none.answer(exchange).await,
    }
}

/// What a server says to that, and how it ends.
fn talk_as(pieces: Vec<Vec<u8>>, behind: Behind, options: Options) -> (String, Ended, Vec<usize>) {
    alone(async |rt| {
        let server = Server::new(&rt, options);
        let script = Script::new(pieces, behind);
        let (written, writes) = (script.written.clone(), script.writes.clone());
        let ended = serve(&server, script, handle).await;
        let writes = writes.take();
        (String::from_utf8(written.take()).unwrap(), ended, writes)
    })
}

fn talk(input: &str) -> (String, Ended) {
    let (text, ended, _) = talk_as(vec![input.into()], Behind::End, Options::default());
    (text, ended)
}

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n";

#[test]
fn a_connection_is_kept_and_ends_in_order() {
    let (text, ended) = talk("GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(text, [HELLO; 2].concat());
    assert_eq!(ended, Ended { requests: 2, why: Ok(End::Client), manner: Manner::Drop });
}

fn statuses(text: &str) -> String {
    let codes: Vec<_> = text.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    if codes.is_empty() { "-".into() } else { codes.join(",") }
}

fn why(ended: &Ended) -> String {
    match ended.why {
        Ok(end) => format!("{end:?}"),
        Err(Error::Invalid(rule)) => format!("{rule:?}"),
        Err(Error::TooMuch(excess)) => format!("{excess:?}"),
        Err(Error::Status(_)) => "Error".into(),
        Err(error) => format!("{error:?}"),
    }
}

/// Pieces are parted by an `@`.
fn pieces(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes
        .split_inclusive(|byte| *byte == b'@')
        .map(|piece| piece.strip_suffix(b"@").unwrap_or(piece).to_vec())
        .collect()
}

#[test]
fn requests_sound_and_odd_are_answered_as_they_should_be_however_they_are_cut() {
    let table = include_str!("data/requests.txt");
    let (mut count, mut odd) = (0, Vec::new());
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (wanted, request) = line.split_once('|').unwrap();
        let wanted: Vec<_> = wanted.split_whitespace().collect();
        let request = unescape(request.strip_prefix(' ').unwrap_or(request));
        let late = request.contains(&b'@') && wanted[0].starts_with("100");
        let whole = if late { pieces(&request) } else { vec![request.clone()] };
        let (text, ended, _) = talk_as(whole, Behind::End, Options::default());
        if wanted[..] != [statuses(&text).as_str(), why(&ended).as_str()] {
            odd.push(format!("{} {} instead for {line}", statuses(&text), why(&ended)));
            continue;
        }
        if late {
            continue;
        }
        // Whatever was refused is the end.
        let closes =
            text.rfind("HTTP/1.1 ").is_some_and(|last| text[last..].contains("\r\nConnection: close\r\n"));
        assert_eq!(closes, !matches!(ended.why, Ok(End::Client)), "{line}\n{text}");
        let same = |pieces, how: &dyn Fn() -> String| {
            let (again, ended_again, _) = talk_as(pieces, Behind::End, Options::default());
            assert_eq!((&again, ended_again), (&text, ended), "{line} {}", how());
        };
        same(request.iter().map(|byte| vec![*byte]).collect(), &|| "byte by byte".into());
        for cut in 1..request.len() {
            same(vec![request[..cut].to_vec(), request[cut..].to_vec()], &|| format!("cut at {cut}"));
        }
        count += 1;
    }
    assert!(odd.is_empty(), "{}", odd.join("\n"));
    assert!(count > 150);
}

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

#[test]
fn pipelined_requests_are_answered_in_order_and_in_one_write() {
    let (one, two) = (get("/", ""), get("/names/x/y", ""));
    let (text, ended, writes) =
        talk_as(vec![[one.as_str(), &two, &one, &two].concat().into()], Behind::End, Options::default());
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nx+y?-@a";
    assert_eq!(text, [HELLO, answer, HELLO, answer].concat());
    assert_eq!((ended.requests, writes), (4, vec![text.len()]));
    // What does not come in one read, or fit in one write, takes a few.
    let (text, ended, writes) = talk_as(vec![one.repeat(1000).into()], Behind::End, Options::default());
    assert_eq!((text, ended.requests), (HELLO.repeat(1000), 1000));
    assert!(writes.len() < 40, "{writes:?}");
}

#[test]
fn large_bodies_are_written_from_where_they_lie() {
    let (text, _, writes) = talk_as(vec![get("/big", "").into()], Behind::End, Options::default());
    assert_eq!(writes, [4096, text.len() - 4096]);
    assert!(text.starts_with("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nxxx"));
    let (text, _) = talk(&get("/big", "").replace("GET", "HEAD"));
    assert_eq!(text, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
}

#[test]
fn bodies_of_unknown_length_go_in_chunks_or_end_with_the_connection() {
    let (text, _) = talk(&get("/stream", "").repeat(2));
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\ne\r\ntwo and a half\r\n0\r\nX-Sum: 3\r\n\r\n";
    assert_eq!(text, answer.repeat(2));
    let (text, ended) = talk("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(text, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nonetwo and a half");
    assert_eq!((ended.why, ended.manner), (Ok(End::Said), Manner::Linger));
    let (text, _) = talk(&get("/stream", "").replace("GET", "HEAD").repeat(2));
    assert_eq!(text, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".repeat(2));
}

#[test]
fn what_a_handler_does_wrong_does_no_harm() {
    // Nobody takes half a body for a whole one.
    let (text, ended) = talk(&get("/broken", "").repeat(2));
    assert_eq!(text, "");
    assert_eq!((ended.why, ended.manner), (Err(Misuse::Length.into()), Manner::Abort));
    let (text, _) = talk(&[get("/silent", ""), get("/wrong", ""), get("/", "")].concat());
    assert_eq!(statuses(&text), "500,500,200");
    assert!(!text.contains("Cookie"));
}

#[test]
fn trailers_and_interim_answers_come_where_they_are_due() {
    let chunks = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b \r\nC:\r\n\r\n";
    let (text, _) = talk(chunks);
    assert!(text.ends_with("\r\n\r\nabc|A=b|C="), "{text}");
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    // Who does not wait is not told.
    let (text, _) = talk(&[head, "hello", head, "hello"].concat());
    assert_eq!(statuses(&text), "200,200");
    // Who waits is told once, before that is waited for.
    let pieces = [get("/", "").as_str(), head, "@he@llo"].concat();
    let (text, ended, writes) = talk_as(pieces_of(&pieces), Behind::End, Options::default());
    assert_eq!((statuses(&text).as_str(), writes.len(), ended.requests), ("200,100,200", 2, 2));
    // Nobody is asked for what is too long.
    let (text, ended) = talk(&head.replace("5", "1001"));
    assert_eq!((statuses(&text).as_str(), ended.manner), ("413", Manner::Linger));
}

fn pieces_of(text: &str) -> Vec<Vec<u8>> {
    pieces(text.as_bytes())
}

#[test]
fn sizes_are_limited() {
    let limits =
        Limits { line: 50, head: 200, fields: 5, trailers: 20, drain: 10, requests: 3, ..Limits::default() };
    let outcome = |input: &str| {
        let options = || Options { limits, ..Options::default() };
        let (text, ended, _) = talk_as(vec![input.into()], Behind::End, options());
        for cut in 1..input.len().min(400) {
            let cut = vec![input[..cut].into(), input[cut..].into()];
            assert_eq!(talk_as(cut, Behind::End, options()).0, text, "{input}");
        }
        format!("{} {}", statuses(&text), why(&ended))
    };
    let line = |len: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(len - 14));
    assert_eq!((outcome(&line(50)).as_str(), outcome(&line(51)).as_str()), ("404 Client", "414 Line"));
    assert_eq!(outcome(&"x".repeat(1000)), "414 Line");
    let head = |len: usize| get("/", &format!("X: {}\r\n", "x".repeat(len - 32)));
    assert_eq!(
        (head(200).len(), outcome(&head(200)), outcome(&head(201))),
        (200, "200 Client".into(), "431 Head".into())
    );
    assert_eq!(outcome(&get("/", &format!("X: {}", "x".repeat(2000)))), "431 Head");
    assert_eq!(
        (outcome(&get("/", &"a:\r\n".repeat(4))), outcome(&get("/", &"a:\r\n".repeat(5)))),
        ("200 Client".into(), "431 Fields".into())
    );
    let chunks = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1";
    assert_eq!(outcome(&format!("{chunks};{}\r\na\r\n0\r\n\r\n", "x".repeat(19))), "200 Client");
    assert_eq!(outcome(&format!("{chunks};{}\r\na\r\n0\r\n\r\n", "x".repeat(20))), "431 Trailers");
    assert_eq!(outcome(&format!("{chunks}\r\na\r\n0\r\nX: {}\r\n\r\n", "x".repeat(15))), "200 Client");
    assert_eq!(outcome(&format!("{chunks}\r\na\r\n0\r\nX: {}\r\n\r\n", "x".repeat(16))), "431 Trailers");
    let post = |len: usize| {
        format!(
            "POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n{}{}",
            "x".repeat(len),
            get("/", "")
        )
    };
    assert_eq!((outcome(&post(10)).as_str(), outcome(&post(11)).as_str()), ("204,200 Client", "204 Said"));
    assert_eq!(outcome(&get("/", "").repeat(4)), "200,200,200 Said");
}

#[test]
fn times_are_limited() {
    let outcome = |input: &str, seconds: u64| {
        alone(async |rt| {
            let server = Server::new(&rt, Options::default());
            let script = Script::new(pieces_of(input), Behind::Silence);
            let written = script.written.clone();
            let began = rt.now_ns();
            let ended = serve(&server, script, handle).await;
            assert_eq!((rt.now_ns() - began) / 1_000_000_000, seconds, "{input}");
            // Timers that are left would keep a machine awake.
            assert_eq!(rt.stats().timers, 0);
            let text = String::from_utf8(written.take()).unwrap();
            format!("{} {} {:?}", statuses(&text), why(&ended), ended.manner)
        })
    };
    assert_eq!(outcome("", 10), "- Idle Drop");
    assert_eq!(outcome("\r\n", 10), "- Idle Drop");
    assert_eq!(outcome("G@E", 10), "408 Late(Head) Linger");
    assert_eq!(outcome(&get("/", ""), 60), "200 Idle Drop");
    assert_eq!(outcome(&format!("{}G", get("/", "")), 10), "200,408 Late(Head) Linger");
    let post = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(outcome(&format!("{post}@he"), 20), "408 Late(Body) Linger");
}

#[test]
fn who_takes_nothing_is_given_up() {
    alone(async |rt| {
        let server = Server::new(&rt, Options::default());
        let mut script = Script::new(pieces_of(&get("/big", "")), Behind::Silence);
        script.gulp = 0;
        let began = rt.now_ns();
        let ended = serve(&server, script, handle).await;
        assert_eq!((ended.why, ended.manner), (Err(Error::Late(At::Sending)), Manner::Abort));
        assert_eq!((rt.now_ns() - began) / 1_000_000_000, 20);
    });
    // A little at a time is enough.
    alone(async |rt| {
        let server = Server::new(&rt, Options::default());
        let mut script = Script::new(pieces_of(&get("/big", "")), Behind::End);
        script.gulp = 7;
        let written = script.written.clone();
        assert_eq!(serve(&server, script, handle).await.why, Ok(End::Client));
        assert!(written.borrow().ends_with(&BIG));
    });
}

/// Each byte may be the last before the stream breaks, and the error says how far it was.
#[test]
fn broken_pipes_are_not_taken_for_invalid_requests() {
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    let request = format!("{head}hello");
    for cut in 0..=request.len() {
        let (text, ended, _) = talk_as(vec![request[..cut].into()], Behind::Break, Options::default());
        let at = match cut {
            0 => At::Between,
            cut if cut < head.len() => At::Head,
            cut if cut < request.len() => At::Body,
            _ => At::Between,
        };
        let kind = embedded_io_async::ErrorKind::ConnectionReset;
        assert_eq!((ended.why, ended.manner), (Err(Error::Broken { at, kind }), Manner::Drop), "{cut}");
        assert_eq!(statuses(&text), if cut == request.len() { "200" } else { "-" });
    }
}

#[test]
fn every_exchange_is_told_of_and_dated() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let told = log.clone();
    let tell = move |record: &Record<'_>| {
        let what = record.request.map(|request| format!("{} {}", request.method_name(), request.target));
        told.borrow_mut().push((what, record.status, record.bytes, record.error));
    };
    let options = Options {
        clock: Some(Rc::new(|| Some(784_111_777))),
        log: Some(Rc::new(tell)),
        ..Options::default()
    };
    let input = [get("/?a=%20", ""), get("/none", ""), get("/silent", ""), "BAD\r\n\r\n".into()].concat();
    let (text, ..) = talk_as(vec![input.into()], Behind::End, options);
    assert_eq!(text.matches("\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n").count(), 4);
    let what = |target: &str| Some(format!("GET {target}"));
    let rows = [
        (what("/?a=%20"), Some(Status::OK), 6, None),
        (what("/none"), Some(Status::NOT_FOUND), 14, None),
        (what("/silent"), Some(Status::INTERNAL_SERVER_ERROR), 26, Some(Misuse::Unanswered.into())),
        (None, Some(Status::BAD_REQUEST), 42, Some(Rule::RequestLine.into())),
    ];
    assert_eq!(log.take(), rows);
}

#[test]
fn methods_that_are_not_routed_are_told_apart() {
    let allow = |text: &str| {
        let (_, rest) = text.split_once("\r\nAllow: ").unwrap();
        rest.split_once("\r\n").unwrap().0.to_owned()
    };
    let (text, _) = talk(&get("/echo", ""));
    assert_eq!((statuses(&text).as_str(), allow(&text).as_str()), ("405", "POST, PUT, OPTIONS"));
    let (text, _) = talk("OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((statuses(&text).as_str(), allow(&text).as_str()), ("204", "GET, HEAD, OPTIONS"));
    let (text, _) = talk("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(allow(&text), "GET, HEAD, POST, PUT, OPTIONS");
}

#[test]
fn a_path_is_what_it_leads_to() {
    let body = |target: &str| talk(&get(target, "")).0.rsplit("\r\n").next().unwrap().to_owned();
    assert_eq!(body("/names/a/b/c?d=%41"), "a+b/c?d=%41@a");
    assert_eq!(body("/x/../names/%61%20b/./c%3f?"), "a b+c??@a");
    assert_eq!(body("http://H:1/names/a/b"), "a+b?-@H:1");
    let targets = Rc::new(RefCell::new(Vec::new()));
    let told = targets.clone();
    let log = move |record: &Record<'_>| told.borrow_mut().push(record.request.unwrap().target.to_owned());
    let options = Options { log: Some(Rc::new(log)), ..Options::default() };
    let sent = ["/a/../b?c", "http://a", "http://a?x", "http://a/%41?"];
    talk_as(vec![sent.map(|target| get(target, "")).concat().into()], Behind::End, options);
    assert_eq!(targets.take(), ["/a/../b?c", "/", "/?x", "/%41?"]);
}

/// Any requests at all, mixed and cut anywhere, have the answers that each has alone.
#[test]
fn requests_in_any_order_and_pieces_are_answered_as_each_alone() {
    let mut random = Rng::new();
    let kinds = [
        get("/", ""),
        get("/stream", "Accept: */*\r\n"),
        get("/names/a/b", ""),
        get("/none", ""),
        get("/silent", ""),
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nGET / HTTP/".into(),
        "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\n\r\n\r\nG\r\n1\r\nE\r\n0\r\nT: u\r\n\r\n".into(),
        "POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".into(),
        "POST /ignore HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n".into(),
        format!("HEAD /big HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(3000)),
    ];
    let alone: Vec<_> = kinds.iter().map(|kind| talk(kind).0).collect();
    for _ in 0..300 {
        let (mut input, mut output) = (Vec::new(), String::new());
        for _ in 0..random.within(1..40) {
            let kind = random.within(0..kinds.len());
            input.extend_from_slice(kinds[kind].as_bytes());
            output.push_str(&alone[kind]);
        }
        let (mut pieces, longest) = (Vec::new(), [2, 20, 200, 2000, 20_000][random.within(0..5)]);
        while !input.is_empty() {
            let rest = input.split_off(random.within(1..longest).min(input.len()));
            pieces.push(core::mem::replace(&mut input, rest));
        }
        let (text, ended, _) = talk_as(pieces, Behind::End, Options::default());
        assert_eq!((text, ended.why), (output, Ok(End::Client)));
    }
}

/// A thousand of them wait in two megabytes, of which one is for what comes.
#[test]
fn a_connection_takes_little_memory() {
    alone(async |rt| {
        let server = Server::new(&rt, Options::default());
        let serving = serve(&server, Script::new([], Behind::End), async |_, exchange| {
            exchange.reply(Status::OK).body(b"").await
        });
        let size = size_of_val(&serving);
        println!("{size}");
        assert!(size < 1500);
        assert_eq!(serving.await.why, Ok(End::Client));
    });
}
