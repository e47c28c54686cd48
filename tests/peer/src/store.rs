//! Xenstore as Linux shows it to programs: its messages, written to and read from a device (Xen's
//! `xen/include/public/io/xs_wire.h`).

use core::fmt;

use crate::fail;
use crate::sys::{Failed, File};

/// `XS_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Op {
    Read = 2,
    Watch = 4,
    Unwatch = 5,
    TransactionStart = 6,
    TransactionEnd = 7,
    Write = 11,
}

const WATCH_EVENT: u32 = 15;
const ERROR: u32 = 16;
const HEADER: usize = 16;

/// A request: its header, whose last field is the length of what follows.
pub(crate) struct Message {
    bytes: [u8; 256],
    len: usize,
}

impl Message {
    pub(crate) fn new(op: Op, transaction: u32) -> Self {
        let mut bytes = [0; 256];
        bytes[0..4].copy_from_slice(&(op as u32).to_le_bytes());
        bytes[8..12].copy_from_slice(&transaction.to_le_bytes());
        Self { bytes, len: HEADER }
    }

    /// Appends to what follows the header.
    pub(crate) fn push(&mut self, more: &[u8]) {
        let Some(place) = self.bytes.get_mut(self.len..self.len + more.len()) else {
            fail(format_args!("a message is too long"));
        };
        place.copy_from_slice(more);
        self.len += more.len();
        self.bytes[12..16].copy_from_slice(&((self.len - HEADER) as u32).to_le_bytes());
    }
}

impl fmt::Write for Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// A connection, and what came on it.
pub(crate) struct Store {
    device: File,
    input: [u8; 4096],
    from: usize,
    to: usize,
    /// Events that came before replies.
    events: usize,
}

impl Store {
    pub(crate) fn open() -> Result<Self, Failed> {
        let device = File::open(c"/dev/xen/xenbus", 0)?;
        Ok(Self { device, input: [0; 4096], from: 0, to: 0, events: 0 })
    }

    /// Sends a request and waits for its reply.
    pub(crate) fn ask(&mut self, op: Op, transaction: u32, payload: &[u8]) -> Result<&[u8], Failed> {
        let mut message = Message::new(op, transaction);
        message.push(payload);
        self.send(&message)?;
        self.reply()
    }

    pub(crate) fn send(&self, message: &Message) -> Result<(), Failed> {
        self.device.write(&message.bytes[..message.len]).map(drop)
    }

    /// Waits for the next reply.
    pub(crate) fn reply(&mut self) -> Result<&[u8], Failed> {
        loop {
            let (kind, payload) = self.next()?;
            match kind {
                WATCH_EVENT => self.events += 1,
                ERROR => fail(format_args!("Xenstore: {:?}", self.input[payload].escape_ascii())),
                _ => return Ok(&self.input[payload]),
            }
        }
    }

    /// Waits for a watch's event.
    pub(crate) fn event(&mut self) -> Result<(), Failed> {
        while self.events == 0 {
            match self.next()?.0 {
                WATCH_EVENT => self.events += 1,
                kind => fail(format_args!("a message of type {kind} in place of an event")),
            }
        }
        self.events -= 1;
        Ok(())
    }

    /// The type of the next message, and where what follows its header is.
    fn next(&mut self) -> Result<(u32, core::ops::Range<usize>), Failed> {
        loop {
            let message = &self.input[self.from..self.to];
            let number = |at| Some(u32::from_le_bytes(*message.get(at..)?.first_chunk()?));
            if let (Some(kind), Some(length)) = (number(0), number(12))
                && let end = HEADER + length as usize
                && end <= message.len()
            {
                let payload = self.from + HEADER..self.from + end;
                self.from += end;
                return Ok((kind, payload));
            }
            self.input.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
            self.to += self.device.read(&mut self.input[self.to..])?;
        }
    }
}
