//! Bytes in hexadecimal.

use core::fmt::{self, Write};

/// Bytes in a row.
pub(super) const WIDTH: usize = 16;

/// What was shown last, since repetitions are not shown.
#[derive(Default)]
pub(super) struct Dump {
    last: Option<[u8; WIDTH]>,
    repeats: bool,
}

/// What to show for a row.
pub(super) enum Row {
    /// Where it is, and what.
    Bytes(u64, [u8; WIDTH]),
    /// That it repeats the last one, and maybe others do.
    Same,
}

impl Dump {
    /// Takes the next row; whether to show anything.
    pub(super) fn row(&mut self, at: u64, bytes: &[u8]) -> Option<Row> {
        let bytes = *bytes.first_chunk()?;
        if self.last.replace(bytes) == Some(bytes) {
            return (!core::mem::replace(&mut self.repeats, true)).then_some(Row::Same);
        }
        self.repeats = false;
        Some(Row::Bytes(at, bytes))
    }
}

impl Row {
    pub(super) fn show(&self, out: &mut dyn Write) -> fmt::Result {
        let Self::Bytes(at, bytes) = self else { return out.write_str("*\n") };
        write!(out, "{at:08x} ")?;
        for (i, byte) in bytes.iter().enumerate() {
            write!(out, "{}{byte:02x}", if i == WIDTH / 2 { "  " } else { " " })?;
        }
        out.write_str("  ")?;
        for &byte in bytes {
            let shown = byte == b' ' || byte.is_ascii_graphic();
            out.write_char(if shown { char::from(byte) } else { '.' })?;
        }
        out.write_char('\n')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_fit_and_repetitions_are_left_out() {
        let (mut dump, mut text) = (Dump::default(), String::new());
        let rows = [b"fata\x1bmorgana \x00\xff\x80", &[0; 16], &[0; 16], &[0; 16], &[1; 16]];
        for (i, bytes) in rows.into_iter().enumerate() {
            if let Some(row) = dump.row(0x1_2345_6780 + 16 * i as u64, bytes) {
                row.show(&mut text).unwrap();
            }
        }
        let expected = [
            "123456780  66 61 74 61 1b 6d 6f 72  67 61 6e 61 20 00 ff 80  fata.morgana ...",
            "123456790  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  ................",
            "*",
            "1234567c0  01 01 01 01 01 01 01 01  01 01 01 01 01 01 01 01  ................",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        assert!(text.lines().all(|line| line.len() < 80));
    }
}
