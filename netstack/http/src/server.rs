//! The server: one connection after its head, one request after the other.

use crate::date::{self, date};
use crate::error::{At, Error, Excess};
use crate::exchange::Exchange;
use crate::fields::Field;
use crate::head::{self, RequestHead};
use crate::limits::Limits;
use crate::link::Link;
use crate::request::{Request, Text};
use crate::status::Status;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use embedded_io_async::{Read, Write};
use fata_rt::{Rt, yield_now};

/// What was served, for a log.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// What was asked for, if that was understood.
    pub request: Option<&'a Request<'a>>,
    /// What was answered, if anything.
    pub status: Option<Status>,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// What went wrong.
    pub error: Option<Error>,
}

/// Seconds since 1970, if anybody knows.
pub type Clock = Rc<dyn Fn() -> Option<u64>>;
/// Who is told of each exchange.
pub type Log = Rc<dyn Fn(&Record<'_>)>;

/// How to serve.
#[derive(Clone)]
pub struct Options {
    /// How much, and how long.
    pub limits: Limits,
    /// So many bytes of answers are gathered for one write.
    pub gather: usize,
    /// What time it is. Without it answers have no `Date`.
    pub clock: Option<Clock>,
    /// Who is told of each exchange.
    pub log: Option<Log>,
}

impl Default for Options {
    fn default() -> Self {
        Self { limits: Limits::default(), gather: 4096, clock: None, log: None }
    }
}

/// What connections have in common. Clones are the same one.
#[derive(Clone)]
pub struct Server(Rc<Shared>);

struct Shared {
    rt: Rt,
    options: Options,
    /// The last date that was sent, as a line, and its second.
    dated: RefCell<(u64, [u8; DATE_LEN])>,
    /// What connections have put back, and how much of it there is.
    spare: Cell<Option<Box<Scratch>>>,
    spares: Cell<usize>,
}

/// What a connection needs while it has something to do.
#[derive(Default)]
pub(crate) struct Scratch {
    /// The request's head.
    head: Vec<u8>,
    fields: Vec<Field>,
    text: Text,
    /// Its path, if that had to be decoded.
    path: Vec<u8>,
    /// Answers that were not written yet.
    out: Vec<u8>,
    /// Another that was put back.
    next: Option<Box<Self>>,
}

/// Of a line that tells the date.
const DATE_LEN: usize = date::LEN + 8;

/// Of them, kept for connections to come.
const SPARE: usize = 32;
/// Requests that a connection has answered before others have their turn.
const TURN: u32 = 16;

impl Server {
    /// A server.
    pub fn new(rt: &Rt, options: Options) -> Self {
        let (dated, spare) = (RefCell::new((0, date_line(0))), Cell::default());
        Self(Rc::new(Shared { rt: rt.clone(), options, dated, spare, spares: Cell::default() }))
    }

    /// The run loop it is on.
    pub fn rt(&self) -> &Rt {
        &self.0.rt
    }

    /// Its limits.
    pub fn limits(&self) -> &Limits {
        &self.0.options.limits
    }

    pub(crate) fn gather(&self) -> usize {
        self.0.options.gather
    }

    /// Adds a line that tells the date, if anybody knows it.
    pub(crate) fn push_date(&self, out: &mut Vec<u8>) {
        let Some(now) = self.0.options.clock.as_ref().and_then(|clock| clock()) else { return };
        let mut dated = self.0.dated.borrow_mut();
        if dated.0 != now {
            *dated = (now, date_line(now));
        }
        out.extend_from_slice(&dated.1);
    }

    fn log(&self, record: &Record<'_>) {
        if let Some(log) = &self.0.options.log {
            log(record);
        }
    }

    fn scratch(&self) -> Result<Box<Scratch>, Error> {
        if let Some(mut scratch) = self.0.spare.take() {
            self.0.spare.set(scratch.next.take());
            self.0.spares.set(self.0.spares.get() - 1);
            return Ok(scratch);
        }
        let mut scratch = Box::<Scratch>::default();
        scratch.out.try_reserve_exact(self.gather()).map_err(|_| Error::NoMemory)?;
        Ok(scratch)
    }

    fn put_back(&self, mut scratch: Box<Scratch>) {
        if self.0.spares.get() < SPARE {
            self.0.spares.set(self.0.spares.get() + 1);
            scratch.out.clear();
            scratch.next = self.0.spare.take();
            self.0.spare.set(Some(scratch));
        }
    }
}

fn date_line(seconds: u64) -> [u8; DATE_LEN] {
    let mut line = *b"Date:                              \r\n";
    line[6..][..date::LEN].copy_from_slice(&date(seconds));
    line
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

/// Why a connection came to its end in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client has ended it, between requests.
    Client,
    /// The answer said that it was the last: the client wanted that, or could not do otherwise, or it had as many as it may.
    Said,
    /// The client asked for nothing (more) for too long.
    Idle,
}

/// How to close a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Nothing more comes, or nothing more matters: drop it.
    Drop,
    /// The client may be sending still, and if we close now, its stack may throw away our last answer (RFC 9112 section 9.6):
    /// say that nothing more will be written, then [`linger`](crate::linger), then drop it: [`close`](crate::close).
    Linger,
    /// The last answer is not whole: end it so that the client cannot take it for whole.
    Abort,
}

/// How a connection came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Requests that were answered.
    pub requests: u32,
    /// Why it ended.
    pub why: Result<End, Error>,
    /// What is due to the stream.
    pub manner: Manner,
}

