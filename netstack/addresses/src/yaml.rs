//! YAML as cloud-init's files have it: mappings and lists by indentation, lists in brackets, scalars in one line, comments.
//! What YAML has besides (anchors, tags, mappings in braces, text over several lines, several documents) is refused by
//! name, so that nothing is taken for what it is not.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// The longest file, the deepest nesting, and the most scalars, lists and mappings.
pub const LONGEST: usize = 16 << 10;
const DEEPEST: usize = 10;
const MOST: usize = 1000;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Text as it stands there, without quotes; empty if there is none.
    Scalar(String),
    /// A list.
    List(Vec<Self>),
    /// A mapping, in its order.
    Map(Vec<(String, Self)>),
}

/// Why a file is not read, and in which line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// From 1 on; nought if it is about the whole.
    pub line: usize,
    /// What is there.
    pub what: &'static str,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        f.write_str(self.what)
    }
}

impl core::error::Error for Error {}

impl Node {
    /// The value of a key of a mapping.
    pub fn at(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(pairs) => pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text, if it is one that is not empty.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Scalar(text) if !matches!(&**text, "" | "~" | "null") => Some(text),
            _ => None,
        }
    }

    /// The members of a list; of anything else that is there, itself.
    pub fn members(&self) -> &[Self] {
        match self {
            Self::List(members) => members,
            Self::Scalar(text) if text.is_empty() => &[],
            other => core::slice::from_ref(other),
        }
    }

    /// The pairs of a mapping.
    pub fn pairs(&self) -> &[(String, Self)] {
        match self {
            Self::Map(pairs) => pairs,
            _ => &[],
        }
    }

    /// Whether it says yes.
    pub fn is_true(&self) -> bool {
        self.text().is_some_and(|text| ["true", "yes", "on"].iter().any(|yes| text.eq_ignore_ascii_case(yes)))
    }
}

#[derive(Clone, Copy)]
struct Line<'a> {
    number: usize,
    indent: usize,
    text: &'a str,
}

/// Reads a file. One that is empty is an empty scalar.
pub fn read(bytes: &[u8]) -> Result<Node, Error> {
    let whole = |what| Error { line: 0, what };
    if bytes.len() > LONGEST {
        return Err(whole("the file is longer than 16 KiB"));
    }
    let text = core::str::from_utf8(bytes).map_err(|_| whole("the file is no text"))?;
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let text = without_comment(line).trim_ascii_end();
        let content = text.trim_start_matches(' ');
        let line = Line { number: at + 1, indent: text.len() - content.len(), text: content };
        match content {
            "" => {}
            "---" if lines.is_empty() => {}
            "---" | "..." => return Err(line.error("a second document")),
            _ if content.starts_with('\t') => return Err(line.error("a tab in the indentation")),
            _ if content.starts_with('%') => return Err(line.error("a directive")),
            _ => lines.push(line),
        }
    }
    let mut reader = Reader { lines, at: 0, left: MOST };
    let Some(first) = reader.lines.first().copied() else { return Ok(Node::Scalar(String::new())) };
    let node = reader.block(first.indent, 0)?;
    match reader.lines.get(reader.at) {
        Some(line) => Err(line.error("it is not indented like what it belongs to")),
        None => Ok(node),
    }
}

/// Up to a `#` that begins a comment: at the beginning or after a blank, and not within quotes.
fn without_comment(line: &str) -> &str {
    let (mut quote, mut before) = (None, ' ');
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') if before == ' ' || before == '\t' => return &line[..at],
            // A quote in the middle of a word is a letter like others.
            (None, '\'' | '"') if matches!(before, ' ' | '[' | ',' | ':' | '-') => quote = Some(c),
            (Some(open), _) if c == open && before != '\\' => quote = None,
            _ => {}
        }
        before = c;
    }
    line
}

impl Line<'_> {
    fn error(&self, what: &'static str) -> Error {
        Error { line: self.number, what }
    }

    fn is_item(&self) -> bool {
        self.text == "-" || self.text.starts_with("- ")
    }
}

struct Reader<'a> {
    lines: Vec<Line<'a>>,
    at: usize,
    left: usize,
}

impl<'a> Reader<'a> {
    /// What stands at this indentation, from here on.
    fn block(&mut self, indent: usize, depth: usize) -> Result<Node, Error> {
        let Some(first) = self.lines.get(self.at).copied() else { return Ok(Node::Scalar(String::new())) };
        if depth > DEEPEST {
            return Err(first.error("it is nested too deep"));
        }
        if first.is_item() {
            return self.list(indent, depth);
        }
        match pair(&first)? {
            Some(_) => self.map(indent, depth),
            None => {
                self.at += 1;
                self.value(&first, first.text)
            }
        }
    }

