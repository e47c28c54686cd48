//! TCP connections, and listeners for them.

use crate::engine::Engine;
use crate::error::Error;
use crate::headers::{self, Flow};
use crate::stack::Stack;
use crate::table::{Kind, Owner, Slot};
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::{Context, Poll};
use embedded_io_async::{ErrorType, Read, Write};
use fata_stream::{Part, grow};
use smoltcp::socket::tcp::{CongestionControl, RecvError, Socket, SocketBuffer, State};
use smoltcp::time::Duration;
use smoltcp::wire::{IpEndpoint, IpListenEndpoint};

/// How a connection is to be.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes that may wait for the application; what a peer may send ahead.
    pub receive: usize,
    /// Bytes that may wait for the peer.
    pub send: usize,
    /// Whether small writes wait for the peer to acknowledge earlier ones (RFC 896).
    pub nagle: bool,
    /// How long the peer may take to acknowledge anything before the connection is given up; also while the link is
    /// down. Forever without.
    pub timeout: Option<Duration>,
    /// How long the connection may be silent before the peer is asked whether it is there. Forever without; of use with
    /// a timeout only.
    pub keep_alive: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self { receive: 64 << 10, send: 64 << 10, nagle: true, timeout: None, keep_alive: None }
    }
}

/// smoltcp panics with more.
const LARGEST_BUFFER: usize = 1 << 30;

fn buffer_len(len: usize) -> usize {
    len.clamp(1, LARGEST_BUFFER)
}

impl Options {
    /// Bytes that a peer may send ahead, such as there can be.
    pub(crate) fn receive(&self) -> usize {
        buffer_len(self.receive)
    }

    /// A socket like that. `None` without memory for it.
    pub(crate) fn socket(&self) -> Option<Socket<'static>> {
        let buffer = |len: usize| {
            let mut bytes = Vec::new();
            bytes.try_reserve_exact(len).ok()?;
            grow(&mut bytes, len);
            Some(SocketBuffer::new(bytes))
        };
        let mut socket = Socket::new(buffer(self.receive())?, buffer(buffer_len(self.send))?);
        socket.set_nagle_enabled(self.nagle);
        socket.set_timeout(self.timeout);
        socket.set_keep_alive(self.keep_alive);
        socket.set_congestion_control(CongestionControl::Reno);
        Some(socket)
    }
}

impl Stack {
    /// Opens a connection. Waits for the interface to have an address, and then for the peer, as long as it takes:
    /// give it a time limit with [`Rt::timeout`](fata_rt::Rt::timeout), or one for each silence in `options`.
    pub async fn connect(&self, remote: impl Into<IpEndpoint>, options: Options) -> Result<TcpStream, Error> {
        let remote = remote.into();
        self.source_for(remote.addr).await?;
        let id = self.with(|engine| engine.connect(remote, options))?;
        let stream = TcpStream { stack: self.clone(), id };
        poll_fn(|cx| {
            stream.with(|socket| {
                socket.register_send_waker(cx.waker());
                match socket.state() {
                    State::SynSent | State::SynReceived => Poll::Pending,
                    State::Closed => Poll::Ready(Err(Error::Refused)),
                    _ => Poll::Ready(Ok(())),
                }
            })
        })
        .await?;
        Ok(stream)
    }

    /// Waits for connections to a port, of one address or of all. At most `backlog` connections wait to be
    /// [accepted](TcpListener::accept), those that are not quite open among them; each has its buffers.
    pub fn listen(
        &self,
        local: impl Into<IpListenEndpoint>,
        backlog: u32,
        options: Options,
    ) -> Result<TcpListener, Error> {
        let local = local.into();
        let address = local.addr.map(headers::address).unwrap_or_default();
        let index = self.with(|engine| engine.listen(local.port, address, backlog.max(1), options));
        Ok(TcpListener { stack: self.clone(), index: index.ok_or(Error::PortTaken)? })
    }
}

