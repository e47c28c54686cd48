//! The numbers of a connection's segments, as they go out.
//!
//! What has no bytes of its own is to carry the number of what would be sent next (RFC 9293 section 3.10.7.4: SND.NXT). When
//! smoltcp 0.14 has waited too long for an acknowledgement it begins again with what was not acknowledged, and numbers
//! everything by that, also what it only acknowledges. The peer has had these numbers, and takes no notice of it; if the same
//! happens at both ends, neither hears the other any more. So the number is set right here.

use crate::headers::{FIN, SYN};

/// What a connection has sent last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    /// The number that it acknowledged.
    pub(crate) told: u32,
    /// The number of the byte after all that was ever sent. None before anything was.
    end: Option<u32>,
}

impl Numbers {
    /// Of a connection that has sent its SYN.
    pub(crate) fn opened(told: u32, end: u32) -> Self {
        Self { told, end: Some(end) }
    }

    pub(crate) fn end(&self) -> Option<u32> {
        self.end
    }

    /// Looks at a frame that smoltcp has written, with TCP, no options before it and nothing behind it. `has_sum` says that
    /// it has made the checksum as well.
    #[inline]
    pub(crate) fn written(&mut self, frame: &mut [u8], has_sum: bool) {
        let at = if frame.get(12) == Some(&0x08) { 34 } else { 54 };
        let Some(header) = frame.get(at..).and_then(|rest| rest.first_chunk::<20>()) else { return };
        let number =
            |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (seq, flags) = (number(4), header[13]);
        let len = frame.len().saturating_sub(at + usize::from(header[12] >> 4) * 4) as u32;
        let end = seq.wrapping_add(len).wrapping_add(u32::from(flags & (SYN | FIN) != 0));
        self.told = number(8);
        match self.end {
            Some(sent) if (end.wrapping_sub(sent) as i32) < 0 => {
                if len == 0 && flags & (SYN | FIN) == 0 {
                    renumber(frame, at, sent, has_sum);
                }
            }
            _ => self.end = Some(end),
        }
    }
}

/// Gives a segment, whose header begins at `at`, another number, and corrects its checksum (RFC 1624).
#[inline(never)]
pub(crate) fn renumber(frame: &mut [u8], at: usize, number: u32, has_sum: bool) {
    let new = number.to_be_bytes();
    let Some(old) = frame.get(at + 4..).and_then(|rest| rest.first_chunk::<4>()).copied() else { return };
    if has_sum && let Some(sum) = frame.get(at + 16..).and_then(|rest| rest.first_chunk::<2>()).copied() {
        let word = |bytes: &[u8], at: usize| u32::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
        let mut sum = 0xffff - word(&sum, 0);
        sum += 0xffff - word(&old, 0) + 0xffff - word(&old, 2) + word(&new, 0) + word(&new, 2);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        frame[at + 16..at + 18].copy_from_slice(&(0xffff - sum as u16).to_be_bytes());
    }
    frame[at + 4..at + 8].copy_from_slice(&new);
}
