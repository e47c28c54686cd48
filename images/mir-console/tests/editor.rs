//! The line editor, byte by byte, against what the user sees.
#![forbid(unsafe_code)]

mod common;

use common::Screen;
use fata_sim::Rng;
use mir_console::editor::Editor;
use mir_console::{line, width};

const WORDS: &[&str] = &["clock", "colours", "crash", "echo", "help"];

struct Session {
    editor: Editor,
    screen: Screen,
    lines: Vec<String>,
}

impl Session {
    fn new() -> Self {
        let mut session = Self { editor: Editor::default(), screen: Screen::new(), lines: Vec::new() };
        session.prompt();
        session
    }

    fn prompt(&mut self) {
        let mut out = String::new();
        self.editor.prompt("\x1b[32m", "> ", "\x1b[0m", &mut out);
        self.screen.write(&out.replace('\n', "\r\n"));
    }

    fn feed(&mut self, mut input: &[u8]) -> &mut Self {
        let words = |head: &str| if head.is_empty() { WORDS } else { &[] };
        while !input.is_empty() {
            let mut out = String::new();
            let fed = self.editor.feed(input, &words, &mut out);
            assert!(fed.used > 0, "no progress");
            assert!(out.len() < 8192, "{} bytes to write at once", out.len());
            input = &input[fed.used..];
            self.screen.write(&out.replace('\n', "\r\n"));
            if let Some(line) = fed.line {
                self.lines.push(line);
                self.prompt();
            }
        }
        self.check();
        self
    }

    /// What the terminal shows must be what the editor holds.
    fn check(&self) {
        let (text, before) = (self.editor.line().as_str(), self.editor.line().before());
        assert!(text.len() <= line::LONGEST);
        let row = self.screen.rows.last().unwrap();
        let row_text = row.concat();
        let shown = row_text.strip_prefix("> ").expect("the prompt is intact").trim_end_matches(' ');
        if width::of_str(text) < 76 {
            assert_eq!(shown, text.trim_end_matches(' '));
            assert_eq!(self.screen.column, 2 + width::of_str(before));
        } else {
            assert!(text.contains(shown), "{shown:?} is not part of {text:?}");
            assert!((2..78).contains(&self.screen.column));
            let under: String = row.iter().skip(self.screen.column).map(String::as_str).collect();
            assert!(
                text[before.len()..].starts_with(under.trim_end_matches(' ')),
                "cursor at {before:?} of {text:?}, seen {under:?}"
            );
            let left: String = row[2..self.screen.column.min(row.len())].concat();
            assert!(before.trim_end_matches(' ').ends_with(left.trim_end_matches(' ')));
        }
    }

    fn sees(&mut self, row: &str, column: usize) -> &mut Self {
        assert_eq!((self.screen.row().as_str(), self.screen.column), (row, column));
        self
    }
}

#[test]
fn edits_in_the_middle() {
    let mut s = Session::new();
    s.feed(b"hello wrld").sees("> hello wrld", 12);
    s.feed(b"\x1b[D\x1b[D\x1b[D").feed(b"o").sees("> hello world", 10);
    s.feed(b"\x01").sees("> hello world", 2);
    s.feed(b"\x1b[3~H").sees("> Hello world", 3);
    s.feed(b"\x05!").sees("> Hello world!", 14);
    s.feed(b"\x17you\x1b[1;5D\x7f").sees("> Helloyou", 7);
    s.feed(b"\x0b").sees("> Hello", 7);
    s.feed(b"\x15").sees(">", 2);
    s.feed(b"\r");
    assert_eq!(s.lines, [""]);
}

#[test]
fn a_plain_pipe_sees_what_was_typed_and_no_control_characters() {
    let mut editor = Editor::default();
    let mut out = String::new();
    editor.prompt("", "> ", "", &mut out);
    editor.feed("echo é".as_bytes(), &|_| &[], &mut out);
    editor.feed(b" two\n", &|_| &[], &mut out);
    assert_eq!(out, "> echo é two\n");
}

#[test]
fn wide_and_marked_characters_move_as_one() {
    let mut s = Session::new();
    s.feed("日本e\u{301}x".as_bytes()).sees("> 日本e\u{301}x", 8);
    s.feed(b"\x1b[D\x1b[D").sees("> 日本e\u{301}x", 6);
    s.feed(b"\x7f").sees("> 日e\u{301}x", 4);
    s.feed(b"\x1b[3~").sees("> 日x", 4);
    s.feed(b"\r");
    assert_eq!(s.lines, ["日x"]);
}

#[test]
fn bad_bytes_show_as_replacements() {
    let mut s = Session::new();
    s.feed(b"a\xffb\xe2\x82").feed(b"c").sees("> a\u{fffd}b\u{fffd}c", 7);
    s.feed(b"\x7f\x7f\x7f\x7f").sees("> a", 3);
}

