//! What a client understands, and a client and a server that talk to each other.
#![forbid(unsafe_code)]

mod common;

use common::{Behind, End, Script, pair, unescape};
use embedded_io_async::{ErrorKind, Read, Write};
use fata_http::{
    Answer, At, Block, Client, Error, Excess, Exchange, Limits, Manner, Method, Misuse, Options, Redirects,
    Request, Rule, Server, Status, Url, serve,
};
use fata_sim::{Rng, alone};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

fn url(path: &str) -> Url {
    Url::parse(&format!("http://a{path}")).unwrap()
}

/// What is understood of an answer, and whether the connection can be used again.
fn understood(
    method: Method,
    pieces: Vec<Vec<u8>>,
    behind: Behind,
) -> (Result<(Status, Vec<u8>), Error>, bool) {
    alone(async |rt| {
        let script = Script::new(pieces, behind);
        let mut client = Client::new(&rt, script, Limits::default());
        let result = match client.request(method, &url("/")).send().await {
            Ok(mut answer) => answer.read_all(1000).await.map(|body| (answer.status(), body)),
            Err(error) => Err(error),
        };
        (result, client.is_usable())
    })
}

fn words(result: &Result<(Status, Vec<u8>), Error>, again: bool) -> String {
    let what = match result {
        Ok((status, body)) if body.is_empty() => format!("{} -", status.code()),
        Ok((status, body)) => format!("{} {}", status.code(), body.escape_ascii()),
        Err(Error::Invalid(rule)) => format!("{rule:?}"),
        Err(Error::TooMuch(excess)) => format!("{excess:?}"),
        Err(error) => format!("{error:?}"),
    };
    format!("{what} {}", if again { "again" } else { "done" })
}

#[test]
fn answers_sound_and_odd_are_understood_as_they_should_be_however_they_are_cut() {
    let (mut count, mut odd) = (0, Vec::new());
    for line in include_str!("data/responses.txt").lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (wanted, response) = line.split_once('|').unwrap();
        let wanted: Vec<_> = wanted.split_whitespace().collect();
        let (method, wanted) = (wanted[0], wanted[1..].join(" "));
        let method = if method == "HEAD" { Method::Head } else { Method::Get };
        let response = unescape(response.strip_prefix(' ').unwrap_or(response));
        let (result, again) = understood(method, vec![response.clone()], Behind::End);
        if words(&result, again) != wanted {
            odd.push(format!("{} instead for {line}", words(&result, again)));
            continue;
        }
        // Whether something comes that nobody asked for is not seen if it comes late.
        let is_more = result.is_ok() && wanted.ends_with("done") && line.contains("more");
        let is_more = is_more || line.contains("204 No Content\\r\\n\\r\\nhello");
        let bytewise = response.iter().map(|byte| vec![*byte]).collect();
        let cuts = (1..response.len()).map(|cut| vec![response[..cut].to_vec(), response[cut..].to_vec()]);
        for pieces in cuts.chain([bytewise]) {
            let (other, again_other) = understood(method, pieces, Behind::End);
            assert_eq!(other, result, "{line}");
            assert!(again_other == again || is_more, "{line}");
        }
        count += 1;
    }
    assert!(odd.is_empty(), "{}", odd.join("\n"));
    assert!(count > 60);
}

/// Where a stream breaks is told, and whether the request may be sent again.
#[test]
fn broken_pipes_say_how_far_it_was() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let response = format!("{head}hello");
    for cut in 0..response.len() {
        let pieces = || vec![response.as_bytes()[..cut].to_vec()];
        let at = match cut {
            0 => At::Between,
            cut if cut < head.len() => At::Head,
            _ => At::Body,
        };
        let kind = ErrorKind::ConnectionReset;
        for (behind, error) in [
            (Behind::Break, Error::Broken { at, kind }),
            (Behind::End, Error::Truncated(at)),
            (Behind::Silence, Error::Late(at)),
        ] {
            assert_eq!(understood(Method::Get, pieces(), behind), (Err(error), false), "{cut}");
            assert_eq!(error.nothing_came(), cut == 0);
        }
    }
}

