//! Transports that the stack does not know: vchan.

use core::convert::Infallible;
use core::fmt;
use core::future::Future;

/// A stream of bytes each way, of which ours can end before theirs does. Both ways can be used at once. Dropping it
/// closes it.
pub trait Duplex {
    /// Why not.
    type Error;

    /// Reads what there is, at least a byte. Waits if there is nothing; at the end gives none.
    fn read(&self, into: &mut [u8]) -> impl Future<Output = Result<usize, Self::Error>>;

    /// Writes as much as there is room for, at least a byte. Waits if there is none.
    fn write(&self, from: &[u8]) -> impl Future<Output = Result<usize, Self::Error>>;

    /// Writes all of it.
    fn write_all(&self, mut from: &[u8]) -> impl Future<Output = Result<(), Self::Error>> {
        async move {
            while !from.is_empty() {
                from = from.get(self.write(from).await?..).unwrap_or_default();
            }
            Ok(())
        }
    }

    /// Says that nothing more will be written.
    fn finish(&self);
}

/// What waits for streams.
pub trait Accept {
    /// Why none comes any more.
    type Error;
    /// What comes.
    type Stream;

    /// Waits for the next one.
    fn accept(&self) -> impl Future<Output = Result<Self::Stream, Self::Error>>;
}

/// What opens and accepts streams by the part of an address that follows `vchan://`.
pub trait Outside: 'static {
    /// Why not.
    type Error: embedded_io_async::Error + fmt::Display + Clone + 'static;
    /// What is open.
    type Stream: Duplex<Error = Self::Error> + 'static;
    /// What waits for them.
    type Listener: Accept<Stream = Self::Stream, Error = Self::Error> + 'static;

    /// Opens one, and waits for the peer as long as it takes.
    fn connect(&self, to: &str) -> impl Future<Output = Result<Self::Stream, Self::Error>>;

    /// Has peers come to us from now on.
    fn listen(&self, at: &str) -> Result<Self::Listener, Self::Error>;
}

/// For programs that have nothing of that kind; there is none of these.
#[derive(Clone, Copy, Debug)]
pub enum Nothing {}

impl Duplex for Nothing {
    type Error = Infallible;

    async fn read(&self, _: &mut [u8]) -> Result<usize, Infallible> {
        match *self {}
    }

    async fn write(&self, _: &[u8]) -> Result<usize, Infallible> {
        match *self {}
    }

    fn finish(&self) {
        match *self {}
    }
}

impl Accept for Nothing {
    type Error = Infallible;
    type Stream = Self;

    async fn accept(&self) -> Result<Self, Infallible> {
        match *self {}
    }
}

impl Outside for Nothing {
    type Error = Infallible;
    type Stream = Self;
    type Listener = Self;

    async fn connect(&self, _: &str) -> Result<Self, Infallible> {
        match *self {}
    }

    fn listen(&self, _: &str) -> Result<Self, Infallible> {
        match *self {}
    }
}