/// Serves a connection until it ends. `handler` is given each request, and is to answer it; or it returns an error, which is
/// answered with [its status](Error::status). The stream is not closed: [`Ended::manner`] says how to, and [`close`](crate::close) does it.
///
/// What is written to the stream must get on its way without a flush, since there is none.
pub async fn serve<T, F>(server: &Server, stream: T, handler: F) -> Ended
where
    T: Read + Write,
    F: AsyncFn(&Request<'_>, &mut Exchange<'_, T>) -> Result<(), Error>,
{
    let mut connection =
        Connection { server, link: Link::new(server.rt(), stream), scratch: None, requests: 0 };
    let (why, manner) = loop {
        match connection.next(&handler).await {
            Ok(None) => {}
            Ok(Some(end)) => {
                break (Ok(end), if end == End::Said { Manner::Linger } else { Manner::Drop });
            }
            Err((error, manner)) => break (Err(error), manner),
        }
        if connection.requests.is_multiple_of(TURN) {
            yield_now().await;
        }
    };
    if let Some(scratch) = connection.scratch {
        server.put_back(scratch);
    }
    Ended { requests: connection.requests, why, manner }
}

struct Connection<'s, T> {
    server: &'s Server,
    link: Link<T>,
    scratch: Option<Box<Scratch>>,
    requests: u32,
}

impl<T: Read + Write> Connection<'_, T> {
    /// Serves a request.
    async fn next<F>(&mut self, handler: &F) -> Result<Option<End>, (Error, Manner)>
    where
        F: AsyncFn(&Request<'_>, &mut Exchange<'_, T>) -> Result<(), Error>,
    {
        let head = match self.head().await {
            Ok(Some(head)) => Ok(head),
            Ok(None) => return Ok(Some(End::Client)),
            Err(Error::Late(At::Between)) => return Ok(Some(End::Idle)),
            Err(error) => Err(error),
        };
        let Self { server, link, scratch, requests } = self;
        let server = *server;
        let Some(scratch) = scratch else {
            // Nothing had come.
            let error = head.err().unwrap_or(Error::NoMemory);
            return Err((error, manner(error)));
        };
        let Scratch { head: bytes, fields, text, path, out, .. } = &mut **scratch;
        let mut exchange = Exchange::new(server, link, out);
        let request = head.and_then(|head| {
            let request = Request::new(bytes, &head, fields, text, path)?;
            exchange.begin(&head, *requests + 1 < server.limits().requests);
            Ok(request)
        });
        let result = match &request {
            Ok(request) => handler(request, &mut exchange).await,
            Err(error) => Err(*error),
        };
        let settled = exchange.settle(result).await;
        let error = match settled {
            Settled::Answered(error) => error,
            Settled::Over(error, _) => Some(error),
        };
        let request = request.as_ref().ok();
        server.log(&Record { request, status: exchange.status(), bytes: exchange.body_bytes(), error });
        *requests += u32::from(request.is_some() && exchange.status().is_some());
        if let Settled::Over(error, manner) = settled {
            return Err((error, manner));
        }
        match exchange.leave().await {
            Ok(true) => Ok(None),
            Ok(false) => Ok(Some(End::Said)),
            Err(error) => Err((error, manner(error))),
        }
    }

    /// Waits for a request. `None` if there are no more.
    async fn head(&mut self) -> Result<Option<RequestHead>, Error> {
        let Self { server, link, scratch, requests } = self;
        let limits = server.limits();
        let most = limits.head();
        let (mut skipped, mut until_ns) = (false, None);
        loop {
            if !skipped {
                skipped = link.input.skip_empty_line();
            }
            if !link.input.is_empty() {
                if scratch.is_none() {
                    *scratch = Some(server.scratch()?);
                }
                let Some(scratch) = scratch else { return Err(Error::NoMemory) };
                if let Some(lines) = link.input.lines(most)
                    && let Some(head) = head::request(lines, limits, &mut scratch.fields, &mut scratch.text)?
                {
                    scratch.head.clear();
                    scratch.head.try_reserve(head.len).map_err(|_| Error::NoMemory)?;
                    scratch.head.extend_from_slice(&lines[..head.len]);
                    link.input.take(head.len);
                    return Ok(Some(head));
                }
                head::check_line(link.input.unused(), limits)?;
                if link.input.unused().len() >= most {
                    return Err(Error::TooMuch(Excess::Head));
                }
            }
            if let Some(scratch) = scratch
                && !scratch.out.is_empty()
            {
                link.write(&scratch.out, limits).await?;
                scratch.out.clear();
            }
            let filled = if link.input.is_empty() {
                if let Some(scratch) = scratch.take() {
                    server.put_back(scratch);
                }
                let time = if *requests == 0 { limits.first } else { limits.idle };
                let until_ns = link.patience.after(time);
                link.fill(most, until_ns, At::Between).await?
            } else {
                let until_ns = *until_ns.get_or_insert_with(|| link.patience.after(limits.head_time));
                link.fill(most, until_ns, At::Head).await?
            };
            match filled {
                true => {}
                false if link.input.is_empty() => return Ok(None),
                false => return Err(Error::Truncated(At::Head)),
            }
        }
    }
}

/// What came of an exchange.
#[derive(Clone, Copy)]
pub(crate) enum Settled {
    /// There is an answer, though perhaps one that the handler did not make.
    Answered(Option<Error>),
    /// The connection cannot go on.
    Over(Error, Manner),
}

/// What is due to a stream after this.
pub(crate) fn manner(error: Error) -> Manner {
    match error {
        Error::Broken { .. } => Manner::Drop,
        Error::Late(At::Sending) => Manner::Abort,
        _ => Manner::Linger,
    }
}
