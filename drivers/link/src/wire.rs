//! Two links that are each other's other end, in one process: for tests and benchmarks.

use crate::{Link, Status};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::num::NonZeroUsize;
use core::task::Waker;
use smoltcp::phy::{self, Checksum, Device, DeviceCapabilities, Medium, PacketMeta};
use smoltcp::time::Instant;
use smoltcp::wire::EthernetAddress;

/// What both ends can do.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The largest IP packet.
    pub mtu: usize,
    /// Whether the ends trust each other's bytes, so that no checksum of TCP and UDP is made or looked at.
    pub checksum_offload: bool,
    /// The largest frame that one end gives the other to cut into segments, which it never does; none without.
    pub segmentation: Option<NonZeroUsize>,
    /// Frames on their way, in each direction.
    pub room: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { mtu: 1500, checksum_offload: false, segmentation: None, room: 256 }
    }
}

/// Two ends that are up, and their cable. Nothing arrives before it was flushed.
pub fn pair(options: Options) -> (Wire, Wire, Cable) {
    let cable = Cable(Rc::new(Shared {
        options: Cell::new(options),
        up: Cell::new(true),
        epoch: Cell::new(1),
        lanes: Default::default(),
        wakers: Default::default(),
    }));
    let end = |index: u8| Wire { shared: cable.0.clone(), index: index.into(), mac: mac(index + 1) };
    (end(0), end(1), cable)
}

fn mac(last: u8) -> EthernetAddress {
    EthernetAddress([2, 0, 0, 0, 0, last])
}

struct Frame {
    bytes: Vec<u8>,
    meta: PacketMeta,
}

/// One direction.
#[derive(Default)]
struct Lane {
    /// Written and not flushed.
    written: Vec<Frame>,
    sent: VecDeque<Frame>,
    /// The sender found no room.
    full: bool,
    /// Buffers to use again.
    spare: Vec<Vec<u8>>,
}

struct Shared {
    options: Cell<Options>,
    up: Cell<bool>,
    epoch: Cell<u32>,
    lanes: [RefCell<Lane>; 2],
    wakers: [Cell<Option<Waker>>; 2],
}

impl Shared {
    fn wake(&self, end: usize) {
        if let Some(waker) = self.wakers[end].take() {
            waker.wake();
        }
    }
}

/// What connects two ends. It can be pulled out and put in again.
#[derive(Clone)]
pub struct Cable(Rc<Shared>);

impl Cable {
    /// Takes both ends down. What was on its way is lost.
    pub fn unplug(&self) {
        self.0.up.set(false);
        for lane in &self.0.lanes {
            let mut lane = lane.borrow_mut();
            lane.written.clear();
            lane.sent.clear();
        }
        (0..2).for_each(|end| self.0.wake(end));
    }

    /// Brings both ends up again, perhaps with other capabilities.
    pub fn plug(&self, options: Options) {
        self.0.options.set(options);
        self.0.up.set(true);
        self.0.epoch.set(self.0.epoch.get() + 1);
        (0..2).for_each(|end| self.0.wake(end));
    }

    /// What both ends can do.
    pub fn options(&self) -> Options {
        self.0.options.get()
    }
}

/// One end.
pub struct Wire {
    shared: Rc<Shared>,
    index: usize,
    mac: EthernetAddress,
}

impl Wire {
    /// Gives this end another address.
    pub fn with_mac(mut self, mac: EthernetAddress) -> Self {
        self.mac = mac;
        self
    }

    fn out(&self) -> &RefCell<Lane> {
        &self.shared.lanes[self.index]
    }

    fn token(&self) -> TxToken<'_> {
        TxToken { lane: self.out(), limit: limit(self.shared.options.get()), meta: PacketMeta::default() }
    }
}

/// The largest frame without segmentation.
fn limit(options: Options) -> usize {
    options.mtu + 14
}

impl Device for Wire {
    type RxToken<'a> = RxToken<'a>;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(RxToken<'_>, TxToken<'_>)> {
        let lane = &self.shared.lanes[1 - self.index];
        let (frame, wake) = {
            let mut inner = lane.borrow_mut();
            let frame = inner.sent.pop_front()?;
            (frame, core::mem::take(&mut inner.full))
        };
        if wake {
            self.shared.wake(1 - self.index);
        }
        // An answer always has room, or two ends that have none would wait for each other.
        Some((RxToken { frame, lane }, self.token()))
    }

