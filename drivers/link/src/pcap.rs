//! Writing frames down, for Wireshark and its like.

use crate::{Link, Status};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::num::NonZeroUsize;
use core::task::Waker;
use smoltcp::phy::{self, Device, DeviceCapabilities, PacketMeta};
use smoltcp::time::Instant;
use smoltcp::wire::EthernetAddress;

/// Where the file goes. It gets the bytes in order, in pieces of any size, and what it cannot take is its own loss.
pub trait Sink {
    /// Takes more bytes.
    fn write(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn write(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl<S: Sink> Sink for Rc<RefCell<S>> {
    fn write(&mut self, bytes: &[u8]) {
        self.borrow_mut().write(bytes);
    }
}

/// How frames are written down.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether times are written in nanoseconds; else in microseconds, which every reader knows. The clock of a stack
    /// counts microseconds.
    pub nanoseconds: bool,
    /// Bytes of a frame that are kept at most.
    pub snaplen: u32,
    /// Microseconds since 1970 when the stack's clock was zero.
    pub epoch_us: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { nanoseconds: false, snaplen: 262_144, epoch_us: 0 }
    }
}

/// The file in the making (`draft-ietf-opsawg-pcap`): a header, then a record a frame.
struct File<S> {
    sink: S,
    options: Options,
}

impl<S: Sink> File<S> {
    fn begin(&mut self) {
        let magic: u32 = if self.options.nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
        // Version 2.4, the time zone and accuracy that nobody uses, and Ethernet.
        let (version, ethernet) = (2 | 4 << 16, 1);
        self.words(&[magic, version, 0, 0, self.options.snaplen, ethernet]);
    }

    fn record(&mut self, at: Instant, frame: &[u8]) {
        let us = self.options.epoch_us.saturating_add(at.total_micros().max(0) as u64);
        let fraction = (us % 1_000_000) as u32 * if self.options.nanoseconds { 1000 } else { 1 };
        let kept = frame.len().min(self.options.snaplen as usize);
        self.words(&[(us / 1_000_000) as u32, fraction, kept as u32, frame.len() as u32]);
        self.sink.write(&frame[..kept]);
    }

    fn words(&mut self, words: &[u32]) {
        let mut bytes = [0; 24];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        self.sink.write(&bytes[..4 * words.len()]);
    }
}

/// Writes down what goes over a link, both ways in one file. A frame that the device is to cut into segments, or whose
/// checksum it is to fill in, is written as the stack made it.
pub struct Pcap<L, S> {
    link: L,
    file: RefCell<File<S>>,
}

impl<L: Link, S: Sink> Pcap<L, S> {
    /// Writes the header of the file.
    pub fn new(link: L, sink: S, options: Options) -> Self {
        let mut file = File { sink, options };
        file.begin();
        Self { link, file: RefCell::new(file) }
    }

    /// The link within.
    pub fn link(&mut self) -> &mut L {
        &mut self.link
    }
}

impl<L: Link, S: Sink> Device for Pcap<L, S> {
    type RxToken<'a>
        = Token<'a, L::RxToken<'a>, S>
    where
        Self: 'a;
    type TxToken<'a>
        = Token<'a, L::TxToken<'a>, S>
    where
        Self: 'a;

    fn receive(&mut self, now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let (rx, tx) = self.link.receive(now)?;
        let file = &self.file;
        Some((Token { token: rx, file, now }, Token { token: tx, file, now }))
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        let token = self.link.transmit(now)?;
        Some(Token { token, file: &self.file, now })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.link.capabilities()
    }
}

impl<L: Link, S: Sink> Link for Pcap<L, S> {
    fn status(&self) -> Status {
        self.link.status()
    }
    fn flush(&mut self) {
        self.link.flush();
    }
    fn listen(&mut self, group: EthernetAddress, wanted: bool) {
        self.link.listen(group, wanted);
    }
    fn register(&mut self, waker: &Waker) {
        self.link.register(waker);
    }
    fn cuts_v6(&self) -> Option<NonZeroUsize> {
        self.link.cuts_v6()
    }

    fn due(&self) -> Option<Instant> {
        self.link.due()
    }
}

/// A frame that is written down when it is used.
pub struct Token<'a, T, S> {
    token: T,
    file: &'a RefCell<File<S>>,
    now: Instant,
}

impl<T: phy::RxToken, S: Sink> phy::RxToken for Token<'_, T, S> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        self.token.consume(|frame| {
            self.file.borrow_mut().record(self.now, frame);
            f(frame)
        })
    }

    fn meta(&self) -> PacketMeta {
        self.token.meta()
    }
}

impl<T: phy::TxToken, S: Sink> phy::TxToken for Token<'_, T, S> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        self.token.consume(len, |frame| {
            let result = f(frame);
            self.file.borrow_mut().record(self.now, frame);
            result
        })
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.token.set_meta(meta);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;
    use phy::{RxToken, TxToken};

    fn capture(options: Options) -> Vec<u8> {
        let (here, mut there, _) = wire::pair(wire::Options::default());
        let file = Rc::new(RefCell::new(Vec::new()));
        let mut here = Pcap::new(here, file.clone(), options);
        let now = Instant::from_micros(2_000_003);
        here.transmit(now).unwrap().consume(60, |frame| frame.fill(7));
        there.transmit(now).unwrap().consume(14, |frame| frame.fill(9));
        there.flush();
        here.receive(now).unwrap().0.consume(|_| ());
        file.take()
    }

    #[test]
    fn the_file_is_what_readers_expect() {
        let bytes = capture(Options::default());
        let header = [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
        assert_eq!(bytes[..24], header);
        assert_eq!(bytes[24..40], [2, 0, 0, 0, 3, 0, 0, 0, 60, 0, 0, 0, 60, 0, 0, 0]);
        assert_eq!(bytes[40..100], [7; 60]);
        assert_eq!(bytes[100..116], [2, 0, 0, 0, 3, 0, 0, 0, 14, 0, 0, 0, 14, 0, 0, 0]);
        assert_eq!(bytes[116..], [9; 14]);
    }

    #[test]
    fn long_frames_are_cut_and_times_are_what_was_asked_for() {
        let options = Options { nanoseconds: true, snaplen: 10, epoch_us: 5_000_000 };
        let bytes = capture(options);
        assert_eq!(bytes[..4], [0x4d, 0x3c, 0xb2, 0xa1]);
        assert_eq!(bytes[24..40], [7, 0, 0, 0, 0xb8, 0x0b, 0, 0, 10, 0, 0, 0, 60, 0, 0, 0]);
        assert_eq!(bytes.len(), 24 + 2 * (16 + 10));
    }
}