#[test]
fn times_and_sizes_are_limited() {
    alone(async |rt| {
        let waited = async |input: &str, seconds| {
            let script = Script::new([input.into()], Behind::Silence);
            let mut client = Client::new(&rt, script, Limits::default());
            let began = rt.now_ns();
            let error = match client.request(Method::Get, &url("/")).send().await {
                Ok(mut answer) => answer.read_all(10).await.err(),
                Err(error) => Some(error),
            };
            assert_eq!((rt.now_ns() - began) / 1_000_000_000, seconds);
            error
        };
        assert_eq!(waited("", 60).await, Some(Error::Late(At::Between)));
        assert_eq!(waited("HTTP/1.1 100 Continue\r\n\r\n", 60).await, Some(Error::Late(At::Between)));
        assert_eq!(waited("H", 10).await, Some(Error::Late(At::Head)));
        assert_eq!(waited("HTTP/1.1 200 OK\r\n\r\nabc", 20).await, Some(Error::Late(At::Body)));
        let endless = "HTTP/1.1 200 OK\r\n\r\n0123456789x";
        assert_eq!(waited(endless, 0).await, Some(Error::TooMuch(Excess::Body)));
        let hints = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100);
        assert_eq!(waited(&hints, 0).await, Some(Rule::Interim.into()));
        let long = format!("HTTP/1.1 200 {}\r\n\r\n", "x".repeat(5000));
        assert_eq!(waited(&long, 0).await, Some(Error::TooMuch(Excess::Line)));
        let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(9000));
        assert_eq!(waited(&long, 0).await, Some(Error::TooMuch(Excess::Head)));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x:\r\n".repeat(65));
        assert_eq!(waited(&many, 0).await, Some(Error::TooMuch(Excess::Fields)));
    });
}

#[test]
fn what_is_sent_is_http() {
    alone(async |rt| {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let script = Script::new([answer.to_vec(), answer.to_vec(), answer.to_vec()], Behind::End);
        let written = script.written.clone();
        let mut client = Client::new(&rt, script, Limits::default());
        let url = Url::parse("http://[::1]:81/x/../y?z#f").unwrap();
        for (name, value) in [("X", "a\r\nY: b"), ("X\n", "a"), ("Host", "b"), ("Content-Length", "1")] {
            let refused = client.request(Method::Get, &url).header(name, value).send().await;
            assert!(matches!(refused, Err(Error::Misuse(Misuse::Field))));
        }
        for method in [Method::Connect, Method::Other] {
            assert!(matches!(client.request(method, &url).send().await, Err(Error::Misuse(Misuse::Target))));
        }
        assert!(written.borrow().is_empty());
        let block = Block::new().with("Accept", "*/*").unwrap();
        drop(client.request(Method::Get, &url).header("X", "y").block(&block).send().await.unwrap());
        let head = "/y?z HTTP/1.1\r\nHost: [::1]:81\r\n";
        assert_eq!(written.take(), format!("GET {head}X: y\r\nAccept: */*\r\n\r\n").as_bytes());
        drop(client.request(Method::Post, &url).send().await.unwrap());
        assert_eq!(written.take(), format!("POST {head}Content-Length: 0\r\n\r\n").as_bytes());
        drop(client.request(Method::Delete, &url).close().send().await.unwrap());
        assert_eq!(written.take(), format!("DELETE {head}Connection: close\r\n\r\n").as_bytes());
        assert!(!client.is_usable());
        let error = client.request(Method::Get, &url).send().await.err().unwrap();
        assert!(error == Misuse::UsedUp.into() && error.nothing_came());
    });
}

