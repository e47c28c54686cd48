//! Xen consoles: PV ring, console_io, SBSA UART.
//!
//! A [`Console`] is whichever of the three this domain has. All of its methods take `&self`, so that one task
//! reads, another writes and the panic handler still gets its word in; [`Read`](embedded_io_async::Read) and
//! [`Write`](embedded_io_async::Write) are implemented for `&Console`. Nothing here knows an executor: who runs
//! the loop calls [`Console::service`] once a turn.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod held;
mod pv;
mod xen_io;

pub use pv::PvConsole;
pub use xen_io::XenIo;

/// A console on a UART that Xen or firmware has set up.
pub type Uart = fata_uart::Uart<fata_uart::Pl011>;

use alloc::rc::Rc;
use core::fmt;
use core::future::Future;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use fata_ring::Corrupt;
use xen_hyp::{Platform, XenError};

/// Why a console cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The backend broke the ring's protocol; this console is dead.
    Corrupt,
    /// Nobody takes the output. Only blocking writes say so; others wait.
    Stalled,
    /// The frame that the toolstack names as the console's cannot be mapped.
    BadFrame,
    /// Xen refused.
    Xen(XenError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt => Corrupt.fmt(f),
            Self::Stalled => f.write_str("nobody takes the console's output"),
            Self::BadFrame => f.write_str("the console's frame cannot be mapped"),
            Self::Xen(error) => write!(f, "Xen refused: {error}"),
        }
    }
}

impl core::error::Error for Error {}

impl embedded_io::Error for Error {
    fn kind(&self) -> embedded_io::ErrorKind {
        match self {
            Self::Corrupt => embedded_io::ErrorKind::InvalidData,
            Self::Stalled => embedded_io::ErrorKind::TimedOut,
            Self::BadFrame | Self::Xen(_) => embedded_io::ErrorKind::Other,
        }
    }
}

impl From<XenError> for Error {
    fn from(error: XenError) -> Self {
        Self::Xen(error)
    }
}

impl From<Corrupt> for Error {
    fn from(_: Corrupt) -> Self {
        Self::Corrupt
    }
}

/// How a console reaches its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A ring shared with xenconsoled or QEMU: `xl console`.
    Pv,
    /// Xen's own console, through hypercalls: dom0less.
    XenIo,
    /// An SBSA UART or PL011, such as Xen's vpl011.
    Uart,
}

