//! What a server answers.
#![forbid(unsafe_code)]

mod common;

use common::{Behind, Script};
use fata_http::{
    End, Ended, Error, Exchange, Manner, Method, Options, Request, Routes, Server, Status, serve,
};
use fata_sim::alone;

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
