//! A zone file as words: what belongs to one record, over as many lines as it takes.

use crate::error::{What, ZoneError};
use alloc::vec::Vec;

/// The most words of a record. Long data can be written in longer words.
const WORDS_MAX: usize = 4096;

/// A word as it stands in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word<'a> {
    /// Without the quotes around it, with all that is escaped in it.
    pub(crate) raw: &'a [u8],
    pub(crate) quoted: bool,
    pub(crate) line: u32,
}

impl Word<'_> {
    pub(crate) fn error(&self, what: What) -> ZoneError {
        ZoneError::new(self.line, what, self.raw)
    }
}

pub(crate) struct Words<'a> {
    text: &'a [u8],
    at: usize,
    line: u32,
}

impl<'a> Words<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, line: 1 }
    }

    /// Where it is.
    pub(crate) fn line(&self) -> u32 {
        self.line
    }

    /// How far it is, in bytes.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The words of the next record, and whether a blank precedes them. `None` at the end of the file.
    pub(crate) fn record(&mut self, words: &mut Vec<Word<'a>>) -> Result<Option<bool>, ZoneError> {
        words.clear();
        let mut blank = false;
        // The lines of parentheses that are open.
        let (mut depth, mut opened) = (0u32, 0);
        let mut at_start = true;
        while let Some(&byte) = self.text.get(self.at) {
            let starts_line = core::mem::take(&mut at_start);
            match byte {
                b' ' | b'\t' | b'\r' => {
                    blank |= starts_line;
                    self.at += 1;
                }
                b';' => self.skip_comment(),
                b'\n' => {
                    self.at += 1;
                    self.line += 1;
                    if depth == 0 {
                        if !words.is_empty() {
                            return Ok(Some(blank));
                        }
                        (blank, at_start) = (false, true);
                    }
                }
                b'(' => {
                    (depth, opened) = (depth + 1, if depth == 0 { self.line } else { opened });
                    self.at += 1;
                }
                b')' => {
                    let less = depth.checked_sub(1);
                    depth = less.ok_or_else(|| ZoneError::new(self.line, What::CloseParenthesis, b""))?;
                    self.at += 1;
                }
                _ => {
                    if words.len() == WORDS_MAX {
                        return Err(ZoneError::new(self.line, What::RecordTooLarge, b""));
                    }
                    words.push(self.word()?);
                }
            }
        }
        if depth > 0 {
            return Err(ZoneError::new(opened, What::OpenParenthesis, b""));
        }
        Ok((!words.is_empty()).then_some(blank))
    }

    fn skip_comment(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    }

    /// A word in quotes, or one up to a blank; there may be quotes in that, with blanks in them.
    fn word(&mut self) -> Result<Word<'a>, ZoneError> {
        let quoted = self.text[self.at] == b'"';
        let start = self.at + usize::from(quoted);
        self.at = start;
        let mut inside = quoted;
        loop {
            // Most bytes are but themselves.
            let rest = &self.text[self.at..];
            self.at += rest.iter().take_while(|&&byte| !IS_SPECIAL[usize::from(byte)]).count();
            let Some(&byte) = self.text.get(self.at) else { break };
            match byte {
                b'\\' if self.text.get(self.at + 1).is_some_and(|&next| next != b'\n') => self.at += 1,
                b'"' if quoted => break,
                b'"' => inside = !inside,
                b'\n' if inside => break,
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'(' | b')' if !inside => break,
                _ => {}
            }
            self.at += 1;
        }
        let word = Word { raw: &self.text[start..self.at], quoted, line: self.line };
        let closed = if quoted { self.text.get(self.at) == Some(&b'"') } else { !inside };
        if !closed {
            return Err(word.error(What::OpenQuote));
        }
        self.at += usize::from(quoted);
        Ok(word)
    }
}

/// The bytes that may end a word, or have another meaning.
const IS_SPECIAL: [bool; 256] = {
    let mut is_special = [false; 256];
    let mut rest: &[u8] = b" \t\r\n;()\"\\";
    while let [byte, after @ ..] = rest {
        is_special[*byte as usize] = true;
        rest = after;
    }
    is_special
};

#[cfg(test)]
mod tests {
    use super::*;

    type Shown = Vec<(bool, Vec<String>)>;

    fn all(text: &str) -> Result<Shown, (u32, What)> {
        let mut words = Words::new(text.as_bytes());
        let (mut list, mut records) = (Vec::new(), Vec::new());
        while let Some(blank) = words.record(&mut list).map_err(|error| (error.line, error.what))? {
            let show = |word: &Word<'_>| {
                let mark = if word.quoted { "q:" } else { "" };
                format!("{mark}{}@{}", String::from_utf8_lossy(word.raw), word.line)
            };
            records.push((blank, list.iter().map(show).collect()));
        }
        Ok(records)
    }

    #[test]
    fn records_may_take_several_lines() {
        let text = "; nothing\n\na SOA ( b ; comment )\n  c\n) d\r\n\t x\n \n e";
        let records = all(text).unwrap();
        let expected: [(bool, &[&str]); 3] =
            [(false, &["a@3", "SOA@3", "b@3", "c@4", "d@5"]), (true, &["x@6"]), (true, &["e@8"])];
        let records: Vec<_> = records.iter().map(|(blank, words)| (*blank, &words[..])).collect();
        assert_eq!(format!("{records:?}"), format!("{:?}", expected.map(|(blank, words)| (blank, words))));
    }

    #[test]
    fn quotes_hold_blanks_and_everything_else() {
        let records = all("a \"b ;(c\\\" d\"\"e\" k=\"v w\" x\\;y \\\" \"\"").unwrap();
        assert_eq!(
            records[0].1,
            ["a@1", "q:b ;(c\\\" d@1", "q:e@1", "k=\"v w\"@1", "x\\;y@1", "\\\"@1", "q:@1"]
        );
    }

    #[test]
    fn what_is_not_closed_is_refused_where_it_begins() {
        assert_eq!(all("a\nb (\nc\n\n"), Err((2, What::OpenParenthesis)));
        assert_eq!(all("a\nb )\n"), Err((2, What::CloseParenthesis)));
        assert_eq!(all("a \"b\nc\""), Err((1, What::OpenQuote)));
        assert_eq!(all("a k=\"b\nc\""), Err((1, What::OpenQuote)));
        assert_eq!(all("a \"b\\\""), Err((1, What::OpenQuote)));
        assert_eq!(all(&"a ".repeat(5000)), Err((1, What::RecordTooLarge)));
    }
}