async fn handle<T: Read + Write>(request: &Request<'_>, exchange: &mut Exchange<'_, T>) -> Result<(), Error> {
    match (request.method, request.path) {
        (Method::Get | Method::Head, "/") => exchange.reply(Status::OK).body(b"hello").await,
        (Method::Get, "/close") => {
            exchange.close();
            exchange.reply(Status::OK).body(b"bye").await
        }
        (Method::Get, "/redirect") => {
            exchange.reply(Status::FOUND).header("Location", "./loop/../x?y").empty().await
        }
        (Method::Get, "/loop") => exchange.reply(Status::FOUND).header("Location", "/loop").empty().await,
        (Method::Get, "/x") => exchange.reply(Status::OK).body(request.query.unwrap_or("").as_bytes()).await,
        (Method::Put, "/refuse") => Err(Status::FORBIDDEN.into()),
        // What comes goes back, in pieces, while it comes.
        (Method::Post, "/mirror") => {
            exchange.allow_body(u64::MAX);
            let (mut all, mut room) = (Vec::new(), [0; 700]);
            loop {
                match exchange.read(&mut room).await? {
                    0 => break,
                    count => all.extend_from_slice(&room[..count]),
                }
            }
            let mut trailers = Block::new();
            for (name, value) in exchange.trailers().iter() {
                trailers.push(name, value)?;
            }
            let chunked = request.header("x-chunked").is_some();
            let mut writer =
                exchange.reply(Status::OK).stream((!chunked).then_some(all.len() as u64)).await?;
            for piece in all.chunks(1 + all.len() / 3) {
                writer.write(piece).await?;
            }
            writer.finish_with(&trailers).await
        }
        _ => Err(Status::NOT_FOUND.into()),
    }
}

/// A client and a server, with a pipe of so many bytes between them.
fn talk(room: usize, gulp: usize, main: impl AsyncFnOnce(Client<End>, Rc<Cell<u32>>)) {
    alone(async |rt| {
        let (mut near, mut far) = pair(room);
        (near.gulp, far.gulp) = (gulp, gulp);
        let (server, served) = (Server::new(&rt, Options::default()), Rc::new(Cell::new(0)));
        let count = served.clone();
        let task = rt.spawn(async move {
            let ended = serve(&server, &mut far, handle).await;
            if ended.manner == Manner::Linger {
                far.shutdown();
                fata_http::linger(server.rt(), &mut far, server.limits()).await;
            }
            count.set(ended.requests);
        });
        main(Client::new(&rt, near, Limits::default()), served).await;
        task.await.unwrap();
        assert_eq!((rt.stats().tasks, rt.stats().timers), (0, 0));
    });
}

async fn text(answer: Result<Answer<'_, End>, Error>) -> (u16, String) {
    let mut answer = answer.unwrap();
    let body = answer.read_all(usize::MAX).await.unwrap();
    (answer.status().code(), String::from_utf8(body).unwrap())
}

#[test]
fn a_connection_serves_until_one_of_both_ends_it() {
    talk(100, 7, async |mut client, _| {
        for _ in 0..3 {
            assert_eq!(
                text(client.request(Method::Get, &url("/")).send().await).await,
                (200, "hello".into())
            );
            assert_eq!(text(client.request(Method::Head, &url("/")).send().await).await, (200, "".into()));
            assert_eq!(text(client.request(Method::Get, &url("/no")).send().await).await.0, 404);
            assert!(client.is_usable());
        }
        assert_eq!(text(client.request(Method::Get, &url("/close")).send().await).await, (200, "bye".into()));
        assert!(!client.is_usable());
    });
    talk(100, 7, async |mut client, served| {
        let answer = client.request(Method::Get, &url("/")).send().await.unwrap();
        // Half an answer is in the way.
        drop(answer);
        assert!(!client.is_usable());
        drop(client);
        assert_eq!(served.get(), 0);
    });
}

