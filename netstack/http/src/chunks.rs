//! Bodies in chunks (RFC 9112 section 7.1), read byte by byte where they are not data.

use crate::error::{Error, Excess, Rule};
use crate::fields::{Field, Fields, Seen};
use crate::head;
use crate::words::is_value;
use alloc::vec::Vec;

/// Where in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the digits of a size, so many of them.
    Size(u8),
    /// Behind a size, where there may be space before an extension.
    Space,
    /// In an extension.
    Extension,
    /// Before the LF of a size's line.
    SizeEnd,
    /// In data.
    Data,
    /// Before CR and LF behind data.
    DataCr,
    DataLf,
    /// At the beginning of a line of trailers.
    Line,
    /// In such a line,
    Trailer,
    /// and before its LF.
    TrailerEnd,
    /// Before the last LF.
    LastEnd,
    /// Behind everything.
    Done,
}

/// Reads chunks.
#[derive(Debug)]
pub(crate) struct Chunks {
    state: State,
    /// Of the chunk, still to come.
    size: u64,
    /// How much more may accompany the data.
    spare: usize,
    trailers: Vec<u8>,
    fields: Vec<Field>,
    seen: Seen,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Something that is not here yet.
    More,
    /// So much data, or a part of it.
    Data(u64),
    /// Nothing.
    End,
}

impl Chunks {
    /// Reads from the first chunk on. `spare` is how many bytes extensions and trailers may have.
    pub(crate) fn new(spare: usize) -> Self {
        Self {
            state: State::Size(0),
            size: 0,
            spare,
            trailers: Vec::new(),
            fields: Vec::new(),
            seen: Seen::default(),
        }
    }

    /// Reads what is not data, and says how many bytes that were and what comes behind them.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Result<(usize, Next), Error> {
        for (at, byte) in bytes.iter().enumerate() {
            match self.state {
                State::Data => return Ok((at, Next::Data(self.size))),
                State::Done => return Ok((at, Next::End)),
                _ => self.step(*byte)?,
            }
        }
        let next = match self.state {
            State::Data => Next::Data(self.size),
            State::Done => Next::End,
            _ => Next::More,
        };
        Ok((bytes.len(), next))
    }

    /// So much of the data was taken.
    pub(crate) fn took(&mut self, count: usize) {
        self.size -= count as u64;
        if self.size == 0 {
            self.state = State::DataCr;
        }
    }

    /// What came behind the last chunk, and how to read it.
    pub(crate) fn trailers(&self) -> Fields<'_> {
        Fields::new(&self.trailers, &self.fields, self.seen)
    }

    fn step(&mut self, byte: u8) -> Result<(), Error> {
        let wrong = Err(Error::Invalid(Rule::Chunk));
        self.state = match (self.state, byte) {
            (State::Size(digits), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < 16 => {
                self.size = self.size * 16 + u64::from((byte as char).to_digit(16).unwrap_or_default());
                State::Size(digits + 1)
            }
            (State::Size(1..) | State::Extension, b'\r') => State::SizeEnd,
            (State::Size(1..) | State::Space, b' ' | b'\t') => {
                self.spend()?;
                State::Space
            }
            (State::Size(1..) | State::Space, b';') => {
                self.spend()?;
                State::Extension
            }
            (State::Extension, byte) if is_value(byte) => {
                self.spend()?;
                State::Extension
            }
            (State::SizeEnd, b'\n') if self.size > 0 => State::Data,
            (State::SizeEnd, b'\n') => State::Line,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size(0),
            (State::Line, b'\r') => State::LastEnd,
            (State::LastEnd, b'\n') => return self.end(),
            (State::Line | State::Trailer, byte) if is_value(byte) => {
                self.keep(byte)?;
                State::Trailer
            }
            (State::Trailer, b'\r') => State::TrailerEnd,
            (State::TrailerEnd, b'\n') => {
                self.keep(b'\r')?;
                self.keep(b'\n')?;
                State::Line
            }
            (State::Line | State::Trailer | State::TrailerEnd | State::LastEnd, _) => {
                return Err(Rule::Trailer.into());
            }
            _ => return wrong,
        };
        Ok(())
    }

    fn spend(&mut self) -> Result<(), Error> {
        self.spare = self.spare.checked_sub(1).ok_or(Error::TooMuch(Excess::Trailers))?;
        Ok(())
    }

    fn keep(&mut self, byte: u8) -> Result<(), Error> {
        self.spend()?;
        self.trailers.try_reserve(1).map_err(|_| Error::NoMemory)?;
        self.trailers.push(byte);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Error> {
        self.state = State::Done;
        if self.trailers.is_empty() {
            return Ok(());
        }
        self.trailers.extend_from_slice(b"\r\n");
        self.seen = head::trailers(&self.trailers, &mut self.fields)?;
        Ok(())
    }
}