impl Engine {
    fn connect(&mut self, remote: IpEndpoint, options: Options) -> Result<u32, Error> {
        let interface = self.interface.as_mut().ok_or(Error::NoAddress)?;
        let local = interface.get_source_address(&remote.addr).ok_or(Error::NoAddress)?;
        let mut flow = Flow {
            remote: headers::address(remote.addr),
            local: headers::address(local),
            remote_port: remote.port,
            local_port: 0,
        };
        let listens = |port| self.listeners.iter().flatten().any(|listener| listener.has_port(port));
        // One that is free is found soon, unless nearly all are taken.
        let free = (0..1000).find_map(|_| {
            flow.local_port = self.random.port();
            let is_taken = self.table.tcp(&flow).is_some() || self.ended.contains(&flow, self.now);
            (!is_taken && !listens(flow.local_port)).then_some(flow)
        });
        let flow = free.ok_or(Error::NoPort)?;
        let mut socket = options.socket().ok_or(Error::NoMemory)?;
        socket
            .connect(self.opener(&flow).context(), remote, (local, flow.local_port))
            .map_err(|_| Error::Unaddressable)?;
        let id = self.table.insert(socket, Kind::Tcp, flow, Owner::Handle);
        self.kick(id);
        Ok(id)
    }
}

/// A place where connections come in.
pub struct TcpListener {
    stack: Stack,
    index: u32,
}

impl TcpListener {
    /// Waits for the next connection, which is open by then. Only one task can wait.
    pub async fn accept(&self) -> TcpStream {
        let accept = |cx: &mut Context<'_>| {
            let id = self.stack.with(|engine| engine.accept(self.index, cx.waker()));
            id.map_or(Poll::Pending, |id| Poll::Ready(TcpStream { stack: self.stack.clone(), id }))
        };
        poll_fn(accept).await
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.stack.with(|engine| engine.hang_up(self.index));
    }
}

/// A connection. Dropping it closes it: what was written is sent yet, and what comes is not read.
///
/// Reading and writing take turns in one task, or are done by two, since both work on a shared reference as well.
pub struct TcpStream {
    stack: Stack,
    id: u32,
}