/// A timer that was set for one wait does not end the next.
#[test]
fn each_wait_has_its_own_time() {
    alone(async |rt| {
        let (mut near, far) = pair(1000);
        let server = Server::new(&rt, Options::default());
        let serving = rt.spawn(async move { serve(&server, far, handle).await });
        let began = rt.now_ns();
        let mut room = [0; 1000];
        // 9 of the 10 s that the first byte may take, then 9 of the 10 that a head may.
        rt.sleep(Duration::from_secs(9)).await;
        near.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        rt.sleep(Duration::from_secs(9)).await;
        near.write_all(b"Host: a\r\n\r\n").await.unwrap();
        assert!(near.read(&mut room).await.unwrap() > 0);
        // 50 of 60, twice, and then all of them.
        for _ in 0..2 {
            rt.sleep(Duration::from_secs(50)).await;
            near.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            assert!(near.read(&mut room).await.unwrap() > 0);
        }
        assert_eq!(serving.await.unwrap().why, Ok(fata_http::End::Idle));
        assert_eq!(Duration::from_nanos(rt.now_ns() - began).as_secs(), 9 + 9 + 50 + 50 + 60);
    });
}

/// Who waits for a piece of an answer gets it when it is there.
#[test]
fn pieces_of_an_answer_are_sent_when_they_are_to_be() {
    alone(async |rt| {
        let (near, far) = pair(1000);
        let (server, rt2) = (Server::new(&rt, Options::default()), rt.clone());
        drop(rt.spawn(async move {
            serve(&server, far, async |_, exchange| {
                let mut writer = exchange.reply(Status::OK).stream(None).await?;
                for piece in [b"one", b"two"] {
                    writer.write(piece).await?;
                    writer.flush().await?;
                    rt2.sleep(Duration::from_secs(5)).await;
                }
                writer.finish().await
            })
            .await
        }));
        let mut client = Client::new(&rt, near, Limits::default());
        let mut answer = client.request(Method::Get, &url("/")).send().await.unwrap();
        let (began, mut room) = (rt.now_ns(), [0; 100]);
        for (piece, at) in [(&b"one"[..], 0), (b"two", 5), (b"", 10)] {
            let count = answer.read(&mut room).await.unwrap();
            assert_eq!((&room[..count], (rt.now_ns() - began) / 1_000_000_000), (piece, at));
        }
    });
}

#[test]
fn redirects_lead_somewhere_or_nowhere() {
    talk(1000, 1000, async |mut client, served| {
        for (start, end) in [("/redirect", Ok("y")), ("/loop", Err("there are too many redirects"))] {
            let (mut at, mut redirects) = (url(start), Redirects::new(3));
            let end_seen = loop {
                let mut answer = client.request(Method::Get, &at).send().await.unwrap();
                let location = answer.header("location").map(str::to_owned);
                let body = answer.read_all(100).await.unwrap();
                match redirects.follow(&at, Method::Get, answer.status(), location.as_deref()) {
                    Ok(Some(next)) => at = next.url,
                    Ok(None) => break Ok(String::from_utf8(body).unwrap()),
                    Err(error) => break Err(error.to_string()),
                }
            };
            assert_eq!(end_seen.as_deref().map_err(|error| error.as_str()), end);
        }
        drop(client);
        let _ = served;
    });
}

