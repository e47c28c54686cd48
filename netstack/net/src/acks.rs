//! Acknowledgements that smoltcp 0.14 takes wrong, so that both ends wait for ever.
//!
//! *From beyond our window.* A window is announced in units of 2^n bytes, and so becomes smaller by the few that are left
//! over. A peer that had sent these already numbers what follows after them, and smoltcp takes no segment from beyond its
//! window, not even for what it acknowledges, though it should (RFC 9293 section 3.10.7.4: "special allowance should be
//! made to accept valid ACKs"). If both ends then wait for acknowledgements before they read on, they wait for ever. So
//! one that did not get through is shown again, numbered as we expect.
//!
//! *The same, three times, for a FIN.* Three of the same have what was lost sent again at once, and the timer for it stops;
//! but if only the FIN was lost there is nothing to send at once, and nothing is sent later either. So a socket that has
//! but its FIN unacknowledged hears the same once.

use crate::engine::Engine;
use crate::headers::{FIN, RST, payload};
use crate::numbers::renumber;
use crate::reply::Nowhere;
use smoltcp::phy::PacketMeta;
use smoltcp::socket::tcp::State;

/// A segment before it is given to its socket.
pub(crate) enum Ack {
    /// smoltcp takes it as it should, or it is for nobody.
    Usual,
    /// It may be from beyond our window.
    Late(Late),
    /// It says again that all has come but our FIN.
    Repeated,
}

/// A segment that may be from beyond our window.
pub(crate) struct Late {
    /// The number that we expect.
    expected: u32,
    /// What the peer had not acknowledged before.
    unacknowledged: usize,
}

impl Engine {
    /// Looks at a segment before it is given to this socket.
    #[inline]
    pub(crate) fn ack(&mut self, id: Option<u32>, frame: &[u8], flags: u8, at: usize) -> Ack {
        let Some(slot) = id.and_then(|id| self.table.slot(id)) else { return Ack::Usual };
        let number = |at: usize| Some(u32::from_be_bytes(*frame.get(at..)?.first_chunk()?));
        let Some((seq, ack)) = number(at + 4).zip(number(at + 8)) else { return Ack::Usual };
        let (expected, heard) = (slot.numbers.told, slot.heard);
        let socket = slot.tcp();
        let ends = matches!(socket.state(), State::FinWait1 | State::Closing | State::LastAck);
        let ahead = seq.wrapping_sub(expected);
        if (ahead == 0 && !ends) || flags & (FIN | RST) != 0 || payload(frame, at) != Some(0) {
            return Ack::Usual;
        }
        let unacknowledged = socket.send_queue();
        if ahead != 0 && unacknowledged > 0 && ahead as usize <= socket.recv_capacity() {
            return Ack::Late(Late { expected, unacknowledged });
        }
        if ends {
            slot.heard = Some(ack);
            if unacknowledged == 0 && heard == Some(ack) {
                return Ack::Repeated;
            }
        }
        Ack::Usual
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
        renumber(&mut frame, at, late.expected, true);
        self.feed(id, &frame, meta, Nowhere);
    }
}