    fn list(&mut self, indent: usize, depth: usize) -> Result<Node, Error> {
        let mut members = Vec::new();
        while let Some(line) = self.lines.get(self.at).copied()
            && line.indent == indent
            && line.is_item()
        {
            self.count(&line)?;
            let rest = line.text[1..].trim_start_matches(' ');
            if rest.is_empty() {
                self.at += 1;
                members.push(self.below(indent, depth)?);
            } else {
                // What follows the dash stands where it stands.
                let inner = indent + line.text.len() - rest.len();
                self.lines[self.at] = Line { indent: inner, text: rest, ..line };
                members.push(self.block(inner, depth + 1)?);
            }
        }
        Ok(Node::List(members))
    }

    fn map(&mut self, indent: usize, depth: usize) -> Result<Node, Error> {
        let mut pairs: Vec<(String, Node)> = Vec::new();
        while let Some(line) = self.lines.get(self.at).copied()
            && line.indent == indent
            && !line.is_item()
        {
            self.count(&line)?;
            let (key, value) = pair(&line)?.ok_or_else(|| line.error("neither a key nor a list"))?;
            if pairs.iter().any(|(known, _)| *known == key) {
                return Err(line.error("a key that was there before"));
            }
            self.at += 1;
            let value = if value.is_empty() {
                match self.lines.get(self.at) {
                    // A list need not be indented.
                    Some(next) if next.indent == indent && next.is_item() => self.list(indent, depth + 1)?,
                    _ => self.below(indent, depth)?,
                }
            } else {
                self.value(&line, value)?
            };
            pairs.push((key, value));
        }
        Ok(Node::Map(pairs))
    }

    /// What is indented more than this.
    fn below(&mut self, indent: usize, depth: usize) -> Result<Node, Error> {
        match self.lines.get(self.at).map(|line| line.indent) {
            Some(inner) if inner > indent => self.block(inner, depth + 1),
            _ => Ok(Node::Scalar(String::new())),
        }
    }

    /// A scalar, or a list in brackets.
    fn value(&mut self, line: &Line<'a>, text: &'a str) -> Result<Node, Error> {
        self.count(line)?;
        let Some(inner) = text.strip_prefix('[') else { return Ok(Node::Scalar(scalar(line, text)?)) };
        let inner =
            inner.strip_suffix(']').ok_or_else(|| line.error("a list in brackets that does not end"))?;
        let mut members = Vec::new();
        if inner.trim_ascii().is_empty() {
            return Ok(Node::List(members));
        }
        for member in inner.split(',') {
            self.count(line)?;
            let member = member.trim_ascii();
            if member.starts_with('[') {
                return Err(line.error("lists within brackets"));
            }
            members.push(Node::Scalar(scalar(line, member)?));
        }
        Ok(Node::List(members))
    }

    fn count(&mut self, line: &Line<'_>) -> Result<(), Error> {
        self.left = self.left.checked_sub(1).ok_or_else(|| line.error("there is too much of it"))?;
        Ok(())
    }
}

/// A key and what follows it, if there is one.
fn pair<'a>(line: &Line<'a>) -> Result<Option<(String, &'a str)>, Error> {
    let text = line.text;
    let end = match text.chars().next() {
        Some(quote @ ('"' | '\'')) => match text[1..].find(quote) {
            Some(end) => end + 2,
            None => return Err(line.error("a quote that does not end")),
        },
        Some('[') => return Ok(None),
        Some('{') => return Err(line.error("a mapping in braces")),
        Some('?') => return Err(line.error("a key over several lines")),
        _ => match text.find(": ").or_else(|| text.len().checked_sub(1).filter(|_| text.ends_with(':'))) {
            Some(end) => end,
            None => return Ok(None),
        },
    };
    let (key, rest) = text.split_at(end);
    let Some(value) = rest.strip_prefix(':') else { return Ok(None) };
    Ok(Some((scalar(line, key.trim_ascii_end())?, value.trim_ascii())))
}

