//! Lines out of a stream of bytes.

use alloc::string::String;
use alloc::vec::Vec;

/// Bytes of a line at most; the rest of a longer one is dropped.
pub const LINE: usize = 200;

/// Bytes that have come, of which whole lines can be taken.
#[derive(Debug, Default)]
pub struct Lines {
    bytes: Vec<u8>,
    /// Of what was put in, this much was looked at.
    line: Vec<u8>,
}

impl Lines {
    /// Takes in what has come.
    pub fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes a line out, without its end (LF, CR, or both), and without what is not text. None is empty.
    pub fn take(&mut self) -> Option<String> {
        let mut whole = None;
        let mut used = 0;
        for byte in &self.bytes {
            used += 1;
            match byte {
                b'\n' | b'\r' if self.line.is_empty() => {}
                b'\n' | b'\r' => {
                    whole = Some(String::from_utf8_lossy(&core::mem::take(&mut self.line)).into_owned());
                    break;
                }
                0..b' ' | 0x7f => {}
                _ if self.line.len() < LINE => self.line.push(*byte),
                _ => {}
            }
        }
        self.bytes.drain(..used);
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn lines_come_whole_however_they_were_cut() {
        let text = "one\r\n\r\ntwo\nthree\rü\x07\x1b[m\n";
        for piece in 1..text.len() {
            let (mut lines, mut taken) = (Lines::default(), Vec::new());
            for bytes in text.as_bytes().chunks(piece) {
                lines.put(bytes);
                while let Some(line) = lines.take() {
                    taken.push(line);
                }
            }
            assert_eq!(taken, ["one", "two", "three", "ü[m"], "pieces of {piece}");
        }
    }

    #[test]
    fn a_line_without_end_takes_no_memory_without_end() {
        let mut lines = Lines::default();
        for _ in 0..1000 {
            lines.put(&[b'x'; 1000]);
            assert_eq!(lines.take(), None);
        }
        lines.put(b"\nnext\n");
        assert_eq!(lines.take(), Some("x".repeat(LINE)));
        assert_eq!(lines.take(), Some("next".to_string()));
        assert_eq!(lines.take(), None);
    }
}
