//! How much, and how long.

use core::time::Duration;

/// What a peer may take up. The sizes hold for both sides, and for each message; a time that is over ends the connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a request line or status line, its end not counted (414).
    pub line: usize,
    /// Bytes of a head, with all of its lines (431). No more than 65,535 count.
    pub head: usize,
    /// Fields of a head (431). No more than 64 count.
    pub fields: usize,
    /// Bytes of a body (413), unless the handler or the caller allows another number.
    pub body: u64,
    /// Bytes of all trailers, and of all that accompanies the chunks of a body besides their sizes.
    pub trailers: usize,
    /// Bytes of a body that nobody wanted that are read, in order to keep the connection.
    pub drain: u64,
    /// Requests of a connection.
    pub requests: u32,
    /// For the first byte of a connection.
    pub first: Duration,
    /// For the first byte of each later request.
    pub idle: Duration,
    /// For a whole head, from its first byte (408).
    pub head_time: Duration,
    /// Between pieces of a body (408),
    pub body_pause: Duration,
    /// and for all of it.
    pub body_time: Duration,
    /// For the peer to take some of what is written.
    pub write: Duration,
    /// For the first byte of an answer (client).
    pub answer: Duration,
    /// For the peer to close, once everything is said: [`linger`](crate::linger).
    pub linger: Duration,
}

impl Limits {
    /// Fields that there is room for.
    pub(crate) const FIELDS: usize = 64;

    pub(crate) fn head(&self) -> usize {
        self.head.min(usize::from(u16::MAX))
    }
}

impl Default for Limits {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self {
            line: 4096,
            head: 8192,
            fields: Self::FIELDS,
            body: 1 << 20,
            trailers: 4096,
            drain: 64 << 10,
            requests: u32::MAX,
            first: s(10),
            idle: s(60),
            head_time: s(10),
            body_pause: s(20),
            body_time: s(600),
            write: s(20),
            answer: s(60),
            linger: s(5),
        }
    }
}
