//! Conditional requests (RFC 9110 section 13).

use crate::date::parse_date;
use crate::fields::Fields;
use crate::method::Method;
use crate::request::Request;
use crate::words::trim;

/// What tells one state of a thing from another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validators<'a> {
    /// Its entity tag, with its quotes: `"x"`, or `W/"x"` if bytes may differ.
    pub etag: Option<&'a str>,
    /// When it was changed, in seconds since 1970.
    pub modified: Option<u64>,
}

/// What conditions say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Met,
    /// The client has it: 304.
    NotModified,
    /// It is not what the client takes it for: 412.
    Failed,
}

/// Looks at `If-Match`, `If-Unmodified-Since`, `If-None-Match` and `If-Modified-Since`, in the order of section 13.2.2. Without
/// `current` there is nothing there yet.
pub fn preconditions(request: &Request<'_>, current: Option<&Validators<'_>>) -> Verdict {
    let fields = request.fields;
    let is_read = matches!(request.method, Method::Get | Method::Head);
    let since = |name| date_of(fields, name).zip(current?.modified);
    if has(fields, "if-match") {
        if !names(fields, "if-match", current, is_same) {
            return Verdict::Failed;
        }
    } else if let Some((date, modified)) = since("if-unmodified-since")
        && modified > date
    {
        return Verdict::Failed;
    }
    if has(fields, "if-none-match") {
        if names(fields, "if-none-match", current, is_alike) {
            return if is_read { Verdict::NotModified } else { Verdict::Failed };
        }
    } else if let Some((date, modified)) = since("if-modified-since")
        && is_read
        && modified <= date
    {
        return Verdict::NotModified;
    }
    Verdict::Met
}

/// Whether a range is wanted of what there is now (section 13.1.5): of this tag, or of exactly this date.
pub(crate) fn if_range(fields: Fields<'_>, current: &Validators<'_>) -> bool {
    match (fields.values("if-range").count(), fields.first("if-range")) {
        (0, _) => true,
        (1, Some(value)) if value.contains(&b'"') => {
            current.etag.is_some_and(|etag| is_same(trim(value), etag.as_bytes()))
        }
        (1, Some(value)) => parse_date(value).is_some_and(|date| current.modified == Some(date)),
        _ => false,
    }
}

fn has(fields: Fields<'_>, name: &str) -> bool {
    fields.first(name).is_some()
}

fn date_of(fields: Fields<'_>, name: &str) -> Option<u64> {
    parse_date(fields.first(name)?)
}

/// Whether a list of tags has the one there is; a star has any.
fn names(
    fields: Fields<'_>,
    name: &str,
    current: Option<&Validators<'_>>,
    equal: fn(&[u8], &[u8]) -> bool,
) -> bool {
    let Some(current) = current else { return false };
    fields.list(name).any(|tag| tag == b"*" || current.etag.is_some_and(|etag| equal(tag, etag.as_bytes())))
}

/// The same bytes (section 8.8.3.2, strong).
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a == b && a.starts_with(b"\"") && a.len() >= 2 && a.ends_with(b"\"")
}

/// As good as the same (weak).
fn is_alike(a: &[u8], b: &[u8]) -> bool {
    let plain = |tag| <[u8]>::strip_prefix(tag, b"W/").unwrap_or(tag);
    is_same(plain(a), plain(b))
}
