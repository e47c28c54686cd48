//! What smoltcp sees of a link: one received frame, or room to send. Everything that it sends comes through here.

use crate::fragments;
use crate::groups::is_report;
use crate::headers;
use crate::numbers::Numbers;
use crate::segments::Segmented;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::num::NonZeroU16;
use fata_link::Link;
use smoltcp::phy::{self, ChecksumCapabilities, Device, DeviceCapabilities, PacketMeta};
use smoltcp::time::Instant;

/// The largest packet that smoltcp hears of; see [`fragments`].
pub(crate) const LARGEST_PACKET: usize = 65_535;

/// Fragments that may wait for room when an answer is cut into more of them.
const PARTS: usize = 256;

/// What is to be known and remembered of what is sent.
#[derive(Default)]
pub(crate) struct Out {
    /// The link's, without the Ethernet header.
    pub(crate) mtu: usize,
    pub(crate) sums: ChecksumCapabilities,
    /// Whether the device cuts TCP over IPv4 and IPv6 into segments. If it does not, that is done here.
    pub(crate) segments: [bool; 2],
    /// Whether smoltcp makes more than one segment at a time, over IPv4 and IPv6.
    pub(crate) is_cut: [bool; 2],
    /// Fragments that had no room yet.
    parts: VecDeque<Vec<u8>>,
    /// Segments that had no room yet.
    segmented: Segmented,
    /// The number of the next datagram in fragments.
    next_id: u32,
    /// The socket that sends now is TCP and has yet to agree on segment sizes: its SYN is to name the link's.
    shakes_hands: bool,
    /// The socket that sends now is TCP, and smoltcp makes more than one segment at a time for it.
    stream: Option<Stream>,
    /// There was no room for what was to be sent.
    pub(crate) refused: bool,
    /// Room was asked for,
    pub(crate) opened: bool,
    /// and used for what was to be sent,
    pub(crate) used: bool,
    /// or used to ask for a neighbour.
    pub(crate) asked: bool,
    /// If the socket that sends now is TCP, what it has sent.
    pub(crate) numbers: Option<Numbers>,
    /// Datagrams that were not cut, since enough fragments wait, or they cannot be.
    pub(crate) dropped: u64,
}

/// A connection that sends.
#[derive(Clone, Copy)]
pub(crate) struct Stream {
    pub(crate) v6: bool,
    /// The largest segment that its peer takes. smoltcp 0.14 does not say it of TCP over IPv6, and of IPv4 what was
    /// right for the link that the connection was opened on.
    pub(crate) max_segment: u16,
}

impl Out {
    pub(crate) fn new(next_id: u32) -> Self {
        Self { next_id, ..Self::default() }
    }

    /// Prepares for what the next socket sends.
    pub(crate) fn begin(&mut self, shakes_hands: bool, stream: Option<Stream>, numbers: Option<Numbers>) {
        (self.shakes_hands, self.stream, self.numbers) = (shakes_hands, stream, numbers);
        (self.refused, self.opened, self.used, self.asked) = (false, false, false, false);
    }

    /// Forgets what had no room.
    pub(crate) fn clear(&mut self) {
        self.parts.clear();
        self.segmented.len = 0;
    }

    /// The largest TCP segment for IPv4 and IPv6.
    pub(crate) fn max_segment(&self, v6: bool) -> u16 {
        self.mtu.saturating_sub(if v6 { 60 } else { 40 }).clamp(1, 65_475) as u16
    }

    /// Whether there is nothing that had no room.
    fn is_clear(&self) -> bool {
        self.segmented.len == 0 && self.parts.is_empty()
    }

    /// Sends what had no room, as long as there is some. False if something is left.
    #[inline]
    pub(crate) fn send_rest<L: Link>(&mut self, link: &mut L, now: Instant) -> bool {
        self.is_clear() || self.send_some(link, now)
    }

    #[inline(never)]
    fn send_some<L: Link>(&mut self, link: &mut L, now: Instant) -> bool {
        while !self.is_clear() {
            let Some(token) = link.transmit(now) else { return false };
            if self.segmented.len > 0 {
                self.segmented.send(token);
            } else if let Some(part) = self.parts.pop_front() {
                phy::TxToken::consume(token, part.len(), |room| room.copy_from_slice(&part));
            }
        }
        true
    }

    #[inline]
    fn written(&mut self, frame: &mut [u8]) {
        // Who sends it is the interface, whichever socket has its turn.
        if frame.first().is_some_and(|byte| byte & 1 != 0) && is_report(frame) {
            return;
        }
        if self.shakes_hands
            && let headers::Seen::Tcp { flags, at, .. } = headers::look(frame)
            && flags & headers::SYN != 0
        {
            headers::lower_max_segment(frame, at, self.max_segment(at == 54), self.sums.tcp.tx());
        }
        // A request for a neighbour went out in place of what was to be sent.
        let request = match frame.len() {
            42 => frame[12..14] == [0x08, 0x06],
            86 => frame[12..14] == [0x86, 0xdd] && frame[20] == 58 && frame[54] == 135,
            _ => false,
        };
        if request {
            self.asked = true;
        } else {
            self.used = true;
            if let Some(numbers) = &mut self.numbers {
                numbers.written(frame, self.sums.tcp.tx());
            }
        }
    }

