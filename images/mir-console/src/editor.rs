//! The line editor: bytes from a console in, a line and what to show on the terminal out.

use crate::history::History;
use crate::keys::{Decoder, Key};
use crate::line::Line;
use crate::row::Row;
use crate::width;
use alloc::string::String;

/// Columns of the terminal. Nobody tells a guest; 80 fit everywhere.
pub const COLUMNS: usize = 80;

/// The words that may stand where the last word of this text stands.
pub type Words = dyn Fn(&str) -> &'static [&'static str];

/// Once there is this much to write, [`Editor::feed`] returns: keys that redraw must not fill the heap.
const ENOUGH: usize = 2048;

/// What became of some input.
#[derive(Debug, PartialEq, Eq)]
pub struct Fed {
    /// How many bytes were used; the rest is to be fed again, or after a line belongs to whoever runs it.
    pub used: usize,
    /// The line, if Enter was among them.
    pub line: Option<String>,
}

/// A line editor. It knows nothing of consoles and clocks: input goes in, text for the terminal comes out.
#[derive(Debug, Default)]
pub struct Editor {
    keys: Decoder,
    line: Line,
    history: History,
    row: Row,
    /// What is written before the line, with colour codes, and its width.
    prompt: String,
    room: usize,
    /// The last key was a Tab that could not complete.
    undecided: bool,
}

impl Editor {
    /// Starts a new row with `text` as the prompt; `on` and `off` switch its colour and take no room.
    pub fn prompt(&mut self, on: &str, text: &str, off: &str, out: &mut String) {
        self.prompt.clear();
        self.prompt.extend([on, text, off]);
        // Two columns for `^C`.
        self.room = COLUMNS.saturating_sub(width::of_str(text) + 2).max(8);
        self.draw_anew(out);
    }

    /// Takes `input` up to the first Enter or until there is enough to write, and redraws once.
    pub fn feed(&mut self, input: &[u8], words: &Words, out: &mut String) -> Fed {
        let mut bell = false;
        let mut used = 0;
        for &byte in input {
            if out.len() >= ENOUGH {
                break;
            }
            used += 1;
            for key in self.keys.push(byte).into_iter().flatten() {
                if key == Key::Enter {
                    return Fed { used, line: Some(self.enter(out)) };
                }
                let undecided = core::mem::take(&mut self.undecided);
                bell |= !self.key(key, undecided, words, out);
            }
        }
        self.draw(out);
        if bell {
            out.push('\u{7}');
        }
        Fed { used, line: None }
    }

    /// The line as it stands.
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// Whether `byte`, the first after a line, is only the LF of its CRLF.
    pub fn is_rest_of_enter(&mut self, byte: u8) -> bool {
        self.keys.is_rest_of_enter(byte)
    }

    /// Whether a key is complete with `byte`, whatever it would do.
    pub fn is_key(&mut self, byte: u8) -> bool {
        self.keys.push(byte).into_iter().flatten().next().is_some()
    }

    /// Does what `key` asks for; `false` if it cannot be done.
    fn key(&mut self, key: Key, undecided: bool, words: &Words, out: &mut String) -> bool {
        match key {
            Key::Char(c) => return self.insert(c),
            Key::Tab => return self.complete(undecided, words, out),
            Key::Left => self.line.move_to(self.line.left()),
            Key::Right => self.line.move_to(self.line.right()),
            Key::Home => self.line.move_to(0),
            Key::End => self.line.move_to(self.line.end()),
            Key::WordLeft => self.line.move_to(self.line.word_left()),
            Key::WordRight => self.line.move_to(self.line.word_right()),
            Key::Backspace => self.line.kill_to(self.line.left()),
            Key::Delete => self.line.kill_to(self.line.right()),
            Key::DeleteOrEnd if self.line.end() == 0 => return false,
            Key::DeleteOrEnd => self.line.kill_to(self.line.right()),
            Key::KillToEnd => self.line.kill_to(self.line.end()),
            Key::KillToStart => self.line.kill_to(0),
            Key::KillWordLeft => self.line.kill_to(self.line.word_left()),
            Key::KillWordRight => self.line.kill_to(self.line.word_right()),
            Key::Up => match self.history.older(self.line.as_str()) {
                Some(line) => self.line.set(line),
                None => return false,
            },
            Key::Down => match self.history.newer() {
                Some(line) => self.line.set(line),
                None => return false,
            },
            Key::Clear => {
                out.push_str("\u{1b}[H\u{1b}[2J");
                self.draw_anew(out);
            }
            Key::Interrupt => {
                self.line.move_to(self.line.end());
                self.draw(out);
                out.push_str("^C\n");
                self.line.set("");
                self.history.leave();
                self.draw_anew(out);
            }
            // `feed` handles it.
            Key::Enter => {}
        }
        true
    }

    fn insert(&mut self, c: char) -> bool {
        // A mark needs a letter to stand over, or there would be places the cursor must not go.
        if width::of_char(c) == 0 && matches!(self.line.before().chars().next_back(), None | Some(' ')) {
            return false;
        }
        self.line.insert(c.encode_utf8(&mut [0; 4]))
    }

    fn enter(&mut self, out: &mut String) -> String {
        self.line.move_to(self.line.end());
        self.draw(out);
        out.push('\n');
        self.row.reset();
        self.undecided = false;
        let line = self.line.take();
        self.history.push(&line);
        line
    }

    /// Completes the word before the cursor as far as it is certain; at the second try lists what is possible.
    fn complete(&mut self, undecided: bool, words: &Words, out: &mut String) -> bool {
        self.draw(out);
        let before = self.line.before();
        let start = before.rfind(' ').map_or(0, |space| space + 1);
        let (head, word) = (width::part(before, ..start), width::part(before, start..));
        let fits = |w: &&&str| w.starts_with(word);
        let possible = words(head);
        let mut matches = possible.iter().filter(fits);
        let Some(first) = matches.next() else { return false };
        let (certain, many) = matches.fold((first.len(), false), |(n, _), w| (n.min(common(first, w)), true));
        let rest = width::part(first, word.len()..certain);
        if !rest.is_empty() || !many {
            let end = if many { "" } else { " " };
            return self.line.insert(rest) && self.line.insert(end);
        }
        if undecided {
            for (i, w) in possible.iter().filter(fits).enumerate() {
                out.push_str(if i == 0 { "\n" } else { "  " });
                out.push_str(w);
            }
            out.push('\n');
            self.draw_anew(out);
        }
        self.undecided = true;
        undecided
    }

    fn draw(&mut self, out: &mut String) {
        self.row.show(self.line.as_str(), self.line.before().len(), self.room, out);
    }

    fn draw_anew(&mut self, out: &mut String) {
        self.row.reset();
        out.push_str(&self.prompt);
        self.draw(out);
    }
}

/// Bytes two ASCII words have in common at their start.
fn common(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}
