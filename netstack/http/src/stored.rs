//! Answers with things that are stored: files, mostly.

use crate::conditions::Validators;
use crate::date::date;
use crate::error::Error;
use crate::exchange::{Exchange, Reply};
use crate::fields::Block;
use crate::range::{Range, Selection, select};
use crate::request::Request;
use crate::status::Status;
use crate::words::{digits, hexadecimal};
use alloc::string::String;
use alloc::vec::Vec;
use embedded_io_async::{Read, Write};

/// What is known of a thing, but for its bytes. It is made once, and then answers requests of all kinds.
#[derive(Clone, Debug)]
pub struct Stored {
    etag: Option<String>,
    modified: Option<u64>,
    content_type: String,
    /// What every answer has,
    always: Block,
    /// and what answers have that have a body.
    whole: Block,
    /// For bodies of one type.
    typed: Block,
    /// All of these, for the answer that is the most frequent.
    full: Block,
}

impl Stored {
    /// Of this type.
    pub fn new(content_type: &str) -> Result<Self, Error> {
        Ok(Self {
            etag: None,
            modified: None,
            content_type: content_type.into(),
            always: Block::new(),
            whole: Block::new().with("Accept-Ranges", "bytes")?,
            typed: Block::new().with("Content-Type", content_type)?,
            full: Block::new(),
        }
        .filled())
    }

    fn filled(mut self) -> Self {
        self.full = Block::new();
        for block in [&self.always, &self.typed, &self.whole] {
            self.full.add(block);
        }
        self
    }

    /// With an entity tag, quotes and all.
    pub fn etag(mut self, etag: &str) -> Result<Self, Error> {
        self.always.push("ETag", etag.as_bytes())?;
        self.etag = Some(etag.into());
        Ok(self.filled())
    }

    /// Last changed so many seconds after 1970.
    pub fn modified(mut self, seconds: u64) -> Result<Self, Error> {
        self.always.push("Last-Modified", &date(seconds))?;
        self.modified = Some(seconds);
        Ok(self.filled())
    }

    /// In this encoding.
    pub fn encoding(mut self, encoding: &str) -> Result<Self, Error> {
        self.whole.push("Content-Encoding", encoding.as_bytes())?;
        Ok(self.filled())
    }

    /// With this in every answer, such as `Cache-Control` and `Vary`.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, Error> {
        self.always.push(name, value.as_bytes())?;
        Ok(self.filled())
    }

    /// What tells it from other states.
    pub fn validators(&self) -> Validators<'_> {
        Validators { etag: self.etag.as_deref(), modified: self.modified }
    }

    /// What of it a request is for, if it has so many bytes.
    pub fn select(&self, request: &Request<'_>, len: u64) -> Selection {
        select(request, &self.validators(), len)
    }

    /// Begins the answer to [what was selected](Self::select); `Parts` is answered like `Full`. The body is the caller's.
    pub fn reply<'x, 'a, T: Read + Write>(
        &self,
        exchange: &'x mut Exchange<'a, T>,
        selection: &Selection,
        len: u64,
    ) -> Reply<'x, 'a, T> {
        let status = match selection {
            Selection::Full | Selection::Parts(_) => Status::OK,
            Selection::Part(_) => Status::PARTIAL_CONTENT,
            Selection::NotModified => Status::NOT_MODIFIED,
            Selection::Failed => Status::PRECONDITION_FAILED,
            Selection::Unsatisfiable => Status::RANGE_NOT_SATISFIABLE,
        };
        let reply = exchange.reply(status);
        match selection {
            Selection::Full | Selection::Parts(_) => reply.block(&self.full),
            Selection::Part(range) => {
                reply.block(&self.full).header_bytes("Content-Range", &content_range(Some(range), len))
            }
            Selection::Unsatisfiable => {
                reply.block(&self.always).header_bytes("Content-Range", &content_range(None, len))
            }
            Selection::NotModified | Selection::Failed => reply.block(&self.always),
        }
    }

    /// Answers a request for it, which is a `GET` or a `HEAD`. The bytes are written from where they lie.
    pub async fn answer<T: Read + Write>(
        &self,
        request: &Request<'_>,
        exchange: &mut Exchange<'_, T>,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let len = bytes.len() as u64;
        let selection = self.select(request, len);
        match selection {
            Selection::Parts(ranges) => self.parts(exchange, bytes, ranges.all()).await,
            Selection::Full => self.reply(exchange, &selection, len).body(bytes).await,
            Selection::Part(range) => self.reply(exchange, &selection, len).body(of(bytes, &range)).await,
            _ => self.reply(exchange, &selection, len).empty().await,
        }
    }

    async fn parts<T: Read + Write>(
        &self,
        exchange: &mut Exchange<'_, T>,
        bytes: &[u8],
        ranges: &[Range],
    ) -> Result<(), Error> {
        // The bytes were there before anybody could know it.
        let boundary = exchange.boundary();
        let boundary = hexadecimal(boundary, &mut [0; 20]).to_vec();
        let head = |range: &Range| {
            let mut head = Vec::new();
            for part in [
                b"\r\n--",
                &boundary[..],
                b"\r\n",
                self.typed.bytes(),
                b"Content-Range: ",
                &content_range(Some(range), bytes.len() as u64),
                b"\r\n\r\n",
            ] {
                head.extend_from_slice(part);
            }
            head
        };
        let end = [b"\r\n--", &boundary[..], b"--\r\n"].concat();
        let len = ranges.iter().map(|range| head(range).len() as u64 + range.end - range.start).sum::<u64>();
        let outer = [b"multipart/byteranges; boundary=", &boundary[..]].concat();
        let reply = exchange.reply(Status::PARTIAL_CONTENT).block(&self.always).block(&self.whole);
        let mut writer =
            reply.header_bytes("Content-Type", &outer).stream(Some(len + end.len() as u64)).await?;
        for range in ranges {
            writer.write(&head(range)).await?;
            writer.write(of(bytes, range)).await?;
        }
        writer.write(&end).await?;
        writer.finish().await
    }

    /// Its type.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }
}

fn of<'a>(bytes: &'a [u8], range: &Range) -> &'a [u8] {
    bytes.get(range.start as usize..range.end as usize).unwrap_or_default()
}

/// `bytes 0-4/9`, or `bytes */9`.
fn content_range(range: Option<&Range>, len: u64) -> Vec<u8> {
    let mut text = b"bytes ".to_vec();
    match range {
        Some(range) => {
            text.extend_from_slice(digits(range.start, &mut [0; 20]));
            text.push(b'-');
            text.extend_from_slice(digits(range.end - 1, &mut [0; 20]));
        }
        None => text.push(b'*'),
    }
    text.push(b'/');
    text.extend_from_slice(digits(len, &mut [0; 20]));
    text
}