    /// The size of the segments that a frame is to be cut into, if it is to be.
    fn segment(&self, frame_len: usize) -> Option<(Stream, NonZeroU16)> {
        let stream = self.stream?;
        let size = stream.max_segment.min(self.max_segment(stream.v6));
        let header = if stream.v6 { 74 } else { 54 };
        let size = NonZeroU16::new(size).filter(|size| frame_len > header + usize::from(size.get()))?;
        Some((stream, size))
    }
}

/// One frame, and room for the answer to it.
pub(crate) struct Once<'a, T> {
    pub(crate) frame: Option<(&'a [u8], PacketMeta)>,
    pub(crate) token: Option<T>,
    pub(crate) out: &'a mut Out,
}

impl<'a, T: phy::TxToken> Device for Once<'a, T> {
    type RxToken<'b>
        = Bytes<'a>
    where
        Self: 'b;
    type TxToken<'b>
        = Room<'b, T>
    where
        Self: 'b;

    fn receive(&mut self, _now: Instant) -> Option<(Bytes<'a>, Room<'_, T>)> {
        let (bytes, meta) = self.frame.take()?;
        let token = self.token.take()?;
        Some((Bytes(bytes, meta), Room { token, out: self.out }))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Room<'_, T>> {
        None
    }

    /// Not looked at: an interface knows them from its making.
    fn capabilities(&self) -> DeviceCapabilities {
        DeviceCapabilities::default()
    }
}

/// A frame that lies where the link put it.
pub(crate) struct Bytes<'a>(&'a [u8], PacketMeta);

impl phy::RxToken for Bytes<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
    fn meta(&self) -> PacketMeta {
        self.1
    }
}

/// The link for what sockets send on their own account.
pub(crate) struct Gate<'a, L> {
    pub(crate) link: &'a mut L,
    pub(crate) out: &'a mut Out,
}

impl<'a, L: Link> Device for Gate<'a, L> {
    type RxToken<'b>
        = Bytes<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Room<'b, L::TxToken<'b>>
    where
        Self: 'b;

    fn receive(&mut self, _now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        None
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        // While parts of a packet wait for room there is none for another.
        let token = if self.out.is_clear() { self.link.transmit(now) } else { None };
        match token {
            Some(token) => {
                self.out.opened = true;
                Some(Room { token, out: self.out })
            }
            None => {
                self.out.refused = true;
                None
            }
        }
    }

    /// Not looked at: an interface knows them from its making.
    fn capabilities(&self) -> DeviceCapabilities {
        DeviceCapabilities::default()
    }
}

/// Room for a packet of any size.
pub(crate) struct Room<'a, T> {
    token: T,
    out: &'a mut Out,
}

impl<T: phy::TxToken> phy::TxToken for Room<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Self { mut token, out } = self;
        if let Some((stream, size)) = out.segment(len) {
            if !out.segments[usize::from(stream.v6)] {
                out.used = true;
                let frame = out.segmented.begin(len, stream, size);
                let result = f(frame);
                if let Some(numbers) = &mut out.numbers {
                    numbers.written(frame, false);
                }
                out.segmented.send(token);
                return result;
            }
            let mut meta = PacketMeta::default();
            meta.segmentation_offload_size = Some(size);
            token.set_meta(meta);
        } else if len > out.mtu + 14 {
            return fragment(out, len, f);
        }
        token.consume(len, |frame| {
            let result = f(frame);
            out.written(frame);
            result
        })
    }
}

/// Out of line, since large datagrams are rare.
#[inline(never)]
fn fragment<R, F: FnOnce(&mut [u8]) -> R>(out: &mut Out, len: usize, f: F) -> R {
    out.used = true;
    let mut frame = alloc::vec![0; len];
    let result = f(&mut frame);
    if let Some(numbers) = &mut out.numbers {
        numbers.written(&mut frame, out.sums.tcp.tx());
    }
    let id = out.next_id;
    out.next_id = id.wrapping_add(1);
    if out.parts.len() > PARTS || !fragments::cut(&mut frame, out.mtu, id, &out.sums, &mut out.parts) {
        out.dropped += 1;
    }
    result
}

/// What an interface is made for: the link, but for the largest packets there are.
pub(crate) struct Model(pub(crate) DeviceCapabilities);

impl Device for Model {
    type RxToken<'a> = Bytes<'a>;
    type TxToken<'a> = NoRoom;

    fn receive(&mut self, _now: Instant) -> Option<(Bytes<'_>, NoRoom)> {
        None
    }
    fn transmit(&mut self, _now: Instant) -> Option<NoRoom> {
        None
    }
    fn capabilities(&self) -> DeviceCapabilities {
        self.0.clone()
    }
}

/// What a [`Model`] never gives.
pub(crate) enum NoRoom {}

impl phy::TxToken for NoRoom {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, _len: usize, _f: F) -> R {
        match self {}
    }
}
