//! A request's body, and the answer to it.

use crate::error::{At, Error, Excess, Misuse};
use crate::fields::{Block, Fields, push_field};
use crate::head::{Framing, RequestHead};
use crate::link::{Incoming, Link};
use crate::server::{Manner, Server, Settled, manner};
use crate::status::Status;
use crate::words::{digits, hexadecimal};
use alloc::vec::Vec;
use embedded_io_async::{Read, Write};
use fata_stream::grow;

/// What a handler works with: it reads the body, if it wants to, and answers, once.
pub struct Exchange<'a, T> {
    server: &'a Server,
    link: &'a mut Link<T>,
    /// Answers that were not written yet.
    out: &'a mut Vec<u8>,
    /// Where in it this answer begins.
    mark: usize,
    body: Incoming,
    /// It is known where the request ends.
    is_understood: bool,
    is_head: bool,
    is_old: bool,
    /// The client waits to be told that it may send the body.
    expects: bool,
    /// The connection stays.
    keeps: bool,
    sent: Sent,
    status: Option<Status>,
    bytes: u64,
}

/// How much of an answer there is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Nothing,
    Begun,
    Whole,
}

impl<'a, T: Read + Write> Exchange<'a, T> {
    pub(crate) fn new(server: &'a Server, link: &'a mut Link<T>, out: &'a mut Vec<u8>) -> Self {
        let mark = out.len();
        Self {
            server,
            link,
            out,
            mark,
            body: Incoming::new(Framing::None, server.limits()),
            is_understood: false,
            is_head: false,
            is_old: false,
            expects: false,
            keeps: false,
            sent: Sent::Nothing,
            status: None,
            bytes: 0,
        }
    }

    pub(crate) fn begin(&mut self, head: &RequestHead, may_stay: bool) {
        self.body = Incoming::new(head.framing, self.server.limits());
        self.is_understood = true;
        self.is_head = head.method == crate::Method::Head;
        self.is_old = head.minor == 0;
        self.expects = head.expects;
        self.keeps = head.persists && may_stay;
    }

    /// Allows the body so many bytes, in place of [`Limits::body`](crate::Limits::body).
    pub fn allow_body(&mut self, bytes: u64) {
        self.body.allow(bytes);
    }

    /// How many bytes of the body are still to come, if it was said.
    pub fn body_left(&self) -> Option<u64> {
        self.body.left()
    }

