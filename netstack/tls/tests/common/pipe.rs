//! A pipe in both directions, whose ends can be watched and tampered with.

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

#[derive(Default)]
struct Way {
    bytes: VecDeque<u8>,
    room: usize,
    /// How much goes at once.
    piece: usize,
    ended: bool,
    broken: bool,
    total: usize,
    /// Handles on the end that writes; without any it ends.
    writers: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Way {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

/// One end.
pub(crate) struct End {
    into: Rc<RefCell<Way>>,
    out: Rc<RefCell<Way>>,
}

/// The pipe is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("gone")
    }
}

impl std::error::Error for Gone {}

impl embedded_io_async::Error for Gone {
    fn kind(&self) -> ErrorKind {
        ErrorKind::BrokenPipe
    }
}

/// Both ends, with room for so many bytes in each direction.
pub(crate) fn pair(room: usize) -> (End, End) {
    let way = || Rc::new(RefCell::new(Way { room, piece: usize::MAX, writers: 1, ..Way::default() }));
    let (there, back) = (way(), way());
    (End { into: back.clone(), out: there.clone() }, End { into: there, out: back })
}

impl End {
    /// Another handle on the same end.
    pub(crate) fn again(&self) -> Self {
        self.out.borrow_mut().writers += 1;
        Self { into: self.into.clone(), out: self.out.clone() }
    }

    /// From now on so many bytes go at once, in both directions.
    pub(crate) fn pieces(&self, len: usize) {
        self.into.borrow_mut().piece = len;
        self.out.borrow_mut().piece = len;
    }

    /// Takes what has come, so that it is not read.
    pub(crate) fn drain(&self) -> Vec<u8> {
        let mut way = self.into.borrow_mut();
        way.wake();
        way.bytes.drain(..).collect()
    }

    /// As if the other end had written it, whatever room there is.
    pub(crate) fn inject(&self, bytes: &[u8]) {
        let mut way = self.into.borrow_mut();
        way.bytes.extend(bytes);
        way.wake();
    }

    /// Nothing is written any more: the other reads what there is, and the end.
    pub(crate) fn end(&self) {
        let mut way = self.out.borrow_mut();
        way.ended = true;
        way.wake();
    }

    /// Both directions fail.
    pub(crate) fn break_off(&self) {
        for way in [&self.into, &self.out] {
            let mut way = way.borrow_mut();
            way.broken = true;
            way.wake();
        }
    }

    /// How many bytes were written.
    pub(crate) fn written(&self) -> usize {
        self.out.borrow().total
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.out.borrow_mut().writers -= 1;
        if self.out.borrow().writers == 0 {
            self.end();
        }
    }
}

impl ErrorType for End {
    type Error = Gone;
}

impl ErrorType for &End {
    type Error = Gone;
}

impl Read for &End {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Gone> {
        poll_fn(|cx| {
            let mut way = self.into.borrow_mut();
            let len = way.bytes.len().min(into.len()).min(way.piece);
            if way.broken {
                return Poll::Ready(Err(Gone));
            }
            if len == 0 && !way.ended && !into.is_empty() {
                way.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            way.bytes.drain(..len).zip(into.iter_mut()).for_each(|(byte, into)| *into = byte);
            way.wake();
            Poll::Ready(Ok(len))
        })
        .await
    }
}

impl Write for &End {
    async fn write(&mut self, from: &[u8]) -> Result<usize, Gone> {
        poll_fn(|cx| {
            let mut way = self.out.borrow_mut();
            let len = way.room.saturating_sub(way.bytes.len()).min(from.len()).min(way.piece);
            if way.broken || way.ended {
                return Poll::Ready(Err(Gone));
            }
            if len == 0 && !from.is_empty() {
                way.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
            way.bytes.extend(&from[..len]);
            way.total += len;
            way.wake();
            Poll::Ready(Ok(len))
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        Ok(())
    }
}

impl Read for End {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Gone> {
        (&*self).read(into).await
    }
}

impl Write for End {
    async fn write(&mut self, from: &[u8]) -> Result<usize, Gone> {
        (&*self).write(from).await
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        Ok(())
    }
}
