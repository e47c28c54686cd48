//! Paths and queries: what percent signs and dots in them mean (RFC 3986).

use crate::error::Rule;
use alloc::string::String;
use alloc::vec::Vec;

/// Whether a path says what it means: nothing is encoded, and no part of it is dots alone.
pub(crate) fn is_plain(path: &str) -> bool {
    let mut before = 0;
    path.starts_with('/')
        && path.bytes().all(|byte| {
            let is_odd = matches!(byte, b'%' | b'\\') || byte == b'.' && before == b'/';
            before = byte;
            !is_odd
        })
}

/// A path with nothing encoded and without dots: what it leads to from the root, and never beyond. An encoded slash would be
/// one part for some and two for others, and a zero an end for some; they are refused, as are backslashes.
pub(crate) fn normalise(path: &str, out: &mut Vec<u8>) -> Result<(), Rule> {
    out.clear();
    let Some(path) = path.strip_prefix('/') else { return Err(Rule::Path) };
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        let start = out.len();
        out.push(b'/');
        decode(part, out, |byte| !matches!(byte, 0 | b'/' | b'\\'))?;
        let is_up = match &out[start + 1..] {
            b"." => false,
            b".." => true,
            _ => continue,
        };
        out.truncate(start);
        if is_up {
            let parent = out.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            out.truncate(parent);
        }
        if parts.peek().is_none() {
            out.push(b'/');
        }
    }
    core::str::from_utf8(out).map(drop).map_err(|_| Rule::Path)
}

/// Adds what a text means where it is percent-encoded.
fn decode(text: &str, out: &mut Vec<u8>, may_be: impl Fn(u8) -> bool) -> Result<(), Rule> {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || (bytes.next()? as char).to_digit(16);
                let (high, low) = digit().zip(digit()).ok_or(Rule::Path)?;
                (high * 16 + low) as u8
            }
            byte => byte,
        };
        if !may_be(byte) {
            return Err(Rule::Path);
        }
        out.push(byte);
    }
    Ok(())
}

/// The value of a name in a query or a form (`a=1&b=2`), decoded: the first there is. `None` if there is none, or if it is no
/// UTF-8.
pub fn query_value(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
        (form(found)?.as_bytes() == name.as_bytes()).then(|| form(value))?
    })
}

fn form(text: &str) -> Option<String> {
    let mut out = Vec::new();
    for (at, part) in text.split('+').enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        decode(part, &mut out, |_| true).ok()?;
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(path: &str) -> Option<String> {
        let mut out = Vec::new();
        normalise(path, &mut out).ok()?;
        let normal = String::from_utf8(out).unwrap();
        assert!(!is_plain(path) || normal == path);
        Some(normal)
    }

    #[test]
    fn paths_lead_where_they_say_and_not_beyond_the_root() {
        for (path, leads) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("//a//b", "//a//b"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/..", "/"),
            ("/../../../etc/passwd", "/etc/passwd"),
            ("/a/%2e%2E/%2e./.%2e/b", "/b"),
            ("/a/..b/...", "/a/..b/..."),
            ("/.well-known/unikernel", "/.well-known/unikernel"),
            ("/%61%20b", "/a b"),
            ("/%C3%BC", "/ü"),
            ("/a//../b", "/a/b"),
            ("/a+b", "/a+b"),
        ] {
            assert_eq!(normal(path).as_deref(), Some(leads), "{path}");
        }
    }

    #[test]
    fn other_paths_are_refused() {
        for path in [
            "",
            "a",
            "/%",
            "/%2",
            "/%2g",
            "/%-1",
            "/%2f",
            "/a%2F..%2fb",
            "/%00",
            "/a%00.html",
            "/%5c",
            "/\\",
            "/%ff",
            "/%C3",
            "/%c0%ae%c0%ae/",
            "/%+1",
        ] {
            assert_eq!(normal(path), None, "{path}");
        }
    }

    #[test]
    fn values_of_queries_are_found() {
        let query = "a=1&b=x+y%26&c&a=2&=e&%64=f";
        for (name, value) in [("a", "1"), ("b", "x y&"), ("c", ""), ("", "e"), ("d", "f")] {
            assert_eq!(query_value(query, name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(
            (query_value(query, "x"), query_value("a=%ff", "a"), query_value("a=%", "a")),
            (None, None, None)
        );
    }
}
