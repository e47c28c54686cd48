//! What the image serves, over a wire.

use embedded_io_async::{Read, Write};
use fata_conduit::{Conduit, Nothing};
use fata_netstack::{IpAddress, IpEndpoint, Stack, TcpStream, tcp};
use fata_rt::Rt;
use fata_sim::alone;
use fata_site::Site;
use fata_site::pack::{Entry, compress, pack};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use website::{Options, Pages, Served, serve};

const SERVER: IpEndpoint = IpEndpoint { addr: IpAddress::v4(10, 0, 0, 2), port: 80 };
const CHANGED: u64 = 784_111_777;
/// Some time in 2026.
const NOW: u64 = 1_795_611_600;

fn long() -> String {
    (0..2000).map(|number| format!("<p>paragraph {number}\n")).collect()
}

fn site() -> Site<'static> {
    let mut files = vec![
        Entry::new("/index.html", "<h1>home</h1>"),
        Entry::new("/404.html", "<h1>nowhere</h1>"),
        Entry::new("/about.html", "<h1>about</h1>"),
        Entry::new("/blog/index.html", "<h1>blog</h1>"),
        Entry::new("/long.html", long()),
        Entry::new("/.well-known/acme-challenge/token", "proof"),
        Entry::new("/data.bin", (0..=255).cycle().take(5000).collect::<Vec<u8>>()),
        Entry::new("/wide.bin", vec![7; 10_000]),
        Entry::new("/_redirects", "/old/* /blog/:splat 302\n"),
        Entry::new("/_headers", "/*.bin\n  Cache-Control: no-store\n"),
    ];
    compress(&mut files, None);
    Site::open(pack(files, CHANGED).unwrap().leak()).unwrap()
}

/// A client beside the server with these words.
fn run(words: &str, test: impl AsyncFnOnce(Rt, Stack, Rc<Served>)) {
    run_with(words, async |rt, stack, _, served| test(rt, stack, served).await);
}

/// And one that speaks TLS.
fn run_with(words: &str, test: impl AsyncFnOnce(Rt, Stack, fata_tls::Client, Rc<Served>)) {
    let mut options = Options::parse(words).unwrap();
    options.settle(false);
    let wish = options.wish;
    let buffer = wish.buffer;
    alone(async |rt| {
        let [client, server] = fata_ends::stacks(&rt, "ip=10.0.0.1/24", "ip=10.0.0.2/24");
        let (tls_client, tls_server) = fata_ends::tls(&rt, &["10.0.0.2"]);
        let served = Rc::new(Served::new(&rt, Pages::new(site()), wish, Rc::new(|| Some(NOW))));
        let tcp = tcp::Options { receive: 4096, send: buffer, nagle: false, ..tcp::Options::default() };
        let conduit = Conduit::<Nothing>::new().with_stack(&server).with_options(tcp, 16);
        let conduit = conduit.with_tls_server(&tls_server);
        serve(&rt, &conduit, &served, &served.wish.listen).unwrap();
        test(rt.clone(), client, tls_client, served.clone()).await;
        // Nothing is left but listeners.
        rt.sleep(Duration::from_secs(200)).await;
        assert_eq!(server.sockets(), (0, 0));
        assert_eq!(served.totals().open, 0);
    });
}

async fn open(stack: &Stack) -> TcpStream {
    stack.connect(SERVER, tcp::Options::default()).await.unwrap()
}

/// All that comes in answer to this, which closes the connection.
async fn ask(stack: &Stack, request: &str) -> (String, Vec<u8>) {
    let mut stream = open(stack).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    let mut room = [0; 1000];
    while let Ok(count @ 1..) = stream.read(&mut room).await {
        all.extend_from_slice(&room[..count]);
    }
    let end = all.windows(4).position(|end| end == b"\r\n\r\n").unwrap_or(all.len() - 4);
    (String::from_utf8(all[..end + 2].to_vec()).unwrap(), all[end + 4..].to_vec())
}

