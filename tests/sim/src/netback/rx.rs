//! Frames for the guest, into its ring (`xen-netback/rx.c`).

use super::queue::Waiting;
use super::tx::Ticket;
use super::wire::{
    EXTRA_MORE, GSO_TCPV4, GSO_TCPV6, RX_SLOT, RXF_CSUM_BLANK, RXF_DATA_VALIDATED, RXF_EXTRA_INFO,
    RXF_MORE_DATA, RxRequest, gso_info, hash_info, rx_response,
};
use super::{Inner, Netback};
use crate::frame::{Csum, ETHERNET, Frame};
use fata_ring::Corrupt;
use std::rc::Rc;
use xen_hyp::{GrantRef, PAGE_SIZE, SharedMem};

/// How long frames wait for requests (`rx_drain_timeout_msecs`), and where the guest does not say when it makes some.
const DRAIN_NS: u64 = 10_000_000_000;
const DRAIN_UNTOLD_NS: u64 = 30_000_000;
/// After so long without requests nothing waits any more (`rx_stall_timeout_msecs`).
const STALL_NS: u64 = 60_000_000_000;
/// Bytes that wait at most (`XENVIF_RX_QUEUE_BYTES`).
const WAITING_BYTES: usize = 128 * PAGE_SIZE;
/// A tag of 802.1Q, which does not count as data.
const VLAN: usize = 4;

/// What the guest said that it takes (`read_xenbus_vif_flags`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// `request-rx-copy`.
    pub copy: bool,
    /// `feature-rx-notify`.
    pub notify: bool,
    /// `feature-sg`.
    pub sg: bool,
    /// `feature-gso-tcpv4`.
    pub gso_tcpv4: bool,
    /// `feature-gso-tcpv6`.
    pub gso_tcpv6: bool,
    /// No `feature-no-csum-offload`.
    pub csum: bool,
    /// `feature-ipv6-csum-offload`.
    pub csum_ipv6: bool,
}

impl Netback {
    /// Puts a frame on its way to the guest, made such as the guest takes, or drops it.
    pub(super) fn enqueue(&self, inner: &mut Inner, frame: &Frame, ticket: Option<&Ticket>) {
        if inner.queues.is_empty() || inner.disabled || inner.connecting > 0 || inner.carrier == Some(false) {
            inner.stats.dropped_down += 1;
            return;
        }
        if frame.is_multicast() && frame.destination() != Some([0xff; 6]) && self.filters(inner) {
            let known = frame.destination().is_some_and(|address| inner.filter.contains(&address));
            if !known {
                inner.stats.dropped_filtered += 1;
                return;
            }
        }
        let Some(frames) = inner.taken.fit(frame) else {
            inner.stats.dropped_bad += 1;
            return;
        };
        for frame in frames {
            // Without scatter-gather its MTU is 1500, and a frame has to fit one slot.
            if !inner.taken.sg && frame.bytes.len() > ETHERNET + VLAN + 1500 {
                inner.stats.dropped_long += 1;
                continue;
            }
            let now_ns = self.world.now_ns();
            let index = inner.steer(&frame);
            let queue = &mut inner.queues[index];
            if queue.requests() > 0 {
                queue.stalled = false;
            } else if now_ns > queue.last_rx_ns + STALL_NS {
                queue.stalled = true;
            }
            if queue.stalled && inner.taken.notify {
                inner.stats.dropped_down += 1;
                continue;
            }
            if queue.waiting_bytes() > WAITING_BYTES {
                inner.stats.dropped_full += 1;
                continue;
            }
            let drain_ns = if inner.taken.notify { DRAIN_NS } else { DRAIN_UNTOLD_NS };
            let expires_ns = now_ns + drain_ns;
            queue.waiting.push_back(Waiting { frame, expires_ns, _ticket: ticket.cloned() });
            queue.rx.awake = true;
        }
    }

    /// Gives the guest of what waits what there are requests for (`xenvif_rx_action`).
    pub(super) fn give(&self, inner: &mut Inner, index: usize) {
        let now_ns = self.world.now_ns();
        while let Some(waiting) = inner.queues[index].waiting.pop_front() {
            let Waiting { frame, expires_ns, .. } = &waiting;
            let extras = inner.extras(frame);
            let slots = frame.bytes.len().div_ceil(PAGE_SIZE).max(1) + extras.len();
            let queue = &mut inner.queues[index];
            if queue.has_requests(slots) {
                queue.last_rx_ns = now_ns;
                if self.fill(inner, index, frame, &extras).is_err() {
                    inner.complaints.push("impossible number of requests to receive into".into());
                    inner.disabled = true;
                    return;
                }
            } else if now_ns >= *expires_ns {
                inner.stats.dropped_no_requests += 1;
            } else {
                self.world.alarm(*expires_ns);
                queue.waiting.push_front(waiting);
                return;
            }
        }
    }

