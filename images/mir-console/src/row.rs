//! The part of the terminal's row that shows the line, redrawn with as few bytes as will do.
//!
//! It needs nothing of the terminal but backspace, so a plain pipe shows what was typed and no more.

use crate::width;
use alloc::string::String;

/// What the row shows after the prompt, and where the terminal's cursor is.
#[derive(Debug, Default)]
pub struct Row {
    text: String,
    column: usize,
    /// The first column of the line that is shown; more than 0 only if the line does not fit.
    scroll: usize,
}

impl Row {
    /// The row is empty and the cursor at its start, whatever it was.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Makes the row of `room` columns show the part of `line` around its first `before` bytes.
    pub fn show(&mut self, line: &str, before: usize, room: usize, out: &mut String) {
        let cursor = width::of_str(width::part(line, ..before));
        // The last column stays free: terminals differ in what they do after writing it.
        let last = room - 1;
        if width::of_str(line) <= last {
            self.scroll = 0;
        } else if cursor < self.scroll || cursor > self.scroll + last {
            self.scroll = cursor.saturating_sub(room / 2);
        }
        let (from, first) = position(line, self.scroll);
        let rest = width::part(line, from..);
        self.redraw(width::part(rest, ..fitting(rest, last)), cursor - first, out);
    }

    fn redraw(&mut self, text: &str, column: usize, out: &mut String) {
        if text != self.text {
            let same = common(&self.text, text);
            let same_columns = width::of_str(width::part(text, ..same));
            self.go(same_columns, out);
            out.push_str(width::part(text, same..));
            let (old, new) = (width::of_str(&self.text), width::of_str(text));
            let erase = old.saturating_sub(new);
            out.extend(core::iter::repeat_n(' ', erase));
            self.column = new + erase;
            self.text.clear();
            self.text.push_str(text);
        }
        self.go(column, out);
    }

    /// Moves the cursor within what is shown: left by backspaces, right by writing the same again.
    fn go(&mut self, column: usize, out: &mut String) {
        if column < self.column {
            out.extend(core::iter::repeat_n('\u{8}', self.column - column));
        } else {
            let (from, _) = position(&self.text, self.column);
            let (to, _) = position(&self.text, column);
            out.push_str(width::part(&self.text, from..to));
        }
        self.column = column;
    }
}

/// The first character that starts at or after `column`: its byte offset and its column.
fn position(text: &str, column: usize) -> (usize, usize) {
    let mut at = 0;
    for (i, c) in text.char_indices() {
        let width = width::of_char(c);
        if width > 0 && at >= column {
            return (i, at);
        }
        at += width;
    }
    (text.len(), at)
}

/// The bytes of as many whole characters as fit in `columns`.
fn fitting(text: &str, columns: usize) -> usize {
    let mut taken = 0;
    for (i, c) in text.char_indices() {
        let width = width::of_char(c);
        if taken + width > columns {
            return i;
        }
        taken += width;
    }
    text.len()
}

/// Bytes at the start that need not be drawn again: whole characters with their marks.
fn common(old: &str, new: &str) -> usize {
    let equal = old.chars().zip(new.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    let marked =
        |text: &str| width::part(text, equal..).chars().next().is_some_and(|c| width::of_char(c) == 0);
    if marked(old) || marked(new) {
        let base = width::part(new, ..equal).char_indices().rev().find(|&(_, c)| width::of_char(c) > 0);
        return base.map_or(0, |(at, _)| at);
    }
    equal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(row: &mut Row, line: &str, before: usize) -> String {
        let mut out = String::new();
        row.show(line, before, 20, &mut out);
        out
    }

    #[test]
    fn typing_at_the_end_writes_only_what_is_new() {
        let mut row = Row::default();
        assert_eq!(drawn(&mut row, "dt", 2), "dt");
        assert_eq!(drawn(&mut row, "dt /é", 6), " /é");
        assert_eq!(drawn(&mut row, "dt /é", 6), "");
    }

    #[test]
    fn edits_in_the_middle_use_backspaces_only() {
        let mut row = Row::default();
        drawn(&mut row, "abc", 3);
        assert_eq!(drawn(&mut row, "abc", 1), "\u{8}\u{8}");
        assert_eq!(drawn(&mut row, "aXbc", 2), "Xbc\u{8}\u{8}");
        assert_eq!(drawn(&mut row, "abc", 1), "\u{8}bc \u{8}\u{8}\u{8}");
        assert_eq!(drawn(&mut row, "abc", 3), "bc");
    }

    #[test]
    fn a_mark_is_drawn_with_what_is_under_it() {
        let mut row = Row::default();
        drawn(&mut row, "xe", 2);
        assert_eq!(drawn(&mut row, "xe\u{301}", 4), "\u{8}e\u{301}");
    }
}
