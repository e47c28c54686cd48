//! UDP sockets.

use crate::error::Error;
use crate::headers::{self, Flow};
use crate::stack::Stack;
use crate::table::{Kind, Owner};
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::{Context, Poll};
use fata_stream::grow;
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, SendError, Socket, UdpMetadata};
use smoltcp::wire::{IpAddress, IpListenEndpoint};

/// What IPv4 and IPv6 can carry.
const LARGEST: [usize; 2] = [65_535 - 20 - 8, 65_535 - 40 - 8];

/// Room for datagrams, in each direction.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many can wait.
    pub datagrams: usize,
    /// How many bytes they can have together; the largest one must fit.
    pub bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { datagrams: 64, bytes: 128 << 10 }
    }
}

impl Options {
    fn buffer(&self) -> Option<PacketBuffer<'static>> {
        let (mut metadata, mut bytes) = (Vec::new(), Vec::new());
        metadata.try_reserve_exact(self.datagrams.max(1)).ok()?;
        metadata.resize(self.datagrams.max(1), PacketMetadata::EMPTY);
        bytes.try_reserve_exact(self.bytes).ok()?;
        grow(&mut bytes, self.bytes);
        Some(PacketBuffer::new(metadata, bytes))
    }
}

impl Stack {
    /// Takes a port for datagrams, of one address or of all; without a port, any that is free. What comes when there is
    /// no room is lost.
    pub fn udp(&self, local: impl Into<IpListenEndpoint>, options: Options) -> Result<UdpSocket, Error> {
        let mut local = local.into();
        let (receive, send) = (options.buffer(), options.buffer());
        let mut socket = Socket::new(receive.ok_or(Error::NoMemory)?, send.ok_or(Error::NoMemory)?);
        let mut flow = Flow {
            local: local.addr.map(headers::address).unwrap_or_default(),
            local_port: local.port,
            ..Flow::default()
        };
        let id = self.with(|engine| {
            let mut is_free = |port| {
                flow.local_port = port;
                let dhcp = engine.table.only(Kind::Dhcp, port);
                dhcp.is_none() && engine.table.only(Kind::Udp, port).is_none()
            };
            let free = match local.port {
                0 => (0..1000)
                    .map(|_| engine.random.port())
                    .find(|port| is_free(*port))
                    .ok_or(Error::NoPort)?,
                port if is_free(port) => port,
                _ => return Err(Error::PortTaken),
            };
            local.port = free;
            socket.bind(local).map_err(|_| Error::Unaddressable)?;
            Ok(engine.table.insert(socket, Kind::Udp, flow, Owner::Handle))
        })?;
        Ok(UdpSocket { stack: self.clone(), id, port: local.port })
    }
}

/// A socket for datagrams. One task may receive and another one send.
pub struct UdpSocket {
    stack: Stack,
    id: u32,
    port: u16,
}

impl UdpSocket {
    fn with<R>(&self, f: impl FnOnce(&mut Socket<'static>) -> R) -> R {
        self.stack.with(|engine| {
            let slot = engine.table.slot(self.id).expect("a socket is there until it is dropped");
            f(slot.socket())
        })
    }

    /// Our port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits for a datagram and gives its bytes to `f`, with where they come from.
    pub async fn receive_with<R>(&self, f: impl FnOnce(&[u8], UdpMetadata) -> R) -> R {
        let mut f = Some(f);
        poll_fn(|cx| self.poll_receive_with(cx, &mut f)).await
    }

    /// The same for a task that polls by hand. `f` is taken when there is a datagram.
    pub fn poll_receive_with<R>(
        &self,
        cx: &mut Context<'_>,
        f: &mut Option<impl FnOnce(&[u8], UdpMetadata) -> R>,
    ) -> Poll<R> {
        self.with(|socket| {
            if let Ok((bytes, from)) = socket.recv()
                && let Some(f) = f.take()
            {
                return Poll::Ready(f(bytes, from));
            }
            socket.register_recv_waker(cx.waker());
            Poll::Pending
        })
    }

    /// Waits for a datagram. Gives its length, which may be more than there was room for, and where it comes from.
    pub async fn receive(&self, into: &mut [u8]) -> (usize, UdpMetadata) {
        self.receive_with(|bytes, from| {
            let len = bytes.len().min(into.len());
            into[..len].copy_from_slice(&bytes[..len]);
            (bytes.len(), from)
        })
        .await
    }

    /// Waits for room for a datagram of `len` bytes, which `f` fills.
    pub async fn send_with(
        &self,
        len: usize,
        to: impl Into<UdpMetadata>,
        f: impl FnOnce(&mut [u8]),
    ) -> Result<(), Error> {
        let (to, mut f) = (to.into(), Some(f));
        poll_fn(|cx| self.poll_send_with(cx, len, to, &mut f)).await
    }

    /// The same for a task that polls by hand. `f` is taken when there is room.
    pub fn poll_send_with(
        &self,
        cx: &mut Context<'_>,
        len: usize,
        to: UdpMetadata,
        f: &mut Option<impl FnOnce(&mut [u8])>,
    ) -> Poll<Result<(), Error>> {
        self.stack.with(|engine| {
            let slot = engine.table.slot(self.id).expect("a socket is there until it is dropped");
            if slot.bereft {
                return Poll::Ready(Err(Error::AddressGone));
            }
            let socket: &mut Socket<'static> = slot.socket();
            let v6 = matches!(to.endpoint.addr, IpAddress::Ipv6(_));
            if len > socket.payload_send_capacity().min(LARGEST[usize::from(v6)]) {
                return Poll::Ready(Err(Error::TooLarge));
            }
            match socket.send(len, to) {
                Ok(room) => {
                    if let Some(f) = f.take() {
                        f(room);
                    }
                    slot.flow.remote = headers::address(to.endpoint.addr);
                    engine.kick(self.id);
                    Poll::Ready(Ok(()))
                }
                Err(SendError::Unaddressable) => Poll::Ready(Err(Error::Unaddressable)),
                Err(SendError::BufferFull) => {
                    socket.register_send_waker(cx.waker());
                    Poll::Pending
                }
            }
        })
    }

    /// Waits for room for a datagram, and sends it.
    pub async fn send(&self, bytes: &[u8], to: impl Into<UdpMetadata>) -> Result<(), Error> {
        self.send_with(bytes.len(), to, |room| room.copy_from_slice(bytes)).await
    }

    /// Datagrams that wait to be sent.
    pub fn is_sending(&self) -> bool {
        self.with(|socket| socket.send_queue() > 0)
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.stack.with(|engine| engine.remove(self.id));
    }
}
