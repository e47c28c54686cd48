//! A terminal small enough to be obviously right: what the user would see.
#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod guest;
pub(crate) mod session;

use mir_console::width;

/// One cell: a character with its marks; empty behind a wide character.
type Cell = String;

/// An 80-column terminal that understands what the console says, and fails on anything else.
pub(crate) struct Screen {
    pub(crate) rows: Vec<Vec<Cell>>,
    pub(crate) column: usize,
    pub(crate) bells: usize,
    /// Colour codes seen.
    pub(crate) colours: usize,
    escape: Option<String>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self { rows: vec![Vec::new()], column: 0, bells: 0, colours: 0, escape: None }
    }

    pub(crate) fn write(&mut self, text: &str) {
        for c in text.chars() {
            self.put(c);
        }
    }

    fn put(&mut self, c: char) {
        if let Some(mut sequence) = self.escape.take() {
            sequence.push(c);
            match c {
                '[' | '0'..='9' | ';' => self.escape = Some(sequence),
                'm' => self.colours += 1,
                'H' => (self.rows, self.column) = (vec![Vec::new()], 0),
                'J' => assert_eq!(sequence, "[2J"),
                _ => panic!("unexpected sequence ESC {sequence:?}"),
            }
            return;
        }
        match c {
            '\u{1b}' => self.escape = Some(String::new()),
            '\u{7}' => self.bells += 1,
            '\u{8}' => self.column = self.column.checked_sub(1).expect("backspace at the left edge"),
            '\r' => self.column = 0,
            '\n' => self.rows.push(Vec::new()),
            _ => self.draw(c),
        }
    }

    fn draw(&mut self, c: char) {
        assert!(!c.is_control(), "control character {c:?} on the screen");
        let row = self.rows.last_mut().unwrap();
        match width::of_char(c) {
            0 => {
                // The second half of a wide character is an empty cell.
                let base = row[..self.column].iter_mut().rev().find(|cell| !cell.is_empty());
                base.expect("a mark with nothing under it").push(c);
            }
            columns => {
                assert!(self.column + columns <= 80, "the row overflows: {row:?}");
                if row.len() < self.column + columns {
                    row.resize(self.column + columns, " ".into());
                }
                row[self.column] = c.into();
                if columns == 2 {
                    row[self.column + 1].clear();
                }
                self.column += columns;
            }
        }
    }

    /// The row the cursor is in, without blanks at its end.
    pub(crate) fn row(&self) -> String {
        self.rows.last().unwrap().concat().trim_end().into()
    }

    /// Everything on the screen.
    pub(crate) fn text(&self) -> String {
        self.rows.iter().map(|row| row.concat().trim_end().to_string() + "\n").collect()
    }
}
