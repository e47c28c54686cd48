//! Any bytes as a body in chunks, read by the server and by a reader that is so simple that it is right.

use crate::http_stream::{Cut, Pieces};
use fata_http::{Client, Limits, Method, Options, Server, Status, Url, serve};
use fata_sim::alone;
use std::cell::RefCell;

/// Bytes that may accompany the data.
const SPARE: usize = 60;
/// Bytes of a body.
const MOST: usize = 300;

/// Reads it both ways; and what was read comes back in chunks.
///
/// # Panics
/// If both disagree, or if it comes back as something else.
pub fn http_chunks(input: &[u8]) {
    let wanted = simple(input);
    for cut in [Cut::Whole, Cut::Bytes, Cut::by(input)] {
        let (found, back) = read(input, cut);
        assert_eq!(found, wanted);
        let Some((body, _)) = &found else { continue };
        assert_eq!(*body, unpacked(&back));
    }
}

/// Body and number of trailers, or nothing if it is wrong, too much or cut off.
fn simple(mut rest: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut spare) = (Vec::new(), SPARE);
    loop {
        let line = line(&mut rest)?;
        let end = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
        let (digits, extension) = line.split_at(end);
        spare = spare.checked_sub(extension.len())?;
        let spaces = extension.iter().position(|byte| !b" \t".contains(byte)).unwrap_or(extension.len());
        let is_extension = extension.is_empty() || extension.get(spaces) == Some(&b';');
        if digits.len() > 16 || !is_extension || !extension.iter().all(is_text) {
            return None;
        }
        let size = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).ok().filter(|size| *size <= rest.len().min(MOST - body.len()))?;
        body.extend_from_slice(&rest[..size]);
        rest = rest[size..].strip_prefix(b"\r\n")?;
    }
    let mut trailers = 0;
    loop {
        let line = line(&mut rest)?;
        if line.is_empty() {
            return Some((body, trailers));
        }
        spare = spare.checked_sub(line.len() + 2)?;
        let colon = line.iter().position(|byte| *byte == b':').filter(|colon| *colon > 0)?;
        let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        if !line[..colon].iter().all(is_token) || !line.iter().all(is_text) {
            return None;
        }
        trailers += 1;
    }
}

fn is_text(byte: &u8) -> bool {
    *byte == b'\t' || *byte >= b' ' && *byte != 0x7f
}

fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|byte| *byte == b'\r')?;
    let line = &rest[..end];
    *rest = rest[end..].strip_prefix(b"\r\n")?;
    Some(line)
}

/// What the server reads, and what it wrote.
fn read(input: &[u8], cut: Cut) -> (Option<(Vec<u8>, usize)>, Vec<u8>) {
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    let bytes = [head, input].concat();
    alone(async |rt| {
        let limits = Limits { trailers: SPARE, body: MOST as u64, ..Limits::default() };
        let server = Server::new(&rt, Options { limits, ..Options::default() });
        let pieces = Pieces::new(&bytes, cut);
        let (written, found) = (pieces.written.clone(), RefCell::new(None));
        serve(&server, pieces, async |_, exchange| {
            let (mut body, mut room) = (Vec::new(), [0; 7]);
            loop {
                match exchange.read(&mut room).await? {
                    0 => break,
                    count => body.extend_from_slice(&room[..count]),
                }
            }
            found.replace(Some((body.clone(), exchange.trailers().len())));
            let mut writer = exchange.reply(Status::OK).stream(None).await?;
            for piece in body.chunks(13) {
                writer.write(piece).await?;
            }
            writer.finish().await
        })
        .await;
        (found.take(), written.take())
    })
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    alone(async |rt| {
        let mut client = Client::new(&rt, Pieces::new(bytes, Cut::Whole), Limits::default());
        let mut answer = client.request(Method::Get, &Url::parse("http://a").unwrap()).send().await.unwrap();
        answer.read_all(MOST).await.unwrap()
    })
}