    /// Reads some of the request's body; nothing at its end. A body that does not come to its end is an error. A client that
    /// waits for that is told to send it.
    pub async fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        let limits = self.server.limits();
        if self.body.is_over() {
            return Ok(0);
        }
        if self.body.left().is_some_and(|left| left > self.body.allowed()) {
            return Err(Error::TooMuch(Excess::Body));
        }
        if self.sent == Sent::Nothing {
            self.out.truncate(self.mark);
            if core::mem::take(&mut self.expects) && self.link.input.is_empty() {
                self.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
        }
        self.write_out().await?;
        self.link.read_body(&mut self.body, into, limits).await
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

    /// Whether the answer's body is left away, since only its head was asked for.
    pub fn is_head(&self) -> bool {
        self.is_head
    }

    /// A number for the boundary between parts of an answer, of sixteen digits.
    pub(crate) fn boundary(&self) -> u64 {
        // So that neighbours in time have nothing in common.
        let mixed = (self.link.patience.now_ns() | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ mixed >> 29 | 1 << 63
    }

    /// The stream. What is read from it or written to it here is missing there.
    pub fn stream(&mut self) -> &mut T {
        &mut self.link.stream
    }

    /// What was answered, once it was.
    pub fn status(&self) -> Option<Status> {
        self.status
    }

    /// Bytes of the answer's body so far.
    pub fn body_bytes(&self) -> u64 {
        self.bytes
    }

    /// Has the answer say that it is the last of this connection.
    pub fn close(&mut self) {
        self.keeps = false;
    }

    /// Begins an answer.
    pub fn reply(&mut self, status: Status) -> Reply<'_, 'a, T> {
        let mut error = None;
        if self.sent != Sent::Nothing || status.code() < 200 {
            error = Some(Misuse::Twice.into());
        } else {
            self.out.truncate(self.mark);
            match status {
                Status::OK => self.out.extend_from_slice(b"HTTP/1.1 200 OK\r\n"),
                _ => {
                    self.out.extend_from_slice(b"HTTP/1.1 ");
                    self.out.extend_from_slice(&status.digits());
                    self.out.push(b' ');
                    self.out.extend_from_slice(status.reason().as_bytes());
                    self.out.extend_from_slice(b"\r\n");
                }
            }
            self.server.push_date(self.out);
        }
        Reply { exchange: self, status, error }
    }

    /// Answers with nothing but a status, and a line that says so.
    pub async fn answer(&mut self, status: Status) -> Result<(), Error> {
        self.answer_why(status, "").await
    }

    async fn answer_why(&mut self, status: Status, why: &str) -> Result<(), Error> {
        let mut line = Vec::new();
        line.extend_from_slice(&status.digits());
        for part in [" ", status.reason(), if why.is_empty() { "" } else { ": " }, why, "\n"] {
            line.extend_from_slice(part.as_bytes());
        }
        self.reply(status).header("Content-Type", "text/plain").body(&line).await
    }

    /// Makes the best of what a handler has done.
    pub(crate) async fn settle(&mut self, result: Result<(), Error>) -> Settled {
        let error = match (result, self.sent) {
            (Ok(()), Sent::Whole) => return Settled::Answered(None),
            (Ok(()), Sent::Nothing) => Misuse::Unanswered.into(),
            (Ok(()), Sent::Begun) => return Settled::Over(Misuse::Unfinished.into(), Manner::Abort),
            (Err(error), Sent::Begun) if manner(error) == Manner::Linger => {
                return Settled::Over(error, Manner::Abort);
            }
            (Err(error @ (Error::Broken { .. } | Error::Late(At::Sending))), _) => {
                // There is nobody to tell.
                self.out.clear();
                return Settled::Over(error, manner(error));
            }
            (Err(error), _) => error,
        };
        let is_ours = matches!(error, Error::Status(_) | Error::Misuse(_)) && self.is_understood;
        if self.sent == Sent::Nothing
            && let Some(status) = error.status()
        {
            self.keeps &= is_ours;
            let why = match error {
                Error::Invalid(rule) => rule.text(),
                Error::TooMuch(excess) => excess.text(),
                _ => "",
            };
            if let Err(error) = self.answer_why(status, why).await {
                return Settled::Over(error, manner(error));
            }
        }
        if is_ours {
            return Settled::Answered(Some(error).filter(|error| !matches!(error, Error::Status(_))));
        }
        match self.write_out().await {
            Ok(()) => Settled::Over(error, manner(error)),
            Err(broken) => Settled::Over(error, manner(broken)),
        }
    }

    /// Gets ready for the next request, if there may be one; else sends all that is left.
    pub(crate) async fn leave(&mut self) -> Result<bool, Error> {
        if self.keeps && !self.body.is_over() {
            self.write_out().await?;
            self.keeps = self.drain().await?;
        }
        if !self.keeps {
            self.write_out().await?;
        }
        Ok(self.keeps)
    }

    /// Reads what nobody wanted, unless it is too much. Whether that was all.
    async fn drain(&mut self) -> Result<bool, Error> {
        let limits = self.server.limits();
        self.body.allow(limits.drain);
        self.out.clear();
        grow(self.out, self.server.gather().max(1));
        let drained = loop {
            match self.link.read_body(&mut self.body, self.out, limits).await {
                Ok(0) => break Ok(true),
                Ok(_) => {}
                Err(Error::TooMuch(_)) => break Ok(false),
                Err(error) => break Err(error),
            }
        };
        self.out.clear();
        drained
    }

    /// Writes what was gathered.
    async fn write_out(&mut self) -> Result<(), Error> {
        if !self.out.is_empty() {
            self.link.write(self.out, self.server.limits()).await?;
            self.out.clear();
            self.mark = 0;
        }
        Ok(())
    }

    /// Adds to what is gathered, and writes it when there is enough of it.
    async fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let room = self.server.gather().saturating_sub(self.out.len());
        let (now, rest) = bytes.split_at(room.min(bytes.len()));
        self.out.extend_from_slice(now);
        if rest.is_empty() {
            return Ok(());
        }
        self.write_out().await?;
        if rest.len() < self.server.gather() {
            self.out.extend_from_slice(rest);
            return Ok(());
        }
        // From where it lies.
        self.link.write(rest, self.server.limits()).await
    }
}

/// An answer in the making. Fields that are none come out when it is sent; until then nothing was.
#[must_use = "an answer is sent by body, empty or stream"]
pub struct Reply<'x, 'a, T> {
    exchange: &'x mut Exchange<'a, T>,
    status: Status,
    error: Option<Error>,
}

impl<'x, 'a, T: Read + Write> Reply<'x, 'a, T> {
    /// Adds a field. Names and values cannot end a line; length and connection are none of the caller's business.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.header_bytes(name, value.as_bytes())
    }

    /// Adds a field.
    pub fn header_bytes(mut self, name: &str, value: &[u8]) -> Self {
        if self.error.is_none() {
            self.error = push_field(self.exchange.out, name, value).err();
        }
        self
    }

    /// Adds fields that were made before.
    pub fn block(self, block: &Block) -> Self {
        if self.error.is_none() {
            self.exchange.out.extend_from_slice(block.bytes());
        }
        self
    }