fn scalar(line: &Line<'_>, text: &str) -> Result<String, Error> {
    let Some(first) = text.chars().next() else { return Ok(String::new()) };
    let what = match first {
        '"' | '\'' => {
            let inner =
                text[1..].strip_suffix(first).ok_or_else(|| line.error("a quote that does not end"))?;
            if inner.contains(first) || (first == '"' && inner.contains('\\')) {
                return Err(line.error("an escape within quotes"));
            }
            return Ok(inner.into());
        }
        '|' | '>' => "text over several lines",
        '&' | '*' => "an anchor",
        '!' => "a tag",
        '{' => "a mapping in braces",
        '@' | '`' | '%' => "a reserved character",
        _ => return Ok(text.into()),
    };
    Err(line.error(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fata_sim::Rng;

    fn said(node: &Node) -> String {
        match node {
            Node::Scalar(text) => text.clone(),
            Node::List(all) => format!("[{}]", all.iter().map(said).collect::<Vec<_>>().join(" ")),
            Node::Map(all) => {
                let pairs: Vec<_> = all.iter().map(|(key, value)| format!("{key}={}", said(value))).collect();
                format!("{{{}}}", pairs.join(" "))
            }
        }
    }

    #[test]
    fn what_is_there_is_read() {
        let cases = [
            ("", ""),
            ("a: b\n", "{a=b}"),
            ("---\n# comment\na: b # more\nc: 'd # e'\n", "{a=b c=d # e}"),
            ("a:\n  b: c\n  d:\n    - e\n    - f\ng: h\n", "{a={b=c d=[e f]} g=h}"),
            ("a:\n- b\n- c: d\n  e: f\n-   g: h\n    i: j\nk: l\n", "{a=[b {c=d e=f} {g=h i=j}] k=l}"),
            ("- - a\n  - b\n-\n  c: d\n", "[[a b] {c=d}]"),
            ("a: [b, \"c d\" , 'e']\nf: []\n", "{a=[b c d e] f=[]}"),
            ("mac: 02:00:00:00:00:01\n\"x y\": fd00::1/64\n", "{mac=02:00:00:00:00:01 x y=fd00::1/64}"),
            ("a:\nb: ~\n", "{a= b=~}"),
            ("it's: a#b\n", "{it's=a#b}"),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text.as_bytes()).map(|node| said(&node)).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_read_is_refused_by_name() {
        let cases = [
            ("a: &b c", 1, "an anchor"),
            ("a: *b", 1, "an anchor"),
            ("a: !!str b", 1, "a tag"),
            ("a: |\n  b", 1, "text over several lines"),
            ("a: >-\n  b", 1, "text over several lines"),
            ("a: {b: c}", 1, "a mapping in braces"),
            ("{a: b}", 1, "a mapping in braces"),
            ("? a", 1, "a key over several lines"),
            ("a: b\n---\nc: d", 2, "a second document"),
            ("a:\n\tb: c", 2, "a tab in the indentation"),
            ("a: b\n  c: d", 2, "it is not indented like what it belongs to"),
            ("a:\n    b: c\n  d: e", 3, "it is not indented like what it belongs to"),
            ("a: b\na: c", 2, "a key that was there before"),
            ("a: b\nc", 2, "neither a key nor a list"),
            ("a: 'b", 1, "a quote that does not end"),
            ("a: \"b\\n\"", 1, "an escape within quotes"),
            ("a: [b", 1, "a list in brackets that does not end"),
            ("a: [[b]]", 1, "lists within brackets"),
            ("%YAML 1.1", 1, "a directive"),
        ];
        for (text, line, what) in cases {
            assert_eq!(read(text.as_bytes()), Err(Error { line, what }), "{text}");
        }
        let deep: String = (0..20).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
        assert_eq!(read(deep.as_bytes()).unwrap_err().what, "it is nested too deep");
        assert_eq!(read("- a\n".repeat(2000).as_bytes()).unwrap_err().what, "there is too much of it");
        assert_eq!(read(&[b'a'; LONGEST + 1]).unwrap_err().what, "the file is longer than 16 KiB");
        assert_eq!(read(&[0xff]).unwrap_err().what, "the file is no text");
    }

    #[test]
    fn any_text_can_be_read() {
        let (mut random, mut read_well) = (Rng::new(), 0);
        let pieces = [
            "a", "b:", " ", "  ", "\n", "\n", "- ", "-", "c: d", "'", "\"", "[", "]", ",", "#", ":", "é",
            "\t",
        ];
        for _ in 0..50_000 {
            let count = random.within(0..30);
            let text: String = (0..count).map(|_| pieces[random.within(0..pieces.len())]).collect();
            read_well += u32::from(read(text.as_bytes()).is_ok());
        }
        assert!(read_well > 1000);
    }
}
