//! One question to one server, by datagrams or by a stream.

use crate::message::{Fit, HEADER, Message, Question};
use crate::name::Name;
use crate::resolver::Inner;
use alloc::vec::Vec;
use core::mem;
use embedded_io_async::{Read, Write};
use fata_netstack::{Error as NetError, IpEndpoint, TcpStream, UdpSocket, tcp, udp};

/// Room for answers to one question: the right one, and some that are not.
const DATAGRAMS: udp::Options = udp::Options { datagrams: 8, bytes: 4 << 10 };
/// After so many wrong answers somebody is guessing.
const WRONG: u32 = 16;
/// The first of the ports for questions: twice as many as a stack uses for itself. Those below are left to services.
const FIRST_PORT: u16 = 32_768;
/// Ports that are tried.
const TRIES: u32 = 16;
/// Answers are read in pieces, so that a length that lies takes no memory.
const PIECE: usize = 2048;

/// An answer that fits.
pub(crate) struct Reply {
    bytes: Vec<u8>,
    pub(crate) fit: Fit,
    /// Where its records begin.
    begin: usize,
}

impl Reply {
    /// `None` if it does not fit.
    fn new(bytes: &[u8], id: u16, question: &Question) -> Option<Self> {
        let (fit, begin) = Message::fit(bytes, id, question);
        (fit != Fit::Not).then(|| Self { bytes: bytes.to_vec(), fit, begin })
    }

    /// Writes the name in the question as it was before its letters were mixed, since other names point to it.
    pub(crate) fn spell(&mut self, name: &Name) {
        let wire = name.wire();
        if let Some(place) = self.bytes.get_mut(HEADER..HEADER + wire.len())
            && place.eq_ignore_ascii_case(wire)
        {
            place.copy_from_slice(wire);
        }
    }

    pub(crate) fn message(&self) -> Message<'_> {
        Message::new(&self.bytes, self.begin)
    }
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// There is no socket to ask with.
    NoSocket,
    /// There were too many wrong answers.
    Guessed,
    /// The stream was refused, or it ended too early.
    Broken,
    /// It says what it must not.
    Corrupt,
}

impl Inner {
    /// Asks by datagram. Waits for the answer as long as it takes.
    pub(crate) async fn udp(
        &self,
        question: &Question,
        edns: bool,
        server: IpEndpoint,
    ) -> Result<Reply, Failure> {
        self.has_source(server).await;
        let socket = self.socket().map_err(|_| Failure::NoSocket)?;
        let id = self.random.number() as u16;
        let sent = socket.send(&question.message(id, edns), server).await;
        sent.map_err(|_| Failure::NoSocket)?;
        for _ in 0..WRONG {
            let reply = socket.receive_with(|bytes, from| {
                let known = Some(bytes).filter(|_| from.endpoint == server);
                known.and_then(|bytes| Reply::new(bytes, id, question))
            });
            match reply.await {
                Some(reply) => return Ok(reply),
                None => self.count(|counts| counts.spoofed += 1),
            }
        }
        Err(Failure::Guessed)
    }

    /// A socket with a port that nobody foresees (RFC 5452 section 9.2).
    fn socket(&self) -> Result<UdpSocket, NetError> {
        for _ in 0..TRIES {
            let port = FIRST_PORT | self.random.number() as u16;
            match self.stack.udp(port, DATAGRAMS) {
                Err(NetError::PortTaken) => {}
                socket => return socket,
            }
        }
        self.stack.udp(0, DATAGRAMS)
    }

    /// Waits until there is an address to ask from.
    async fn has_source(&self, server: IpEndpoint) {
        let version = server.addr.version();
        self.stack
            .when(|stack| {
                let any = stack.addresses().iter().any(|cidr| cidr.address().version() == version);
                (stack.link().up && any).then_some(())
            })
            .await;
    }

    /// Asks by a stream (RFC 7766).
    pub(crate) async fn tcp(
        &self,
        question: &Question,
        edns: bool,
        server: IpEndpoint,
    ) -> Result<Reply, Failure> {
        self.count(|counts| counts.streams += 1);
        let options = tcp::Options { receive: 4096, send: 1024, nagle: false, ..tcp::Options::default() };
        let stream = self.stack.connect(server, options).await;
        let mut stream = Given(Some(stream.map_err(|_| Failure::Broken)?));
        let id = self.random.number() as u16;
        let message = question.message(id, edns);
        let bytes = [&(message.len() as u16).to_be_bytes(), &message[..]].concat();
        let bytes = stream.exchange(&bytes).await?;
        // Nothing more is said, so it ends in order.
        drop(stream.0.take());
        Reply::new(&bytes, id, question).ok_or(Failure::Corrupt)
    }
}

/// A stream that is reset when nobody waits for it any more, so that nothing of it is left.
struct Given(Option<TcpStream>);

impl Given {
    async fn exchange(&mut self, question: &[u8]) -> Result<Vec<u8>, Failure> {
        let stream = self.0.as_mut().ok_or(Failure::Broken)?;
        stream.write_all(question).await.map_err(|_| Failure::Broken)?;
        let mut len = [0; 2];
        stream.read_exact(&mut len).await.map_err(|_| Failure::Broken)?;
        let len = usize::from(u16::from_be_bytes(len));
        if len < HEADER {
            return Err(Failure::Corrupt);
        }
        let mut bytes = Vec::new();
        while bytes.len() < len {
            let had = bytes.len();
            bytes.resize(len.min(had + PIECE), 0);
            stream.read_exact(&mut bytes[had..]).await.map_err(|_| Failure::Broken)?;
        }
        Ok(bytes)
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        if let Some(stream) = mem::take(&mut self.0) {
            stream.abort();
        }
    }
}