impl TcpStream {
    fn with<R>(&self, f: impl FnOnce(&mut Socket<'static>) -> R) -> R {
        self.stack.with(|engine| f(engine.stream(self.id).tcp()))
    }

    /// The stack that it is on.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// The other end, until the connection has ended.
    pub fn remote(&self) -> Option<IpEndpoint> {
        self.with(|socket| socket.remote_endpoint())
    }

    /// Our end, until the connection has ended.
    pub fn local(&self) -> Option<IpEndpoint> {
        self.with(|socket| socket.local_endpoint())
    }

    /// Says that nothing more will be written. What was written is sent before it, and what comes can be read still.
    pub fn shutdown(&self) {
        self.with(|socket| socket.close());
        self.stack.with(|engine| engine.kick(self.id));
    }

    /// Ends the connection at once, by a reset.
    pub fn abort(self) {
        self.with(|socket| socket.abort());
    }

    /// Waits until the peer has acknowledged all that was written, and with `shutdown` the end of it.
    pub async fn settled(&self) -> Result<(), Error> {
        poll_fn(|cx| {
            self.stack.with(|engine| {
                let slot = engine.stream(self.id);
                let why_over = slot.why_over();
                let socket = slot.tcp();
                socket.register_send_waker(cx.waker());
                match socket.state() {
                    State::Closed if socket.send_queue() > 0 => Poll::Ready(Err(why_over)),
                    State::FinWait1 | State::Closing | State::LastAck => Poll::Pending,
                    _ if socket.send_queue() > 0 => Poll::Pending,
                    _ => Poll::Ready(Ok(())),
                }
            })
        })
        .await
    }

    /// Reads without a buffer: `f` gets what has come, in one piece or the first of two, and says how much of it is
    /// done with. It gets nothing at the end of the stream.
    pub async fn read_with<R>(&self, f: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<R, Error> {
        let mut f = Some(f);
        poll_fn(|cx| self.poll_read_with(cx, &mut f)).await
    }

    fn poll_read_with<R>(
        &self,
        cx: &mut Context<'_>,
        f: &mut Option<impl FnOnce(&mut [u8]) -> (usize, R)>,
    ) -> Poll<Result<R, Error>> {
        self.stack.with(|engine| {
            let slot = engine.stream(self.id);
            let why_over = slot.why_over();
            let socket = slot.tcp();
            if !socket.can_recv() && socket.may_recv() {
                socket.register_recv_waker(cx.waker());
                return Poll::Pending;
            }
            let Some(f) = f.take() else { return Poll::Pending };
            let result = if socket.can_recv() {
                socket.recv(f)
            } else {
                // Nothing comes any more: at the end in order, or without one.
                match socket.recv(|_| (0, ())) {
                    Err(RecvError::InvalidState) => return Poll::Ready(Err(why_over)),
                    _ => return Poll::Ready(Ok(f(&mut []).1)),
                }
            };
            // The peer may be waiting for room.
            engine.kick(self.id);
            Poll::Ready(result.map_err(|_| why_over))
        })
    }

    /// Writes without a buffer: `f` gets room, in one piece, and says how much of it is filled.
    pub async fn write_with<R>(&self, f: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<R, Error> {
        let mut f = Some(f);
        poll_fn(|cx| self.poll_write_with(cx, &mut f)).await
    }

    fn poll_write_with<R>(
        &self,
        cx: &mut Context<'_>,
        f: &mut Option<impl FnOnce(&mut [u8]) -> (usize, R)>,
    ) -> Poll<Result<R, Error>> {
        self.stack.with(|engine| {
            let slot = engine.stream(self.id);
            let why_over = slot.why_over();
            let socket = slot.tcp();
            if !socket.may_send() {
                return Poll::Ready(Err(why_over));
            }
            if !socket.can_send() {
                socket.register_send_waker(cx.waker());
                return Poll::Pending;
            }
            let Some(f) = f.take() else { return Poll::Pending };
            let result = socket.send(f);
            engine.kick(self.id);
            Poll::Ready(result.map_err(|_| why_over))
        })
    }
}

impl Engine {
    fn stream(&mut self, id: u32) -> &mut Slot {
        self.table.slot(id).expect("a stream has its socket until it is dropped")
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        self.stack.with(|engine| engine.orphan(self.id));
    }
}

impl ErrorType for TcpStream {
    type Error = Error;
}

impl Part for TcpStream {
    async fn finish(&self) -> Result<(), Error> {
        self.shutdown();
        Ok(())
    }

    fn abort(self) {
        self.abort();
    }
}

impl ErrorType for &TcpStream {
    type Error = Error;
}

impl Read for &TcpStream {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        if into.is_empty() {
            return Ok(0);
        }
        self.read_with(|bytes| {
            let len = bytes.len().min(into.len());
            into[..len].copy_from_slice(&bytes[..len]);
            (len, len)
        })
        .await
    }
}

impl Write for &TcpStream {
    async fn write(&mut self, from: &[u8]) -> Result<usize, Error> {
        if from.is_empty() {
            return Ok(0);
        }
        self.write_with(|room| {
            let len = room.len().min(from.len());
            room[..len].copy_from_slice(&from[..len]);
            (len, len)
        })
        .await
    }

    /// What was written is sent without this, but that may be waited for: until the peer has acknowledged it.
    async fn flush(&mut self) -> Result<(), Error> {
        self.settled().await
    }
}

impl Read for TcpStream {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        (&*self).read(into).await
    }
}

impl Write for TcpStream {
    async fn write(&mut self, from: &[u8]) -> Result<usize, Error> {
        (&*self).write(from).await
    }
    async fn flush(&mut self) -> Result<(), Error> {
        self.settled().await
    }
}
