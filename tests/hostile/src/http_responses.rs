//! Any bytes as what a server answers: what is understood does not depend on how they came, is bounded, and is all there.

use crate::http_stream::{Cut, Pieces};
use fata_http::{Client, Error, Limits, Method, Redirects, Status, Url};
use fata_sim::alone;

/// What is understood of an answer.
#[derive(Debug, PartialEq)]
struct Understood {
    status: Status,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    trailers: usize,
}

/// Asks with a method that the first byte names, some times.
///
/// # Panics
/// If the client does what it must not.
pub fn http_responses(input: &[u8]) {
    let Some((first, input)) = input.split_first() else { return };
    let method = [Method::Get, Method::Head, Method::Post, Method::Options][usize::from(first % 4)];
    let (whole, rest) = ask(method, input, Cut::Whole);
    let (pieces, rest_again) = ask(method, input, Cut::by(input));
    let (bytes, left) = ask(method, input, Cut::Bytes);
    assert_eq!((&whole, &pieces), (&bytes, &bytes));
    assert!(rest <= left && rest_again <= left);
    let Ok(Understood { status, fields, body, .. }) = whole else { return };
    assert!((200..600).contains(&status.code()) && body.len() <= 500);
    assert!(body.is_empty() || method != Method::Head && !status.is_bodiless());
    let value = |name: &str| {
        fields.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    if let Some(length) = value("content-length")
        && method != Method::Head
        && !status.is_bodiless()
    {
        let length = String::from_utf8(length.clone()).unwrap().parse();
        assert_eq!(Ok(body.len()), length);
        assert_eq!(value("transfer-encoding"), None);
    }
    let location = value("location").and_then(|location| std::str::from_utf8(location).ok());
    let url = Url::parse("https://a/b").unwrap();
    if let Ok(Some(next)) = Redirects::new(1).follow(&url, method, status, location) {
        assert!(next.url.is_https() && next.url.target().starts_with('/'));
    }
}

/// What is understood, and how many bytes were not read.
fn ask(method: Method, input: &[u8], cut: Cut) -> (Result<Understood, Error>, usize) {
    alone(async |rt| {
        let limits =
            Limits { line: 200, head: 1000, fields: 20, body: 500, trailers: 100, ..Limits::default() };
        let mut client = Client::new(&rt, Pieces::new(input, cut), limits);
        let url = Url::parse("http://a/").unwrap();
        let understood = match client.request(method, &url).send().await {
            Ok(mut answer) => match answer.read_all(500).await {
                Ok(body) => {
                    let fields = answer.fields();
                    assert!(fields.len() <= 20);
                    Ok(Understood {
                        status: answer.status(),
                        fields: fields
                            .iter()
                            .map(|(name, value)| (name.to_owned(), value.to_vec()))
                            .collect(),
                        body,
                        trailers: answer.trailers().len(),
                    })
                }
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        assert!(understood.is_ok() || !client.is_usable());
        (understood, client.into_stream().rest.len())
    })
}
