//! The client: one request after the other on a connection.

use crate::error::{At, Error, Excess, Misuse, Rule};
use crate::fields::{Block, Field, Fields, Seen, push_field};
use crate::head::{Framing, check_line};
use crate::limits::Limits;
use crate::link::{Incoming, Link};
use crate::method::Method;
use crate::response::{ResponseHead, response};
use crate::status::Status;
use crate::url::Url;
use crate::words::{digits, hexadecimal};
use alloc::vec::Vec;
use core::time::Duration;
use embedded_io_async::{Read, Write};
use fata_rt::Rt;
use fata_stream::grow;

/// Interim answers before the final one.
const INTERIM: u32 = 16;
/// How long a server may take to say that it wants the body; then it gets it anyway (RFC 9110 section 10.1.1).
const EXPECT: Duration = Duration::from_secs(1);
/// So much of a body is sent together with its head.
const GATHER: usize = 4096;

/// A connection to a server. It is opened, and closed, by the caller.
pub struct Client<T> {
    link: Link<T>,
    limits: Limits,
    out: Vec<u8>,
    head: Vec<u8>,
    fields: Vec<Field>,
    /// Nothing is under way, and nothing went wrong.
    is_free: bool,
}

impl<T: Read + Write> Client<T> {
    /// On a stream that was just opened. What is written to it must get on its way without a flush.
    pub fn new(rt: &Rt, stream: T, limits: Limits) -> Self {
        let link = Link::new(rt, stream);
        Self { link, limits, out: Vec::new(), head: Vec::new(), fields: Vec::new(), is_free: true }
    }

    /// Whether another request can be sent. The server may still close the connection, which is seen only by the next one's
    /// error: see [`Error::nothing_came`].
    pub fn is_usable(&self) -> bool {
        self.is_free && self.link.input.is_empty()
    }

    /// The stream, for its end.
    pub fn into_stream(self) -> T {
        self.link.stream
    }

    /// Begins a request. The connection is one to the URL's host, or to a proxy that knows it.
    pub fn request(&mut self, method: Method, url: &Url) -> Asking<'_, T> {
        let mut error = None;
        if matches!(method, Method::Connect | Method::Other) {
            error = Some(Misuse::Target.into());
        } else if !self.is_usable() {
            error = Some(Misuse::UsedUp.into());
        }
        self.out.clear();
        for part in [method.name(), " ", url.target(), " HTTP/1.1\r\nHost: ", &url.authority(), "\r\n"] {
            self.out.extend_from_slice(part.as_bytes());
        }
        Asking { client: self, method, error, closes: false, waits: false }
    }

    /// Waits for the final answer's head.
    async fn answer(&mut self, method: Method) -> Result<ResponseHead, Error> {
        for _ in 0..INTERIM {
            let until_ns = self.link.patience.after(self.limits.answer);
            let head = self.head(method, until_ns).await?;
            match head.status.code() {
                101 => break,
                100..200 => {}
                _ => return Ok(head),
            }
        }
        Err(Rule::Interim.into())
    }

    /// Waits for an answer's head; for its first byte until then.
    async fn head(&mut self, method: Method, first_ns: u64) -> Result<ResponseHead, Error> {
        let Self { link, limits, head: kept, fields, .. } = self;
        let most = limits.head();
        let mut until_ns = None;
        loop {
            if let Some(lines) = link.input.lines(most)
                && let Some(head) = response(lines, method, limits, fields)?
            {
                kept.clear();
                kept.try_reserve(head.len).map_err(|_| Error::NoMemory)?;
                kept.extend_from_slice(&lines[..head.len]);
                link.input.take(head.len);
                return Ok(head);
            }
            check_line(link.input.unused(), limits)?;
            if link.input.unused().len() >= most {
                return Err(Error::TooMuch(Excess::Head));
            }
            let (until_ns, at) = match link.input.is_empty() {
                true => (first_ns, At::Between),
                false => {
                    let until_ns = until_ns.get_or_insert_with(|| link.patience.after(limits.head_time));
                    (*until_ns, At::Head)
                }
            };
            if !link.fill(most, until_ns, at).await? {
                return Err(Error::Truncated(at));
            }
        }
    }

    async fn write_out(&mut self) -> Result<(), Error> {
        self.link.write(&self.out, &self.limits).await?;
        self.out.clear();
        Ok(())
    }

    async fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.out.len() + bytes.len() <= GATHER {
            self.out.extend_from_slice(bytes);
            return Ok(());
        }
        self.write_out().await?;
        if bytes.len() < GATHER {
            self.out.extend_from_slice(bytes);
            return Ok(());
        }
        self.link.write(bytes, &self.limits).await
    }
}

