//! The flight recorder: the last lines of the log, for whoever prints why the system died.

use core::fmt;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

pub(crate) static RECORDER: Recorder<2048> = Recorder::new();

/// Passes on what the flight recorder holds, oldest first, in pieces that together are whole lines with
/// their line feeds. A fault handler may call it at any point: it takes neither locks nor memory.
pub fn recent(print: impl FnMut(&[u8])) {
    RECORDER.replay(print);
}

/// The last `N` bytes of lines.
///
/// Made of atomics, so that it can be read whatever its writer was doing when it was stopped. Debuggers
/// read it, too (tests/lab/src/debugger.gdb). Threads that
/// write at a time would garble each other's lines, and no more; a unikernel has one.
#[repr(C)]
pub(crate) struct Recorder<const N: usize> {
    bytes: [AtomicU8; N],
    /// How many were ever written.
    end: AtomicUsize,
}

impl<const N: usize> Recorder<N> {
    pub(crate) const fn new() -> Self {
        Self { bytes: [const { AtomicU8::new(0) }; N], end: AtomicUsize::new(0) }
    }

    pub(crate) fn put(&self, bytes: &[u8]) {
        for &byte in bytes {
            let end = self.end.load(Ordering::Relaxed);
            self.bytes[end % N].store(byte, Ordering::Relaxed);
            self.end.store(end.wrapping_add(1), Ordering::Relaxed);
        }
    }

    fn replay(&self, mut print: impl FnMut(&[u8])) {
        let end = self.end.load(Ordering::Relaxed);
        let at = |n: usize| self.bytes[n % N].load(Ordering::Relaxed);
        // One byte less than there is, to see whether a line ends before.
        let mut from = end.saturating_sub(N - 1);
        // The oldest line has lost its beginning.
        if from > 0 {
            while from < end && at(from - 1) != b'\n' {
                from += 1;
            }
        }
        let mut piece = [0; 64];
        while from < end {
            let len = piece.len().min(end - from);
            for (n, byte) in piece[..len].iter_mut().enumerate() {
                *byte = at(from + n);
            }
            print(&piece[..len]);
            from += len;
        }
    }
}

/// Text of one line: line feeds within it become blanks.
impl<const N: usize> fmt::Write for &Recorder<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.put(&[if byte == b'\n' { b' ' } else { byte }]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Write;

    fn replay<const N: usize>(recorder: &Recorder<N>) -> String {
        let mut all = Vec::new();
        recorder.replay(|piece| all.extend_from_slice(piece));
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn keeps_the_last_whole_lines() {
        let recorder = Recorder::<20>::new();
        assert_eq!(replay(&recorder), "");
        recorder.put(b"one\ntwo\n");
        assert_eq!(replay(&recorder), "one\ntwo\n");
        recorder.put(b"three\nfour\n");
        assert_eq!(replay(&recorder), "one\ntwo\nthree\nfour\n");
        recorder.put(b"5\n");
        assert_eq!(replay(&recorder), "two\nthree\nfour\n5\n");
        recorder.put(b"longer than all there is room for\n");
        assert_eq!(replay(&recorder), "");
        recorder.put(b"and on\n");
        assert_eq!(replay(&recorder), "and on\n");
    }

    #[test]
    fn pieces_join_to_lines_longer_than_a_piece() {
        let recorder = Recorder::<512>::new();
        let line = "0123456789".repeat(20);
        write!(&recorder, "{line}\n{line}").unwrap();
        recorder.put(b"\n");
        assert_eq!(replay(&recorder), format!("{line} {line}\n"));
    }
}
