//! The server at 169.254.169.254 that clouds tell guests of themselves by.
//!
//! Whoever asks has an address already, so only the host name is taken from there, at EC2's path, which OpenStack and the
//! others have too. HTTP/1.0, one question a connection, and an answer of more than 4 KiB is none.

use crate::source::{Origin, Source};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use embedded_io_async::Read;
use embedded_io_async::Write;
use fata_netstack::{Error, IpAddress, IpEndpoint, Stack, tcp};

/// Where it is, of all clouds.
const SERVER: IpAddress = IpAddress::v4(169, 254, 169, 254);
/// What is asked for, and the word that it is.
const PATHS: [(&str, &str); 1] = [("hostname", "/latest/meta-data/local-hostname")];
/// The longest answer, its header included.
const LONGEST: usize = 4096;

/// Asks. An error of one path is kept, and the next is asked for. It waits for as long as the server does: give it a time
/// limit.
pub async fn read(stack: &Stack) -> Source {
    let mut source = Source::new(Origin::Metadata);
    for (word, path) in PATHS {
        match fetch(stack, path).await {
            Ok(bytes) => match answer(&bytes) {
                Ok(Some(value)) => drop(source.word(word, &value)),
                Ok(None) => {}
                Err(why) => return Source::unreadable(Origin::Metadata, path, why.into()),
            },
            Err(error) => return Source::unreadable(Origin::Metadata, path, error.to_string()),
        }
    }
    source.finished()
}

async fn fetch(stack: &Stack, path: &str) -> Result<Vec<u8>, Error> {
    let options = tcp::Options { receive: LONGEST, send: 512, ..tcp::Options::default() };
    let mut stream = stack.connect(IpEndpoint::new(SERVER, 80), options).await?;
    let question = format!("GET {path} HTTP/1.0\r\nHost: 169.254.169.254\r\n\r\n");
    stream.write_all(question.as_bytes()).await?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 512];
    while bytes.len() < LONGEST {
        match stream.read(&mut buffer).await? {
            0 => break,
            len => bytes.extend_from_slice(&buffer[..len]),
        }
    }
    Ok(bytes)
}

/// The first line of what an HTTP answer carries; `None` if there is no such thing.
pub fn answer(bytes: &[u8]) -> Result<Option<String>, &'static str> {
    if bytes.len() >= LONGEST {
        return Err("the answer is too long");
    }
    let text = core::str::from_utf8(bytes).map_err(|_| "the answer is no text")?;
    let (header, body) = text.split_once("\r\n\r\n").ok_or("the answer is no HTTP")?;
    let status =
        header.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).ok_or("the answer is no HTTP")?;
    match status {
        "200" => {
            Ok(body.lines().next().map(str::trim_ascii).filter(|line| !line.is_empty()).map(String::from))
        }
        "404" => Ok(None),
        _ => Err("the server refuses"),
    }
}
