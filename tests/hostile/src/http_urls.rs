//! Any text as a URL, a reference, a target, a date and a query.

use crate::http_stream::{Cut, Pieces};
use fata_http::{Options, Server, Status, Url, date, matches, parse_date, query_value, serve};
use fata_sim::alone;

/// Takes it for all of these.
///
/// # Panics
/// If something comes of it that is none, or that means something else when it is written and read again.
pub fn http_urls(input: &[u8]) {
    if let Some(seconds) = parse_date(input) {
        assert_eq!(parse_date(&date(seconds)), Some(seconds.min(253_402_300_799)));
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    let base = Url::parse("https://example.org:8443/a/b/?c").unwrap();
    for url in [Url::parse(text), base.join(text)].into_iter().flatten() {
        sound(&url);
        // The same from everywhere.
        assert_eq!(base.join(&url.to_string()).as_ref(), Ok(&url));
        // What begins with two slashes names a host where it stands alone.
        assert!(url.target().starts_with("//") || url.join(url.target()).as_ref() == Ok(&url));
        target(&url, &base);
    }
    let (pattern, path) = text.split_once(' ').unwrap_or((text, ""));
    if let Some(places) = matches::<3>(pattern, path) {
        assert!(places.iter().all(|place| path.contains(place)));
    }
    let (name, query) = text.split_once('?').unwrap_or(("a", text));
    let _ = query_value(query, name);
}

fn sound(url: &Url) {
    assert_eq!(Url::parse(&url.to_string()).as_ref(), Ok(url));
    let is_host =
        |byte: u8| byte.is_ascii_graphic() && !b"/?#@\\[]".contains(&byte) && !byte.is_ascii_uppercase();
    assert!(!url.host().is_empty() && url.host().bytes().all(is_host) && url.port() > 0);
    assert!(
        url.target().starts_with('/')
            && url.target().bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
    );
    assert!(!url.path().split('/').any(|part| part == "." || part == ".."));
}

/// What a server makes of a request for it.
fn target(url: &Url, base: &Url) {
    // It is longer than a line may be.
    if url.target().len() > 3000 || url.host().len() > 3000 {
        return;
    }
    let host = url.authority();
    let request = format!("GET {} HTTP/1.1\r\nHost: {host}\r\n\r\n", url.target());
    alone(async |rt| {
        let server = Server::new(&rt, Options::default());
        let pieces = Pieces::new(request.as_bytes(), Cut::Whole);
        let written = pieces.written.clone();
        serve(&server, pieces, async |request, exchange| {
            assert!(request.host == host && request.target == url.target());
            let path = request.path;
            assert!(path.starts_with('/') && !path.split('/').any(|part| part == "." || part == ".."));
            assert_eq!(request.query.is_some(), url.target().contains('?'));
            assert!(request.target.starts_with("//") || base.join(request.target).is_ok());
            exchange.reply(Status::OK).empty().await
        })
        .await;
        let text = written.take();
        assert!(text.starts_with(b"HTTP/1.1 200 ") || text.starts_with(b"HTTP/1.1 400 "));
    });
}
