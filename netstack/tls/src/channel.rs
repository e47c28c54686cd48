//! A connection after its handshake: records in both directions, new keys, tickets, alerts. It knows nothing of what carries it.

use crate::alert::Alert;
use crate::error::{Failure, Why};
use crate::facts::Facts;
use crate::provider::suites::AES_RECORDS;
use crate::record::{ALERT, DATA, Fault, HANDSHAKE, HEADER, Keys, PLAIN_MAX, Version};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;
use core::task::Waker;
use fata_ciphers::Cipher;
use fata_stream::grow;
use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{ConnectionTrafficSecrets, ExtractedSecrets};

/// What is read at once while nobody knows how long the next record is.
const READ: usize = 4096;
/// The most records one after another that are no data.
const IDLE_MAX: u8 = 32;
/// The longest message after the handshake: a ticket.
const MESSAGE_MAX: usize = 16 << 10;

const HELLO_REQUEST: u8 = 0;
const CLIENT_HELLO: u8 = 1;
const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;
const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// What is left of rustls: the secrets that keys come of.
pub(crate) enum Kernel {
    Client(KernelConnection<ClientConnectionData>),
    Server(KernelConnection<ServerConnectionData>),
}

/// One direction.
pub(crate) struct Direction {
    keys: Keys,
    seq: u64,
    /// As many records as the keys are good for.
    limit: u64,
}

impl Direction {
    fn new(version: Version, (seq, secrets): (u64, ConnectionTrafficSecrets)) -> Option<Self> {
        let (cipher, key, iv) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (Cipher::Aes128, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (Cipher::Aes256, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (Cipher::ChaCha20, key, iv),
            _ => return None,
        };
        let limit = if cipher == Cipher::ChaCha20 { u64::MAX } else { AES_RECORDS };
        Some(Self { keys: Keys::new(cipher, version, key.as_ref(), iv.as_ref()), seq, limit })
    }
}

/// What [`Channel::advance`] came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is data.
    Data,
    /// The peer is finished.
    End,
    /// More has to come.
    More,
}

/// Both directions.
pub(crate) struct Channel {
    facts: Box<Facts>,
    /// Not in TLS 1.2, whose keys stay.
    kernel: Option<Box<Kernel>>,
    client: bool,
    rx: Direction,
    tx: Direction,
    /// What came: data to be read, then what is not opened yet, then room.
    buffer: Vec<u8>,
    data: Range<usize>,
    unopened: Range<usize>,
    /// The beginning of a message that goes on in the next record.
    message: Vec<u8>,
    /// Records since the last data.
    idle: u8,
    ended: bool,
    /// Sealed, and to be sent from `sent`.
    out: Vec<u8>,
    sent: usize,
    /// The peer wants us to change keys before we send data.
    owes_update: bool,
    closed: bool,
    failure: Option<Failure>,
    /// Who waits for room to write; reading leaves what is to be sent to them.
    pub(crate) writer: Option<Waker>,
    pub(crate) reader: Option<Waker>,
}

impl Channel {
    /// Goes on after the handshake; `incoming` came already, and `out` is to be sent before anything else.
    pub(crate) fn new(
        secrets: ExtractedSecrets,
        kernel: Kernel,
        facts: Facts,
        incoming: Vec<u8>,
        out: Vec<u8>,
    ) -> Option<Self> {
        let version = facts.version;
        let client = matches!(kernel, Kernel::Client(_));
        Some(Self {
            facts: Box::new(facts),
            kernel: (version == Version::Tls13).then(|| Box::new(kernel)),
            client,
            rx: Direction::new(version, secrets.rx)?,
            tx: Direction::new(version, secrets.tx)?,
            unopened: 0..incoming.len(),
            buffer: if incoming.is_empty() { Vec::new() } else { incoming },
            data: 0..0,
            message: Vec::new(),
            idle: 0,
            ended: false,
            out: if out.is_empty() { Vec::new() } else { out },
            sent: 0,
            owes_update: false,
            closed: false,
            failure: None,
            writer: None,
            reader: None,
        })
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        self.failure
    }

    /// Takes data that has been opened.
    pub(crate) fn take(&mut self, into: &mut [u8]) -> usize {
        let len = self.data.len().min(into.len());
        let from = self.data.start;
        into[..len].copy_from_slice(&self.buffer[from..from + len]);
        self.data.start += len;
        len
    }

    /// Opens records until there is data.
    pub(crate) fn advance(&mut self) -> Result<Progress, Failure> {
        loop {
            if let Some(failure) = self.failure {
                return Err(failure);
            }
            if !self.data.is_empty() {
                return Ok(Progress::Data);
            }
            if self.ended {
                return Ok(Progress::End);
            }
            match self.record() {
                Ok(true) => {}
                Ok(false) => return Ok(Progress::More),
                Err(failure) => return Err(self.fail(failure)),
            }
        }
    }

