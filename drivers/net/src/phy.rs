//! The device a stack stands on.

use crate::features::{ETHERNET, mtu};
use crate::nic::{Inner, State};
use crate::rx::Frame;
use crate::wire::TX_MAX;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::num::{NonZeroU16, NonZeroUsize};
use core::task::Waker;
use fata_link::{Link, Status};
use smoltcp::phy::{self, Checksum, Device, DeviceCapabilities, Medium, PacketMeta};
use smoltcp::time::Instant;
use smoltcp::wire::EthernetAddress;
use xen_hyp::Platform;

/// Bytes that the headers of a frame take at most: of Ethernet, IPv6 and TCP with all its options 114.
const HEADERS: usize = 128;

/// An interface as a [`Link`]. What it takes and sends is published, and the backend notified, at the next
/// [`flush`](Link::flush).
pub struct Phy<P: Platform>(pub(crate) Rc<Inner<P>>);

impl<P: Platform> Link for Phy<P> {
    fn status(&self) -> Status {
        Status { up: self.0.state() == State::Ready, mac: self.0.mac.get(), epoch: self.0.epoch() }
    }

    fn flush(&mut self) {
        self.0.flush();
    }

    fn register(&mut self, waker: &Waker) {
        self.0.register(waker);
    }

    fn listen(&mut self, group: EthernetAddress, wanted: bool) {
        if wanted {
            self.0.join(group);
        } else {
            self.0.leave(group);
        }
    }

    fn cuts_v6(&self) -> Option<NonZeroUsize> {
        let line = self.0.line.borrow();
        let does = line.connection.as_ref().is_some_and(|connection| connection.agreed.gso_v6);
        NonZeroUsize::new(TX_MAX).filter(|_| does)
    }
}

impl<P: Platform> Device for Phy<P> {
    type RxToken<'a> = RxToken<'a, P>;
    type TxToken<'a> = TxToken<'a, P>;

    fn receive(&mut self, _: Instant) -> Option<(RxToken<'_, P>, TxToken<'_, P>)> {
        let (queue, frame) = self.0.with(|connection, totals| {
            // Without room for an answer a frame is better left where it is.
            if connection.has_room(totals)? { connection.take(totals) } else { Ok(None) }
        })?;
        Some((RxToken { nic: &self.0, queue, frame }, TxToken { nic: &self.0, segment: None }))
    }

    fn transmit(&mut self, _: Instant) -> Option<TxToken<'_, P>> {
        self.0.with(|connection, totals| Ok(connection.has_room(totals)?.then_some(())))?;
        Some(TxToken { nic: &self.0, segment: None })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let line = self.0.line.borrow();
        let connection = line.connection.as_ref();
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit =
            ETHERNET + connection.map_or_else(|| mtu(None, true), |it| it.mtu);
        // Those of TCP and UDP are seen to here, be it by the backend or by us.
        capabilities.checksum.tcp = Checksum::None;
        capabilities.checksum.udp = Checksum::None;
        if let Some(connection) = connection {
            capabilities.segmentation.tcpv4 = NonZeroUsize::new(TX_MAX).filter(|_| connection.agreed.gso_v4);
            // That for version 6 smoltcp must not hear of (`Link::cuts_v6`).
            capabilities.segmentation.tcpv6 = None;
        }
        capabilities
    }
}

/// A frame that has come.
pub struct RxToken<'a, P: Platform> {
    nic: &'a Inner<P>,
    queue: usize,
    frame: Frame,
}

impl<P: Platform> phy::RxToken for RxToken<'_, P> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.frame.bytes[..self.frame.len])
    }
}

impl<P: Platform> Drop for RxToken<'_, P> {
    fn drop(&mut self) {
        let bytes = core::mem::take(&mut self.frame.bytes);
        // Of another connection, if that has ended meanwhile: a buffer too small for long frames does no harm.
        if let Some(connection) = &mut self.nic.line.borrow_mut().connection {
            connection.give_back(self.queue, bytes);
        }
    }
}

/// Room for a frame to send.
pub struct TxToken<'a, P: Platform> {
    nic: &'a Inner<P>,
    segment: Option<u16>,
}

impl<P: Platform> phy::TxToken for TxToken<'_, P> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut scratch = core::mem::take(&mut self.nic.line.borrow_mut().scratch);
        if scratch.len() < len {
            scratch = new_scratch(len);
        }
        let frame = &mut scratch[..len];
        // A stack may leave fields out that are nought, and what was sent before is nobody's business. Data it writes.
        frame[..len.min(HEADERS)].fill(0);
        let result = f(frame);
        self.nic.with(|connection, totals| connection.send(frame, self.segment, totals).map(Some));
        self.nic.line.borrow_mut().scratch = scratch;
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.segment = meta.segmentation_offload_size.map(NonZeroU16::get);
    }
}

#[cold]
fn new_scratch(len: usize) -> Vec<u8> {
    // Frames of the usual size need no more, and the longest no third.
    vec![0; if len <= 2048 { 2048 } else { len.max(TX_MAX) }]
}

impl<P: Platform> fmt::Debug for Phy<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Phy").field(&self.0.id).finish()
    }
}

impl<P: Platform> fmt::Debug for RxToken<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RxToken").field("len", &self.frame.len).finish()
    }
}

impl<P: Platform> fmt::Debug for TxToken<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TxToken").field("segment", &self.segment).finish()
    }
}
