//! Links: devices that carry Ethernet frames, and what any of them can wear.
//!
//! The seam between drivers and a network stack is smoltcp's [`phy::Device`]. A [`Link`] adds what a stack must know
//! besides: whether frames get through at the moment, what the address is, and when to look again.
//!
//! Middleware is a link around a link: [`Counter`] counts frames, [`Pcap`] writes them down, [`Faults`] loses, delays
//! and spoils them, and [`Parked`] gives a stack the frames again that it could not answer yet. [`wire`] is a link
//! within a process, and `Tap` one to the host.
#![cfg_attr(not(any(test, feature = "tap")), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod counter;
mod faults;
pub mod neighbor;
mod parked;
mod pcap;
#[cfg(feature = "tap")]
mod tap;
pub mod wire;

pub use counter::{Counter, Counts, Traffic};
pub use faults::{Faults, Plan};
pub use parked::{Limits, Parked, Parking};
pub use pcap::{Options as PcapOptions, Pcap, Sink};
#[cfg(feature = "tap")]
pub use tap::{Tap, TapEvents};

use core::num::NonZeroUsize;
use core::task::Waker;
use smoltcp::phy;
use smoltcp::time::Instant;
use smoltcp::wire::EthernetAddress;

/// How it stands with a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether frames get through. While they do not, there is nothing to receive and no room to send.
    pub up: bool,
    /// Its address. All zeroes until it is known.
    pub mac: EthernetAddress,
    /// Counts the times that it came up. With another number the capabilities may be others, and neighbours must hear
    /// of us anew.
    pub epoch: u32,
}

/// A device that a stack can stand on.
pub trait Link: phy::Device {
    /// How it stands.
    fn status(&self) -> Status;

    /// Sends off what was written. To be called once after each poll of a stack, so that the other end is woken at most
    /// once for it.
    fn flush(&mut self);

    /// Has `waker` woken, once, when a frame has come, when there is room to send again after there was none, or when
    /// the status has changed. Register first and then look, so that nothing is missed. There is one waker, the last.
    fn register(&mut self, waker: &Waker);

    /// The longest TCP packet of IPv6 that the device cuts into segments, as a frame. Not the same as smoltcp's capability
    /// for it, which a device that does may keep to itself: smoltcp 0.14 makes such packets, then drops them as longer than
    /// the MTU, and asks for nothing to be cut, so that a stream over it stands still.
    fn cuts_v6(&self) -> Option<NonZeroUsize> {
        self.capabilities().segmentation.tcpv6
    }

    /// Frames to this group are wanted from now on, or not any more. A device that gives all of them to us has nothing to
    /// do.
    fn listen(&mut self, group: EthernetAddress, wanted: bool) {
        let _ = (group, wanted);
    }

    /// When to look again although nobody wakes: the link holds something back until then. Hardware does not.
    fn due(&self) -> Option<Instant> {
        None
    }
}