    /// Sends it with a body, which is written from where it lies unless it is short.
    pub async fn body(mut self, body: &[u8]) -> Result<(), Error> {
        let is_bodiless = self.status.is_bodiless();
        let framing = if is_bodiless { Framing::None } else { Framing::Length(body.len() as u64) };
        self.head(framing)?;
        let exchange = self.exchange;
        if !is_bodiless && !exchange.is_head {
            exchange.push(body).await?;
            exchange.bytes = body.len() as u64;
        }
        exchange.sent = Sent::Whole;
        Ok(())
    }

    /// Sends it without a body.
    pub async fn empty(self) -> Result<(), Error> {
        self.body(&[]).await
    }

    /// Sends it with a body of so many bytes, or as many as there will be, which is then written piece by piece.
    pub async fn stream(mut self, len: Option<u64>) -> Result<Writer<'x, 'a, T>, Error> {
        let (framing, mode) = match len {
            _ if self.status.is_bodiless() => (Framing::None, Mode::Nothing),
            Some(len) => (Framing::Length(len), Mode::Length(len)),
            None if self.exchange.is_old => (Framing::Close, Mode::Close),
            None => (Framing::Chunked, Mode::Chunked),
        };
        self.head(framing)?;
        let mode = if self.exchange.is_head { Mode::Nothing } else { mode };
        Ok(Writer { exchange: self.exchange, mode })
    }

    /// The last lines of the head.
    fn head(&mut self, framing: Framing) -> Result<(), Error> {
        let exchange = &mut *self.exchange;
        if let Some(error) = self.error {
            if exchange.sent == Sent::Nothing {
                exchange.out.truncate(exchange.mark);
            }
            return Err(error);
        }
        exchange.decide(framing);
        let out = &mut *exchange.out;
        match framing {
            Framing::Length(len) => {
                out.extend_from_slice(b"Content-Length: ");
                out.extend_from_slice(digits(len, &mut [0; 20]));
                out.extend_from_slice(b"\r\n");
            }
            Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            Framing::None | Framing::Close => {}
        }
        out.extend_from_slice(match (exchange.keeps, exchange.is_old) {
            (false, _) => b"Connection: close\r\n\r\n",
            (true, true) => b"Connection: keep-alive\r\n\r\n",
            (true, false) => b"\r\n",
        });
        exchange.sent = Sent::Begun;
        exchange.status = Some(self.status);
        Ok(())
    }
}

impl<T: Read + Write> Exchange<'_, T> {
    /// Whether the connection stays: not if the answer ends with it, or if a body is in the way that is long, or that the
    /// client may or may not send.
    fn decide(&mut self, framing: Framing) {
        let is_long = self.body.left().is_some_and(|left| left > self.server.limits().drain);
        let waits = self.expects && !self.body.is_over();
        self.keeps &= framing != Framing::Close && !is_long && !waits;
    }
}

/// The body of an answer, piece by piece. If it is not [finished](Self::finish), the connection is broken off, so that nobody
/// takes it for whole.
#[must_use = "a body is to be finished"]
pub struct Writer<'x, 'a, T> {
    exchange: &'x mut Exchange<'a, T>,
    mode: Mode,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Nothing,
    Length(u64),
    Chunked,
    Close,
}

impl<T: Read + Write> Writer<'_, '_, T> {
    /// Whether nothing is sent of it, since only the head was asked for: what is written is thrown away.
    pub fn is_unwanted(&self) -> bool {
        self.mode == Mode::Nothing
    }

    /// Adds a piece.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.is_empty() || self.is_unwanted() {
            return Ok(());
        }
        if let Mode::Length(left) = &mut self.mode {
            *left = left.checked_sub(bytes.len() as u64).ok_or(Misuse::Length)?;
        }
        let exchange = &mut *self.exchange;
        if self.mode == Mode::Chunked {
            exchange.push(hexadecimal(bytes.len() as u64, &mut [0; 20])).await?;
            exchange.push(b"\r\n").await?;
        }
        exchange.push(bytes).await?;
        if self.mode == Mode::Chunked {
            exchange.push(b"\r\n").await?;
        }
        exchange.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Sends what was gathered, as for somebody who waits for it.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.exchange.write_out().await
    }

    /// Ends it.
    pub async fn finish(self) -> Result<(), Error> {
        self.finish_with(&Block::new()).await
    }

    /// Ends it with trailers, if it goes in chunks; else they are left away.
    pub async fn finish_with(self, trailers: &Block) -> Result<(), Error> {
        match self.mode {
            Mode::Length(0) | Mode::Nothing | Mode::Close => {}
            Mode::Length(_) => return Err(Misuse::Length.into()),
            Mode::Chunked => {
                self.exchange.push(b"0\r\n").await?;
                self.exchange.push(trailers.bytes()).await?;
                self.exchange.push(b"\r\n").await?;
            }
        }
        self.exchange.sent = Sent::Whole;
        Ok(())
    }
}