/// A request in the making.
#[must_use = "a request is sent by send, body or stream"]
pub struct Asking<'c, T> {
    client: &'c mut Client<T>,
    method: Method,
    error: Option<Error>,
    closes: bool,
    waits: bool,
}

impl<'c, T: Read + Write> Asking<'c, T> {
    /// Adds a field. Names and values cannot end a line; host, length and connection are none of the caller's business.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if self.error.is_none() {
            self.error = push_field(&mut self.client.out, name, value.as_bytes()).err();
        }
        self
    }

    /// Adds fields that were made before.
    pub fn block(self, block: &Block) -> Self {
        self.client.out.extend_from_slice(block.bytes());
        self
    }

    /// Says that it is the last request of this connection.
    pub fn close(mut self) -> Self {
        self.closes = true;
        self
    }

    /// Has the body wait until the server says that it wants it, or for a second.
    pub fn expect_continue(mut self) -> Self {
        self.waits = true;
        self
    }

    /// Sends it without a body, and waits for the answer.
    pub async fn send(mut self) -> Result<Answer<'c, T>, Error> {
        self.waits = false;
        let needs_length = matches!(self.method, Method::Post | Method::Put | Method::Patch);
        self.begin(if needs_length { Framing::Length(0) } else { Framing::None })?;
        Upload { client: self.client, method: self.method, closes: self.closes, mode: Mode::Length(0) }
            .finish()
            .await
    }

    /// Sends it with a body, and waits for the answer. A server that answers before it has all of it is listened to.
    pub async fn body(mut self, body: &[u8]) -> Result<Answer<'c, T>, Error> {
        let len = body.len() as u64;
        self.waits &= len > 0;
        self.begin(Framing::Length(len))?;
        let Self { client, method, closes, waits, .. } = self;
        if waits {
            client.write_out().await?;
            let until_ns = client.link.patience.after(EXPECT);
            match client.head(method, until_ns).await {
                Ok(head) if head.status.code() >= 200 => {
                    // It does not want it, and can no longer know whether it comes.
                    return Ok(Answer::new(client, head, true));
                }
                Ok(head) if head.status.code() == 101 => return Err(Rule::Interim.into()),
                // Any other interim answer is a sign of life.
                Ok(_) | Err(Error::Late(At::Between)) => {}
                Err(error) => return Err(error),
            }
        }
        let mut upload = Upload { client, method, closes, mode: Mode::Length(len) };
        match upload.write(body).await {
            Err(error @ Error::Broken { .. }) => upload.early_answer(error).await,
            Err(error) => Err(error),
            Ok(()) => upload.finish().await,
        }
    }

    /// Sends its head. The body, of so many bytes or as many as there will be, is then written piece by piece.
    pub async fn stream(mut self, len: Option<u64>) -> Result<Upload<'c, T>, Error> {
        self.waits = false;
        let (framing, mode) = match len {
            Some(len) => (Framing::Length(len), Mode::Length(len)),
            None => (Framing::Chunked, Mode::Chunked),
        };
        self.begin(framing)?;
        Ok(Upload { client: self.client, method: self.method, closes: self.closes, mode })
    }

    fn begin(&mut self, framing: Framing) -> Result<(), Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let out = &mut self.client.out;
        match framing {
            Framing::Length(len) => {
                out.extend_from_slice(b"Content-Length: ");
                out.extend_from_slice(digits(len, &mut [0; 20]));
                out.extend_from_slice(b"\r\n");
            }
            Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            Framing::None | Framing::Close => {}
        }
        if self.waits {
            out.extend_from_slice(b"Expect: 100-continue\r\n");
        }
        if self.closes {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
        self.client.is_free = false;
        Ok(())
    }
}

/// The body of a request, piece by piece.
#[must_use = "a body is to be finished"]
pub struct Upload<'c, T> {
    client: &'c mut Client<T>,
    method: Method,
    closes: bool,
    mode: Mode,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Length(u64),
    Chunked,
}

