//! A stream that comes in pieces, for the targets of HTTP.

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use fata_sim::Rng;
use std::cell::RefCell;
use std::rc::Rc;

/// How it comes.
pub(crate) enum Cut {
    /// As much as is asked for.
    Whole,
    /// Byte by byte.
    Bytes,
    /// Cut anywhere.
    Random(Rng),
}

/// What comes, and what was written.
pub(crate) struct Pieces<'a> {
    pub(crate) rest: &'a [u8],
    cut: Cut,
    pub(crate) written: Rc<RefCell<Vec<u8>>>,
}

impl<'a> Pieces<'a> {
    pub(crate) fn new(bytes: &'a [u8], cut: Cut) -> Self {
        Self { rest: bytes, cut, written: Rc::default() }
    }
}

impl ErrorType for Pieces<'_> {
    type Error = ErrorKind;
}

impl Read for Pieces<'_> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, ErrorKind> {
        let most = self.rest.len().min(into.len());
        let count = match &mut self.cut {
            Cut::Random(random) if most > 1 => {
                let longest = most.min(1 << random.within(0..12));
                1 + random.within(0..longest)
            }
            Cut::Bytes => most.min(1),
            _ => most,
        };
        let (now, later) = self.rest.split_at(count);
        into[..count].copy_from_slice(now);
        self.rest = later;
        Ok(count)
    }
}

impl Write for Pieces<'_> {
    async fn write(&mut self, from: &[u8]) -> Result<usize, ErrorKind> {
        self.written.borrow_mut().extend_from_slice(from);
        Ok(from.len())
    }
    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl Cut {
    /// Anywhere, but always alike for the same bytes.
    pub(crate) fn by(bytes: &[u8]) -> Self {
        let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        Self::Random(Rng::from_seed(bytes.iter().fold(0xcbf2_9ce4_8422_2325, hash)))
    }
}
