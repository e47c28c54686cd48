//! Streams in memory.
#![allow(dead_code)]

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

/// What happens behind the last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// The stream ends.
    End,
    /// Nothing.
    Silence,
    /// It breaks.
    Break,
}

/// A stream with what comes by it in pieces, and that keeps what is written.
pub(crate) struct Script {
    pieces: VecDeque<Vec<u8>>,
    behind: Behind,
    pub(crate) written: Rc<RefCell<Vec<u8>>>,
    /// How many times something was written.
    pub(crate) writes: Rc<RefCell<Vec<usize>>>,
    /// So much is taken at a time.
    pub(crate) gulp: usize,
}

impl Script {
    pub(crate) fn new(pieces: impl IntoIterator<Item = Vec<u8>>, behind: Behind) -> Self {
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        Self { pieces, behind, written: Rc::default(), writes: Rc::default(), gulp: usize::MAX }
    }
}

impl ErrorType for Script {
    type Error = ErrorKind;
}

impl Read for Script {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, ErrorKind> {
        let Some(piece) = self.pieces.front_mut() else {
            return match self.behind {
                Behind::End => Ok(0),
                Behind::Silence => pending().await,
                Behind::Break => Err(ErrorKind::ConnectionReset),
            };
        };
        let count = piece.len().min(into.len());
        into[..count].copy_from_slice(&piece[..count]);
        piece.drain(..count);
        if piece.is_empty() {
            self.pieces.pop_front();
        }
        Ok(count)
    }
}

impl Write for Script {
    async fn write(&mut self, from: &[u8]) -> Result<usize, ErrorKind> {
        let count = from.len().min(self.gulp);
        if count == 0 {
            return pending().await;
        }
        self.written.borrow_mut().extend_from_slice(&from[..count]);
        self.writes.borrow_mut().push(count);
        Ok(count)
    }
    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    room: usize,
    closed: bool,
    waker: Option<Waker>,
}

impl Pipe {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// One end of a connection.
pub(crate) struct End {
    inward: Rc<RefCell<Pipe>>,
    outward: Rc<RefCell<Pipe>>,
    /// So much is read and written at a time.
    pub(crate) gulp: usize,
}

/// Two ends of a connection, with room for so many bytes each way.
pub(crate) fn pair(room: usize) -> (End, End) {
    let pipe = || Rc::new(RefCell::new(Pipe { room, ..Pipe::default() }));
    let (a, b) = (pipe(), pipe());
    let gulp = usize::MAX;
    (End { inward: a.clone(), outward: b.clone(), gulp }, End { inward: b, outward: a, gulp })
}

impl End {
    /// Says that nothing more will be written.
    pub(crate) fn shutdown(&self) {
        let mut pipe = self.outward.borrow_mut();
        pipe.closed = true;
        pipe.wake();
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.shutdown();
        let mut pipe = self.inward.borrow_mut();
        pipe.closed = true;
        pipe.wake();
    }
}

impl ErrorType for End {
    type Error = ErrorKind;
}

impl Read for End {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, ErrorKind> {
        poll_fn(|cx| {
            let mut pipe = self.inward.borrow_mut();
            if pipe.bytes.is_empty() && !pipe.closed {
                pipe.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let count = pipe.bytes.len().min(into.len()).min(self.gulp);
            for (at, byte) in into[..count].iter_mut().zip(pipe.bytes.drain(..count)) {
                *at = byte;
            }
            pipe.wake();
            Poll::Ready(Ok(count))
        })
        .await
    }
}

impl Write for End {
    async fn write(&mut self, from: &[u8]) -> Result<usize, ErrorKind> {
        poll_fn(|cx| {
            let mut pipe = self.outward.borrow_mut();
            if pipe.closed {
                return Poll::Ready(Err(ErrorKind::BrokenPipe));
            }
            let count = (pipe.room - pipe.bytes.len()).min(from.len()).min(self.gulp);
            if count == 0 {
                pipe.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            pipe.bytes.extend(&from[..count]);
            pipe.wake();
            Poll::Ready(Ok(count))
        })
        .await
    }
    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// The bytes that a line of a table stands for.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chars = text.bytes();
    while let Some(byte) = chars.next() {
        bytes.push(match byte {
            b'\\' => match chars.next().unwrap() {
                b'r' => b'\r',
                b'n' => b'\n',
                b't' => b'\t',
                b'0' => 0,
                b'x' => {
                    let mut digit = || (chars.next().unwrap() as char).to_digit(16).unwrap() as u8;
                    digit() * 16 + digit()
                }
                same => same,
            },
            byte => byte,
        });
    }
    bytes
}