impl Kind {
    /// Its name, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pv => "PV ring",
            Self::XenIo => "Xen console_io",
            Self::Uart => "SBSA UART",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The console of this domain.
pub enum Console<P: Platform> {
    /// A ring shared with a backend.
    Pv(PvConsole<P>),
    /// Xen's own console.
    XenIo(XenIo<P>),
    /// A UART.
    Uart(Uart),
}

impl<P: Platform> Console<P> {
    /// What it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Pv(_) => Kind::Pv,
            Self::XenIo(_) => Kind::XenIo,
            Self::Uart(_) => Kind::Uart,
        }
    }

    /// Has [`service`](Self::service) done at each event, if events announce all that there is to do. Gives whether
    /// that is so; if not, it is to be called once a turn.
    pub fn service_on_event(self: &Rc<Self>) -> bool {
        let Self::Pv(pv) = &**self else { return false };
        // What came before anybody listened.
        pv.service();
        let console = Rc::downgrade(self);
        pv.on_event(Rc::new(move || console.upgrade().iter().for_each(|console| console.service())));
        true
    }

    /// Does what events and interrupts ask for. The run loop calls it once a turn, after
    /// [`demux`](xen_hyp::Xen::demux); it costs next to nothing when nothing happened.
    pub fn service(&self) {
        match self {
            Self::Pv(pv) => pv.service(),
            Self::XenIo(_) => {}
            Self::Uart(uart) => uart.service(),
        }
    }

    /// How often [`tick`](Self::tick) must be called for input to arrive; `None` if it comes by interrupt.
    pub fn tick_interval(&self) -> Option<Duration> {
        match self {
            Self::XenIo(io) => io.tick_interval(),
            _ => None,
        }
    }

    /// Looks for input where none is announced.
    pub fn tick(&self) {
        if let Self::XenIo(io) = self {
            io.tick();
        }
    }

    /// Reads at least one byte, waiting for it.
    pub async fn read(&self, into: &mut [u8]) -> Result<usize, Error> {
        // One wait for all three, rather than three futures in one.
        let readable = match self {
            Self::Pv(pv) => pv.signal(),
            Self::XenIo(io) => &io.arrived,
            Self::Uart(uart) => uart.readable(),
        };
        let read = readable.until(|| match self {
            Self::Pv(pv) => pv.try_read(into).transpose(),
            Self::XenIo(io) => io.try_read(into).map(Ok),
            Self::Uart(uart) => uart.try_read(into).map(Ok),
        });
        read.await
    }

    /// Writes at least one byte, waiting for room.
    pub async fn write(&self, bytes: &[u8]) -> Result<usize, Error> {
        let writable = match self {
            Self::Pv(pv) => pv.signal(),
            Self::XenIo(io) => return io.write(bytes),
            Self::Uart(uart) => uart.writable(),
        };
        let write = writable.until(|| match self {
            Self::Pv(pv) => pv.try_write(bytes).transpose(),
            Self::XenIo(io) => Some(io.write(bytes)),
            Self::Uart(uart) => uart.try_write(bytes).map(Ok),
        });
        write.await
    }

    /// Writes at least one byte, holding up everything until there is room; for use before the run loop
    /// and after a panic. Where nobody takes the output it gives up after a second, and from then on at once.
    pub fn write_blocking(&self, bytes: &[u8]) -> Result<usize, Error> {
        match self {
            Self::Pv(pv) => pv.write_blocking(bytes),
            Self::XenIo(io) => io.write(bytes),
            Self::Uart(uart) => uart.write_blocking(bytes).map_err(|_| Error::Stalled),
        }
    }

    /// Waits until the output is out of this domain's hands, or `timeout` is over. Gives whether it is.
    /// Without this the last output of a domain that ends may be lost.
    pub async fn drain(&self, timeout: impl Future<Output = ()>) -> bool {
        match self {
            Self::Pv(pv) => first(pv.drained(), timeout).await,
            Self::XenIo(io) => io.end_line(),
            // It has left when it is written.
            Self::Uart(_) => true,
        }
    }

    /// The same, holding up everything until [`now_ns`](Platform::now_ns) reaches `deadline_ns`.
    pub fn drain_blocking(&self, deadline_ns: u64) -> bool {
        match self {
            Self::Pv(pv) => pv.drain_blocking(deadline_ns),
            Self::XenIo(io) => io.end_line(),
            Self::Uart(_) => true,
        }
    }
}

impl<P: Platform> fmt::Debug for Console<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Console").field(&self.kind()).finish()
    }
}

/// Gives whether `work` ends before `timeout`.
async fn first(work: impl Future<Output = ()>, timeout: impl Future<Output = ()>) -> bool {
    let (mut work, mut timeout) = (pin!(work), pin!(timeout));
    core::future::poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(true),
        Poll::Pending => timeout.as_mut().poll(cx).map(|()| false),
    })
    .await
}

impl<P: Platform> embedded_io::ErrorType for &Console<P> {
    type Error = Error;
}

impl<P: Platform> embedded_io::Write for &Console<P> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        self.write_blocking(bytes)
    }

    /// Nothing: what was written is on its way. See [`Console::drain_blocking`].
    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

impl<P: Platform> embedded_io_async::Read for &Console<P> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        Console::read(self, into).await
    }
}

impl<P: Platform> embedded_io_async::Write for &Console<P> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        Console::write(self, bytes).await
    }

    /// Nothing: what was written is on its way. See [`Console::drain`].
    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}
