//! `_redirects` and `_headers`, of which several hosts of static pages understand the same and more.

use super::{HEADERS, PackError, REDIRECTS};
use crate::Kind;
use crate::check::is_redirect;
use crate::escape::{Escaped, is_place};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A line of `_redirects`.
pub(crate) struct Rule {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) status: u16,
    pub(crate) kind: Kind,
}

/// Header lines for the paths of one pattern.
pub(crate) struct Lines {
    pattern: String,
    lines: Vec<(String, String)>,
}

/// What is said by the server itself, and nobody else.
const OURS: [&str; 13] = [
    "accept-ranges",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "etag",
    "last-modified",
    "location",
    "transfer-encoding",
    "upgrade",
    "vary",
];

/// Lines that say something, with their numbers.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, Result<&str, core::str::Utf8Error>)> {
    let lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let said = |line: &&[u8]| !line.trim_ascii().is_empty() && !line.trim_ascii().starts_with(b"#");
    (1..)
        .zip(lines)
        .filter(move |(_, line)| said(line))
        .map(|(number, line)| (number, core::str::from_utf8(line)))
}

/// Reads `_redirects`: where from, where to, and a status if that is not 301.
pub(crate) fn redirects(text: &[u8]) -> Result<Vec<Rule>, PackError> {
    let mut rules = Vec::new();
    for (line, words) in lines(text) {
        let wrong = |reason| PackError::Rule { file: REDIRECTS, line, reason };
        let mut words = words.map_err(|_| wrong("not UTF-8"))?.split_ascii_whitespace();
        let (Some(from), Some(to)) = (words.next(), words.next()) else {
            return Err(wrong("two words are needed: where from, and where to"));
        };
        let status = words.next().map_or(Ok(301), str::parse).ok().filter(|status| is_redirect(*status));
        let status = status.ok_or_else(|| wrong("the status is not 301, 302, 303, 307 or 308"))?;
        if words.next().is_some() {
            return Err(wrong("more than three words"));
        }
        let (from, below) = from.strip_suffix('*').map_or((from, false), |from| (from, true));
        if !from.starts_with('/') || from.contains(['*', ':', '?', '#']) || below && !from.ends_with('/') {
            return Err(wrong("where from is not a path, or one with /* at its end"));
        }
        let (to, splat) = to.strip_suffix(":splat").map_or((to, false), |to| (to, true));
        if splat && !(below && to.ends_with('/')) {
            return Err(wrong(":splat stands at the end, after a slash, and for the * of where from"));
        }
        if !is_place(to) || to.contains("/:") && !splat && !to.contains("://") {
            return Err(wrong("where to is neither a path nor a URL, escaped where it has to be"));
        }
        let kind = match (below, splat) {
            (_, true) => Kind::Splat,
            (true, false) => Kind::Below,
            (false, false) => Kind::Path,
        };
        let from =
            crate::escape::decode(from).ok_or_else(|| wrong("where from is not escaped as it has to be"))?;
        rules.push(Rule { from, to: to.to_string(), status, kind });
    }
    Ok(rules)
}

/// Reads `_headers`: a pattern on a line of its own, and below it, each line with a blank before it, what is to be said about
/// files that it fits.
pub(crate) fn headers(text: &[u8]) -> Result<Vec<Lines>, PackError> {
    let mut all: Vec<Lines> = Vec::new();
    for (line, text) in lines(text) {
        let wrong = |reason| PackError::Rule { file: HEADERS, line, reason };
        let text = text.map_err(|_| wrong("not UTF-8"))?;
        if !text.starts_with([' ', '\t']) {
            let pattern = text.trim_end();
            if !pattern.starts_with('/')
                || pattern.contains(char::is_whitespace)
                || pattern.matches('*').count() > 1
            {
                return Err(wrong("a pattern is a path with at most one * in it"));
            }
            all.push(Lines { pattern: pattern.to_string(), lines: Vec::new() });
            continue;
        }
        let block = all.last_mut().ok_or_else(|| wrong("a line before the first pattern"))?;
        let (name, value) =
            text.split_once(':').ok_or_else(|| wrong("a name, a colon and a value are needed"))?;
        let (name, value) = (name.trim(), value.trim());
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(letter) {
            return Err(wrong("this is not the name of a header"));
        }
        if OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
            return Err(wrong("the server says this itself"));
        }
        if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return Err(wrong("the value is empty, or has characters that are not ASCII"));
        }
        block.lines.push((name.to_string(), value.to_string()));
    }
    Ok(all)
}

/// What is said about the file of this path: all that fits, and of one name what comes last.
pub(crate) fn lines_for(all: &[Lines], path: &str) -> String {
    let mut said: Vec<(&str, &str)> = Vec::new();
    for (name, value) in all.iter().filter(|block| fits(&block.pattern, path)).flat_map(|block| &block.lines)
    {
        said.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        said.push((name, value));
    }
    said.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
}

/// Whether the pattern, in which `*` stands for anything, is for this path, or for that by which its page is asked for.
fn fits(pattern: &str, path: &str) -> bool {
    let fits = |path: &str| match pattern.split_once('*') {
        None => pattern == path,
        Some((begin, end)) => {
            path.len() >= begin.len() + end.len() && path.starts_with(begin) && path.ends_with(end)
        }
    };
    let escaped = Escaped(path).to_string();
    let page = path.strip_suffix("index.html").or_else(|| path.strip_suffix(".html"));
    fits(path) || fits(&escaped) || page.is_some_and(fits)
}