    /// Copies a frame into as many pages as it takes, and answers their requests (`xenvif_rx_skb`).
    fn fill(
        &self,
        inner: &mut Inner,
        index: usize,
        frame: &Frame,
        extras: &[[u8; RX_SLOT]],
    ) -> Result<(), Corrupt> {
        let slots = frame.bytes.len().div_ceil(PAGE_SIZE).max(1) + extras.len();
        let mut answers: Vec<[u8; RX_SLOT]> = Vec::new();
        let mut chunks = frame.bytes.chunks(PAGE_SIZE).peekable();
        while answers.len() < slots {
            let request = inner.queues[index].take_request()?;
            if let Some(extra) = answers.len().checked_sub(1).and_then(|n| extras.get(n)) {
                answers.push(*extra);
                continue;
            }
            let chunk = chunks.next().unwrap_or_default();
            let mut flags = if chunks.peek().is_some() { RXF_MORE_DATA } else { 0 };
            if answers.is_empty() {
                flags |= match frame.csum {
                    Csum::Blank => RXF_CSUM_BLANK | RXF_DATA_VALIDATED,
                    Csum::Validated => RXF_DATA_VALIDATED,
                    Csum::Full => 0,
                };
                flags |= if extras.is_empty() { 0 } else { RXF_EXTRA_INFO };
            }
            let status = self.copy(inner, &request, chunk);
            answers.push(rx_response(request.id, 0, flags, status));
        }
        inner.stats.rx_packets += 1;
        inner.stats.rx_bytes += frame.bytes.len() as u64;
        if let Some(tamper) = &mut inner.tamper {
            tamper(&mut answers);
        }
        inner.queues[index].answer(&answers);
        Ok(())
    }

    /// `GNTTABOP_copy`: the bytes, or why not.
    fn copy(&self, inner: &mut Inner, request: &RxRequest, bytes: &[u8]) -> i16 {
        match self.world.map_grant(self.home.id(), &self.guest, GrantRef(request.gref), true) {
            Ok(page) => {
                page.copy_out(0, bytes);
                inner.keep(&Rc::new(page));
                bytes.len() as i16
            }
            Err(status) => {
                inner.complaints.push(format!("copying to grant {}: status {status}", request.gref));
                status
            }
        }
    }

    /// Whether the guest gets only what is in its list.
    fn filters(&self, inner: &Inner) -> bool {
        match (inner.features.multicast_control, inner.features.dynamic_multicast_control) {
            (false, _) => false,
            (true, false) => inner.filtered,
            (true, true) => self.vdev.number("request-multicast-control").is_some_and(|n| n > 0),
        }
    }
}

impl Taken {
    /// A frame, or its segments, with as little left to do as the guest can (`validate_xmit_skb`). `None` if it cannot be
    /// made so.
    fn fit(&self, frame: &Frame) -> Option<Vec<Frame>> {
        let version = frame.headers().map_or(0, |headers| headers.version);
        let csum = if version == 4 { self.csum } else { self.csum_ipv6 };
        let gso = if version == 4 { self.gso_tcpv4 } else { self.gso_tcpv6 };
        // The kernel does not offer to cut what it could not hand over in pieces, or without its checksum.
        let mut frames = if gso && csum && self.sg { vec![frame.clone()] } else { frame.segments()? };
        if !csum {
            frames.iter_mut().try_for_each(Frame::complete)?;
        }
        Some(frames)
    }
}

impl Inner {
    /// What is to be said of a frame besides, in slots after its first.
    fn extras(&self, frame: &Frame) -> Vec<[u8; RX_SLOT]> {
        let version = frame.headers().map_or(0, |headers| headers.version);
        let kind = if version == 4 { GSO_TCPV4 } else { GSO_TCPV6 };
        let gso = frame.gso.map(|mss| gso_info(kind, mss));
        let hash = self.hash.of(frame).map(|hashed| hash_info(hashed.kind, hashed.value));
        let mut extras: Vec<_> = gso.into_iter().chain(hash).collect();
        let more = extras.len().saturating_sub(1);
        extras[..more].iter_mut().for_each(|extra| extra[1] |= EXTRA_MORE);
        extras
    }

    /// Which ring a frame goes into (`xenvif_select_queue`).
    fn steer(&self, frame: &Frame) -> usize {
        let queues = self.queues.len();
        self.hash.steer(frame, queues).unwrap_or_else(|| frame.flow() as usize % queues)
    }
}