    /// How long the next record is with its header, as far as that is known.
    fn next_len(&self) -> Result<usize, Failure> {
        let Some(&[kind, major, _, high, low]) = self.buffer[self.unopened.clone()].first_chunk::<HEADER>()
        else {
            return Ok(HEADER);
        };
        if !(20..=23).contains(&kind) || major != 3 {
            return Err(Failure::refused(Why::Malformed));
        }
        let len = usize::from(u16::from_be_bytes([high, low]));
        if len > self.facts.version.sealed_max() {
            return Err(Failure::refused(Why::TooLong));
        }
        Ok(HEADER + len)
    }

    /// Opens a record; `false` if there is none.
    fn record(&mut self) -> Result<bool, Failure> {
        let len = self.next_len()?;
        let start = self.unopened.start;
        if self.unopened.len() < len {
            return Ok(false);
        }
        self.unopened.start += len;
        let kind = self.buffer[start];
        let sealed = &mut self.buffer[start + HEADER..start + len];
        let (kind, said) = self.rx.keys.open(self.rx.seq, kind, sealed).map_err(|fault| {
            Failure::refused(match fault {
                Fault::Broken => Why::Broken,
                Fault::TooLong => Why::TooLong,
                Fault::NoType => Why::Unexpected,
            })
        })?;
        self.rx.seq += 1;
        let said = start + HEADER + said.start..start + HEADER + said.end;
        // A message in parts has no other records between them.
        if kind != HANDSHAKE && !self.message.is_empty() {
            return Err(Failure::refused(Why::Unexpected));
        }
        if kind == DATA && !said.is_empty() {
            self.idle = 0;
            self.data = said;
            return Ok(true);
        }
        self.idle += 1;
        if self.idle > IDLE_MAX {
            return Err(Failure::refused(Why::Flood));
        }
        match kind {
            DATA => {}
            ALERT => self.alert(said)?,
            HANDSHAKE => self.handshake(said)?,
            _ => return Err(Failure::refused(Why::Unexpected)),
        }
        Ok(true)
    }

    fn alert(&mut self, said: Range<usize>) -> Result<(), Failure> {
        let &[level, alert] = &self.buffer[said] else { return Err(Failure::refused(Why::Malformed)) };
        match (self.facts.version, level, Alert(alert)) {
            (_, _, Alert::CLOSE_NOTIFY) => self.ended = true,
            (Version::Tls12, WARNING, _) | (_, _, Alert::USER_CANCELED) => {}
            (_, _, alert) => return Err(Failure::Received(alert)),
        }
        Ok(())
    }

    /// Messages after the handshake.
    fn handshake(&mut self, said: Range<usize>) -> Result<(), Failure> {
        if said.is_empty() {
            return Err(Failure::refused(Why::Unexpected));
        }
        let mut message = core::mem::take(&mut self.message);
        message.extend_from_slice(&self.buffer[said]);
        let mut rest = message.as_slice();
        while let Some((&[kind, a, b, c], after)) = rest.split_first_chunk::<4>() {
            let len = u32::from_be_bytes([0, a, b, c]) as usize;
            if len > MESSAGE_MAX {
                return Err(Failure::refused(Why::TooLong));
            }
            let Some((body, after)) = after.split_at_checked(len) else { break };
            self.message_of(kind, body, after.is_empty())?;
            rest = after;
        }
        self.message = rest.to_vec();
        Ok(())
    }

    fn message_of(&mut self, kind: u8, body: &[u8], last: bool) -> Result<(), Failure> {
        match (self.kernel.as_deref_mut(), kind) {
            // Renegotiation, which we do not do, whoever asks for it.
            (None, HELLO_REQUEST) if self.client => self.refuse_renegotiation(),
            (None, CLIENT_HELLO) if !self.client => self.refuse_renegotiation(),
            (Some(Kernel::Client(client)), NEW_SESSION_TICKET) => {
                // One that does not make sense is not used.
                let _ = client.handle_new_session_ticket(body);
            }
            (Some(kernel), KEY_UPDATE) => {
                // What follows in the record would be sealed with the old keys.
                let (&[wanted @ 0..=1], true) = (body, last) else {
                    let why = if last { Why::Misbehaved } else { Why::Unexpected };
                    return Err(Failure::refused(why));
                };
                let secrets = match kernel {
                    Kernel::Client(client) => client.update_rx_secret(),
                    Kernel::Server(server) => server.update_rx_secret(),
                };
                let secrets = secrets.map_err(|_| Failure::refused(Why::Internal))?;
                self.rx =
                    Direction::new(Version::Tls13, secrets).ok_or_else(|| Failure::refused(Why::Internal))?;
                self.owes_update |= wanted == 1;
            }
            _ => return Err(Failure::refused(Why::Unexpected)),
        }
        Ok(())
    }

    fn refuse_renegotiation(&mut self) {
        // Once at a time: a peer that does not read gets no more.
        if self.out.is_empty() && !self.closed {
            self.seal(ALERT, &[WARNING, Alert::NO_RENEGOTIATION.0]);
        }
    }

    /// What carries it ended.
    pub(crate) fn cut_off(&mut self) -> Failure {
        *self.failure.get_or_insert(Failure::Truncated)
    }