/// The head and body of an answer to `GET`, with these lines besides.
async fn load(stack: &Stack, path: &str, lines: &str) -> (String, Vec<u8>) {
    ask(stack, &format!("GET {path} HTTP/1.1\r\nHost: a.example:8080\r\nConnection: close\r\n{lines}\r\n"))
        .await
}

fn has(head: &str, lines: &[&str]) {
    for line in lines {
        assert!(head.contains(&format!("{line}\r\n")), "no {line:?} in\n{head}");
    }
}

fn tag(head: &str) -> String {
    head.lines().find_map(|line| line.strip_prefix("ETag: ")).unwrap().into()
}

#[test]
fn pages_come_as_they_are_said_to() {
    run("log=off", async |_, stack, served| {
        let (head, body) = load(&stack, "/", "").await;
        has(
            &head,
            &[
                "HTTP/1.1 200 OK",
                "Content-Type: text/html; charset=utf-8",
                "Content-Length: 13",
                "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT",
                "Accept-Ranges: bytes",
                "Connection: close",
            ],
        );
        assert_eq!(body, b"<h1>home</h1>");
        assert!(!head.contains("Vary"));
        for (path, page) in [
            ("/about", "<h1>about</h1>"),
            ("/blog/?x=y", "<h1>blog</h1>"),
            ("/%61bout.html", "<h1>about</h1>"),
        ] {
            assert_eq!(load(&stack, path, "").await.1, page.as_bytes(), "{path}");
        }
        let (head, body) = load(&stack, "/data.bin", "").await;
        has(&head, &["Content-Type: application/octet-stream", "Cache-Control: no-store"]);
        assert_eq!(body, (0..=255).cycle().take(5000).collect::<Vec<u8>>());
        let (head, body) = load(&stack, "/none", "").await;
        has(&head, &["HTTP/1.1 404 Not Found", "Content-Type: text/html; charset=utf-8"]);
        assert_eq!(body, b"<h1>nowhere</h1>");
        let (head, body) = ask(&stack, "HEAD /about HTTP/1.0\r\n\r\n").await;
        has(&head, &["Content-Length: 14"]);
        assert_eq!(body, b"");
        let (head, _) =
            ask(&stack, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        has(&head, &["HTTP/1.1 405 Method Not Allowed", "Allow: GET, HEAD"]);
        let all = served.totals();
        assert_eq!((all.requests, all.mistakes, all.failures, all.connections), (8, 2, 0, 8));
        assert_eq!(all.bytes, 13 + 14 + 13 + 14 + 5000 + 16);
    });
}

#[test]
fn redirects_lead_to_where_pages_are() {
    run("log=off", async |_, stack, served| {
        for (path, line, place) in [
            ("/blog", "HTTP/1.1 301 Moved Permanently", "/blog/"),
            ("/blog?a=b", "HTTP/1.1 301 Moved Permanently", "/blog/?a=b"),
            ("/old/one?a=%0d%0aX:y", "HTTP/1.1 302 Found", "/blog/one?a=%0d%0aX:y"),
            ("/old//evil.example/", "HTTP/1.1 302 Found", "/blog/evil.example/"),
        ] {
            let (head, _) = load(&stack, path, "").await;
            has(&head, &[line, &format!("Location: {place}"), "Content-Length: 0"]);
        }
        assert_eq!(served.totals().elsewhere, 4);
    });
}

#[test]
fn who_has_it_already_gets_nothing_and_others_the_form_and_part_they_want() {
    run("log=off", async |_, stack, served| {
        let (plain, body) = load(&stack, "/long", "").await;
        has(&plain, &["Vary: Accept-Encoding"]);
        assert_eq!(body, long().as_bytes());
        let (head, body) = load(&stack, "/long", "Accept-Encoding: gzip, br;q=0\r\n").await;
        has(&head, &["Content-Encoding: gzip", "Vary: Accept-Encoding"]);
        assert!(body.starts_with(&[0x1f, 0x8b]));
        let (best, body) = load(&stack, "/long", "Accept-Encoding: gzip, deflate, br, zstd\r\n").await;
        has(&best, &["Content-Encoding: br", &format!("Content-Length: {}", body.len())]);
        assert!(tag(&plain) != tag(&head) && tag(&head) != tag(&best));
        let (again, body) =
            load(&stack, "/long", &format!("Accept-Encoding: br\r\nIf-None-Match: {}\r\n", tag(&best))).await;
        has(
            &again,
            &["HTTP/1.1 304 Not Modified", &format!("ETag: {}", tag(&best)), "Vary: Accept-Encoding"],
        );
        assert_eq!(body, b"");
        let (head, _) = load(&stack, "/about", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n").await;
        has(&head, &["HTTP/1.1 304 Not Modified"]);
        let (head, body) = load(&stack, "/about", "Range: bytes=4-8\r\n").await;
        has(&head, &["HTTP/1.1 206 Partial Content", "Content-Range: bytes 4-8/14"]);
        assert_eq!(body, b"about");
        let (head, _) = load(&stack, "/about", "Range: bytes=14-\r\n").await;
        has(&head, &["HTTP/1.1 416 Range Not Satisfiable", "Content-Range: bytes */14"]);
        assert_eq!(served.totals().unchanged, 2);
    });
}

#[test]
fn a_redirector_sends_all_to_where_it_was_told() {
    run("log=off redirect=https://b.example/x/", async |_, stack, _| {
        for (target, place) in [("/", ""), ("/a/b?c=d", "a/b?c=d"), ("//evil.example", "evil.example")] {
            let (head, body) = load(&stack, target, "").await;
            has(
                &head,
                &["HTTP/1.1 301 Moved Permanently", &format!("Location: https://b.example/x/{place}")],
            );
            assert_eq!(body, b"");
        }
        let (head, _) = ask(
            &stack,
            "POST /form HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
        )
        .await;
        has(&head, &["HTTP/1.1 308 Permanent Redirect", "Location: https://b.example/x/form"]);
    });
    run("log=off redirect=https://b.example/x", async |_, stack, _| {
        has(&load(&stack, "/a/b", "").await.0, &["Location: https://b.example/x"]);
    });
}

#[test]
fn to_https_is_the_same_place_but_for_challenges() {
    run("log=off to-https", async |_, stack, _| {
        has(&load(&stack, "/a?b", "").await.0, &["Location: https://a.example/a?b"]);
        assert_eq!(load(&stack, "/.well-known/acme-challenge/token", "").await.1, b"proof");
        // It says not at which host.
        has(&ask(&stack, "GET / HTTP/1.0\r\n\r\n").await.0, &["HTTP/1.1 400 Bad Request"]);
        let six = "GET / HTTP/1.1\r\nHost: [fd00::1]\r\nConnection: close\r\n\r\n";
        has(&ask(&stack, six).await.0, &["Location: https://[fd00::1]/"]);
    });
    run("log=off to-https=8443", async |_, stack, _| {
        has(&load(&stack, "/", "").await.0, &["Location: https://a.example:8443/"]);
    });
}

/// What clients say is listed, and cannot be taken for another line.
#[test]
fn requests_are_listed_unless_they_are_too_many() {
    run("", async |rt, stack, served| {
        let journal = served.journal.as_ref().unwrap();
        load(&stack, "/about?x", "Referer: http://r.example/\r\nUser-Agent: \"quoted\" \u{e4}\r\n").await;
        assert_eq!(
            journal.next().await,
            "10.0.0.1 - - [25/Nov/2026:13:00:00 +0000] \"GET /about?x HTTP/1.1\" 200 14 \"http://r.example/\" \
             \"\\\"quoted\\\" \\xe4\""
        );
        ask(&stack, "HEAD /none HTTP/1.0\r\n\r\n").await;
        assert_eq!(
            journal.next().await,
            "10.0.0.1 - - [25/Nov/2026:13:00:00 +0000] \"HEAD /none HTTP/1.0\" 404 0 \"-\" \"-\""
        );
        ask(&stack, "nonsense\r\n\r\n").await;
        assert_eq!(journal.next().await, "10.0.0.1 - - [25/Nov/2026:13:00:00 +0000] \"-\" 400 0 \"-\" \"-\"");
        // Many at once, and nobody looks at the console.
        rt.sleep(Duration::from_secs(10)).await;
        let mut stream = open(&stack).await;
        let mut left = 1000;
        while left > 0 {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            let mut all = Vec::new();
            while !all.ends_with(b"<h1>home</h1>") {
                let mut room = [0; 500];
                let count = stream.read(&mut room).await.unwrap();
                all.extend_from_slice(&room[..count]);
            }
            left -= 1;
        }
        drop(stream);
        for _ in 0..64 {
            assert!(journal.next().await.contains("GET / HTTP/1.1"));
        }
        assert!(rt.timeout(Duration::from_secs(1), journal.next()).await.is_err());
        load(&stack, "/", "").await;
        let note = journal.next().await;
        assert!(note.ends_with(" requests are not listed)"), "{note}");
        assert!(journal.next().await.contains("GET / HTTP/1.1"));
        assert_eq!(served.totals().requests, 1004);
    });
}

/// A thousand connections that ask for nothing, and one that says a byte a second, are nothing to the others.
#[test]
fn who_is_slow_is_alone_with_it() {
    run("log=off most=1100 buffer=512", async |rt, stack, served| {
        let mut idle = Vec::new();
        for _ in 0..1000 {
            let options = tcp::Options { receive: 100, send: 100, ..tcp::Options::default() };
            idle.push(stack.connect(SERVER, options).await.unwrap());
        }
        let mut slow = open(&stack).await;
        let loris = async {
            for byte in b"GET / HTTP/1.1" {
                slow.write_all(&[*byte]).await.unwrap();
                rt.sleep(Duration::from_secs(1)).await;
            }
            let mut answer = [0; 28];
            slow.read_exact(&mut answer).await.unwrap();
            answer
        };
        let others = async {
            for number in 0..50 {
                assert_eq!(load(&stack, "/", "").await.1, b"<h1>home</h1>", "{number}");
            }
            assert!(served.totals().open >= 1001);
        };
        // It had its time, and no more.
        assert_eq!(&side_by_side(others, loris).await.1, b"HTTP/1.1 408 Request Timeout");
    });
}

/// A client that does not read has no room for the word that this was all, which TLS has to send.
#[test]
fn who_reads_nothing_over_tls_is_let_go_of() {
    run_with("log=off listen=tls://*:80 buffer=4096 most=1", async |rt, stack, tls, served| {
        let small = tcp::Options { receive: 4096, ..tcp::Options::default() };
        let connect = async || {
            let mut stream =
                tls.connect(stack.connect(SERVER, small).await.unwrap(), "10.0.0.2").await.unwrap();
            // Its end is in the hands of TLS when the connection is to be closed.
            let request = b"GET /wide.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            stream.write_all(request).await.unwrap();
            stream
        };
        let deaf = connect().await;
        rt.sleep(Duration::from_secs(1)).await;
        assert_eq!((served.totals().requests, served.totals().open), (1, 1));
        // There is one place, and it is free again before long.
        let mut next = rt.timeout(Duration::from_secs(15), connect()).await.unwrap();
        let mut head = [0; 12];
        next.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
        drop(deaf);
    });
}

/// Both, side by side.
async fn side_by_side<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut of_a, mut of_b) = (None, None);
    poll_fn(|cx| {
        if of_a.is_none()
            && let Poll::Ready(value) = a.as_mut().poll(cx)
        {
            of_a = Some(value);
        }
        if of_b.is_none()
            && let Poll::Ready(value) = b.as_mut().poll(cx)
        {
            of_b = Some(value);
        }
        if of_a.is_some() && of_b.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (of_a.unwrap(), of_b.unwrap())
}
