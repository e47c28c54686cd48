//! A handshake, which rustls does: what comes is shown to it record by record, so that it sees nothing of what follows, and what
//! it makes of it is taken over in [`Channel`].

use crate::alert::Alert;
use crate::channel::{Channel, Kernel};
use crate::error::{Error, Failure, Why, translated};
use crate::facts::Facts;
use crate::provider::random;
use crate::record::{ALERT, HEADER, PLAIN_MAX, Version};
use alloc::boxed::Box;
use alloc::vec::Vec;
use embedded_io_async::{Read, Write};
use fata_random::Random;
use fata_stream::grow;
use rustls::CommonState;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, InsufficientSizeError, UnbufferedStatus};

/// The most that may wait for being shown or understood: the longest message, and records in which it comes.
const INCOMING_MAX: usize = 96 << 10;
/// The most records that a handshake may take.
const RECORDS_MAX: u32 = 1024;
/// What is read at once, at least, so that small records come together.
const READ: usize = 1024;

/// Either end of a connection that is not there yet.
pub(crate) enum Connection {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

/// A handshake.
pub(crate) struct Handshake {
    connection: Connection,
    incoming: Vec<u8>,
    /// How many bytes of it are records that rustls may see.
    shown: usize,
    records: u32,
    outgoing: Vec<u8>,
}

/// What to do next.
enum Step {
    /// To send `outgoing`, and to receive so many bytes more.
    Receive(usize),
    /// Nothing more: it is done, and `outgoing` can be sent with what follows.
    Done,
}

/// What rustls says.
enum Said {
    /// More.
    Again,
    /// To come back with more.
    Blocked,
    /// That data may be sent.
    Open,
    /// What there is in a closed connection.
    Ended,
    /// What there cannot be in a handshake.
    Odd,
}

impl Handshake {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection, incoming: Vec::new(), shown: 0, records: 0, outgoing: Vec::new() }
    }

    /// Does it, over `io`. `before` and `after` are called around each step; after the last one, `facts` says what has been
    /// agreed upon.
    pub(crate) async fn run<IO: Read + Write>(
        mut self,
        io: &mut IO,
        random: &Random,
        before: impl Fn(),
        after: impl Fn(),
        facts: impl FnOnce(&Connection) -> Facts,
    ) -> Result<Channel, Error<IO::Error>> {
        loop {
            before();
            random::begin(random);
            let step = self.step();
            after();
            match step {
                Ok(Step::Done) => {
                    let facts = facts(&self.connection);
                    // The other waits for what ends it; not for tickets, when it may be writing itself.
                    let tickets =
                        matches!(self.connection, Connection::Server(_)) && facts.version == Version::Tls13;
                    if !tickets {
                        send(io, &mut self.outgoing).await?;
                    }
                    return self.finish(facts).map_err(Error::Tls);
                }
                Ok(Step::Receive(need)) => {
                    send(io, &mut self.outgoing).await?;
                    self.receive(io, need).await?;
                }
                Err(failure) => {
                    // It matters more than that the peer cannot be told.
                    let _ = send(io, &mut self.outgoing).await;
                    return Err(failure.into());
                }
            }
        }
    }

    async fn receive<IO: Read>(&mut self, io: &mut IO, need: usize) -> Result<(), Error<IO::Error>> {
        let end = self.incoming.len();
        grow(&mut self.incoming, end + need.max(READ));
        let count = io.read(&mut self.incoming[end..]).await;
        self.incoming.truncate(end + *count.as_ref().unwrap_or(&0));
        if count.map_err(Error::Transport)? == 0 { Err(Failure::Truncated.into()) } else { Ok(()) }
    }

    fn step(&mut self) -> Result<Step, Failure> {
        loop {
            let shown = &mut self.incoming[..self.shown];
            let (discard, said) = match &mut self.connection {
                Connection::Client(client) => handle(client.process_tls_records(shown), &mut self.outgoing),
                Connection::Server(server) => handle(server.process_tls_records(shown), &mut self.outgoing),
            };
            let discard = discard.min(self.shown);
            self.incoming.drain(..discard);
            self.shown -= discard;
            match said {
                Ok(Said::Again) => {}
                Ok(Said::Open) if !self.state().is_handshaking() => return self.over(),
                Ok(Said::Blocked | Said::Open) => match self.show_more() {
                    Ok(None) => {}
                    Ok(Some(need)) => return Ok(Step::Receive(need)),
                    Err(why) => return Err(self.refused(why)),
                },
                Ok(Said::Ended) => return Err(Failure::Received(Alert::CLOSE_NOTIFY)),
                Ok(Said::Odd) => return Err(self.refused(Why::Unexpected)),
                Err(error) => return Err(self.failed(&error)),
            }
        }
    }

    /// Nothing may be left in the records that rustls has seen.
    fn over(&mut self) -> Result<Step, Failure> {
        if self.shown == 0 { Ok(Step::Done) } else { Err(self.refused(Why::Unexpected)) }
    }

    /// Shows another record, or says how many bytes are missing.
    fn show_more(&mut self) -> Result<Option<usize>, Why> {
        let rest = &self.incoming[self.shown..];
        let whole = match rest.first_chunk::<HEADER>() {
            None => HEADER,
            Some([20..=23, 3, _, high, low]) => HEADER + usize::from(u16::from_be_bytes([*high, *low])),
            Some(_) => return Err(Why::Malformed),
        };
        if whole > HEADER + PLAIN_MAX + 2048 {
            return Err(Why::TooLong);
        }
        if rest.len() < whole {
            return Ok(Some(whole - rest.len()));
        }
        self.shown += whole;
        self.records += 1;
        if self.shown > INCOMING_MAX || self.records > RECORDS_MAX {
            return Err(Why::Flood);
        }
        Ok(None)
    }

    /// Gives up where rustls would go on, and tells the peer if that is still done in the clear.
    fn refused(&mut self, why: Why) -> Failure {
        let failure = Failure::refused(why);
        if let Failure::Refused { alert, .. } = failure
            && self.state().protocol_version().is_none()
        {
            self.outgoing.extend_from_slice(&[ALERT, 3, 3, 0, 2, 2, alert.0]);
        }
        failure
    }

    fn state(&self) -> &CommonState {
        match &self.connection {
            Connection::Client(client) => client,
            Connection::Server(server) => server,
        }
    }

    /// Takes the alert that rustls has for the peer, and says why.
    fn failed(&mut self, error: &rustls::Error) -> Failure {
        let before = self.outgoing.len();
        // Nothing but what is waiting to be sent.
        while self.state().wants_write() {
            let shown = &mut self.incoming[..self.shown];
            let (_, said) = match &mut self.connection {
                Connection::Client(client) => handle(client.process_tls_records(shown), &mut self.outgoing),
                Connection::Server(server) => handle(server.process_tls_records(shown), &mut self.outgoing),
            };
            if !matches!(said, Ok(Said::Again)) {
                break;
            }
        }
        // Readable before there are keys.
        let sent = match &self.outgoing[before..] {
            [.., ALERT, 3, _, 0, 2, _, alert] => Some(Alert(*alert)),
            _ => None,
        };
        match translated(error, sent) {
            // It has nothing to say of what it cannot tell apart from other messages.
            Failure::Refused { why, .. } if self.outgoing.len() == before => self.refused(why),
            failure => failure,
        }
    }

    fn finish(self, facts: Facts) -> Result<Channel, Failure> {
        let internal = |_| Failure::refused(Why::Internal);
        let (secrets, kernel) = match self.connection {
            Connection::Client(client) => {
                let (secrets, kernel) = client.dangerous_into_kernel_connection().map_err(internal)?;
                (secrets, Kernel::Client(kernel))
            }
            Connection::Server(server) => {
                let (secrets, kernel) = server.dangerous_into_kernel_connection().map_err(internal)?;
                (secrets, Kernel::Server(kernel))
            }
        };
        let channel = Channel::new(secrets, kernel, facts, self.incoming, self.outgoing);
        channel.ok_or_else(|| Failure::refused(Why::Internal))
    }
}