#[test]
fn history_keeps_the_draft() {
    let mut s = Session::new();
    s.feed(b"mem\rclock\r").feed(b"dra").feed(b"\x1b[A").sees("> clock", 7);
    s.feed(b"\x10").sees("> mem", 5).feed(b"\x1b[A").sees("> mem", 5);
    assert_eq!(s.screen.bells, 1);
    s.feed(b"\x1b[B\x1b[B").sees("> dra", 5);
    s.feed(b"\x1b[A\x03").feed(b"x").feed(b"\x1b[B").sees("> x", 3);
    assert_eq!(s.screen.bells, 2);
}

#[test]
fn tab_completes_what_is_certain_and_lists_the_rest() {
    let mut s = Session::new();
    s.feed(b"he\t").sees("> help", 7);
    s.feed(b"\x15c\t").sees("> c", 3);
    assert_eq!(s.screen.bells, 1);
    s.feed(b"\t").sees("> c", 3);
    assert!(s.screen.text().contains("\nclock  colours  crash\n"), "{}", s.screen.text());
    s.feed(b"r\t").sees("> crash", 8);
    s.feed(b"\t").sees("> crash", 8);
    assert_eq!(s.screen.bells, 2, "nothing to complete with");
    s.feed(b"\x15x\t").sees("> x", 3);
}

#[test]
fn long_lines_scroll_and_stop_at_the_limit() {
    let mut s = Session::new();
    let text: String = (0..300).map(|i| char::from(b'a' + (i % 26) as u8)).collect();
    for chunk in text.as_bytes().chunks(7) {
        s.feed(chunk);
    }
    for _ in 0..300 {
        s.feed(b"\x1b[D");
    }
    s.sees(&format!("> {}", &text[..75]), 2);
    s.feed(b"\x1b[F\r");
    assert_eq!(s.lines, [text]);

    s.feed(&[b'x'; 5000]);
    assert_eq!(s.screen.bells, 1, "one bell for what does not fit");
    s.feed(b"\r");
    assert_eq!(s.lines[1].len(), line::LONGEST);
}

#[test]
fn clear_and_interrupt() {
    let mut s = Session::new();
    s.feed(b"one\rtwo\x1b[D").feed(b"\x0c").sees("> two", 4);
    assert_eq!(s.screen.rows.len(), 1);
    s.feed(b"\x03").sees(">", 2);
    assert!(s.screen.text().contains("> two^C\n"));
    s.feed(b"\x04");
    assert_eq!(s.screen.bells, 1);
    assert_eq!(s.lines, ["one"]);
}

/// Bytes as a hostile or unlucky user would send them, with what the editor knows more likely than by chance.
fn noise(random: &mut Rng, length: usize) -> Vec<u8> {
    const KNOWN: &[&[u8]] = &[
        b"\x1b[A",
        b"\x1b[B",
        b"\x1b[C",
        b"\x1b[D",
        b"\x1b[H",
        b"\x1b[F",
        b"\x1b[3~",
        b"\x1b[1;5D",
        b"\x1b[1;5C",
        b"\x1bb",
        b"\x1bf",
        b"\x1bd",
        b"\x1b[",
        b"\x1bO",
        b"\x1b]",
        b"\r",
        b"\r\n",
        b"\x7f",
        b"\t",
        b"\t\t",
        b"help",
        b" ",
        b"\x17",
        "日".as_bytes(),
        "e\u{301}".as_bytes(),
        "\u{301}".as_bytes(),
        "🦀".as_bytes(),
        b"\xe2\x82",
        b"\xf0",
        b"\x0c",
        b"\x03",
        b"the quick brown fox jumps over the lazy dog ",
    ];
    let mut bytes = Vec::new();
    while bytes.len() < length {
        match random.within(0..8) {
            0 => bytes.push(random.number() as u8),
            1..4 => bytes.push(b' ' + random.within(0..95) as u8),
            _ => bytes.extend(KNOWN[random.within(0..KNOWN.len())]),
        }
    }
    bytes
}

#[test]
fn any_bytes_in_any_pieces_give_the_same_lines_and_the_same_row() {
    let mut random = Rng::new();
    for _ in 0..300 {
        let bytes = noise(&mut random, 600);
        let mut whole = Session::new();
        whole.feed(&bytes);
        let mut pieces = Session::new();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + random.within(0..rest.len().min(40)));
            pieces.feed(piece);
            rest = after;
        }
        assert_eq!(whole.lines, pieces.lines);
        assert_eq!(whole.editor.line().as_str(), pieces.editor.line().as_str());
        assert_eq!(whole.editor.line().before(), pieces.editor.line().before());
    }
}
