//! The server on a network stack: datagrams, streams (RFC 7766), and who may have whole zones.

use crate::answer::{ANSWER_MAX, Transport, answer, truncate};
use crate::limiter::{Limiter, Verdict};
use crate::out::UDP_MAX;
use crate::query::Rcode;
use crate::transfer::Transfer;
use crate::zone::Zone;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::net::IpAddr;
use core::task::{Poll, Waker};
use core::time::Duration;
use embedded_io_async::Write;
use fata_netstack::udp::Options as UdpOptions;
use fata_netstack::{Error, IpAddress, Stack, TcpListener, TcpStream, UdpSocket, tcp};
use fata_rt::{Rt, yield_now};

/// The port of name servers.
pub const PORT: u16 = 53;
/// The longest message that is taken by a stream; queries are much shorter.
const QUERY_MAX: usize = 4096;
/// What waits while a zone is read.
const DATAGRAMS: UdpOptions = UdpOptions { datagrams: 512, bytes: 64 << 10 };
/// Connections that wait to be accepted.
const BACKLOG: u32 = 16;
/// Zones that are sent at a time; each takes a message's room.
const TRANSFERS: usize = 2;
/// Of a connection, when most that there may be are in use.
const HURRY: Duration = Duration::from_secs(1);
/// Answers that a connection gets before others have their turn.
const TURN: u32 = 16;

/// How to serve.
#[derive(Clone, Debug)]
pub struct Options {
    /// Like answers a second to a network, in datagrams; 0 for as many as there are.
    pub rate: u32,
    /// Of those beyond, each so manyth is sent truncated; 0 for none.
    pub slip: u32,
    /// Buckets of the limiter.
    pub buckets: usize,
    /// Who may have whole zones.
    pub peers: Vec<IpAddress>,
    /// Streams at a time.
    pub connections: usize,
    /// How long a stream may be silent, or take no answer.
    pub idle: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let idle = Duration::from_secs(10);
        Self { rate: 200, slip: 2, buckets: 2048, peers: Vec::new(), connections: 32, idle }
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages in datagrams.
    pub udp: u64,
    /// Messages in streams.
    pub tcp: u64,
    /// Answers that say something, or where to ask.
    pub found: u64,
    /// Names that are not there.
    pub absent: u64,
    /// Refused, or not understood.
    pub refused: u64,
    /// Answers that did not fit.
    pub truncated: u64,
    /// Answers that the limiter kept back.
    pub limited: u64,
    /// Answers that it sent truncated.
    pub slipped: u64,
    /// Messages that no answer is due to.
    pub ignored: u64,
    /// Zones sent.
    pub transfers: u64,
    /// Streams.
    pub connections: u64,
}

/// A server. It answers from whatever zones it has at the moment.
pub struct Server {
    zones: RefCell<Vec<Rc<Zone>>>,
    options: Options,
    limiter: RefCell<Limiter>,
    counts: RefCell<Counts>,
    /// Where answers to streams are made.
    room: RefCell<Vec<u8>>,
    open: Cell<usize>,
    /// Who waits for fewer of them.
    waits: Cell<Option<Waker>>,
    sending: Cell<usize>,
}

impl Server {
    /// One without zones yet: it refuses everything. `seed` keeps others from knowing who shares a bucket of the limiter.
    pub fn new(options: Options, seed: u64) -> Rc<Self> {
        let limiter = Limiter::new(options.rate, options.slip, options.buckets, seed);
        Rc::new(Self {
            zones: RefCell::default(),
            options,
            limiter: RefCell::new(limiter),
            counts: RefCell::default(),
            room: RefCell::default(),
            open: Cell::new(0),
            waits: Cell::new(None),
            sending: Cell::new(0),
        })
    }

    /// From now on answers come from these.
    pub fn set_zones(&self, zones: Vec<Rc<Zone>>) {
        *self.zones.borrow_mut() = zones;
    }

    /// The zones that it has.
    pub fn zones(&self) -> Vec<Rc<Zone>> {
        self.zones.borrow().clone()
    }