/// Takes what rustls wants to be sent.
fn handle<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    outgoing: &mut Vec<u8>,
) -> (usize, Result<Said, rustls::Error>) {
    let UnbufferedStatus { discard, state } = status;
    let said = state.map(|state| match state {
        ConnectionState::EncodeTlsData(mut encode) => {
            let end = outgoing.len();
            // It says how much room it takes.
            if let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) =
                encode.encode(&mut [])
            {
                grow(outgoing, end + required_size);
                let len = encode.encode(&mut outgoing[end..]).unwrap_or(0);
                outgoing.truncate(end + len);
            }
            Said::Again
        }
        ConnectionState::TransmitTlsData(transmit) => {
            transmit.done();
            Said::Again
        }
        ConnectionState::BlockedHandshake => Said::Blocked,
        ConnectionState::WriteTraffic(_) => Said::Open,
        ConnectionState::PeerClosed | ConnectionState::Closed => Said::Ended,
        _ => Said::Odd,
    });
    (discard, said)
}

async fn send<IO: Write>(io: &mut IO, outgoing: &mut Vec<u8>) -> Result<(), Error<IO::Error>> {
    let mut rest = outgoing.as_slice();
    while !rest.is_empty() {
        let count = io.write(rest).await.map_err(Error::Transport)?;
        if count == 0 {
            return Err(Failure::Truncated.into());
        }
        rest = &rest[count.min(rest.len())..];
    }
    outgoing.clear();
    Ok(())
}
