//! From console bytes to keys: UTF-8, control characters and the escape sequences terminals send.

/// What the user pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A printable character; U+FFFD stands for bytes that are not UTF-8.
    Char(char),
    /// CR, LF or CRLF.
    Enter,
    /// Ctrl-i.
    Tab,
    /// Backspace or Ctrl-h.
    Backspace,
    /// Delete.
    Delete,
    /// Ctrl-d: delete, or nothing on an empty line.
    DeleteOrEnd,
    /// Cursor left, Ctrl-b.
    Left,
    /// Cursor right, Ctrl-f.
    Right,
    /// Home, Ctrl-a.
    Home,
    /// End, Ctrl-e.
    End,
    /// Alt-b, Ctrl-left.
    WordLeft,
    /// Alt-f, Ctrl-right.
    WordRight,
    /// Cursor up, Ctrl-p.
    Up,
    /// Cursor down, Ctrl-n.
    Down,
    /// Ctrl-k: to the end of the line.
    KillToEnd,
    /// Ctrl-u: to the start of the line.
    KillToStart,
    /// Ctrl-w, Alt-Backspace.
    KillWordLeft,
    /// Alt-d.
    KillWordRight,
    /// Ctrl-l.
    Clear,
    /// Ctrl-c.
    Interrupt,
}

const ESC: u8 = 0x1b;
/// Longer sequences than this no terminal sends; what follows is text again.
const LONGEST_SEQUENCE: u8 = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ground,
    /// After ESC.
    Escape,
    /// After `ESC [`.
    Csi,
    /// After `ESC O`.
    Ss3,
    /// After `ESC [ [`, as the Linux console sends for function keys: one more byte.
    FunctionKey,
    /// Inside OSC, DCS and the like: up to BEL or ESC `\`.
    Text,
}

/// Turns bytes into keys, however they were split over reads. Sequences it does not know vanish.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// Bytes in the sequence so far.
    length: u8,
    /// The numbers of a CSI sequence: key number and modifiers.
    params: [u8; 2],
    param: usize,
    /// A character whose last bytes are to come.
    utf8: [u8; 4],
    have: usize,
    after_cr: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            state: State::Ground,
            length: 0,
            params: [0; 2],
            param: 0,
            utf8: [0; 4],
            have: 0,
            after_cr: false,
        }
    }
}

impl Decoder {
    /// Takes one byte. The first key is a character this byte broke off, the second what the byte means.
    pub fn push(&mut self, byte: u8) -> [Option<Key>; 2] {
        if self.is_rest_of_enter(byte) {
            return [None, None];
        }
        let broken = (self.have > 0 && byte & 0xc0 != 0x80).then(|| self.replacement());
        [broken, self.next(byte)]
    }

    /// Whether `byte` is the LF of a CRLF whose CR was Enter already. Asked once per byte.
    pub fn is_rest_of_enter(&mut self, byte: u8) -> bool {
        core::mem::take(&mut self.after_cr) && byte == b'\n'
    }

    fn next(&mut self, byte: u8) -> Option<Key> {
        // A control character ends whatever sequence was under way, as on a terminal.
        if byte < 0x20 {
            let state = core::mem::replace(&mut self.state, State::Ground);
            return if state == State::Text && byte == 0x07 { None } else { self.control(byte) };
        }
        self.length = self.length.saturating_add(1);
        if self.state != State::Ground && self.length > LONGEST_SEQUENCE {
            self.state = State::Ground;
        }
        match self.state {
            State::Ground => self.text(byte),
            State::Escape => self.escape(byte),
            State::Csi => self.csi(byte),
            State::Ss3 => {
                self.state = State::Ground;
                cursor_key(byte, false)
            }
            State::FunctionKey => {
                self.state = State::Ground;
                None
            }
            State::Text => None,
        }
    }

    fn control(&mut self, byte: u8) -> Option<Key> {
        Some(match byte {
            0x01 => Key::Home,
            0x02 => Key::Left,
            0x03 => Key::Interrupt,
            0x04 => Key::DeleteOrEnd,
            0x05 => Key::End,
            0x06 => Key::Right,
            0x08 => Key::Backspace,
            b'\t' => Key::Tab,
            b'\n' => Key::Enter,
            0x0b => Key::KillToEnd,
            0x0c => Key::Clear,
            b'\r' => {
                self.after_cr = true;
                Key::Enter
            }
            0x0e => Key::Down,
            0x10 => Key::Up,
            0x15 => Key::KillToStart,
            0x17 => Key::KillWordLeft,
            ESC => {
                self.state = State::Escape;
                self.length = 0;
                return None;
            }
            _ => return None,
        })
    }

    fn text(&mut self, byte: u8) -> Option<Key> {
        match byte {
            0x7f => return Some(Key::Backspace),
            0x20..0x7f => return Some(Key::Char(char::from(byte))),
            _ => {}
        }
        self.utf8[self.have] = byte;
        self.have += 1;
        match core::str::from_utf8(&self.utf8[..self.have]) {
            Ok(text) => {
                self.have = 0;
                // U+0080..U+009F are control characters too.
                text.chars().next().filter(|c| !c.is_control()).map(Key::Char)
            }
            Err(error) if error.error_len().is_none() => None,
            Err(_) => Some(self.replacement()),
        }
    }

