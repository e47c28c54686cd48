//! The last of the output, kept while nobody is there to take it.

use alloc::collections::VecDeque;
use alloc::format;

/// How much is kept.
const KEPT: usize = 4096;

/// Output waiting for a backend; when there is too much the oldest goes.
#[derive(Debug, Default)]
pub(crate) struct Held {
    bytes: VecDeque<u8>,
    lost: u64,
}

impl Held {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let kept = &bytes[bytes.len().saturating_sub(KEPT)..];
        let over = (self.bytes.len() + kept.len()).saturating_sub(KEPT);
        self.bytes.drain(..over);
        self.bytes.extend(kept);
        self.lost += (bytes.len() - kept.len() + over) as u64;
    }

    /// Hands the bytes to `write`, oldest first, after a notice of what was lost, until it takes none.
    pub(crate) fn flush<E>(&mut self, mut write: impl FnMut(&[u8]) -> Result<usize, E>) -> Result<(), E> {
        if self.lost > 0 {
            let notice =
                format!("\r\n[{} bytes of output lost while no console was connected]\r\n", self.lost);
            self.lost = 0;
            for byte in notice.into_bytes().into_iter().rev() {
                self.bytes.push_front(byte);
            }
        }
        while !self.bytes.is_empty() {
            let written = write(self.bytes.as_slices().0)?;
            if written == 0 {
                break;
            }
            self.bytes.drain(..written);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flushed(held: &mut Held, mut room: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let result = held.flush(|bytes| {
            let len = bytes.len().min(room);
            room -= len;
            out.extend_from_slice(&bytes[..len]);
            Ok::<_, ()>(len)
        });
        assert_eq!(result, Ok(()));
        out
    }

    #[test]
    fn the_last_is_kept_and_the_loss_is_said() {
        let mut held = Held::default();
        let all: Vec<u8> = (0..3 * KEPT + 77).map(|i| i as u8).collect();
        for part in all.chunks(1000) {
            held.push(part);
        }
        let out = flushed(&mut held, usize::MAX);
        assert!(out.starts_with(b"\r\n[8269 bytes of output lost"));
        assert!(out.ends_with(&all[all.len() - KEPT..]));
        assert!(held.is_empty());
    }

    #[test]
    fn a_write_longer_than_everything_kept_leaves_its_end() {
        let mut held = Held::default();
        held.push(b"old");
        held.push(&[7; KEPT + 5]);
        let out = flushed(&mut held, usize::MAX);
        assert!(out.starts_with(b"\r\n[8 bytes"));
        assert!(out.ends_with(&[7; KEPT]));
    }

    #[test]
    fn it_goes_out_in_pieces_and_in_order() {
        let mut held = Held::default();
        held.push(b"abcdef");
        assert_eq!(flushed(&mut held, 2), b"ab");
        held.push(b"gh");
        assert_eq!(flushed(&mut held, 0), b"");
        assert_eq!(flushed(&mut held, 99), b"cdefgh");
    }
}
