//! Keeps the lines of a trace from a terminal.

use fata_trace::{LINE_BYTES, parse};

/// A console without the lines of traces. Everything else passes, at once unless it may become such a line.
#[derive(Debug, Default)]
pub struct Hidden {
    held: Vec<u8>,
    /// The end of a hidden line is to go, too.
    after: bool,
}

impl Hidden {
    /// Takes the next bytes and gives what is to be shown.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut shown = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            if std::mem::take(&mut self.after) && byte == b'\n' {
                continue;
            }
            let goes_on = match self.held.len() {
                0 => byte == b'\t',
                1 => byte == b'%',
                held => held < LINE_BYTES - 1 && byte.is_ascii_graphic(),
            };
            if goes_on {
                self.held.push(byte);
                continue;
            }
            let held = std::mem::take(&mut self.held);
            if matches!(byte, b'\r' | b'\n') && parse(&held).is_some() {
                self.after = byte == b'\r';
                continue;
            }
            shown.extend(held);
            // What was no line may be followed by one.
            if byte == b'\t' {
                self.held.push(byte);
            } else {
                shown.push(byte);
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fata_trace::{Kind, Trace};

    #[test]
    fn lines_of_a_trace_go_and_everything_else_stays() {
        let trace = Box::new(Trace::new());
        trace.start(1);
        trace.mark(1, Kind::Turn, 1, 0);
        let mut lines = Vec::new();
        trace.dump(|piece| {
            lines.extend_from_slice(piece);
            true
        });
        let with_returns = String::from_utf8(lines.clone()).unwrap().replace('\n', "\r\n");
        let console =
            [b"a\tb\r\n\t%r", &b"x\n"[..], &lines, b"c\t", with_returns.as_bytes(), b"d\t~e\n"].concat();
        for size in 1..60 {
            let mut hidden = Hidden::default();
            let shown: Vec<u8> = console.chunks(size).flat_map(|part| hidden.feed(part)).collect();
            assert_eq!(String::from_utf8(shown).unwrap(), "a\tb\r\n\t%rx\nc\td\t~e\n");
        }
    }
}
