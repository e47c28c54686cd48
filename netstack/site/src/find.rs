//! What a path leads to.

use crate::escape::Escaped;
use crate::{File, Kind, Site};
use core::cmp::Ordering;
use core::fmt;

/// What a path leads to, in the blob or by way of the path itself.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a, 'b> {
    /// This file.
    File(File<'a>),
    /// Another place.
    Redirect(Redirect<'b>),
    /// Nowhere; the file is what to show instead, if there is one.
    Missing(Option<File<'a>>),
}

/// Where else to look. What it prints is for `Location`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect<'a> {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Written as it is.
    to: &'a str,
    /// Follows, escaped.
    rest: &'a str,
    /// Follows that.
    slash: bool,
}

impl fmt::Display for Redirect<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.to, Escaped(self.rest))?;
        f.write_str(if self.slash { "/" } else { "" })
    }
}

impl<'a> Site<'a> {
    /// What the path, decoded, leads to: the file of that name; `index.html` in it if it ends with a slash; else the page
    /// `.html`, or if it is a directory with an `index.html`, that directory with a slash; else wherever redirects lead;
    /// else nowhere, for which `/404.html` has the words.
    pub fn find<'b>(&self, path: &'b str) -> Found<'a, 'b>
    where
        'a: 'b,
    {
        if !path.starts_with('/') {
            return Found::Missing(self.exact("/404.html", ""));
        }
        let page = match path.ends_with('/') {
            true => self.exact(path, "index.html"),
            false => self.exact(path, "").or_else(|| self.exact(path, ".html")),
        };
        if let Some(file) = page {
            return Found::File(file);
        }
        if !path.ends_with('/') && self.exact(path, "/index.html").is_some() {
            return Found::Redirect(Redirect { status: 301, to: "", rest: path, slash: true });
        }
        match self.redirect(path) {
            Some(redirect) => Found::Redirect(redirect),
            None => Found::Missing(self.exact("/404.html", "")),
        }
    }

    /// The file of this path, which is given in two pieces.
    fn exact(&self, path: &str, end: &str) -> Option<File<'a>> {
        let (mut from, mut to) = (0, self.files);
        while from < to {
            let middle = from + (to - from) / 2;
            match compare(self.path(middle)?, path.as_bytes(), end.as_bytes()) {
                Ordering::Less => from = middle + 1,
                Ordering::Greater => to = middle,
                Ordering::Equal => return self.file(middle),
            }
        }
        None
    }

    fn redirect<'b>(&self, path: &'b str) -> Option<Redirect<'b>>
    where
        'a: 'b,
    {
        let rules = (0..self.redirects).filter_map(|number| self.rule(number));
        let mut fitting = rules.filter_map(|rule| {
            let rest = match rule.kind {
                Kind::Path => (path == rule.from).then_some("")?,
                Kind::Below => rest_of(path, rule.from).map(|_| "")?,
                // What follows a slash must not begin with one: that would be the name of another host.
                Kind::Splat => rest_of(path, rule.from)?.trim_start_matches('/'),
            };
            Some(Redirect { status: rule.status, to: rule.to, rest, slash: false })
        });
        fitting.next()
    }
}

/// What follows `begin`, a directory with its slash, which the directory itself may be without.
fn rest_of<'a>(path: &'a str, begin: &str) -> Option<&'a str> {
    path.strip_prefix(begin).or_else(|| (begin.strip_suffix('/') == Some(path)).then_some(""))
}

/// How `stored` compares with the path in two pieces.
fn compare(stored: &[u8], path: &[u8], end: &[u8]) -> Ordering {
    match stored.split_at_checked(path.len()) {
        Some((begin, rest)) => begin.cmp(path).then_with(|| rest.cmp(end)),
        None => stored.cmp(path),
    }
}
