//! Served to curl, by sockets of this machine. Without curl there is nothing to see.
#![forbid(unsafe_code)]

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use fata_http::{Error, Exchange, Method, Options, Request, Server, Status, Stored, serve};
use fata_sim::alone;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A socket that waits where it stands: there is nobody else.
struct Socket<'a>(&'a TcpStream);

impl ErrorType for Socket<'_> {
    type Error = ErrorKind;
}

impl Read for Socket<'_> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, ErrorKind> {
        self.0.read(into).map_err(|_| ErrorKind::Other)
    }
}

impl Write for Socket<'_> {
    async fn write(&mut self, from: &[u8]) -> Result<usize, ErrorKind> {
        self.0.write(from).map_err(|_| ErrorKind::Other)
    }
    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

fn page() -> Vec<u8> {
    (0..1 << 20).map(|at: usize| (at * at / 7) as u8).collect()
}

async fn handle(
    stored: &Stored,
    page: &[u8],
    request: &Request<'_>,
    exchange: &mut Exchange<'_, Socket<'_>>,
) -> Result<(), Error> {
    match (request.method, request.path) {
        (Method::Get | Method::Head, "/page") => stored.answer(request, exchange, page).await,
        (Method::Get, "/stream") => {
            let mut writer = exchange.reply(Status::OK).stream(None).await?;
            for piece in page.chunks(70_001) {
                writer.write(piece).await?;
            }
            writer.finish().await
        }
        (Method::Post | Method::Put, "/sum") => {
            exchange.allow_body(10 << 20);
            let (mut sum, mut len, mut room) = (0u64, 0, [0; 3000]);
            loop {
                match exchange.read(&mut room).await? {
                    0 => break,
                    count => {
                        len += count;
                        sum += room[..count].iter().map(|byte| u64::from(*byte)).sum::<u64>();
                    }
                }
            }
            exchange.reply(Status::OK).body(format!("{len} {sum}").as_bytes()).await
        }
        (Method::Put, "/refuse") => Err(Status::FORBIDDEN.into()),
        (Method::Get, "/a b/ü") => {
            exchange.reply(Status::OK).body(request.query.unwrap_or("").as_bytes()).await
        }
        _ => Err(Status::NOT_FOUND.into()),
    }
}

/// Serves while `ask` asks curl. It gets where, and what curl writes; how each connection ended is given back.
fn with_curl(ask: impl FnOnce(&dyn Fn(&[&str]) -> Vec<u8>, &str)) -> Vec<u32> {
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: there is no curl");
        return Vec::new();
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    let (over, ends) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let (over2, ends2) = (over.clone(), ends.clone());
    let server = thread::spawn(move || {
        let page = page();
        let stored =
            Stored::new("application/x-page").unwrap().etag("\"v1\"").unwrap().modified(784_111_777).unwrap();
        loop {
            let (socket, _) = listener.accept().unwrap();
            if over2.load(Ordering::SeqCst) {
                return;
            }
            alone(async |rt| {
                let server = Server::new(&rt, Options::default());
                let ended = serve(&server, Socket(&socket), async |request, exchange| {
                    handle(&stored, &page, request, exchange).await
                });
                let ended = ended.await;
                ends2.lock().unwrap().push(ended.requests);
            });
            socket.shutdown(Shutdown::Write).unwrap();
            let _ = io::copy(&mut &socket, &mut io::sink());
        }
    });
    let curl = |arguments: &[&str]| {
        let output = Command::new("curl").args(["-sS", "--max-time", "60"]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    ask(&curl, &format!("http://{place}"));
    over.store(true, Ordering::SeqCst);
    TcpStream::connect(place).unwrap();
    server.join().unwrap();
    Arc::try_unwrap(ends).unwrap().into_inner().unwrap()
}

#[test]
fn curl_gets_what_there_is() {
    let ends = with_curl(|curl, place| {
        let (page, url, stream) = (page(), format!("{place}/page"), format!("{place}/stream"));
        let text = |arguments: &[&str]| String::from_utf8(curl(arguments)).unwrap();
        assert!(curl(&[&url]) == page && curl(&["-0", &url]) == page);
        assert!(curl(&[&stream]) == page && curl(&["-0", &stream]) == page);
        assert_eq!(curl(&[&url, &stream, &url]), [&page[..], &page, &page].concat());
        let head = text(&["-I", &url]);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("\r\nContent-Length: 1048576\r\n"));
        assert_eq!(curl(&["-r", "100-199", &url]), &page[100..200]);
        assert_eq!(curl(&["-r", "-5", &url]), &page[page.len() - 5..]);
        let parts = curl(&["-r", "0-1,500-501", &url]);
        assert!(parts.windows(15).any(|window| window == b"500-501/1048576"));
        let code = ["-o", "/dev/null", "-w", "%{http_code}"];
        let code = |arguments: &[&str]| text(&[&code[..], arguments].concat());
        assert_eq!(code(&["-r", "9999999-", &url]), "416");
        assert_eq!(code(&["-H", "If-None-Match: \"v1\"", &url]), "304");
        assert_eq!(code(&["-z", "Sun, 06 Nov 1994 08:49:37 GMT", &url]), "304");
        assert_eq!(code(&["-z", "Sun, 06 Nov 1994 08:49:36 GMT", &url]), "200");
        assert_eq!(code(&[&format!("{place}/none")]), "404");
        assert_eq!(code(&["-X", "CONNECT", &url]), "501");
        assert_eq!(code(&["-H", "Host:", &url]), "400");
        assert_eq!(code(&["--path-as-is", &format!("{place}/x/../page")]), "200");
        assert_eq!(text(&[&format!("{place}/a%20b/%C3%BC?x=%20")]), "x=%20");
    });
    // A connection each, even where curl asked three times.
    assert!(ends.is_empty() || ends.len() == 18 && ends.contains(&3), "{ends:?}");
}

#[test]
fn curl_sends_what_it_has() {
    with_curl(|curl, place| {
        let folder = std::env::temp_dir().join(format!("fata-http-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("page");
        let page = [page(), page()].concat();
        std::fs::write(&path, &page).unwrap();
        let (file, url) = (path.to_str().unwrap(), format!("{place}/sum"));
        let wanted = format!("{} {}", page.len(), page.iter().map(|byte| u64::from(*byte)).sum::<u64>());
        let text = |arguments: &[&str]| String::from_utf8(curl(arguments)).unwrap();
        // With `Expect: 100-continue`, by its length and in chunks.
        assert_eq!(text(&["-T", file, &url]), wanted);
        assert_eq!(text(&["-T", file, "-H", "Transfer-Encoding: chunked", &url]), wanted);
        assert_eq!(text(&["-0", "-T", file, &url]), wanted);
        let data = format!("@{file}");
        assert_eq!(text(&["--data-binary", &data, "-H", "Expect:", &url, &url]), wanted.repeat(2));
        assert_eq!(text(&["-d", "a=b", &url]), "3 256");
        let code = text(&["-T", file, "-o", "/dev/null", "-w", "%{http_code}", &format!("{place}/refuse")]);
        assert_eq!(code, "403");
        std::fs::remove_dir_all(&folder).unwrap();
    });
}
