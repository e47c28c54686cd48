//! Who asked for what: lines for the console that nobody waits for.
//!
//! They are in the combined format of other servers. There may be so many of them a second, and no more wait than there is
//! room for; what was not listed is counted instead, and costs nothing else.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use core::cell::RefCell;
use core::fmt::{self, Write};
use core::future::poll_fn;
use core::task::{Poll, Waker};
use fata_http::Request;
use fata_rt::Rt;
use fata_time::Utc;

/// Lines at once,
const BURST: u64 = 64;
/// and a second.
const RATE: u64 = 20;
const SECOND_NS: u64 = 1_000_000_000;
/// Bytes of a line, at most.
const LINE_MAX: usize = 400;

/// One exchange.
#[derive(Clone, Copy)]
pub struct Exchange<'a> {
    /// Who asked.
    pub peer: &'a dyn fmt::Display,
    /// When, in seconds since 1970, if anybody knows.
    pub time: Option<u64>,
    /// For what, if that was understood.
    pub request: Option<&'a Request<'a>>,
    /// What was answered, if anything.
    pub status: Option<u16>,
    /// How long the answer was, without its head.
    pub bytes: u64,
}

/// The lines that wait. Clones would be others: it is shared by reference.
pub struct Journal {
    rt: Rt,
    inner: RefCell<Inner>,
}

struct Inner {
    lines: VecDeque<String>,
    /// How many lines may come, in parts of a second's worth.
    tokens_ns: u64,
    at_ns: u64,
    missing: u64,
    waker: Option<Waker>,
}

impl Journal {
    /// Without any.
    pub fn new(rt: &Rt) -> Self {
        let inner = Inner {
            lines: VecDeque::new(),
            tokens_ns: BURST * (SECOND_NS / RATE),
            at_ns: rt.now_ns(),
            missing: 0,
            waker: None,
        };
        Self { rt: rt.clone(), inner: RefCell::new(inner) }
    }

    /// Notes an exchange.
    pub fn note(&self, exchange: &Exchange<'_>) {
        const LINE_NS: u64 = SECOND_NS / RATE;
        let inner = &mut *self.inner.borrow_mut();
        let now_ns = self.rt.now_ns();
        inner.tokens_ns = (inner.tokens_ns + now_ns.saturating_sub(inner.at_ns)).min(BURST * LINE_NS);
        inner.at_ns = now_ns;
        if inner.tokens_ns < LINE_NS || inner.lines.len() as u64 >= BURST {
            inner.missing += 1;
            return;
        }
        inner.tokens_ns -= LINE_NS;
        if inner.missing > 0 {
            inner.lines.push_back(format!("({} requests are not listed)", inner.missing));
            inner.missing = 0;
        }
        inner.lines.push_back(line(exchange));
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
    }

    /// Waits for a line. Giving up loses none.
    pub async fn next(&self) -> String {
        poll_fn(|cx| {
            let mut inner = self.inner.borrow_mut();
            match inner.lines.pop_front() {
                Some(line) => Poll::Ready(line),
                None => {
                    inner.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `10.0.0.1 - - [25/Nov/2026:13:00:00 +0000] "GET / HTTP/1.1" 200 612 "-" "curl/8.14.1"`
fn line(exchange: &Exchange<'_>) -> String {
    let mut line = String::new();
    // A string takes all that is written.
    let _ = write!(line, "{} - - [", exchange.peer);
    match exchange.time {
        Some(seconds) => {
            let at = Utc { seconds }.civil();
            let month = MONTHS.get(usize::from(at.month).wrapping_sub(1)).copied().unwrap_or("-");
            let _ = write!(
                line,
                "{:02}/{month}/{}:{:02}:{:02}:{:02} +0000",
                at.day, at.year, at.hour, at.minute, at.second
            );
        }
        None => line.push('-'),
    }
    line.push_str("] \"");
    match exchange.request {
        Some(request) => {
            put(&mut line, request.method_name());
            line.push(' ');
            put(&mut line, request.target);
            line.push_str(if request.is_old { " HTTP/1.0" } else { " HTTP/1.1" });
        }
        None => line.push('-'),
    }
    line.push_str("\" ");
    let _ = match exchange.status {
        Some(status) => write!(line, "{status} {}", exchange.bytes),
        None => write!(line, "- {}", exchange.bytes),
    };
    for name in ["referer", "user-agent"] {
        line.push_str(" \"");
        put(&mut line, exchange.request.and_then(|request| request.header(name)).unwrap_or("-"));
        line.push('"');
    }
    line
}

/// What clients say, such that neither a terminal nor a reader of logs takes it for something else; not all of it if it is
/// long.
fn put(line: &mut String, text: &str) {
    for letter in text.chars() {
        if line.len() >= LINE_MAX {
            line.push_str("...");
            return;
        }
        match letter {
            '"' | '\\' => line.extend(['\\', letter]),
            ' '..='~' => line.push(letter),
            _ => {
                let _ = write!(line, "\\x{:02x}", letter as u32);
            }
        }
    }
}
