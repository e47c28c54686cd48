//! Lines entered before.

use alloc::string::String;
use alloc::vec::Vec;

/// How many lines are remembered.
const DEPTH: usize = 32;

/// Lines entered before, and where among them the user is looking.
#[derive(Debug, Default)]
pub struct History {
    lines: Vec<String>,
    /// How far back: 0 is the line being typed.
    back: usize,
    /// The line being typed, while looking at older ones.
    draft: String,
}

impl History {
    /// Looks at the line being typed again, which starts empty.
    pub fn leave(&mut self) {
        self.back = 0;
    }

    /// Remembers `line` unless it is blank or repeats the last one.
    pub fn push(&mut self, line: &str) {
        self.leave();
        if line.trim_ascii().is_empty() || self.lines.last().is_some_and(|last| last == line) {
            return;
        }
        if self.lines.len() == DEPTH {
            self.lines.remove(0);
        }
        self.lines.push(line.into());
    }

    /// The line before the one looked at; `current` is kept if it is the one being typed.
    pub fn older(&mut self, current: &str) -> Option<&str> {
        let index = self.lines.len().checked_sub(self.back + 1)?;
        if self.back == 0 {
            self.draft.clear();
            self.draft.push_str(current);
        }
        self.back += 1;
        Some(&self.lines[index])
    }

    /// The line after the one looked at, last of all the one being typed.
    pub fn newer(&mut self) -> Option<&str> {
        self.back = self.back.checked_sub(1)?;
        Some(if self.back == 0 { &self.draft } else { &self.lines[self.lines.len() - self.back] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_back_and_forth_and_keeps_the_draft() {
        let mut h = History::default();
        assert_eq!(h.older("x"), None);
        for line in ["one", "two", "two", "  "] {
            h.push(line);
        }
        assert_eq!(h.older("draft"), Some("two"));
        assert_eq!(h.older("two"), Some("one"));
        assert_eq!(h.older("one"), None);
        assert_eq!(h.newer(), Some("two"));
        assert_eq!(h.newer(), Some("draft"));
        assert_eq!(h.newer(), None);
    }

    #[test]
    fn forgets_the_oldest() {
        let mut h = History::default();
        for i in 0..DEPTH + 5 {
            h.push(&i.to_string());
        }
        let mut oldest = None;
        while let Some(line) = h.older("") {
            oldest = Some(line.to_string());
        }
        assert_eq!(oldest.as_deref(), Some("5"));
    }
}
