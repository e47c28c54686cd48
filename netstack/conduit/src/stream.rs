//! A stream of bytes over whatever there is.

use crate::error::Error;
use crate::memory::Pipe;
use crate::outside::{Duplex, Nothing, Outside};
#[cfg(feature = "tls")]
use alloc::boxed::Box;
use core::fmt;
use embedded_io_async::{ErrorType, Read, Write};
use fata_netstack::TcpStream;
use fata_stream::Part;

/// A connection to a peer. One task may read while another writes, through two references. Dropping it closes it.
pub enum Stream<O: Outside = Nothing> {
    /// Over TCP.
    Tcp(TcpStream),
    /// With TLS over it.
    #[cfg(feature = "tls")]
    Tls(Box<fata_tls::Stream<TcpStream>>),
    /// Within this program.
    Memory(Pipe),
    /// Over vchan.
    Outside(O::Stream),
}

/// What happens to a stream that cannot be used.
type Failure<O> = Error<<O as Outside>::Error>;

impl<O: Outside> Stream<O> {
    /// Reads what there is, at least a byte. Waits if there is nothing; at the end gives none.
    pub async fn read(&self, into: &mut [u8]) -> Result<usize, Failure<O>> {
        match self {
            Self::Tcp(stream) => Ok((&mut &*stream).read(into).await?),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Ok((&mut &**stream).read(into).await?),
            Self::Memory(pipe) => pipe.read(into).await.map_err(Error::widen),
            Self::Outside(stream) => stream.read(into).await.map_err(Error::Outside),
        }
    }

    /// Writes as much as there is room for, at least a byte. Waits if there is none.
    pub async fn write(&self, from: &[u8]) -> Result<usize, Failure<O>> {
        match self {
            Self::Tcp(stream) => Ok((&mut &*stream).write(from).await?),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Ok((&mut &**stream).write(from).await?),
            Self::Memory(pipe) => pipe.write(from).await.map_err(Error::widen),
            Self::Outside(stream) => stream.write(from).await.map_err(Error::Outside),
        }
    }

    /// Says that nothing more will be written; what comes can be read still. With TLS there is something to be sent for that,
    /// and without it the other end cannot know that it has everything.
    pub async fn finish(&self) -> Result<(), Failure<O>> {
        match self {
            Self::Tcp(stream) => stream.shutdown(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => {
                stream.close_shared().await?;
                stream.io().shutdown();
            }
            Self::Memory(pipe) => pipe.finish(),
            Self::Outside(stream) => stream.finish(),
        }
        Ok(())
    }

    /// Ends the connection at once, where that can be told from an end in order.
    pub fn abort(self) {
        match self {
            Self::Tcp(stream) => stream.abort(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.into_io().abort(),
            Self::Memory(_) | Self::Outside(_) => {}
        }
    }

    /// What TLS has agreed upon, if it is there.
    #[cfg(feature = "tls")]
    pub fn facts(&self) -> Option<core::cell::Ref<'_, fata_tls::Facts>> {
        match self {
            Self::Tls(stream) => Some(stream.facts()),
            _ => None,
        }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        match self {
            Self::Tcp(stream) => stream.remote().map_or(Peer::Unknown, Peer::Host),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.io().remote().map_or(Peer::Unknown, Peer::Host),
            Self::Memory(_) => Peer::Ourselves,
            Self::Outside(_) => Peer::Domain,
        }
    }
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Over TCP.
    Host(fata_netstack::IpEndpoint),
    /// Another domain of this machine.
    Domain,
    /// This program.
    Ourselves,
    /// One that has gone.
    Unknown,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(endpoint) => write!(f, "{}", endpoint.addr),
            Self::Domain => f.write_str("vchan"),
            Self::Ourselves => f.write_str("memory"),
            Self::Unknown => f.write_str("-"),
        }
    }
}

impl<O: Outside> ErrorType for Stream<O> {
    type Error = Failure<O>;
}

impl<O: Outside> ErrorType for &Stream<O> {
    type Error = Failure<O>;
}

impl<O: Outside> Part for Stream<O> {
    async fn finish(&self) -> Result<(), Failure<O>> {
        Self::finish(self).await
    }

    fn abort(self) {
        self.abort();
    }
}

impl<O: Outside> Read for &Stream<O> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Failure<O>> {
        Stream::read(self, into).await
    }
}

impl<O: Outside> Write for &Stream<O> {
    async fn write(&mut self, from: &[u8]) -> Result<usize, Failure<O>> {
        Stream::write(self, from).await
    }

    /// Nothing waits to be told to go.
    async fn flush(&mut self) -> Result<(), Failure<O>> {
        Ok(())
    }
}

impl<O: Outside> Read for Stream<O> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Failure<O>> {
        Self::read(self, into).await
    }
}

impl<O: Outside> Write for Stream<O> {
    async fn write(&mut self, from: &[u8]) -> Result<usize, Failure<O>> {
        Self::write(self, from).await
    }

    /// Nothing waits to be told to go.
    async fn flush(&mut self) -> Result<(), Failure<O>> {
        Ok(())
    }
}