    /// What was done so far.
    pub fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.borrow_mut());
    }

    /// Serves on a port, for as long as the run loop runs.
    pub fn start(self: &Rc<Self>, stack: &Stack, port: u16) -> Result<(), Error> {
        let options =
            tcp::Options { receive: QUERY_MAX, send: 2 * QUERY_MAX, nagle: false, ..tcp::Options::default() };
        let socket = stack.udp(port, DATAGRAMS)?;
        let listener = stack.listen(port, BACKLOG, options)?;
        let (server, rt) = (self.clone(), stack.rt().clone());
        drop(rt.clone().spawn(async move { server.datagrams(&rt, &socket).await }));
        let (server, rt) = (self.clone(), stack.rt().clone());
        drop(rt.clone().spawn(async move { server.streams(&rt, &listener).await }));
        Ok(())
    }

    async fn datagrams(&self, rt: &Rt, socket: &UdpSocket) {
        let mut out = [0; UDP_MAX];
        loop {
            let receive = socket
                .receive_with(|bytes, from| (self.datagram(rt, bytes, from.endpoint.addr, &mut out), from));
            let (Some(len), from) = receive.await else { continue };
            // Who cannot be answered is not.
            let _ = socket.send_with(len, from, |room| room.copy_from_slice(&out[..len])).await;
        }
    }

    /// Makes the answer to a datagram, if one is to be sent.
    fn datagram(&self, rt: &Rt, query: &[u8], from: IpAddress, out: &mut [u8]) -> Option<usize> {
        let reply = answer(&self.zones.borrow(), query, Transport::Udp, out);
        self.count(|counts| counts.udp += 1);
        let Some(reply) = reply else {
            self.count(|counts| counts.ignored += 1);
            return None;
        };
        let now_ms = (rt.now_ns() / 1_000_000) as u32;
        match self.limiter.borrow_mut().check(IpAddr::from(from), reply.token, now_ms) {
            Verdict::Send => {
                self.count(|counts| counts.add(reply.rcode, reply.truncated));
                Some(reply.len)
            }
            Verdict::Slip => {
                self.count(|counts| counts.slipped += 1);
                truncate(query, out)
            }
            Verdict::Drop => {
                self.count(|counts| counts.limited += 1);
                None
            }
        }
    }

    async fn streams(self: &Rc<Self>, rt: &Rt, listener: &TcpListener) {
        loop {
            let stream = listener.accept().await;
            self.count(|counts| counts.connections += 1);
            // The others are hurried up meanwhile.
            poll_fn(|cx| match self.open.get() < self.options.connections {
                true => Poll::Ready(()),
                false => {
                    self.waits.set(Some(cx.waker().clone()));
                    Poll::Pending
                }
            })
            .await;
            self.open.set(self.open.get() + 1);
            let (server, rt2) = (self.clone(), rt.clone());
            drop(rt.spawn(async move {
                // A peer that breaks off has had what it wanted.
                let _ = server.stream(&rt2, &stream).await;
                server.open.set(server.open.get() - 1);
                if let Some(waker) = server.waits.take() {
                    waker.wake();
                }
            }));
        }
    }

    fn patience(&self) -> Duration {
        match self.open.get() * 4 > self.options.connections * 3 {
            true => self.options.idle.min(HURRY),
            false => self.options.idle,
        }
    }

    /// Any number of queries, answered one after the other.
    async fn stream(&self, rt: &Rt, stream: &TcpStream) -> Option<()> {
        let peer = stream.remote()?.addr;
        let mut query = Vec::new();
        let mut turns = 0;
        loop {
            let read = rt.timeout(self.patience(), read_message(stream, &mut query)).await;
            read.ok()??;
            self.count(|counts| counts.tcp += 1);
            let transfer = Transfer::begin(&self.zones.borrow(), &query);
            match transfer.filter(|_| self.options.peers.contains(&peer)) {
                Some(transfer) => self.transfer(rt, stream, transfer).await?,
                None => {
                    let message = self.streamed(&query)?;
                    self.write(rt, stream, &message).await?;
                }
            }
            turns += 1;
            if turns % TURN == 0 {
                yield_now().await;
            }
        }
    }

    /// The answer to a message in a stream, with its length in front.
    fn streamed(&self, query: &[u8]) -> Option<Vec<u8>> {
        let mut room = self.room.borrow_mut();
        if room.is_empty() {
            room.try_reserve_exact(ANSWER_MAX).ok()?;
            room.resize(ANSWER_MAX, 0);
        }
        let Some(reply) = answer(&self.zones.borrow(), query, Transport::Tcp, &mut room) else {
            self.count(|counts| counts.ignored += 1);
            return None;
        };
        self.count(|counts| counts.add(reply.rcode, reply.truncated));
        let mut message = Vec::new();
        message.try_reserve_exact(2 + reply.len).ok()?;
        message.extend_from_slice(&(reply.len as u16).to_be_bytes());
        message.extend_from_slice(&room[..reply.len]);
        Some(message)
    }

    /// Sends a zone. There are not more of them at a time than there may be.
    async fn transfer(&self, rt: &Rt, stream: &TcpStream, mut transfer: Transfer) -> Option<()> {
        if self.sending.get() >= TRANSFERS {
            return None;
        }
        let _one = One::of(&self.sending);
        let mut message = Vec::new();
        message.try_reserve_exact(2 + ANSWER_MAX).ok()?;
        message.resize(2 + ANSWER_MAX, 0);
        while let Some(len) = transfer.next(&mut message[2..]) {
            message[..2].copy_from_slice(&(len as u16).to_be_bytes());
            self.write(rt, stream, &message[..2 + len]).await?;
        }
        self.count(|counts| counts.transfers += 1);
        Some(())
    }

    /// Writes all of it, as long as the peer goes on to take something.
    async fn write(&self, rt: &Rt, mut stream: &TcpStream, mut message: &[u8]) -> Option<()> {
        while !message.is_empty() {
            let written = rt.timeout(self.patience(), stream.write(message)).await.ok()?.ok()?;
            message = &message[written..];
        }
        Some(())
    }
}

