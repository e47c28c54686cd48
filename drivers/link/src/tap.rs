//! A link to the host: a TAP device of Linux.

use crate::{Link, Status};
use alloc::rc::Rc;
use core::cell::Cell;
use core::task::Waker;
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium, TunTapInterface};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::EthernetAddress;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

/// One end of a TAP device; the host's network stack has the other.
pub struct Tap {
    device: TunTapInterface,
    mac: EthernetAddress,
    events: TapEvents,
}

impl Tap {
    /// Attaches to the TAP device with this name, which is made if the caller may. `mac` is our address, not the host's.
    pub fn open(name: &str, mac: EthernetAddress) -> io::Result<Self> {
        let device = TunTapInterface::new(name, Medium::Ethernet)?;
        let events = TapEvents { fd: device.as_raw_fd(), waker: Rc::default() };
        Ok(Self { device, mac, events })
    }

    /// What a run loop sleeps on.
    pub fn events(&self) -> TapEvents {
        self.events.clone()
    }
}

/// Sleeps until a frame comes. A run loop calls this when it is idle.
#[derive(Clone)]
pub struct TapEvents {
    fd: RawFd,
    waker: Rc<Cell<Option<Waker>>>,
}

impl TapEvents {
    /// Waits for a frame, for no longer than `limit_us` if there is one, and wakes who has registered. The device must
    /// still be open.
    pub fn wait(&self, limit_us: Option<u64>) -> io::Result<()> {
        phy::wait(self.fd, limit_us.map(Duration::from_micros))?;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        Ok(())
    }
}

impl Device for Tap {
    type RxToken<'a> = <TunTapInterface as Device>::RxToken<'a>;
    type TxToken<'a> = <TunTapInterface as Device>::TxToken<'a>;

    fn receive(&mut self, now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.device.receive(now)
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        self.device.transmit(now)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.device.capabilities()
    }
}

impl Link for Tap {
    fn status(&self) -> Status {
        Status { up: true, mac: self.mac, epoch: 1 }
    }

    /// Each frame was sent when it was written.
    fn flush(&mut self) {}

    fn register(&mut self, waker: &Waker) {
        self.events.waker.set(Some(waker.clone()));
    }
}