impl<'c, T: Read + Write> Upload<'c, T> {
    /// Adds a piece. If the server broke the connection, it may have said why: see [`early_answer`](Self::early_answer).
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        if let Mode::Length(left) = &mut self.mode {
            *left = left.checked_sub(bytes.len() as u64).ok_or(Misuse::Length)?;
            return self.client.push(bytes).await;
        }
        self.client.push(hexadecimal(bytes.len() as u64, &mut [0; 20])).await?;
        self.client.push(b"\r\n").await?;
        self.client.push(bytes).await?;
        self.client.push(b"\r\n").await
    }

    /// Ends it, and waits for the answer.
    pub async fn finish(self) -> Result<Answer<'c, T>, Error> {
        self.finish_with(&Block::new()).await
    }

    /// Ends it with trailers, if it goes in chunks, and waits for the answer.
    pub async fn finish_with(self, trailers: &Block) -> Result<Answer<'c, T>, Error> {
        match self.mode {
            Mode::Length(0) => {}
            Mode::Length(_) => return Err(Misuse::Length.into()),
            Mode::Chunked => {
                self.client.out.extend_from_slice(b"0\r\n");
                self.client.out.extend_from_slice(trailers.bytes());
                self.client.out.extend_from_slice(b"\r\n");
            }
        }
        match self.client.write_out().await {
            Err(error @ Error::Broken { .. }) => self.early_answer(error).await,
            Err(error) => Err(error),
            Ok(()) => {
                let head = self.client.answer(self.method).await?;
                Ok(Answer::new(self.client, head, self.closes))
            }
        }
    }

    /// Looks whether the server, which takes no more, has said why; else that is the error.
    pub async fn early_answer(self, error: Error) -> Result<Answer<'c, T>, Error> {
        match self.client.answer(self.method).await {
            Ok(head) => Ok(Answer::new(self.client, head, true)),
            Err(_) => Err(error),
        }
    }
}

/// What the server answers; its body is read from here.
pub struct Answer<'c, T> {
    client: &'c mut Client<T>,
    status: Status,
    seen: Seen,
    body: Incoming,
    persists: bool,
}

impl<'c, T: Read + Write> Answer<'c, T> {
    fn new(client: &'c mut Client<T>, head: ResponseHead, closes: bool) -> Self {
        let body = Incoming::new(head.framing, &client.limits);
        let (status, seen) = (head.status, head.seen);
        let answer = Self { client, status, seen, body, persists: head.persists && !closes };
        answer.client.is_free = answer.persists && answer.body.is_over();
        answer
    }

    /// How it went.
    pub fn status(&self) -> Status {
        self.status
    }

    /// All that was said besides.
    pub fn fields(&self) -> Fields<'_> {
        Fields::new(&self.client.head, &self.client.fields, self.seen)
    }

    /// The value of a field, if there is one and it is UTF-8; the first, if there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.fields().text(name)
    }

    /// Allows the body so many bytes, in place of [`Limits::body`].
    pub fn allow_body(&mut self, bytes: u64) {
        self.body.allow(bytes);
    }

    /// How many bytes of the body are still to come, if it was said.
    pub fn body_left(&self) -> Option<u64> {
        self.body.left()
    }

    /// Reads some of the body; nothing at its end. A body that does not come to its end is an error, but one that ends with the
    /// connection cannot be told from one that was cut off.
    pub async fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        let Client { link, limits, is_free, .. } = &mut *self.client;
        let read = link.read_body(&mut self.body, into, limits).await;
        *is_free = self.persists && read.is_ok() && self.body.is_over();
        read
    }

    /// Reads all of the body, if it is not longer than this.
    pub async fn read_all(&mut self, most: usize) -> Result<Vec<u8>, Error> {
        self.allow_body(most as u64);
        let mut all = Vec::new();
        let mut have = 0;
        loop {
            if have == all.len() {
                let more = self.body_left().unwrap_or(1024).clamp(1, 16 << 10) as usize;
                all.try_reserve(more).map_err(|_| Error::NoMemory)?;
                grow(&mut all, have + more);
            }
            match self.read(&mut all[have..]).await? {
                0 => break,
                count => have += count,
            }
        }
        all.truncate(have);
        Ok(all)
    }

    /// What came behind the last chunk of the body, once all of it was read.
    pub fn trailers(&self) -> Fields<'_> {
        self.body.trailers()
    }
}
