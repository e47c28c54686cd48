//! A page of 612 bytes, over and over, on a stream that costs nothing: what a request costs is counted with
//! `valgrind --tool=callgrind`, as the difference between two numbers of requests.

use core::convert::Infallible;
use embedded_io_async::{ErrorType, Read, Write};
use fata_http::{Error, Options, Server, Stored, serve};
use fata_sim::alone;
use std::hint::black_box;

const WRK: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: 10.0.0.2\r\n\r\n";
const BROWSER: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: www.example.org\r\nConnection: keep-alive\r\nCache-Control: max-age=0\r\n\
    Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n\r\n";

/// A client that asks as soon as it is answered.
struct Eager {
    request: &'static [u8],
    left: u32,
}

impl ErrorType for Eager {
    type Error = Infallible;
}

impl Read for Eager {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Infallible> {
        if self.left == 0 {
            return Ok(0);
        }
        self.left -= 1;
        into[..self.request.len()].copy_from_slice(self.request);
        Ok(self.request.len())
    }
}

impl Write for Eager {
    async fn write(&mut self, from: &[u8]) -> Result<usize, Infallible> {
        Ok(black_box(from).len())
    }
    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

fn main() -> Result<(), Error> {
    let mut words = std::env::args().skip(1);
    let left = words.next().and_then(|count| count.parse().ok()).unwrap_or(1000);
    let request = if words.next().as_deref() == Some("browser") { BROWSER } else { WRK };
    let page = Stored::new("text/html")?.etag("\"0123456789abcdef\"")?.modified(1_700_000_000)?;
    alone(async |rt| {
        let server = Server::new(
            &rt,
            Options { clock: Some(std::rc::Rc::new(|| Some(1_795_000_000))), ..Options::default() },
        );
        let ended = serve(&server, Eager { request, left }, async |request, exchange| match request.path {
            "/index.html" => page.answer(request, exchange, &[b'x'; 612]).await,
            _ => Err(fata_http::Status::NOT_FOUND.into()),
        });
        println!("{:?}", ended.await);
    });
    Ok(())
}
