//! Acknowledgements from beyond our window.
//!
//! A window is announced in units of 2^n bytes, and so becomes smaller by the few that are left over. A peer that had sent
//! these already numbers what follows after them, and smoltcp 0.14 takes no segment from beyond its window, not even for
//! what it acknowledges, though it should (RFC 9293 section 3.10.7.4: "special allowance should be made to accept valid
//! ACKs"). If both ends then wait for acknowledgements before they read on, they wait for ever. So one that did not get
//! through is shown again, numbered as we expect.

use crate::engine::Engine;
use crate::headers::{FIN, RST, payload};
use smoltcp::phy::{PacketMeta, TxToken};

/// A segment that may be such a one.
pub(crate) struct Late {
    /// The number that we expect.
    expected: u32,
    /// What the peer had not acknowledged before.
    unacknowledged: usize,
}

impl Engine {
    /// Looks at a segment before it is given to this socket.
    #[inline]
    pub(crate) fn late(&mut self, id: Option<u32>, frame: &[u8], flags: u8, at: usize) -> Option<Late> {
        let slot = self.table.slot(id?)?;
        let number = u32::from_be_bytes(*frame.get(at + 4..)?.first_chunk()?);
        let expected = slot.told;
        let ahead = number.wrapping_sub(expected);
        if ahead == 0 || flags & (FIN | RST) != 0 {
            return None;
        }
        let socket = slot.tcp();
        let unacknowledged = socket.send_queue();
        let is_late =
            ahead as usize <= socket.recv_capacity() && unacknowledged > 0 && payload(frame, at) == Some(0);
        is_late.then_some(Late { expected, unacknowledged })
    }

    /// Shows it again if it acknowledged nothing.
    pub(crate) fn show_again(
        &mut self,
        id: Option<u32>,
        frame: &[u8],
        meta: PacketMeta,
        at: usize,
        late: &Late,
    ) {
        let Some(slot) = id.and_then(|id| self.table.slot(id)) else { return };
        if slot.tcp().send_queue() != late.unacknowledged {
            return;
        }
        let mut frame = frame.to_vec();
        let old: [u8; 4] = [frame[at + 4], frame[at + 5], frame[at + 6], frame[at + 7]];
        let new = late.expected.to_be_bytes();
        frame[at + 4..at + 8].copy_from_slice(&new);
        // RFC 1624.
        let word = |bytes: &[u8], at: usize| u32::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
        let mut sum = 0xffff - word(&frame, at + 16);
        sum += 0xffff - word(&old, 0) + 0xffff - word(&old, 2) + word(&new, 0) + word(&new, 2);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        frame[at + 16..at + 18].copy_from_slice(&(0xffff - sum as u16).to_be_bytes());
        self.feed(id, &frame, meta, Nowhere);
    }
}

/// Where answers go that have been given once.
struct Nowhere;

impl TxToken for Nowhere {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        f(&mut alloc::vec![0; len])
    }
}
