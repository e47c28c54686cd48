//! Pings.

use crate::engine::Engine;
use crate::error::Error;
use crate::headers::{self, Flow};
use crate::stack::Stack;
use crate::table::{Kind, Owner};
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::{Context, Poll};
use core::time::Duration;
use fata_stream::grow;
use smoltcp::socket::icmp::{Endpoint, PacketBuffer, PacketMetadata, SendError, Socket};
use smoltcp::wire::IpAddress;

/// An ICMP header; what an echo has before its payload.
const HEADER: usize = 8;
/// What IPv4 and IPv6 can carry.
const LARGEST: [usize; 2] = [65_535 - 20 - HEADER, 65_535 - 40 - HEADER];
/// Answers that can wait, those to earlier pings among them.
const ANSWERS: usize = 4;

impl Stack {
    /// Prepares to ping somebody with up to `payload` bytes. Waits for the interface to have an address.
    pub async fn pinger(&self, to: IpAddress, payload: usize) -> Result<Pinger, Error> {
        let v6 = matches!(to, IpAddress::Ipv6(_));
        if payload > LARGEST[usize::from(v6)] {
            return Err(Error::TooLarge);
        }
        self.source_for(to).await?;
        let len = payload + HEADER;
        let buffer = |packets: usize| {
            let mut bytes = Vec::new();
            bytes.try_reserve_exact(len * packets).ok()?;
            grow(&mut bytes, len * packets);
            Some(PacketBuffer::new(alloc::vec![PacketMetadata::EMPTY; 2 * packets], bytes))
        };
        let mut socket =
            Socket::new(buffer(ANSWERS).ok_or(Error::NoMemory)?, buffer(1).ok_or(Error::NoMemory)?);
        self.with(|engine| {
            let free = |ident: &u16| engine.table.only(Kind::Ping, *ident).is_none();
            let ident = (0..1000).map(|_| engine.random.number() as u16).find(free).ok_or(Error::NoPort)?;
            socket.bind(Endpoint::Ident(ident)).map_err(|_| Error::Unaddressable)?;
            let flow = Flow { remote: headers::address(to), local_port: ident, ..Flow::default() };
            let id = engine.table.insert(socket, Kind::Ping, flow, Owner::Handle);
            Ok(Pinger { stack: self.clone(), id, to, ident, number: 0 })
        })
    }
}

/// Pings somebody.
pub struct Pinger {
    stack: Stack,
    id: u32,
    to: IpAddress,
    ident: u16,
    number: u16,
}

impl Pinger {
    /// The number of the last ping, from 1 on.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Sends a ping and waits for the answer to it, with the same bytes. Gives how long that took. It waits forever if
    /// there is none, so give it a time limit; an answer that comes later is not taken for the next one's.
    pub async fn ping(&mut self, payload: &[u8]) -> Result<Duration, Error> {
        let len = payload.len() + HEADER;
        self.number = self.number.wrapping_add(1);
        let (begin_ns, mut sent) = (self.stack.rt().now_ns(), false);
        poll_fn(|cx| {
            self.stack.with(|engine| {
                let slot = engine.table.slot(self.id).expect("a socket is there until it is dropped");
                let socket: &mut Socket<'static> = slot.socket();
                if !sent {
                    if len > socket.payload_send_capacity() {
                        return Poll::Ready(Err(Error::TooLarge));
                    }
                    match socket.send(len, self.to) {
                        Ok(room) => self.write(room, payload),
                        Err(SendError::Unaddressable) => return Poll::Ready(Err(Error::Unaddressable)),
                        // The last one was given up, and waits for its neighbour still.
                        Err(SendError::BufferFull) => {
                            socket.register_send_waker(cx.waker());
                            return Poll::Pending;
                        }
                    }
                    sent = true;
                    engine.kick(self.id);
                    return Self::wait(engine, self.id, cx);
                }
                while let Ok((bytes, from)) = socket.recv() {
                    if self.is_answer(bytes, from, payload) {
                        return Poll::Ready(Ok(()));
                    }
                }
                Self::wait(engine, self.id, cx)
            })
        })
        .await?;
        Ok(Duration::from_nanos(self.stack.rt().now_ns() - begin_ns))
    }

    fn wait(engine: &mut Engine, id: u32, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if let Some(slot) = engine.table.slot(id) {
            slot.socket::<Socket<'static>>().register_recv_waker(cx.waker());
        }
        Poll::Pending
    }

    fn write(&self, room: &mut [u8], payload: &[u8]) {
        let kind = if matches!(self.to, IpAddress::Ipv4(_)) { 8 } else { 128 };
        let (header, rest) = room.split_at_mut(HEADER);
        // smoltcp fills in the checksum.
        header[..4].copy_from_slice(&[kind, 0, 0, 0]);
        header[4..6].copy_from_slice(&self.ident.to_be_bytes());
        header[6..].copy_from_slice(&self.number.to_be_bytes());
        rest.copy_from_slice(payload);
    }

    /// To a ping for everybody or a group anybody may answer.
    fn is_answer(&self, bytes: &[u8], from: IpAddress, payload: &[u8]) -> bool {
        let to_one = self.to.is_unicast() && from != self.to;
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else { return false };
        !to_one && header[6..] == self.number.to_be_bytes() && rest == payload
    }
}

impl Drop for Pinger {
    fn drop(&mut self) {
        self.stack.with(|engine| engine.remove(self.id));
    }
}
