//! A client for HTTP (RFC 9112) that knows what it will be answered.

use core::net::IpAddr;

use fata_peer::net::{HTTP, HTTP_FILE, HTTP_PAGE};

use crate::fail;
use crate::load::{self, AWAIT_MS};
use crate::socket::{Address, Socket};
use crate::sys::Failed;

/// Connections at a time at most.
pub(crate) const MOST: usize = 1024;
/// An answer that takes so long was lost.
const LOST_MS: u64 = 20_000;
/// The head of an answer ends before.
const HEAD: usize = 4096;

/// A connection to a server.
pub(crate) struct Client(Socket);

impl Client {
    pub(crate) fn open(target: IpAddr) -> Result<Self, Failed> {
        let socket = Socket::tcp(target)?;
        socket.patience(LOST_MS)?;
        socket.no_delay()?;
        socket.connect(&Address::new(target, HTTP))?;
        Ok(Self(socket))
    }

    /// Asks for what has so many bytes; `last` if the server is to close after it.
    pub(crate) fn ask(&self, last: bool, length: usize) -> Result<(), Failed> {
        let request: &[u8] = match (last, length) {
            (false, HTTP_FILE) => b"GET /1m.bin HTTP/1.1\r\nHost: bench\r\n\r\n",
            (false, _) => b"GET /index.html HTTP/1.1\r\nHost: bench\r\n\r\n",
            (true, _) => b"GET /index.html HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n",
        };
        self.0.send_all(request)
    }

    /// Takes the answer, and the end of the connection if that was the last one.
    pub(crate) fn hear(&self, last: bool, length: usize) -> Result<(), Failed> {
        if self.answer(last, length)? { Ok(()) } else { fail(format_args!("the end before an answer")) }
    }

    /// The same; gives whether there was any answer.
    fn answer(&self, last: bool, length: usize) -> Result<bool, Failed> {
        let mut bytes = [0; 16 << 10];
        let (mut had, mut all) = (0, None);
        while all.is_none_or(|all| had < all) {
            // The head is kept until it is whole; of the rest just the length counts.
            let at = if all.is_none() { had } else { 0 };
            let more = match self.0.receive(&mut bytes[at..])? {
                Some(more @ 1..) => more,
                _ if had == 0 => return Ok(false),
                _ => fail(format_args!("the end after {had} bytes of an answer")),
            };
            had += more;
            if all.is_none() {
                all = head_length(&bytes[..had]).map(|head| head + length);
                if all.is_none() && had >= HEAD {
                    fail(format_args!("a head of more than {had} bytes"));
                }
            }
        }
        if all != Some(had) {
            fail(format_args!("an answer of {had} bytes instead of {all:?}"));
        }
        if last && self.0.receive(&mut bytes)? != Some(0) {
            fail(format_args!("the connection does not end"));
        }
        Ok(true)
    }
}

/// Opens connections until one is answered a request for a page, sets the first mark, and says how long that took.
pub(crate) fn await_answer(target: IpAddr, limit_ms: u64) -> Result<(), Failed> {
    load::await_until(limit_ms, || {
        let socket = Socket::tcp(target)?;
        // One that nobody takes is given up before it is tried again by itself, which takes a second.
        socket.patience_to_send(AWAIT_MS)?;
        socket.connect(&Address::new(target, HTTP))?;
        socket.patience(LOST_MS)?;
        let client = Client(socket);
        client.ask(true, HTTP_PAGE)?;
        client.answer(true, HTTP_PAGE).map(Some)
    })
}

/// Bytes of the head with the empty line at its end, once that is there. The answer has to be that all is well.
fn head_length(bytes: &[u8]) -> Option<usize> {
    const STATUS: &[u8] = b"HTTP/1.1 200 ";
    if bytes.len() >= STATUS.len() && !bytes.starts_with(STATUS) {
        let line = bytes.split(|byte| *byte == b'\r').next().and_then(|line| core::str::from_utf8(line).ok());
        fail(format_args!("the answer is {line:?}"));
    }
    bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|at| at + 4)
}