/// One more, as long as it is there.
struct One<'a>(&'a Cell<usize>);

impl<'a> One<'a> {
    fn of(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for One<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Reads a message (RFC 1035 section 4.2.2). `None` at the end of the stream, or of one that is too long.
async fn read_message(stream: &TcpStream, into: &mut Vec<u8>) -> Option<()> {
    let mut len = [0; 2];
    fill(stream, &mut len).await?;
    let len = usize::from(u16::from_be_bytes(len));
    if len > QUERY_MAX {
        return None;
    }
    into.resize(len, 0);
    fill(stream, into).await
}

async fn fill(stream: &TcpStream, into: &mut [u8]) -> Option<()> {
    let mut have = 0;
    while have < into.len() {
        let read = stream.read_with(|bytes| {
            let len = bytes.len().min(into.len() - have);
            into[have..have + len].copy_from_slice(&bytes[..len]);
            (len, len)
        });
        match read.await.ok()? {
            0 => return None,
            len => have += len,
        }
    }
    Some(())
}

impl Counts {
    fn add(&mut self, rcode: Rcode, truncated: bool) {
        self.truncated += u64::from(truncated);
        match rcode {
            Rcode::NoError | Rcode::YxDomain => self.found += 1,
            Rcode::NxDomain => self.absent += 1,
            _ => self.refused += 1,
        }
    }
}

impl core::fmt::Display for Counts {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self {
            udp,
            tcp,
            found,
            absent,
            refused,
            truncated,
            limited,
            slipped,
            ignored,
            transfers,
            connections,
        } = self;
        write!(
            f,
            "{udp} by UDP, {tcp} by TCP on {connections} connections: {found} found, {absent} not there, "
        )?;
        write!(
            f,
            "{refused} refused, {truncated} truncated, {limited} limited, {slipped} slipped, {ignored} ignored, "
        )?;
        write!(f, "{transfers} transfers")
    }
}