    fn transmit(&mut self, _now: Instant) -> Option<TxToken<'_>> {
        if !self.shared.up.get() {
            return None;
        }
        let mut lane = self.out().borrow_mut();
        lane.full = lane.written.len() + lane.sent.len() >= self.shared.options.get().room;
        let full = lane.full;
        drop(lane);
        (!full).then(|| self.token())
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let options = self.shared.options.get();
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = limit(options);
        if options.checksum_offload {
            capabilities.checksum.tcp = Checksum::None;
            capabilities.checksum.udp = Checksum::None;
        }
        capabilities.segmentation.tcpv4 = options.segmentation;
        capabilities.segmentation.tcpv6 = options.segmentation;
        capabilities
    }
}

impl Link for Wire {
    fn status(&self) -> Status {
        Status { up: self.shared.up.get(), mac: self.mac, epoch: self.shared.epoch.get() }
    }

    fn flush(&mut self) {
        let mut lane = self.out().borrow_mut();
        let lane = &mut *lane;
        if !lane.written.is_empty() {
            lane.sent.extend(lane.written.drain(..));
            self.shared.wake(1 - self.index);
        }
    }

    fn register(&mut self, waker: &Waker) {
        self.shared.wakers[self.index].set(Some(waker.clone()));
    }
}

/// A frame that has come.
pub struct RxToken<'a> {
    frame: Frame,
    lane: &'a RefCell<Lane>,
}

impl phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let result = f(&self.frame.bytes);
        self.lane.borrow_mut().spare.push(self.frame.bytes);
        result
    }

    fn meta(&self) -> PacketMeta {
        self.frame.meta
    }
}

/// Room for a frame.
pub struct TxToken<'a> {
    lane: &'a RefCell<Lane>,
    limit: usize,
    meta: PacketMeta,
}

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        assert!(
            len <= self.limit || self.meta.segmentation_offload_size.is_some(),
            "a frame of {len} bytes on a wire for {}",
            self.limit
        );
        let mut bytes = self.lane.borrow_mut().spare.pop().unwrap_or_default();
        bytes.resize(len, 0);
        let result = f(&mut bytes);
        self.lane.borrow_mut().written.push(Frame { bytes, meta: self.meta });
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.meta = meta;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::sync::Arc;
    use alloc::task::Wake;
    use core::sync::atomic::{AtomicUsize, Ordering};
    use phy::{RxToken as _, TxToken as _};

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    const NOW: Instant = Instant::ZERO;

    fn send(wire: &mut Wire, byte: u8) -> bool {
        wire.transmit(NOW).map(|token| token.consume(20, |frame| frame.fill(byte))).is_some()
    }

    #[test]
    fn frames_arrive_in_order_when_they_are_flushed_with_one_wake_up() {
        let (mut a, mut b, _) = pair(Options::default());
        let wakes = Arc::new(Wakes::default());
        b.register(&wakes.clone().into());
        assert!(send(&mut a, 1) && send(&mut a, 2));
        assert!(b.receive(NOW).is_none(), "not flushed");
        a.flush();
        a.flush();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        for byte in [1, 2] {
            b.receive(NOW).unwrap().0.consume(|frame| assert_eq!(frame, [byte; 20]));
        }
        assert!(b.receive(NOW).is_none());
    }

    #[test]
    fn who_found_no_room_is_woken_when_there_is_some() {
        let (mut a, mut b, _) = pair(Options { room: 1, ..Options::default() });
        let wakes = Arc::new(Wakes::default());
        assert!(send(&mut a, 1) && !send(&mut a, 2));
        a.register(&wakes.clone().into());
        a.flush();
        b.receive(NOW).unwrap().0.consume(|_| ());
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        assert!(send(&mut a, 2));
    }

    #[test]
    fn an_unplugged_cable_loses_what_was_on_it_and_counts_when_it_is_back() {
        let (mut a, mut b, cable) = pair(Options::default());
        send(&mut a, 1);
        a.flush();
        cable.unplug();
        assert!(!a.status().up && !send(&mut a, 1) && b.receive(NOW).is_none());
        cable.plug(Options { mtu: 9000, ..cable.options() });
        assert_eq!((b.status().up, b.status().epoch), (true, 2));
        assert_eq!(a.capabilities().max_transmission_unit, 9014);
        assert!(b.receive(NOW).is_none() && send(&mut a, 1));
    }
}
