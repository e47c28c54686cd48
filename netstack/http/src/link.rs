//! A stream with what has come by it and was not used yet, and with time limits.

use crate::chunks::{Chunks, Next};
use crate::error::{At, Error, Excess};
use crate::fields::Fields;
use crate::head::Framing;
use crate::limits::Limits;
use crate::patience::{Patience, after};
use alloc::boxed::Box;
use alloc::vec::Vec;
use embedded_io_async::{Error as _, Read, Write};
use fata_rt::Rt;
use fata_stream::grow;

/// Room for what comes, to begin with; what an idle connection keeps.
const ROOM: usize = 1024;

/// What has come.
#[derive(Default)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Of what has come and is not used, so many bytes hold no further end of a line.
    searched: usize,
}

impl Input {
    pub(crate) fn unused(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn take(&mut self, count: usize) {
        self.start += count;
        self.searched = 0;
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
    }

    /// What has come up to the last end of a line, if there is one more than the last time. So a head is looked at once for each of
    /// its lines at most, and what is found does not depend on how it was cut into pieces.
    pub(crate) fn lines(&mut self, most: usize) -> Option<&[u8]> {
        let unused = &self.bytes[self.start..self.end];
        let unused = &unused[..unused.len().min(most)];
        let searched = self.searched.min(unused.len());
        self.searched = unused.len();
        let last = unused[searched..].iter().rposition(|byte| *byte == b'\n')?;
        Some(&unused[..=searched + last])
    }

    /// An empty line before a message is skipped (RFC 9112 section 2.2). True if there was one.
    pub(crate) fn skip_empty_line(&mut self) -> bool {
        let is_empty = self.unused().starts_with(b"\r\n");
        if is_empty {
            self.take(2);
        }
        is_empty
    }

    /// Makes room for more, up to so many bytes in all.
    fn make_room(&mut self, most: usize) -> Result<(), Error> {
        if self.end < self.bytes.len() {
            return Ok(());
        }
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            return Ok(());
        }
        let len = (self.bytes.len() * 2).clamp(ROOM, most.max(ROOM));
        self.bytes.try_reserve_exact(len - self.bytes.len()).map_err(|_| Error::NoMemory)?;
        grow(&mut self.bytes, len);
        Ok(())
    }

    /// Gives back what a large head took.
    fn shrink(&mut self) {
        if self.bytes.len() > ROOM && self.is_empty() {
            self.bytes.truncate(ROOM);
            self.bytes.shrink_to_fit();
        }
    }
}

/// A body that comes.
pub(crate) struct Incoming {
    left: Left,
    /// How many bytes more it may have.
    allowed: u64,
    until_ns: u64,
}

enum Left {
    Length(u64),
    Chunks(Box<Chunks>),
    Close,
    Nothing,
    /// Nothing after chunks, which may have had trailers.
    Ended(Box<Chunks>),
}

impl Incoming {
    pub(crate) fn new(framing: Framing, limits: &Limits) -> Self {
        let left = match framing {
            Framing::None | Framing::Length(0) => Left::Nothing,
            Framing::Length(length) => Left::Length(length),
            Framing::Chunked => Left::Chunks(Box::new(Chunks::new(limits.trailers))),
            Framing::Close => Left::Close,
        };
        Self { left, allowed: limits.body, until_ns: 0 }
    }

    /// Whether all of it was read.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.left, Left::Nothing | Left::Ended(_))
    }

    /// How many bytes are still to come, if that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self.left {
            Left::Nothing | Left::Ended(_) => Some(0),
            Left::Length(length) => Some(length),
            Left::Chunks(_) | Left::Close => None,
        }
    }

    pub(crate) fn allowed(&self) -> u64 {
        self.allowed
    }

    pub(crate) fn allow(&mut self, bytes: u64) {
        self.allowed = bytes;
    }

    /// What came behind the last chunk.
    pub(crate) fn trailers(&self) -> Fields<'_> {
        match &self.left {
            Left::Ended(chunks) => chunks.trailers(),
            _ => Fields::default(),
        }
    }

    fn count(&mut self, count: u64) -> Result<(), Error> {
        self.allowed = self.allowed.checked_sub(count).ok_or(Error::TooMuch(Excess::Body))?;
        Ok(())
    }
}

/// Both ends use it.
pub(crate) struct Link<T> {
    pub(crate) stream: T,
    pub(crate) patience: Patience,
    pub(crate) input: Input,
}

