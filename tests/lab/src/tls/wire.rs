//! TCP of this machine, which blocks, under a stream that would wait.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use embedded_io_async::{ErrorType, Read, Write};
use fata_rt::{Executor, Machine};
use fata_time::Clock;

use super::PATIENCE;

/// A connection.
pub(super) struct Wire(TcpStream);

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(stream))
    }

    /// For who need not wait long.
    pub(super) fn brief(self) -> Result<Self> {
        self.0.set_read_timeout(Some(Duration::from_secs(1)))?;
        Ok(self)
    }

    pub(super) fn connect(address: &str) -> Result<Self> {
        Self::new(TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?)
    }
}

impl ErrorType for Wire {
    type Error = io::Error;
}

impl Read for Wire {
    async fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Wire {
    async fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.0.write(from)
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs what never waits but in the kernel.
pub(super) fn run<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => bail!("it waits for nobody"),
    }
}

/// A line without its end.
pub(super) async fn read_line<R: Read<Error: std::error::Error + Send + Sync + 'static>>(
    from: &mut R,
) -> Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while from.read(&mut byte).await? == 1 {
        if byte[0] == b'\n' {
            return Ok(String::from_utf8(line)?);
        }
        line.push(byte[0]);
    }
    bail!("the end comes before the end of the line");
}

pub(super) async fn say<W: Write<Error: std::error::Error + Send + Sync + 'static>>(
    to: &mut W,
    text: &str,
) -> Result<()> {
    to.write_all(text.as_bytes()).await?;
    to.flush().await?;
    Ok(())
}

/// This machine's clock.
pub(super) fn clock() -> Clock {
    struct Still;

    impl Machine for Still {
        fn demux(&self) {}
        fn idle(&self, _: Option<u64>) {}
        fn now_ns(&self) -> u64 {
            0
        }
    }

    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok();
    let rt = Executor::new(Rc::new(Still)).rt();
    Clock::new(&rt, move || now().map(|now: Duration| now))
}