/// Bodies of all sizes there and back, in all manners, over pipes of all sizes.
#[test]
fn bodies_come_back_as_they_were() {
    let mut random = Rng::new();
    for _ in 0..60 {
        let (room, gulp) = (1 + random.within(0..5000), 1 + random.within(0..2000));
        let mut seed = Rng::from_seed(random.number());
        talk(room, gulp, async |mut client, served| {
            let requests = 1 + seed.within(0..8);
            for _ in 0..requests {
                let most = [1, 10, 1000, 30_000][seed.within(0..4)];
                let len = seed.within(0..most);
                let body = seed.bytes(len);
                let is_chunked = seed.within(0..2) == 0;
                let (url, block) = (url("/mirror"), Block::new().with("X-Sum", "7").unwrap());
                let mut asking = client.request(Method::Post, &url);
                if is_chunked {
                    asking = asking.header("X-Chunked", "yes");
                }
                let mut answer = match seed.within(0..4) {
                    0 => asking.body(&body).await.unwrap(),
                    1 => asking.expect_continue().body(&body).await.unwrap(),
                    kind => {
                        let mut upload =
                            asking.stream((kind == 2).then_some(body.len() as u64)).await.unwrap();
                        let mut rest = &body[..];
                        while !rest.is_empty() {
                            let (now, later) = rest.split_at(1 + seed.within(0..rest.len()));
                            upload.write(now).await.unwrap();
                            rest = later;
                        }
                        let mut answer = upload.finish_with(&block).await.unwrap();
                        let back = answer.read_all(100_000).await.unwrap();
                        assert_eq!(back, body);
                        let wanted = (kind == 3 && is_chunked).then_some("7");
                        assert_eq!(answer.trailers().text("x-sum"), wanted);
                        continue;
                    }
                };
                assert_eq!(answer.header("transfer-encoding").is_some(), is_chunked);
                assert_eq!(answer.read_all(100_000).await.unwrap(), body);
            }
            assert!(client.is_usable());
            drop(client);
            let _ = served;
        });
    }
}

#[test]
fn who_does_not_want_the_body_is_listened_to() {
    // It is asked first, and refuses.
    talk(1000, 1000, async |mut client, _| {
        let answer = client.request(Method::Put, &url("/refuse")).expect_continue().body(&[b'x'; 5000]).await;
        assert_eq!(text(answer).await.0, 403);
        assert!(!client.is_usable());
    });
    // It is not asked, says so while the body is under way, and reads on for a while.
    talk(1000, 1000, async |mut client, _| {
        let answer = client.request(Method::Put, &url("/refuse")).body(&[b'x'; 500_000]).await;
        assert_eq!(text(answer).await.0, 403);
    });
    // Or it closes at once, having said so.
    alone(async |rt| {
        let (near, mut far) = pair(4000);
        drop(rt.spawn(async move {
            far.read(&mut [0; 100]).await.unwrap();
            far.write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        }));
        let mut client = Client::new(&rt, near, Limits::default());
        let answer = client.request(Method::Put, &url("/")).body(&[b'x'; 500_000]).await;
        assert_eq!(text(answer).await.0, 413);
        assert!(!client.is_usable());
    });
    // Or without a word.
    alone(async |rt| {
        let (near, far) = pair(4000);
        drop(rt.spawn(async move {
            let mut far = far;
            far.read(&mut [0; 100]).await.unwrap();
        }));
        let mut client = Client::new(&rt, near, Limits::default());
        let error = client.request(Method::Put, &url("/")).body(&[b'x'; 500_000]).await.err().unwrap();
        assert_eq!(error, Error::Broken { at: At::Sending, kind: ErrorKind::BrokenPipe });
        assert!(error.nothing_came());
    });
    // Who never says whether it wants it gets it after a second.
    alone(async |rt| {
        let (near, mut far) = pair(4000);
        let rt2 = rt.clone();
        drop(rt.spawn(async move {
            let mut room = [0; 4000];
            far.read(&mut room).await.unwrap();
            let began = rt2.now_ns();
            assert_eq!(far.read(&mut room).await, Ok(5));
            assert_eq!(Duration::from_nanos(rt2.now_ns() - began), Duration::from_secs(1));
            far.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        }));
        let mut client = Client::new(&rt, near, Limits::default());
        let answer = client.request(Method::Put, &url("/")).expect_continue().body(b"hello").await;
        assert_eq!(text(answer).await.0, 204);
    });
}

#[test]
fn bodies_have_the_length_that_was_said() {
    talk(1000, 1000, async |mut client, _| {
        let mut upload = client.request(Method::Post, &url("/mirror")).stream(Some(5)).await.unwrap();
        upload.write(b"hel").await.unwrap();
        assert_eq!(upload.write(b"lo!").await, Err(Misuse::Length.into()));
        assert!(matches!(upload.finish().await, Err(Error::Misuse(Misuse::Length))));
        assert!(!client.is_usable());
    });
}
