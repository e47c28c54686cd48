//! Any bytes as what clients send: what is handed to a handler is sound, and what is answered does not depend on how the bytes
//! came, and is understood by a client that asked for that.

use crate::http_stream::{Cut, Pieces};
use fata_http::{
    Client, End, Ended, Error, Exchange, Fields, Limits, Method, Options, Request, Server, Status, Stored,
    Url, encoding, serve,
};
use fata_sim::alone;
use std::cell::RefCell;

const PAGE: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Serves, and looks at what comes of it.
///
/// # Panics
/// If the server does what it must not.
pub fn http_requests(input: &[u8]) {
    let (ended, whole, asked) = answer(input, Cut::Whole);
    let (ended_again, pieces, asked_again) = answer(input, Cut::by(input));
    assert_eq!((&whole, ended, &asked), (&pieces, ended_again, &asked_again));
    // Each answer is to the method that was asked with; one more may be to what was not understood.
    let mut rest = &whole[..];
    for method in asked.into_iter().chain([Method::Get]) {
        if rest.is_empty() {
            break;
        }
        rest = &rest[understood(rest, method)..];
    }
    assert!(rest.is_empty());
    assert!(matches!(ended.why, Ok(End::Client | End::Said) | Err(_)));
}

fn answer(input: &[u8], cut: Cut) -> (Ended, Vec<u8>, Vec<Method>) {
    alone(async |rt| {
        let limits = Limits {
            line: 200,
            head: 1000,
            fields: 20,
            body: 500,
            trailers: 100,
            drain: 50,
            ..Limits::default()
        };
        let server = Server::new(&rt, Options { limits, gather: 100, ..Options::default() });
        let stored =
            Stored::new("text/plain").unwrap().etag("\"v1\"").unwrap().modified(784_111_777).unwrap();
        let pieces = Pieces::new(input, cut);
        let (written, asked) = (pieces.written.clone(), RefCell::new(Vec::new()));
        let ended = serve(&server, pieces, async |request, exchange| {
            asked.borrow_mut().push(request.method);
            sound(request);
            handle(&stored, request, exchange).await
        });
        let ended = ended.await;
        assert!(ended.requests as usize <= asked.borrow().len());
        (ended, written.take(), asked.take())
    })
}

/// What may be handed to a handler.
fn sound(request: &Request<'_>) {
    let is_token = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_graphic() && !b":\"(),/;<=>?@[\\]{}".contains(&byte))
    };
    assert!(is_token(request.method_name()));
    let path = request.path;
    if path == "*" {
        assert_eq!(request.method, Method::Options);
    } else {
        assert!(path.starts_with('/') && !path.contains(['\0', '\\']));
        assert!(!path.split('/').any(|part| part == "." || part == ".."));
    }
    assert!(request.target.bytes().all(|byte| byte.is_ascii_graphic()) && request.target.len() <= 200);
    assert!(request.host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@\\".contains(&byte)));
    for (name, value) in request.fields.iter() {
        assert!(is_token(name) && !value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0 | 0x7f)));
        assert!(value.first() != Some(&b' ') && value.last() != Some(&b'\t'));
    }
    let count = |name| request.fields.values(name).count();
    assert!(count("host") <= 1 && count("content-length") + count("transfer-encoding").min(1) <= 1);
    assert!(request.is_old || count("host") == 1);
    assert!(!request.is_old || count("transfer-encoding") == 0);
    let _ = (request.query_value("a"), encoding(request.fields, &["br", "gzip"]));
}

async fn handle(
    stored: &Stored,
    request: &Request<'_>,
    exchange: &mut Exchange<'_, Pieces<'_>>,
) -> Result<(), Error> {
    match (request.method, request.path.len() % 4) {
        (Method::Get | Method::Head, 0 | 1) => stored.answer(request, exchange, PAGE).await,
        (Method::Post | Method::Put, _) => {
            let body = exchange.read_all(500).await?;
            assert!(body.len() <= 500);
            let trailers: Vec<_> = exchange.trailers().iter().map(|(name, _)| name.to_owned()).collect();
            let mut writer = exchange.reply(Status::OK).stream(None).await?;
            writer.write(&body).await?;
            writer.write(trailers.join(",").as_bytes()).await?;
            writer.finish().await
        }
        (Method::Delete, _) => exchange.reply(Status::NO_CONTENT).empty().await,
        (Method::Patch, 0) => {
            let mut room = [0; 3];
            exchange.read(&mut room).await?;
            exchange.reply(Status::OK).header("X", "y").body(&room).await
        }
        _ => Err(Status::NOT_FOUND.into()),
    }
}

/// How long the first of these answers is, which a client must understand.
fn understood(bytes: &[u8], method: Method) -> usize {
    alone(async |rt| {
        // So that nothing is read too far.
        let pieces = Pieces::new(bytes, Cut::Bytes);
        let method = if matches!(method, Method::Other | Method::Connect) { Method::Get } else { method };
        let limits = Limits { body: 10_000, ..Limits::default() };
        let mut client = Client::new(&rt, pieces, limits);
        let mut answer = client.request(method, &Url::parse("http://a").unwrap()).send().await.unwrap();
        let fields: Fields<'_> = answer.fields();
        assert!(fields.len() < 10);
        answer.read_all(10_000).await.unwrap();
        drop(answer);
        bytes.len() - client.into_stream().rest.len()
    })
}
