//! Tables of labels and values that fit 80 columns.

use crate::editor::COLUMNS;
use crate::ink::Ink;
use crate::width;
use alloc::string::String;
use core::fmt::{self, Write};

/// Columns of the label, with a margin on either side.
const LABEL: usize = 16;

/// Writes rows, each at once.
pub struct Table<'a> {
    out: &'a mut dyn Write,
    ink: Ink,
    /// The value of a row, and the row; kept for their memory.
    value: String,
    row: String,
}

impl<'a> Table<'a> {
    /// A table on `out`.
    pub fn new(out: &'a mut dyn Write, ink: Ink) -> Self {
        Self { out, ink, value: String::new(), row: String::new() }
    }

    /// A heading.
    pub fn heading(&mut self, text: &str) -> fmt::Result {
        writeln!(self.out, "{}{text}{}", self.ink.bold(), self.ink.off())
    }

    /// One row. The value is broken between words where it must be; what is not printable in it, which may
    /// come from outside, is not printed.
    pub fn row(&mut self, label: &str, value: fmt::Arguments<'_>) -> fmt::Result {
        self.coloured(self.ink.cyan(), label, value)
    }

    /// The same for what deserves attention.
    pub fn odd_row(&mut self, label: &str, value: fmt::Arguments<'_>) -> fmt::Result {
        self.coloured(self.ink.yellow(), label, value)
    }

    fn coloured(&mut self, on: &str, label: &str, value: fmt::Arguments<'_>) -> fmt::Result {
        let Self { out, ink, value: text, row } = self;
        text.clear();
        row.clear();
        text.write_fmt(value)?;
        row.extend(["  ", on, label]);
        row.extend(core::iter::repeat_n(' ', (LABEL - 2).saturating_sub(width::of_str(label))));
        row.push_str(ink.off());
        let mut column = LABEL;
        for (i, word) in text.trim_ascii_end().split(' ').enumerate() {
            let plain = word.bytes().all(|byte| byte.is_ascii_graphic());
            let columns = if plain { word.len() } else { width::of_str(word) };
            if i > 0 && column + 1 + columns < COLUMNS {
                row.push(' ');
                column += 1;
            } else if i > 0 {
                column = next_line(row);
            }
            if plain && column + columns < COLUMNS {
                row.push_str(word);
                column += columns;
                continue;
            }
            for c in word.chars() {
                let c = if c.is_control() { '?' } else { c };
                if column + width::of_char(c) >= COLUMNS {
                    column = next_line(row);
                }
                row.push(c);
                column += width::of_char(c);
            }
        }
        row.push('\n');
        out.write_str(row)
    }
}

fn next_line(row: &mut String) -> usize {
    row.push('\n');
    row.extend(core::iter::repeat_n(' ', LABEL));
    LABEL
}

/// A number of bytes in the largest unit that fits, with one decimal if it is not whole.
#[derive(Clone, Copy, Debug)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        let Some((shift, unit)) = units.into_iter().find(|&(shift, _)| self.0 >> shift > 0) else {
            return write!(f, "{} B", self.0);
        };
        let whole = self.0 >> shift;
        let rest = self.0 - (whole << shift);
        match (rest, (rest >> (shift - 10)) * 10 / 1024) {
            (0, _) => write!(f, "{whole} {unit}"),
            (_, tenths) => write!(f, "{whole}.{tenths} {unit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: &str) -> String {
        let mut out = String::new();
        Table::new(&mut out, Ink(false)).row("label", format_args!("{value}")).unwrap();
        out
    }

    #[test]
    fn values_are_aligned_and_wrapped() {
        assert_eq!(row("value"), "  label         value\n");
        assert_eq!(row(""), "  label         \n");
        assert_eq!(row("value "), "  label         value\n");
        let long = row(&"word ".repeat(40));
        assert!(long.lines().count() > 2);
        for line in long.lines() {
            assert!(line.len() < COLUMNS, "{line:?}");
        }
        let solid = row(&"x".repeat(100));
        assert_eq!(solid.lines().map(|l| l.trim_start_matches("  label").trim().len()).sum::<usize>(), 100);
    }

    #[test]
    fn escape_sequences_from_outside_do_not_reach_the_terminal() {
        assert_eq!(row("a\x1b[2Jb\n\u{9b}c"), "  label         a?[2Jb??c\n");
    }

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (4096, "4 KiB"),
            (1536, "1.5 KiB"),
            (128 << 20, "128 MiB"),
            ((128 << 20) - 4096, "127.9 MiB"),
            (64 << 30, "64 GiB"),
            (u64::MAX, "17179869183.9 GiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }
}