    /// It is over; the peer is told, unless it has told us.
    fn fail(&mut self, failure: Failure) -> Failure {
        if let Failure::Refused { alert, .. } = failure
            && !self.closed
        {
            self.closed = true;
            self.seal(ALERT, &[FATAL, alert.0]);
        }
        *self.failure.get_or_insert(failure)
    }

    /// Room to read into; what was read is told to [`Self::filled`].
    pub(crate) fn room(&mut self) -> &mut [u8] {
        let need = self.next_len().unwrap_or(HEADER).saturating_sub(self.unopened.len());
        if self.data.is_empty() {
            // To the front, so that it need not grow.
            if self.unopened.start > 0 {
                self.buffer.copy_within(self.unopened.clone(), 0);
                self.unopened = 0..self.unopened.len();
            }
            self.data = 0..0;
        }
        let end = self.unopened.end;
        if self.buffer.len() < end + need.max(1) {
            let whole = (end + need).max(READ);
            self.buffer.reserve_exact(whole - self.buffer.len());
            grow(&mut self.buffer, whole);
        }
        &mut self.buffer[end..]
    }

    /// So much came.
    pub(crate) fn filled(&mut self, len: usize) {
        self.unopened.end += len;
    }

    /// Nothing comes for now: the buffer is not kept for that.
    pub(crate) fn rest(&mut self) {
        if self.data.is_empty() && self.unopened.is_empty() {
            (self.data, self.unopened) = (0..0, 0..0);
            self.buffer = Vec::new();
        }
    }

    /// Whether something can be written.
    pub(crate) fn writable(&self) -> Result<(), Failure> {
        match self.failure {
            Some(failure) => Err(failure),
            None if self.closed => Err(Failure::Closed),
            None => Ok(()),
        }
    }

    /// Seals as much of it as a record takes, and says how much that is.
    pub(crate) fn write(&mut self, data: &[u8]) -> Result<usize, Failure> {
        self.writable()?;
        if self.owes_update || self.tx.seq >= self.tx.limit {
            self.update()?;
        }
        let len = data.len().min(PLAIN_MAX);
        self.seal(DATA, &data[..len]);
        Ok(len)
    }

    /// Says that we are finished.
    pub(crate) fn close(&mut self) {
        if !self.closed && self.failure.is_none() {
            self.closed = true;
            self.seal(ALERT, &[WARNING, Alert::CLOSE_NOTIFY.0]);
        }
    }

    /// Changes the keys that we seal with.
    pub(crate) fn update(&mut self) -> Result<(), Failure> {
        let fresh = self.fresh()?;
        // We do not ask for new keys of the peer's.
        self.seal(HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, 0]);
        self.tx = fresh;
        self.owes_update = false;
        Ok(())
    }

    pub(crate) fn fresh(&mut self) -> Result<Direction, Failure> {
        let secrets = match self.kernel.as_deref_mut() {
            None => return Err(Failure::Exhausted),
            Some(Kernel::Client(client)) => client.update_tx_secret(),
            Some(Kernel::Server(server)) => server.update_tx_secret(),
        };
        let fresh = secrets.ok().and_then(|secrets| Direction::new(Version::Tls13, secrets));
        fresh.ok_or_else(|| Failure::refused(Why::Internal))
    }

    pub(crate) fn seal(&mut self, kind: u8, plain: &[u8]) {
        self.tx.keys.seal(self.tx.seq, kind, plain, &mut self.out);
        self.tx.seq += 1;
    }

    /// How much memory its buffers take.
    pub(crate) fn held(&self) -> usize {
        self.buffer.capacity() + self.out.capacity() + self.message.capacity()
    }

    /// What is to be sent.
    pub(crate) fn to_send(&self) -> &[u8] {
        &self.out[self.sent..]
    }

    /// So much was.
    pub(crate) fn sent(&mut self, len: usize) {
        self.sent += len;
        if self.sent >= self.out.len() {
            self.sent = 0;
            self.out = Vec::new();
        }
    }
}

#[cfg(any(test, feature = "rude"))]
impl Channel {
    /// Asks for new keys, while changing our own.
    pub(crate) fn ask_for_update(&mut self) {
        if let Ok(fresh) = self.fresh() {
            self.seal(HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, 1]);
            self.tx = fresh;
        }
    }
}

#[cfg(test)]
impl Channel {
    /// Seals with these keys from now on.
    pub(crate) fn renew(&mut self, keys: Direction) {
        self.tx = keys;
    }

    /// As if the keys had sealed all that they may.
    pub(crate) fn wear_out(&mut self) {
        self.tx.limit = self.tx.seq;
    }

    /// Whether each record shows a part of its nonce.
    pub(crate) fn shows_nonces(&self) -> bool {
        self.tx.keys.sealed_len(0) == 24
    }

    /// Whether this is the next record.
    pub(crate) fn would_open(&self, record: &[u8]) -> bool {
        let mut sealed = record[HEADER..].to_vec();
        self.rx.keys.open(self.rx.seq, record[0], &mut sealed).is_ok()
    }
}
