//! The text being edited and the cursor in it.

use crate::width;
use alloc::string::String;

/// The longest line, in bytes.
pub const LONGEST: usize = 1024;

/// One line of text with a cursor, which is always between two characters as the user sees them.
#[derive(Debug, Default)]
pub struct Line {
    text: String,
    /// Byte offset of the cursor.
    at: usize,
}

impl Line {
    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text up to the cursor.
    pub fn before(&self) -> &str {
        width::part(&self.text, ..self.at)
    }

    fn after(&self) -> &str {
        width::part(&self.text, self.at..)
    }

    /// Inserts `text` at the cursor, or refuses when the line would become too long.
    #[must_use]
    pub fn insert(&mut self, text: &str) -> bool {
        let fits = self.text.len() + text.len() <= LONGEST;
        if fits {
            self.text.insert_str(self.at, text);
            self.at += text.len();
        }
        fits
    }

    /// Replaces everything; the cursor goes to the end.
    pub fn set(&mut self, text: &str) {
        self.text.clear();
        self.text.push_str(text);
        self.at = self.text.len();
    }

    /// Empties the line and hands its text out.
    pub fn take(&mut self) -> String {
        self.at = 0;
        core::mem::take(&mut self.text)
    }

    /// Moves to byte `to`, which one of the functions below named.
    pub fn move_to(&mut self, to: usize) {
        self.at = to;
    }

    /// Deletes between the cursor and byte `to`, which one of the functions below named.
    pub fn kill_to(&mut self, to: usize) {
        let (from, to) = (self.at.min(to), self.at.max(to));
        self.text.drain(from..to);
        self.at = from;
    }

    /// One character to the left, marks drawn over it included.
    pub fn left(&self) -> usize {
        self.before().char_indices().rev().find(|&(_, c)| width::of_char(c) > 0).map_or(0, |(at, _)| at)
    }

    /// One character to the right, marks drawn over it included.
    pub fn right(&self) -> usize {
        let next = self.after().char_indices().skip(1).find(|&(_, c)| width::of_char(c) > 0);
        next.map_or(self.text.len(), |(at, _)| self.at + at)
    }

    /// The start of the word the cursor is in or behind.
    pub fn word_left(&self) -> usize {
        let word = self.before().trim_end_matches(' ');
        word.rfind(' ').map_or(0, |space| space + 1)
    }

    /// The end of the word the cursor is in or before.
    pub fn word_right(&self) -> usize {
        let word = self.after().trim_start_matches(' ');
        self.end() - word.len() + word.find(' ').unwrap_or(word.len())
    }

    /// The end of the line.
    pub fn end(&self) -> usize {
        self.text.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(before: &str, after: &str) -> Line {
        Line { text: [before, after].concat(), at: before.len() }
    }

    #[test]
    fn moves_by_what_the_user_sees_as_one_character() {
        assert_eq!(line("a日", "b").left(), 1);
        assert_eq!(line("xe\u{301}", "").left(), 1);
        assert_eq!(line("x", "e\u{301}y").right(), 4);
        assert_eq!(line("", "").left(), 0);
        assert_eq!(line("", "").right(), 0);
        assert_eq!(line("\u{301}", "").left(), 0, "a mark with nothing under it");
    }

    #[test]
    fn moves_by_words() {
        assert_eq!(line("dt  /chosen  ", "x").word_left(), 4);
        assert_eq!(line("dt  /cho", "sen").word_left(), 4);
        assert_eq!(line("", "dt").word_left(), 0);
        assert_eq!(line("", "  dt /").word_right(), 4);
        assert_eq!(line("dt", "").word_right(), 2);
        assert_eq!(line("dt", "  ").word_right(), 4);
    }

    #[test]
    fn kills_on_either_side_of_the_cursor() {
        let mut l = line("echo one", " two");
        l.kill_to(l.word_left());
        assert_eq!((l.before(), l.as_str()), ("echo ", "echo  two"));
        l.kill_to(l.end());
        assert_eq!((l.before(), l.as_str()), ("echo ", "echo "));
    }

    #[test]
    fn is_bounded() {
        let mut l = Line::default();
        assert!(l.insert(&"x".repeat(LONGEST - 1)));
        assert!(!l.insert("é"));
        assert!(l.insert("y"));
        assert!(!l.insert("z"));
        assert_eq!(l.end(), LONGEST);
    }
}