    fn replacement(&mut self) -> Key {
        self.have = 0;
        Key::Char(char::REPLACEMENT_CHARACTER)
    }

    fn escape(&mut self, byte: u8) -> Option<Key> {
        self.state = State::Ground;
        match byte {
            b'[' => {
                self.state = State::Csi;
                self.params = [0; 2];
                self.param = 0;
            }
            b'O' => self.state = State::Ss3,
            b']' | b'P' | b'X' | b'^' | b'_' => self.state = State::Text,
            b'b' => return Some(Key::WordLeft),
            b'f' => return Some(Key::WordRight),
            b'd' => return Some(Key::KillWordRight),
            0x7f => return Some(Key::KillWordLeft),
            _ => {}
        }
        None
    }

    fn csi(&mut self, byte: u8) -> Option<Key> {
        match byte {
            b'0'..=b'9' => {
                if let Some(param) = self.params.get_mut(self.param) {
                    *param = param.saturating_mul(10).saturating_add(byte - b'0');
                }
                return None;
            }
            b';' => {
                self.param += 1;
                return None;
            }
            // Other parameters and intermediates: a sequence we do not know, up to its last byte.
            0x20..=0x3f => return None,
            b'[' if self.length == 2 => {
                self.state = State::FunctionKey;
                return None;
            }
            _ => self.state = State::Ground,
        }
        // Modifiers are 1 + (1 shift | 2 alt | 4 control).
        let by_word = self.params[1] > 0 && (self.params[1] - 1) & 6 != 0;
        match (byte, self.params[0]) {
            (b'~', 1 | 7) => Some(Key::Home),
            (b'~', 4 | 8) => Some(Key::End),
            (b'~', 3) if by_word => Some(Key::KillWordRight),
            (b'~', 3) => Some(Key::Delete),
            _ => cursor_key(byte, by_word),
        }
    }
}

fn cursor_key(last: u8, by_word: bool) -> Option<Key> {
    Some(match last {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' if by_word => Key::WordRight,
        b'C' => Key::Right,
        b'D' if by_word => Key::WordLeft,
        b'D' => Key::Left,
        b'F' => Key::End,
        b'H' => Key::Home,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut decoder = Decoder::default();
        bytes.iter().flat_map(|&b| decoder.push(b)).flatten().collect()
    }

    fn text(bytes: &[u8]) -> String {
        keys(bytes).into_iter().map(|key| if let Key::Char(c) = key { c } else { '!' }).collect()
    }

    #[test]
    fn each_line_end_is_enter_once() {
        assert_eq!(text(b"a\rb\nc\r\nd\n\re\r\rf\r\n\r\n"), "a!b!c!d!!e!!f!!");
    }

    #[test]
    fn cursor_keys_in_both_modes_and_with_modifiers() {
        assert_eq!(keys(b"\x1b[A\x1bOB\x1b[C\x1bOD"), [Key::Up, Key::Down, Key::Right, Key::Left]);
        assert_eq!(keys(b"\x1b[1;5C\x1b[1;3D\x1b[1;2C"), [Key::WordRight, Key::WordLeft, Key::Right]);
        assert_eq!(
            keys(b"\x1b[H\x1b[F\x1b[1~\x1b[4~\x1bOH"),
            [Key::Home, Key::End, Key::Home, Key::End, Key::Home]
        );
        assert_eq!(keys(b"\x1b[3~\x1b[3;5~\x1b\x7f"), [Key::Delete, Key::KillWordRight, Key::KillWordLeft]);
    }

    #[test]
    fn unknown_sequences_vanish() {
        for sequence in [
            &b"\x1b[15~"[..],
            b"\x1b[200~",
            b"\x1b[?62;4c",
            b"\x1b[[A",
            b"\x1bOP",
            b"\x1b[1;1;1;1;9z",
            b"\x1b[999999999999q",
            b"\x1b]0;title\x07",
            b"\x1b]11;rgb:0/0/0\x1b\\",
            b"\x1bz",
            b"\x1b\x1b[<0;1;1M",
        ] {
            assert_eq!(text(&[b"a", sequence, b"b"].concat()), "ab", "{}", sequence.escape_ascii());
        }
    }

    #[test]
    fn a_sequence_without_end_does_not_swallow_the_console() {
        assert!(text(&[b"\x1b[".as_slice(), &[b'1'; 100], b"z"].concat()).ends_with("1z"));
        assert_eq!(text(b"\x1b[12\rok"), "!ok");
        assert_eq!(text(b"\x1b]title\rok"), "!ok");
    }

    #[test]
    fn utf8_and_what_is_not() {
        assert_eq!(text("é日🦀".as_bytes()), "é日🦀");
        assert_eq!(text(b"\xff"), "\u{fffd}");
        assert_eq!(text(b"\xc3a"), "\u{fffd}a");
        assert_eq!(text(b"\xe2\x82\r"), "\u{fffd}!");
        assert_eq!(text(b"\xf0\x9f\xa6\x1b[A"), "\u{fffd}!");
        assert_eq!(text(b"\xc2\x9b"), "", "C1 control characters are not printable");
        // A surrogate and an overlong form: something is shown for them, and what follows is whole.
        assert!(text(b"\xed\xa0\x80x").ends_with("\u{fffd}x"));
        assert!(text(b"\xf0\x80\x80\x80y").ends_with("\u{fffd}y"));
    }
}