impl<T: Read + Write> Link<T> {
    pub(crate) fn new(rt: &Rt, stream: T) -> Self {
        Self { stream, patience: Patience::new(rt), input: Input::default() }
    }

    /// Waits for more to come, and says whether it does or that was the end. What is not used must be less than `most`.
    pub(crate) async fn fill(&mut self, most: usize, until_ns: u64, at: At) -> Result<bool, Error> {
        if at == At::Between {
            self.input.shrink();
        }
        self.input.make_room(most)?;
        let Self { stream, patience, input } = self;
        let read = patience.until(until_ns, stream.read(&mut input.bytes[input.end..])).await;
        match read.map_err(|_| Error::Late(at))? {
            Ok(count) => {
                input.end += count;
                Ok(count > 0)
            }
            Err(error) => Err(Error::Broken { at, kind: error.kind() }),
        }
    }

    /// Writes all of it, as long as the peer goes on to take something.
    pub(crate) async fn write(&mut self, mut bytes: &[u8], limits: &Limits) -> Result<(), Error> {
        let at = At::Sending;
        while !bytes.is_empty() {
            let until_ns = self.patience.after(limits.write);
            let written = self.patience.until(until_ns, self.stream.write(bytes)).await;
            match written.map_err(|_| Error::Late(at))? {
                Ok(count) if count > 0 => bytes = &bytes[count.min(bytes.len())..],
                Ok(_) => return Err(Error::Broken { at, kind: embedded_io_async::ErrorKind::WriteZero }),
                Err(error) => return Err(Error::Broken { at, kind: error.kind() }),
            }
        }
        Ok(())
    }

    /// Reads some of a body; nothing at its end.
    pub(crate) async fn read_body(
        &mut self,
        body: &mut Incoming,
        into: &mut [u8],
        limits: &Limits,
    ) -> Result<usize, Error> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            let most = match &mut body.left {
                Left::Nothing | Left::Ended(_) => return Ok(0),
                // What is announced to be too long is not begun.
                Left::Length(length) if *length > body.allowed => return Err(Error::TooMuch(Excess::Body)),
                Left::Length(length) => *length,
                Left::Close => u64::MAX,
                Left::Chunks(chunks) => match chunks.next(self.input.unused())? {
                    (_, Next::Data(size)) if size > body.allowed => return Err(Error::TooMuch(Excess::Body)),
                    (used, Next::Data(size)) => {
                        self.input.take(used);
                        size
                    }
                    (used, Next::End) => {
                        self.input.take(used);
                        if let Left::Chunks(chunks) = core::mem::replace(&mut body.left, Left::Nothing) {
                            body.left = Left::Ended(chunks);
                        }
                        return Ok(0);
                    }
                    (used, Next::More) => {
                        self.input.take(used);
                        let until_ns = self.body_until(body, limits);
                        if !self.fill(ROOM, until_ns, At::Body).await? {
                            return Err(Error::Truncated(At::Body));
                        }
                        continue;
                    }
                },
            };
            let most = usize::try_from(most).unwrap_or(usize::MAX).min(into.len());
            let count = match self.input.unused() {
                [] => {
                    let until_ns = self.body_until(body, limits);
                    let read = self.patience.until(until_ns, self.stream.read(&mut into[..most])).await;
                    let at = At::Body;
                    let read = read.map_err(|_| Error::Late(at))?;
                    read.map_err(|error| Error::Broken { at, kind: error.kind() })?.min(most)
                }
                unused => {
                    let count = unused.len().min(most);
                    into[..count].copy_from_slice(&unused[..count]);
                    self.input.take(count);
                    count
                }
            };
            match &mut body.left {
                Left::Close if count == 0 => body.left = Left::Nothing,
                _ if count == 0 => return Err(Error::Truncated(At::Body)),
                Left::Length(length) if *length == count as u64 => body.left = Left::Nothing,
                Left::Length(length) => *length -= count as u64,
                Left::Chunks(chunks) => chunks.took(count),
                _ => {}
            }
            body.count(count as u64)?;
            return Ok(count);
        }
    }

    fn body_until(&self, body: &mut Incoming, limits: &Limits) -> u64 {
        let now_ns = self.patience.now_ns();
        if body.until_ns == 0 {
            body.until_ns = after(now_ns, limits.body_time);
        }
        after(now_ns, limits.body_pause).min(body.until_ns)
    }
}
